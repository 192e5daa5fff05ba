//! What a server accepts (RFC 6455 §4.2.1), and what it answers (§4.2.2).

use http::{HeaderMap, HeaderValue, header};
use sockeye_proto::handshake::{Accept, HandshakeError, OriginPolicy};
use sockeye_proto::http::Misuse;

use crate::rig::{Rig, parse};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

fn judge(line: &str, headers: &[&str], policy: &OriginPolicy) -> Result<(), HandshakeError> {
    let bytes = format!("{line}\r\nHost: x\r\n{}\r\n", headers.concat());
    Accept::new(&parse(bytes.as_bytes()), policy).map(|_| ())
}

fn judge_get(headers: &[&str]) -> Result<(), HandshakeError> {
    judge("GET / HTTP/1.1", headers, &OriginPolicy::Same)
}

#[test]
fn method_version_and_upgrade() {
    let all = [UPGRADE, KEY, VERSION];
    let policy = OriginPolicy::Same;
    assert_eq!(judge("GET / HTTP/1.1", &all, &policy), Ok(()));
    assert_eq!(judge("GET http://x/ HTTP/1.7", &all, &policy), Ok(()));
    assert_eq!(
        judge("GET / HTTP/1.0", &all, &policy),
        Err(HandshakeError::NotUpgrade)
    );
    for method in ["POST", "HEAD", "OPTIONS"] {
        let line = format!("{method} / HTTP/1.1");
        assert_eq!(judge(&line, &all, &policy), Err(HandshakeError::Method));
    }
    for (headers, accepted) in [
        ("Upgrade: WEBSOCKET\r\nconnection: UPGRADE\r\n", true),
        (
            "Upgrade: a, websocket\r\nConnection: keep-alive,Upgrade , x\r\n",
            true,
        ),
        (
            "Upgrade: a\r\nUpgrade: websocket\r\nConnection: a\r\nConnection: upgrade\r\n",
            true,
        ),
        ("Upgrade: websocketx\r\nConnection: Upgrade\r\n", false),
        ("Upgrade: xwebsocket\r\nConnection: Upgrade\r\n", false),
        ("Upgrade: websocket x\r\nConnection: Upgrade\r\n", false),
        ("Upgrade: \"websocket\"\r\nConnection: Upgrade\r\n", false),
        ("Upgrade: websocket\r\nConnection: noupgrade\r\n", false),
        ("Upgrade: websocket\r\nConnection: keep-alive\r\n", false),
        ("Upgrade: websocket\r\n", false),
        ("Connection: Upgrade\r\n", false),
    ] {
        let expected = if accepted {
            Ok(())
        } else {
            Err(HandshakeError::NotUpgrade)
        };
        assert_eq!(judge_get(&[headers, KEY, VERSION]), expected, "{headers}");
    }
}

#[test]
fn keys() {
    for (key, accepted) in [
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", true),
        ("sec-websocket-key:\t dGhlIHNhbXBsZSBub25jZQ== \r\n", true),
        ("", false),
        ("Sec-WebSocket-Key:\r\n", false),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", false),
        ("Sec-WebSocket-Key: dGhlIHNhbXBs ZSBub25jZQ==\r\n", false),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n", false),
        ("Sec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==\r\n", false),
        (
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key:\r\n",
            false,
        ),
    ] {
        let expected = if accepted {
            Ok(())
        } else {
            Err(HandshakeError::Key)
        };
        assert_eq!(judge_get(&[UPGRADE, VERSION, key]), expected, "{key}");
    }
}

#[test]
fn versions() {
    for value in [
        "12",
        "14",
        "8",
        "0",
        "130",
        "013",
        "+13",
        "-13",
        "13abc",
        "13.0",
        "0xd",
        "1 3",
        "13, 8",
        "13,13",
        "4294967309",
        "18446744073709551629",
        "",
        "x",
    ] {
        let version = format!("Sec-WebSocket-Version: {value}\r\n");
        assert_eq!(
            judge_get(&[UPGRADE, KEY, &version]),
            Err(HandshakeError::Version),
            "{value}"
        );
    }
    assert_eq!(judge_get(&[UPGRADE, KEY]), Err(HandshakeError::Version));
    assert_eq!(
        judge_get(&[UPGRADE, KEY, VERSION, VERSION]),
        Err(HandshakeError::Version)
    );
}

