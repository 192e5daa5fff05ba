//! What a client asks, and which answers it takes (RFC 6455 §4.1).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use sockeye_proto::Limits;
use sockeye_proto::handshake::{Answer, ConnectRequest, HandshakeError, Refusal};
use sockeye_proto::http::{HttpError, Misuse};

use crate::rig::{Rig, parse, request};

/// The verdict on an answer, in which `{accept}` is replaced, and what is left behind it; the same
/// for every cut. `None` if it wants more.
fn judge(
    request: &ConnectRequest,
    answer: &[u8],
) -> (Option<Result<Answer, HandshakeError>>, Vec<u8>) {
    let mut outcomes = Vec::new();
    for cut in 0..=answer.len() {
        let mut rig = Rig::new();
        let mut connect = rig.connect(request.clone()).unwrap();
        let accept = accept_for(&rig.output);
        let mut bytes = answer.to_vec();
        if let Some(at) = find(answer, b"{accept}") {
            bytes.splice(at..at + 8, accept.bytes());
        }
        let pieces: Vec<&[u8]> = match cut {
            0 => bytes.chunks(1).collect(),
            _ => {
                let (front, rest) = bytes.split_at(cut);
                vec![front, rest]
            }
        };
        let mut verdict = None;
        let mut rest = Vec::new();
        for piece in pieces {
            if verdict.is_some() {
                rest.extend_from_slice(piece);
                continue;
            }
            let (result, left) = rig.feed(&mut connect, piece);
            verdict = result.transpose();
            rest = left;
        }
        if matches!(verdict, Some(Err(_))) {
            rest.clear();
        }
        outcomes.push((verdict, rest));
    }
    let last = outcomes.pop().unwrap();
    assert!(
        outcomes.iter().all(|outcome| *outcome == last),
        "{}",
        answer.escape_ascii()
    );
    last
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// What a right server would answer to this request.
fn accept_for(written: &[u8]) -> String {
    use sockeye_proto::handshake::{Accept, OriginPolicy};
    let mut rig = Rig::new();
    let request = parse(written);
    let accept = Accept::new(&request, &OriginPolicy::Any).unwrap();
    rig.with(|cx| accept.respond(None, &HeaderMap::new(), cx))
        .unwrap();
    let output = String::from_utf8(rig.output).unwrap();
    output
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Accept: "))
        .unwrap()
        .to_owned()
}

fn answer(headers: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{headers}\r\n")
}

const RIGHT: &str =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n";

fn error(answer: &str) -> HandshakeError {
    judge(&request(), answer.as_bytes()).0.unwrap().unwrap_err()
}

fn refusal(answer: &str) -> Refusal {
    match error(answer) {
        HandshakeError::Refused(refusal) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_request_is_written_as_asked() {
    let mut rig = Rig::new();
    rig.connect(ConnectRequest {
        host: "[::1]:7681".into(),
        target: "/chat?room=1".into(),
        origin: Some("https://example.org".into()),
        subprotocols: vec!["chat.v2".into(), "chat.v1".into()],
        headers: HeaderMap::from_iter([(header::USER_AGENT, HeaderValue::from_static("sockeye"))]),
        #[cfg(feature = "deflate")]
        deflate: None,
        #[cfg(feature = "drafts")]
        version: Default::default(),
    })
    .unwrap();
    let output = String::from_utf8(rig.output).unwrap();
    let (front, rest) = output.split_once("Sec-WebSocket-Key: ").unwrap();
    let (key, rest) = rest.split_once("\r\n").unwrap();
    assert_eq!(
        front,
        "GET /chat?room=1 HTTP/1.1\r\nHost: [::1]:7681\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\n"
    );
    assert_eq!(key.len(), 24);
    assert_eq!(
        rest,
        "Sec-WebSocket-Version: 13\r\nOrigin: https://example.org\r\n\
         Sec-WebSocket-Protocol: chat.v2, chat.v1\r\nUser-Agent: sockeye\r\n\r\n"
    );
}

#[test]
fn every_handshake_has_a_key_of_its_own() {
    let mut rig = Rig::new();
    rig.connect(request()).unwrap();
    let first = std::mem::take(&mut rig.output);
    rig.connect(request()).unwrap();
    assert_eq!(first.len(), rig.output.len());
    assert_ne!(first, rig.output);
}

#[test]
fn what_cannot_be_written_is_refused() {
    let edit = |edit: &dyn Fn(&mut ConnectRequest)| {
        let mut request = request();
        edit(&mut request);
        let mut rig = Rig::new();
        let result = rig.connect(request);
        assert!(rig.output.is_empty() || result.is_ok());
        result.err()
    };
    for host in ["", "a b", "a\r\nX: y", "a/b", "::1", "a:70000", "u@a"] {
        assert_eq!(
            edit(&|r| r.host = host.into()),
            Some(Misuse::InvalidHost),
            "{host}"
        );
    }
    for target in [
        "",
        "a",
        "*",
        "http://x/",
        "/a b",
        "/\r\nX: y",
        "/\0",
        "/#a",
        "/\u{fc}",
    ] {
        assert_eq!(
            edit(&|r| r.target = target.into()),
            Some(Misuse::InvalidTarget),
            "{target}"
        );
    }
    for origin in ["", "a b", "http://a\r\nX: y"] {
        let invalid = Some(Misuse::InvalidOrigin);
        assert_eq!(
            edit(&|r| r.origin = Some(origin.into())),
            invalid,
            "{origin}"
        );
    }
    for list in [
        vec![""],
        vec!["a b"],
        vec!["a,b"],
        vec!["a\r\nX: y"],
        vec!["a", "b", "a"],
    ] {
        let list: Vec<String> = list.into_iter().map(String::from).collect();
        let invalid = Some(Misuse::InvalidSubprotocol);
        assert_eq!(
            edit(&|r| r.subprotocols = list.clone()),
            invalid,
            "{list:?}"
        );
    }
    for name in [
        header::HOST,
        header::UPGRADE,
        header::CONNECTION,
        header::ORIGIN,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ] {
        let reserved = Some(Misuse::ReservedHeader);
        let value = HeaderValue::from_static("1");
        let misuse = edit(&|r| {
            r.headers.append(name.clone(), value.clone());
        });
        assert_eq!(misuse, reserved, "{name}");
    }
}

#[test]
fn right_answers() {
    for headers in [
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n",
        "upgrade: WebSocket\r\nCONNECTION: x, UPGRADE\r\nsec-websocket-accept:  {accept} \r\n",
        "Connection: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\
         Sec-WebSocket-Extensions:\r\nServer: y\r\nContent-Length: 7\r\n",
    ] {
        let (verdict, rest) = judge(
            &request(),
            format!("{}\u{81}\x01a", answer(headers)).as_bytes(),
        );
        let answer = verdict.unwrap().unwrap();
        assert_eq!(answer.subprotocol, None);
        assert!(answer.headers.contains_key("sec-websocket-accept"));
        assert_eq!(rest, b"\xc2\x81\x01a", "frames behind the head stay");
    }
    // Without a reason, and behind interim answers.
    for line in [
        "HTTP/1.1 101\r\n",
        "HTTP/1.1 101 \r\n",
        "HTTP/1.2 101 Ja, g\u{e4}rne\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 101 x\r\n",
    ] {
        let (verdict, rest) = judge(&request(), format!("{line}{RIGHT}\r\nrest").as_bytes());
        assert!(verdict.unwrap().is_ok(), "{line}");
        assert_eq!(rest, b"rest");
    }
}

#[test]
fn wrong_answers() {
    use HandshakeError as E;
    let accept = "Sec-WebSocket-Accept: {accept}\r\n";
    for (headers, expected) in [
        (format!("Connection: Upgrade\r\n{accept}"), E::AnswerUpgrade),
        (
            format!("Upgrade: h2c\r\nConnection: Upgrade\r\n{accept}"),
            E::AnswerUpgrade,
        ),
        (
            format!("Upgrade: websocketx\r\nConnection: Upgrade\r\n{accept}"),
            E::AnswerUpgrade,
        ),
        (
            format!("Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n{accept}"),
            E::AnswerUpgrade,
        ),
        (
            format!("Upgrade: websocket\r\n{accept}"),
            E::AnswerConnection,
        ),
        (
            format!("Upgrade: websocket\r\nConnection: noupgrade\r\n{accept}"),
            E::AnswerConnection,
        ),
        (
            "Upgrade: websocket\r\nConnection: Upgrade\r\n".into(),
            E::AcceptMissing,
        ),
        (RIGHT.replace("{accept}", ""), E::AcceptWrong),
        (
            RIGHT.replace("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            E::AcceptWrong,
        ),
        (RIGHT.replace("{accept}", "x{accept}"), E::AcceptWrong),
        (RIGHT.replace("{accept}", "{accept}x"), E::AcceptWrong),
        (
            format!("{RIGHT}Sec-WebSocket-Accept: x\r\n"),
            E::AcceptWrong,
        ),
        (
            format!("{RIGHT}Sec-WebSocket-Protocol: a\r\n"),
            E::AnswerSubprotocol,
        ),
        (
            format!("{RIGHT}Sec-WebSocket-Protocol:\r\n"),
            E::AnswerSubprotocol,
        ),
        (
            format!("{RIGHT}Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            E::AnswerExtension,
        ),
        (
            format!("{RIGHT}Sec-WebSocket-Extensions: x; server_max_window_bits=99\r\n"),
            E::AnswerExtension,
        ),
    ] {
        assert_eq!(error(&answer(&headers)), expected, "{headers}");
    }
    let old = answer(RIGHT).replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(error(&old), E::AnswerVersion);
}

#[test]
fn subprotocols_of_an_answer() {
    let request = ConnectRequest {
        subprotocols: vec!["a".into(), "b".into()],
        ..request()
    };
    for (header, expected) in [
        ("", Ok(None)),
        ("Sec-WebSocket-Protocol: b\r\n", Ok(Some("b"))),
        (
            "Sec-WebSocket-Protocol: c\r\n",
            Err(HandshakeError::AnswerSubprotocol),
        ),
        (
            "Sec-WebSocket-Protocol: B\r\n",
            Err(HandshakeError::AnswerSubprotocol),
        ),
        (
            "Sec-WebSocket-Protocol: a, b\r\n",
            Err(HandshakeError::AnswerSubprotocol),
        ),
        (
            "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: a\r\n",
            Err(HandshakeError::AnswerSubprotocol),
        ),
    ] {
        let answer = answer(&format!("{RIGHT}{header}"));
        let verdict = judge(&request, answer.as_bytes()).0.unwrap();
        let verdict = verdict.as_ref().map(|answer| answer.subprotocol.as_deref());
        assert_eq!(verdict, expected.as_ref().map(|name| *name), "{header}");
    }
}

#[test]
fn garbage_is_an_error_at_its_first_byte() {
    for (bytes, expected) in [
        ("S", HttpError::StatusLine),
        ("\r\n", HttpError::StatusLine),
        ("http/1.1 101 x\r\n", HttpError::StatusLine),
        ("HTTP/1.1\n", HttpError::BareLf),
        ("HTTP/1.1 101 x\n", HttpError::BareLf),
        ("HTTP/1.1 101 a\rb", HttpError::BareCr),
        ("HTTP/1.1 \0", HttpError::StatusLine),
        ("HTTP/1.1 101 x\r\n folded", HttpError::Fold),
        ("HTTP/1.1 101 x\r\nA : b", HttpError::BlankBeforeColon),
        ("HTTP/1.1 101 x\r\nA\r\n", HttpError::FieldName),
        ("HTTP/1.1 101 x\r\nA: \0", HttpError::Control),
        ("HTTP/1.1 101 x\r\n\n", HttpError::BareLf),
        ("HTTP/1.1\r\n\r\n", HttpError::StatusLine),
        ("HTTP/1.1 10\r\n\r\n", HttpError::StatusLine),
        ("HTTP/1.1 1010\r\n\r\n", HttpError::StatusLine),
        ("HTTP/1.1 1x1 a\r\n\r\n", HttpError::StatusLine),
        ("HTTP/1.1  101 a\r\n\r\n", HttpError::StatusLine),
        ("HTTP/1.1 000 a\r\n\r\n", HttpError::StatusLine),
        ("HTTP/2.0 101 a\r\n\r\n", HttpError::Version),
        ("HTTP/x.1 101 a\r\n\r\n", HttpError::StatusLine),
    ] {
        assert_eq!(
            error(bytes),
            HandshakeError::Malformed(expected),
            "{bytes:?}"
        );
    }
}

#[test]
fn end_of_stream_at_every_byte_is_an_error() {
    let bytes = answer(RIGHT);
    for cut in 0..bytes.len() {
        let mut rig = Rig::new();
        let mut connect = rig.connect(request()).unwrap();
        assert_eq!(rig.feed(&mut connect, &bytes.as_bytes()[..cut]).0, Ok(None));
        assert_eq!(connect.receive_eof(), HandshakeError::EndOfStream);
        assert_eq!(connect.next_timeout(), None);
    }
}

#[test]
fn refusals_keep_status_headers_and_body() {
    for (head, body, text, whole) in [
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n",
            "gone",
            "gone",
            true,
        ),
        (
            "HTTP/1.0 403\r\nContent-Length: 4\r\n",
            "no!!\r\n",
            "no!!",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "2\r\nab\r\n2;x\r\ncd\r\n0\r\n\r\n",
            "abcd",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "2\r\nab\r\nx",
            "ab",
            false,
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: ws://y/\r\nContent-Length: 0\r\n",
            "",
            "",
            true,
        ),
        ("HTTP/1.1 204 No Content\r\n", "x", "", true),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n",
            "",
            "",
            true,
        ),
        (
            "HTTP/1.1 400 x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
            "",
            false,
        ),
        (
            "HTTP/1.1 400 x\r\nContent-Length: 4, 5\r\n",
            "abcde",
            "",
            false,
        ),
        (
            "HTTP/1.1 400 x\r\nTransfer-Encoding: gzip\r\n",
            "abcde",
            "",
            false,
        ),
    ] {
        let refusal = refusal(&format!("{head}\r\n{body}"));
        assert_eq!(
            (&refusal.body[..], !refusal.truncated),
            (text.as_bytes(), whole),
            "{head}"
        );
        let code: u16 = head[9..12].parse().unwrap();
        assert_eq!(refusal.status, code);
        assert_eq!(refusal.headers.len(), head.lines().count() - 1);
        let error = HandshakeError::Refused(Box::new(refusal));
        assert_eq!(error.status(), code);
        assert!(error.to_string().contains(&code.to_string()));
    }
}

#[test]
fn refusals_end_with_the_stream() {
    for (bytes, truncated) in [
        ("HTTP/1.1 500 x\r\n\r\n", false),
        ("HTTP/1.1 500 x\r\n\r\nabc", false),
        ("HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nabc", true),
        (
            "HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            true,
        ),
    ] {
        let mut rig = Rig::new();
        let mut connect = rig.connect(request()).unwrap();
        assert_eq!(rig.feed(&mut connect, bytes.as_bytes()).0, Ok(None));
        let HandshakeError::Refused(refusal) = connect.receive_eof() else {
            panic!()
        };
        assert_eq!(refusal.truncated, truncated, "{bytes}");
        assert!(refusal.body.is_empty() || refusal.body == b"abc");
    }
}

#[test]
fn refusal_body_len() {
    let bound = Limits::default().refusal_body_len;
    for (len, truncated) in [(bound, false), (bound + 1, true)] {
        for frame in ["Content-Length", "chunked", "until close"] {
            let body = vec![b'a'; len];
            let (head, body) = match frame {
                "Content-Length" => (format!("Content-Length: {len}\r\n"), body),
                "chunked" => {
                    let chunk =
                        [format!("{len:x}\r\n").as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
                    ("Transfer-Encoding: chunked\r\n".into(), chunk)
                }
                _ => (String::new(), body),
            };
            let bytes = [format!("HTTP/1.1 500 x\r\n{head}\r\n").as_bytes(), &body].concat();
            let mut rig = Rig::new();
            let mut connect = rig.connect(request()).unwrap();
            let error = match rig.feed(&mut connect, &bytes).0 {
                Ok(_) => connect.receive_eof(),
                Err(error) => error,
            };
            let HandshakeError::Refused(refusal) = error else {
                panic!()
            };
            assert_eq!(
                (refusal.body.len(), refusal.truncated),
                (bound, truncated),
                "{frame}"
            );
        }
    }
}

#[test]
fn limits_of_the_head() {
    let Limits {
        request_head_len,
        header_count,
        ..
    } = Limits::default();
    let verdict = |bytes: &str| {
        let mut rig = Rig::new();
        let mut connect = rig.connect(request()).unwrap();
        let whole = rig.feed(&mut connect, bytes.as_bytes()).0;
        let mut rig = Rig::new();
        let mut connect = rig.connect(request()).unwrap();
        let mut drip = Ok(None);
        for byte in bytes.as_bytes().chunks(1) {
            drip = rig.feed(&mut connect, byte).0;
            if drip != Ok(None) {
                break;
            }
        }
        assert_eq!(whole, drip);
        whole
    };
    let malformed = |error| Err(HandshakeError::Malformed(error));
    let long = |len: usize| format!("HTTP/1.1 404 x\r\nA: {}\r\n\r\n", "a".repeat(len - 23));
    assert_eq!(verdict(&long(request_head_len)), Ok(None));
    assert_eq!(
        verdict(&long(request_head_len + 1)),
        malformed(HttpError::HeadTooLong)
    );
    let many = |count: usize| format!("HTTP/1.1 404 x\r\n{}\r\n", "A:\r\n".repeat(count));
    assert_eq!(verdict(&many(header_count)), Ok(None));
    assert_eq!(
        verdict(&many(header_count + 1)),
        malformed(HttpError::TooManyFields)
    );
    // Interim answers share the bytes of one head, so they end.
    let interim = "HTTP/1.1 100 x\r\n\r\n";
    let count = request_head_len / interim.len();
    assert_eq!(verdict(&interim.repeat(count)), Ok(None));
    assert_eq!(
        verdict(&interim.repeat(count + 1)),
        malformed(HttpError::HeadTooLong)
    );
}

#[test]
fn one_deadline_that_bytes_do_not_extend() {
    let mut rig = Rig::new();
    let mut connect = rig.connect(request()).unwrap();
    let start = rig.now;
    assert_eq!(
        connect.next_timeout(),
        Some(start + Duration::from_secs(10))
    );
    for byte in b"HTTP/1.1 " {
        assert_eq!(rig.feed(&mut connect, &[*byte]).0, Ok(None));
        rig.now += Duration::from_secs(1);
    }
    let end = start + Duration::from_secs(10);
    assert_eq!(connect.handle_timeout(end - Duration::from_millis(1)), None);
    assert_eq!(connect.handle_timeout(end), Some(HandshakeError::TimedOut));
    assert_eq!(connect.next_timeout(), None);
    // What was refused stays refused, though its body did not come in time.
    let mut connect = rig.connect(request()).unwrap().with_deadline(end);
    let refusal = b"HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nabc";
    assert_eq!(rig.feed(&mut connect, refusal).0, Ok(None));
    let Some(HandshakeError::Refused(refusal)) = connect.handle_timeout(end) else {
        panic!()
    };
    assert_eq!((&refusal.body[..], refusal.truncated), (&b"abc"[..], true));
}