#[test]
fn extensions_are_ignored_whatever_they_are() {
    let many = vec!["permessage-deflate"; 150].join(", ");
    for value in [
        "",
        "permessage-deflate; client_max_window_bits",
        "__proto__",
        "a; b=\"unclosed",
        &many,
    ] {
        let extensions = format!("Sec-WebSocket-Extensions: {value}\r\n");
        let headers = [UPGRADE, KEY, VERSION, &extensions];
        let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", headers.concat());
        let request = parse(bytes.as_bytes());
        let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
        let mut rig = Rig::new();
        rig.with(|cx| accept.respond(None, &HeaderMap::new(), cx))
            .unwrap();
        let output = String::from_utf8(rig.output).unwrap();
        assert!(!output.contains("Extensions"), "{output}");
    }
}

#[test]
fn origins() {
    use OriginPolicy::{Any, List, Same};
    let list = List(vec!["https://a.example".into(), "null".into()]);
    let empty = List(Vec::new());
    for (origin, policy, allowed) in [
        ("", &Same, true),
        ("", &list, true),
        ("", &empty, true),
        ("Origin: http://x\r\n", &Same, true),
        ("Origin: https://x\r\n", &Same, true),
        ("Origin: http://X:80\r\n", &Same, true),
        ("Origin: http://x:81\r\n", &Same, false),
        ("Origin: http://evil\r\n", &Same, false),
        ("Origin: null\r\n", &Same, false),
        ("Origin:\r\n", &Same, false),
        ("Origin: http://x\r\nOrigin: http://x\r\n", &Same, false),
        ("Origin: http://x http://evil\r\n", &Same, false),
        ("Origin: http://\u{fc}\r\n", &Same, false),
        ("Origin: http://evil\r\n", &Any, true),
        ("Origin: http://x\r\nOrigin: http://evil\r\n", &Any, true),
        ("Origin: https://A.example\r\n", &list, true),
        ("Origin: null\r\n", &list, true),
        ("Origin: http://a.example\r\n", &list, false),
        ("Origin: https://a.example:443\r\n", &list, false),
        ("Origin: https://a.example.evil\r\n", &list, false),
        ("Origin: http://x\r\n", &list, false),
        ("Origin: http://x\r\n", &empty, false),
    ] {
        let judged = judge("GET / HTTP/1.1", &[UPGRADE, KEY, VERSION, origin], policy);
        let expected = if allowed {
            Ok(())
        } else {
            Err(HandshakeError::Origin)
        };
        assert_eq!(judged, expected, "{origin} {policy:?}");
    }
}

#[test]
fn body() {
    let judged = judge_get(&[UPGRADE, KEY, VERSION, "Content-Length: 1\r\n"]);
    assert_eq!(judged, Err(HandshakeError::Body));
    assert_eq!(
        judge_get(&[UPGRADE, KEY, VERSION, "Content-Length: 0\r\n"]),
        Ok(())
    );
}

#[test]
fn refusals_say_what_to_do() {
    for (error, status, headers) in [
        (HandshakeError::Method, 405, vec![("allow", "GET")]),
        (
            HandshakeError::NotUpgrade,
            426,
            vec![
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-version", "13"),
            ],
        ),
        (
            HandshakeError::Version,
            426,
            vec![
                ("upgrade", "websocket"),
                ("connection", "Upgrade"),
                ("sec-websocket-version", "13"),
            ],
        ),
        (HandshakeError::Key, 400, vec![]),
        (HandshakeError::Body, 400, vec![]),
        (HandshakeError::Origin, 403, vec![]),
    ] {
        let response = error.response();
        assert_eq!(
            (error.status(), response.status),
            (status.try_into().unwrap(), error.status())
        );
        for (name, value) in headers {
            assert_eq!(response.headers.get(name).unwrap(), value, "{error:?}");
        }
        assert!(error.to_string().len() > 20);
    }
}

#[test]
fn subprotocols() {
    let blanks = " ".repeat(10_000);
    for (header, supported, offered, chosen) in [
        ("", vec!["a"], vec![], None),
        (
            "Sec-WebSocket-Protocol: a, b\r\n",
            vec!["b", "a"],
            vec!["a", "b"],
            Some("a"),
        ),
        (
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n",
            vec!["b"],
            vec!["a", "b"],
            Some("b"),
        ),
        ("Sec-WebSocket-Protocol: A\r\n", vec!["a"], vec!["A"], None),
        (
            "Sec-WebSocket-Protocol: ab\r\n",
            vec!["a", "b"],
            vec!["ab"],
            None,
        ),
        ("Sec-WebSocket-Protocol:\r\n", vec!["", "a"], vec![], None),
        (
            "Sec-WebSocket-Protocol: ,, ,\r\n",
            vec!["", "a"],
            vec![],
            None,
        ),
        (
            "Sec-WebSocket-Protocol: a b, (c), \"d\", e\r\n",
            vec!["a", "a b", "(c)", "e"],
            vec!["e"],
            Some("e"),
        ),
        (
            "Sec-WebSocket-Protocol: \u{fc}, a\r\n",
            vec!["\u{fc}", "a"],
            vec!["a"],
            Some("a"),
        ),
        (
            &format!("Sec-WebSocket-Protocol: a{blanks}b, c\r\n"),
            vec!["a", "c"],
            vec!["c"],
            Some("c"),
        ),
        ("Sec-WebSocket-Protocol: a\r\n", vec![], vec!["a"], None),
    ] {
        let headers = [UPGRADE, KEY, VERSION, header].concat();
        let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let request = parse(bytes.as_bytes());
        assert_eq!(
            request.subprotocols().collect::<Vec<_>>(),
            offered,
            "{header:.40}"
        );
        let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
        assert_eq!(accept.negotiate(supported), chosen, "{header:.40}");
        let mut rig = Rig::new();
        rig.with(|cx| accept.respond(chosen, &HeaderMap::new(), cx))
            .unwrap();
        let output = String::from_utf8(rig.output).unwrap();
        let written = output
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        assert_eq!(written, chosen, "{header:.40}");
    }
}

#[test]
fn the_101_and_what_may_not_be_in_it() {
    let headers = [UPGRADE, KEY, VERSION, "Sec-WebSocket-Protocol: a\r\n"].concat();
    let bytes = format!("GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
    let request = parse(bytes.as_bytes());
    let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
    let mut rig = Rig::new();
    for subprotocol in ["b", "", "A", "a\r\nX: y"] {
        let result = rig.with(|cx| accept.respond(Some(subprotocol), &HeaderMap::new(), cx));
        assert_eq!(
            result,
            Err(Misuse::SubprotocolNotOffered),
            "{subprotocol:?}"
        );
    }
    for name in [
        header::UPGRADE,
        header::CONNECTION,
        header::SEC_WEBSOCKET_ACCEPT,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        let extra = HeaderMap::from_iter([(name, HeaderValue::from_static("1"))]);
        let result = rig.with(|cx| accept.respond(None, &extra, cx));
        assert_eq!(result, Err(Misuse::ReservedHeader), "{extra:?}");
    }
    assert!(rig.output.is_empty());
    let extra = HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static("k=v"))]);
    rig.with(|cx| accept.respond(Some("a"), &extra, cx))
        .unwrap();
    assert_eq!(
        String::from_utf8(rig.output).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: a\r\n\
         Set-Cookie: k=v\r\n\r\n"
    );
}
