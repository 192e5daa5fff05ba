//! Handshakes from before RFC 6455: what a server takes and answers, what a client asks and
//! believes, both together at every cut.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};
use sockeye_proto::drafts::Wire;
use sockeye_proto::handshake::{
    Accept, Answer, Connect, ConnectRequest, HandshakeError, OriginPolicy,
};
use sockeye_proto::http::{Event as Arrived, HttpError, Misuse, Request, Server, Timeout};
use sockeye_proto::ws::{Config, Event, Message, Role, WebSocket};
use sockeye_proto::{Limits, Version};

use crate::rig::{Rig, request};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
/// The example of the draft, whole.
const HIXIE: &str = "GET /demo?x=1 HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Protocol: sample\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
    Origin: http://example.com\r\n\r\n^n:ds[4U";

/// A server machine with drafts on, given these bytes at once: what it reports.
fn serve<'b>(rig: &mut Rig, bytes: &'b mut [u8]) -> Result<Option<Request<'b>>, HttpError> {
    let mut server = server(rig);
    let mut input = bytes;
    match rig.with(|cx| server.receive(&mut input, cx))? {
        Some(Arrived::Request(request)) => Ok(Some(request)),
        _ => Ok(None),
    }
}

fn server(rig: &Rig) -> Server {
    let mut server = Server::new(Arc::new(Config::default()), rig.now);
    server.set_drafts(true);
    server
}

fn judge(
    bytes: &str,
    policy: &OriginPolicy,
    secure: bool,
) -> Result<(Wire, String), HandshakeError> {
    let mut rig = Rig::new();
    let mut bytes = bytes.as_bytes().to_vec();
    let request = serve(&mut rig, &mut bytes).unwrap().expect("a request");
    let accept = rig.with(|cx| Accept::with_drafts(&request, policy, secure, cx.shared))?;
    let chosen = accept.negotiate(["sample"]);
    let extra = HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("s"))]);
    rig.with(|cx| accept.respond(chosen, &extra, cx)).unwrap();
    let output = rig.output.escape_ascii().to_string();
    Ok((accept.wire(), output))
}

fn judge_head(headers: &[&str]) -> Result<(Wire, String), HandshakeError> {
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", headers.concat());
    judge(&head, &OriginPolicy::Same, false)
}

fn error(headers: &[&str]) -> Option<HandshakeError> {
    judge_head(headers).err()
}

#[test]
fn the_answer_of_each_version() {
    let begin = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: ";
    for (version, upgrade) in [
        (5, "WebSocket"),
        (6, "WebSocket"),
        (7, "websocket"),
        (8, "websocket"),
        (13, "websocket"),
    ] {
        let number = format!("Sec-WebSocket-Version: {version}\r\n");
        let (wire, output) = judge_head(&[UPGRADE, KEY, &number]).unwrap();
        assert_eq!(wire.version().number(), version);
        let expected =
            format!("{begin}{upgrade}\r\nConnection: Upgrade\r\n{ACCEPT}Server: s\r\n\r\n");
        assert_eq!(output, expected.escape_default().to_string());
    }
    let (wire, output) = judge_head(&[UPGRADE, KEY, "Sec-WebSocket-Version: 4\r\n"]).unwrap();
    assert_eq!(wire.version(), Version::Hybi04);
    let (front, rest) = output.split_once("Sec-WebSocket-Nonce: ").unwrap();
    let (nonce, rest) = rest.split_once("\\r\\n").unwrap();
    let expected = format!("{begin}WebSocket\r\nConnection: Upgrade\r\n{ACCEPT}");
    assert_eq!(front, expected.escape_default().to_string());
    assert_eq!((nonce.len(), rest), (24, "Server: s\\r\\n\\r\\n"));
}

#[test]
fn the_example_of_hixie_76() {
    for (secure, scheme) in [(false, "ws"), (true, "wss")] {
        let (wire, output) = judge(HIXIE, &OriginPolicy::Same, secure).unwrap();
        assert_eq!(wire.version(), Version::Hixie76);
        let expected = format!(
            "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Origin: http://example.com\r\n\
             Sec-WebSocket-Location: {scheme}://example.com/demo?x=1\r\n\
             Sec-WebSocket-Protocol: sample\r\nServer: s\r\n\r\n8jKS\'y:G*Co,Wxa-"
        );
        assert_eq!(output, expected.as_bytes().escape_ascii().to_string());
    }
}

#[test]
fn keys_that_end_with_blanks_count_them() {
    // An old library may put them there. 10 divided by 2 is 5.
    let head = HIXIE.replace("4 @1  46546xW%0l 1 5", "x1 0 ");
    assert!(judge(&head, &OriginPolicy::Same, false).is_ok());
    let head = HIXIE.replace("4 @1  46546xW%0l 1 5", "x1 1 ");
    let error = judge(&head, &OriginPolicy::Same, false).unwrap_err();
    assert_eq!(error, HandshakeError::Challenge);
}

#[test]
fn a_challenge_that_comes_in_pieces() {
    let bytes = [HIXIE.as_bytes(), b"\x00behind\xff"].concat();
    for cut in 0..bytes.len() {
        let mut rig = Rig::new();
        let mut server = server(&rig);
        let mut bytes = bytes.clone();
        let (mut front, mut rest) = bytes.split_at_mut(cut);
        let mut requests = Vec::new();
        for input in [&mut front, &mut rest] {
            if requests.is_empty()
                && let Some(Arrived::Request(request)) =
                    rig.with(|cx| server.receive(input, cx)).unwrap()
            {
                requests.push(request.challenge().copied());
            }
        }
        assert_eq!(requests, [Some(*b"^n:ds[4U")], "cut at {cut}");
        let left = [&*front, &*rest].concat();
        assert_eq!(left, b"\x00behind\xff", "cut at {cut}");
    }
}

#[test]
fn a_challenge_that_does_not_come() {
    let len = HIXIE.len();
    for missing in 1..=8 {
        let mut rig = Rig::new();
        let mut bytes = HIXIE.as_bytes()[..len - missing].to_vec();
        let mut server = server(&rig);
        let mut input = &mut bytes[..];
        let event = rig.with(|cx| server.receive(&mut input, cx));
        assert!(matches!(event, Ok(None)), "{missing}");
        // The deadline of the head is that of its challenge.
        let limit = rig.limits.handshake_timeout;
        assert_eq!(server.next_timeout(), Some(rig.now + limit));
        rig.now += limit;
        let timeout = rig.with(|cx| server.handle_timeout(cx));
        assert_eq!(timeout, Some(Timeout::Head));
        assert!(server.can_respond());
    }
    let mut rig = Rig::new();
    let mut server = server(&rig);
    let mut bytes = HIXIE.as_bytes()[..len - 1].to_vec();
    let mut input = &mut bytes[..];
    rig.with(|cx| server.receive(&mut input, cx)).unwrap();
    rig.now += Duration::from_secs(1);
    let end = rig.with(|cx| server.receive_eof(cx));
    assert_eq!(end, Err(HttpError::EndOfStream));
}

#[test]
fn a_server_that_was_not_told_looks_for_no_challenge() {
    let rig = &mut Rig::new();
    let mut server = Server::new(Arc::new(Config::default()), rig.now);
    let mut bytes = HIXIE.as_bytes().to_vec();
    let mut input = &mut bytes[..];
    let event = rig.with(|cx| server.receive(&mut input, cx)).unwrap();
    let Some(Arrived::Request(request)) = event else {
        panic!("{event:?}");
    };
    assert_eq!(request.challenge(), None);
    assert_eq!(request.websocket_version(), Some(Version::Hixie76));
    let refused = Accept::new(&request, &OriginPolicy::Same).unwrap_err();
    assert_eq!(refused, HandshakeError::Version);
    assert_eq!(refused.status(), 426);
    assert_eq!(input, b"^n:ds[4U");
}

#[test]
fn versions_that_nobody_speaks_are_refused_with_those_that_are_spoken() {
    for version in ["", "0", "1", "3", "9", "12", "14", "013", "4, 5", "x"] {
        let number = format!("Sec-WebSocket-Version: {version}\r\n");
        let refused = error(&[UPGRADE, KEY, &number]).unwrap();
        assert_eq!(refused, HandshakeError::UnknownVersion, "{version:?}");
    }
    let twice = "Sec-WebSocket-Version: 5\r\nSec-WebSocket-Version: 5\r\n";
    for headers in [&[UPGRADE, KEY, twice][..], &[UPGRADE, KEY]] {
        assert_eq!(error(headers), Some(HandshakeError::UnknownVersion));
    }
    let response = HandshakeError::UnknownVersion.response();
    assert_eq!(response.status, 426);
    let headers = &response.headers;
    assert_eq!(headers["sec-websocket-version"], "13, 8, 7, 6, 5, 4");
    assert_eq!(headers["upgrade"], "websocket");
    // As it is without drafts.
    for (version, refused) in [
        ("4", HandshakeError::Version),
        ("8", HandshakeError::Version),
    ] {
        let head = format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}Sec-WebSocket-Version: {version}\r\n\r\n"
        );
        let mut bytes = head.into_bytes();
        let mut rig = Rig::new();
        let request = serve(&mut rig, &mut bytes).unwrap().unwrap();
        let result = Accept::new(&request, &OriginPolicy::Same);
        assert_eq!(result.unwrap_err(), refused);
    }
}

#[test]
fn what_else_is_refused() {
    let five = "Sec-WebSocket-Version: 5\r\n";
    let key = Some(HandshakeError::Key);
    assert_eq!(error(&[UPGRADE, five]), key);
    assert_eq!(error(&[UPGRADE, KEY, KEY, five]), key);
    assert_eq!(error(&[UPGRADE, "Sec-WebSocket-Key: short\r\n", five]), key);
    assert_eq!(error(&[KEY, five]), Some(HandshakeError::NotUpgrade));
    let same = OriginPolicy::Same;
    for (from, to, expected) in [
        (
            "12998 5 Y3 1  .P00",
            "129985Y31.P00",
            HandshakeError::Challenge,
        ),
        (
            "4 @1  46546xW%0l 1 5",
            "4 @1  46546xW%0l 1 6",
            HandshakeError::Challenge,
        ),
        ("Sec-WebSocket-Key2", "X-Key2", HandshakeError::Challenge),
        (
            "Sec-WebSocket-Key2: 1",
            "Sec-WebSocket-Key2: 4 2\r\nSec-WebSocket-Key2: 1",
            HandshakeError::Challenge,
        ),
        (
            "Origin: http://example.com",
            "X: y",
            HandshakeError::OriginMissing,
        ),
        (
            "Origin: http://example.com",
            "Origin: http://evil",
            HandshakeError::Origin,
        ),
    ] {
        let head = HIXIE.replace(from, to);
        assert_ne!(head, HIXIE);
        assert_eq!(judge(&head, &same, false).unwrap_err(), expected, "{to}");
        assert!(expected.to_string().len() > 20);
    }
}

#[test]
fn the_origin_is_judged_where_the_version_has_it() {
    let list = OriginPolicy::List(vec!["http://good".into()]);
    for version in [4, 5, 6, 7, 8, 13] {
        let of = |lines: &str, policy: &OriginPolicy| {
            let head = format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}{KEY}\
                 Sec-WebSocket-Version: {version}\r\n{lines}\r\n"
            );
            judge(&head, policy, false).err()
        };
        let forbidden = Some(HandshakeError::Origin);
        let old = version < 13;
        assert_eq!(of("", &list), None);
        assert_eq!(of("Origin: http://evil\r\n", &list), forbidden);
        let other = of("Sec-WebSocket-Origin: http://evil\r\n", &list);
        assert_eq!(other, forbidden.clone().filter(|_| old));
        let other = of("Sec-WebSocket-Origin: http://y\r\n", &OriginPolicy::Same);
        assert_eq!(other, forbidden.clone().filter(|_| old));
        assert_eq!(of("Sec-WebSocket-Origin: http://good\r\n", &list), None);
        assert_eq!(
            of("Sec-WebSocket-Origin: http://x\r\n", &OriginPolicy::Same),
            None
        );
        assert_eq!(
            of(
                "Sec-WebSocket-Origin: http://evil\r\nOrigin: http://evil\r\n",
                &OriginPolicy::Any
            ),
            None
        );
        let twice = "Sec-WebSocket-Origin: http://good\r\nSec-WebSocket-Origin: http://good\r\n";
        assert_eq!(of(twice, &list), forbidden.filter(|_| old));
    }
}

#[test]
fn headers_of_the_handshake_are_not_the_callers() {
    for name in [
        "sec-websocket-nonce",
        "sec-websocket-origin",
        "sec-websocket-location",
        "sec-websocket-key1",
    ] {
        let name = header::HeaderName::from_static(name);
        let extra = HeaderMap::from_iter([(name, HeaderValue::from_static("x"))]);
        let mut rig = Rig::new();
        let mut bytes = HIXIE.as_bytes().to_vec();
        let request = serve(&mut rig, &mut bytes).unwrap().unwrap();
        let policy = OriginPolicy::Any;
        let accept = rig
            .with(|cx| Accept::with_drafts(&request, &policy, false, cx.shared))
            .unwrap();
        let result = rig.with(|cx| accept.respond(None, &extra, cx));
        assert_eq!(result, Err(Misuse::ReservedHeader));
        assert!(rig.output.is_empty());
        let asked = ConnectRequest {
            headers: extra,
            ..self::request()
        };
        assert_eq!(rig.connect(asked).unwrap_err(), Misuse::ReservedHeader);
    }
}

#[test]
fn the_request_of_each_version() {
    for version in [4, 5, 6, 7, 8] {
        let mut rig = Rig::new();
        let asked = ConnectRequest {
            host: "a.test:81".into(),
            target: "/chat?x".into(),
            origin: Some("http://a".into()),
            subprotocols: vec!["b".into(), "a".into()],
            version: Version::from_number(version).unwrap(),
            ..ConnectRequest::default()
        };
        rig.connect(asked).unwrap();
        let output = String::from_utf8(rig.output).unwrap();
        let (front, rest) = output.split_once("Sec-WebSocket-Key: ").unwrap();
        let (key, rest) = rest.split_once("\r\n").unwrap();
        assert_eq!(
            front,
            "GET /chat?x HTTP/1.1\r\nHost: a.test:81\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\n"
        );
        assert_eq!(key.len(), 24);
        let expected = format!(
            "Sec-WebSocket-Origin: http://a\r\nSec-WebSocket-Protocol: b, a\r\n\
             Sec-WebSocket-Version: {version}\r\n\r\n"
        );
        assert_eq!(rest, expected);
    }
    let mut rig = Rig::new();
    let hixie = ConnectRequest {
        version: Version::Hixie76,
        ..request()
    };
    rig.connect(hixie).unwrap();
    let output = String::from_utf8_lossy(&rig.output).into_owned();
    let (front, rest) = output.split_once("Sec-WebSocket-Key1: ").unwrap();
    // This version knows no client without an origin.
    assert_eq!(
        front,
        "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: x\r\n\
         Origin: http://x\r\n"
    );
    assert!(rest.contains("\r\nSec-WebSocket-Key2: "), "{rest}");
    let head = rig.output.windows(4).position(|end| end == b"\r\n\r\n");
    assert_eq!(rig.output.len() - head.unwrap(), 4 + 8);
}

/// A client of a version that got this answer, to its own request.
fn answered(version: Version, answer: impl Fn(&Accepting) -> Vec<u8>) -> Option<HandshakeError> {
    let mut rig = Rig::new();
    let asked = ConnectRequest {
        version,
        subprotocols: vec!["a".into()],
        ..request()
    };
    let mut connect = rig.connect(asked).unwrap();
    let accepting = accept(&std::mem::take(&mut rig.output), "a");
    let bytes = answer(&accepting);
    let (result, _) = rig.feed(&mut connect, &bytes);
    match result {
        Ok(Some(_)) => None,
        Ok(None) => Some(connect.receive_eof()),
        Err(error) => Some(error),
    }
}

/// What a server makes of a request.
struct Accepting {
    output: Vec<u8>,
    wire: Wire,
}

impl Accepting {
    fn with(&self, from: &str, to: &str) -> Vec<u8> {
        let end = self.output.windows(4).position(|end| end == b"\r\n\r\n");
        let (head, behind) = self.output.split_at(end.unwrap() + 4);
        let head = String::from_utf8(head.to_vec()).unwrap();
        assert!(head.contains(from), "{head}");
        [head.replace(from, to).as_bytes(), behind].concat()
    }
}

fn accept(request: &[u8], subprotocol: &str) -> Accepting {
    let mut rig = Rig::new();
    let mut bytes = request.to_vec();
    let request = serve(&mut rig, &mut bytes).unwrap().expect("a request");
    let policy = OriginPolicy::Same;
    let accept = rig
        .with(|cx| Accept::with_drafts(&request, &policy, false, cx.shared))
        .unwrap();
    let chosen = accept.negotiate([subprotocol]);
    rig.with(|cx| accept.respond(chosen, &HeaderMap::new(), cx))
        .unwrap();
    let wire = accept.wire();
    Accepting {
        output: rig.output,
        wire,
    }
}

#[test]
fn what_a_client_believes() {
    for version in Version::ALL {
        let case = |answer: &dyn Fn(&Accepting) -> Vec<u8>| answered(version, answer);
        assert_eq!(case(&|it| it.output.clone()), None, "{version}");
        // Any reason will do, and lists.
        assert_eq!(
            case(&|it| it.with("HTTP/1.1 101 ", "HTTP/1.1 101 Yes ")),
            None
        );
        assert_eq!(
            case(&|it| it.with("Connection: Upgrade", "Connection: x, upgrade")),
            None
        );
        assert_eq!(
            case(&|it| it.with("Connection: Upgrade\r\n", "")),
            Some(HandshakeError::AnswerConnection)
        );
        assert_eq!(
            case(&|it| it.with("Upgrade: ", "X: ")),
            Some(HandshakeError::AnswerUpgrade)
        );
        assert_eq!(
            case(&|it| it.with("Protocol: a", "Protocol: c")),
            Some(HandshakeError::AnswerSubprotocol)
        );
        let extension = "Sec-WebSocket-Extensions: permessage-deflate\r\nConnection: Upgrade";
        assert_eq!(
            case(&|it| it.with("Connection: Upgrade", extension)),
            Some(HandshakeError::AnswerExtension)
        );
        if version == Version::Hixie76 {
            let wrong = Some(HandshakeError::ChallengeWrong);
            let flipped = |it: &Accepting| {
                let mut output = it.output.clone();
                *output.last_mut().unwrap() ^= 1;
                output
            };
            assert_eq!(case(&flipped), wrong);
            let short = |it: &Accepting| it.output[..it.output.len() - 1].to_vec();
            assert_eq!(case(&short), Some(HandshakeError::EndOfStream));
        } else {
            let missing = case(&|it| it.with("Sec-WebSocket-Accept", "X"));
            assert_eq!(missing, Some(HandshakeError::AcceptMissing));
            let wrong = case(&|it| it.with("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"));
            assert_eq!(wrong, Some(HandshakeError::AcceptWrong));
        }
        if version == Version::Hybi04 {
            let none = Some(HandshakeError::NonceMissing);
            assert_eq!(case(&|it| it.with("Sec-WebSocket-Nonce", "X")), none);
            let twice = "Sec-WebSocket-Nonce: x\r\nSec-WebSocket-Nonce";
            assert_eq!(case(&|it| it.with("Sec-WebSocket-Nonce", twice)), none);
        }
    }
}

/// Both sides at these cuts, and a message each way, glued to the handshake.
fn converse(version: Version, request_cut: usize, answer_cut: usize) -> Answer {
    let mut client = Rig::new();
    let asked = ConnectRequest {
        version,
        origin: Some("http://x".into()),
        subprotocols: vec!["a".into(), "b".into()],
        ..request()
    };
    let mut connect = client.connect(asked).unwrap();
    let asked = std::mem::take(&mut client.output);

    let mut rig = Rig::new();
    let mut machine = server(&rig);
    let mut bytes = [&asked[..], b"behind"].concat();
    let (mut front, mut rest) = bytes.split_at_mut(request_cut % (asked.len() + 1));
    let mut wire = None;
    let mut left = Vec::new();
    for input in [&mut front, &mut rest] {
        if wire.is_none()
            && let Some(Arrived::Request(request)) =
                rig.with(|cx| machine.receive(input, cx)).unwrap()
        {
            assert_eq!(request.websocket_version(), Some(version));
            let policy = OriginPolicy::Same;
            let accept = rig
                .with(|cx| Accept::with_drafts(&request, &policy, false, cx.shared))
                .unwrap();
            let chosen = accept.negotiate(["b"]);
            rig.with(|cx| accept.respond(chosen, &HeaderMap::new(), cx))
                .unwrap();
            wire = Some(accept.wire());
        }
        left.extend_from_slice(input);
    }
    assert_eq!(left, b"behind");
    let config = Arc::new(Config::default());
    let mut server =
        WebSocket::with_wire(Role::Server, Arc::clone(&config), wire.unwrap(), rig.now);
    rig.with(|cx| server.send(Message::Text("welcome"), cx))
        .unwrap();
    let cut = answer_cut % rig.output.len();
    let (front, rest) = rig.output.split_at(cut);
    let (answer, left) = feed(&mut client, &mut connect, front, rest);
    let now = client.now;
    let mut socket = WebSocket::with_wire(Role::Client, config, answer.wire, now);
    assert_eq!(hear(&mut client, &mut socket, left), ["welcome"]);
    for text in ["Hello", "", "longer than twenty bytes, and over"] {
        client
            .with(|cx| socket.send(Message::Text(text), cx))
            .unwrap();
    }
    let said = std::mem::take(&mut client.output);
    assert_eq!(
        hear(&mut rig, &mut server, said),
        ["Hello", "", "longer than twenty bytes, and over"]
    );
    answer
}

fn feed(client: &mut Rig, connect: &mut Connect, front: &[u8], rest: &[u8]) -> (Answer, Vec<u8>) {
    let (answer, left) = client.feed(connect, front);
    if let Some(answer) = answer.unwrap() {
        return (answer, [&left, rest].concat());
    }
    assert!(left.is_empty());
    let (answer, left) = client.feed(connect, rest);
    (answer.unwrap().expect("an answer"), left)
}

fn hear(rig: &mut Rig, socket: &mut WebSocket, mut bytes: Vec<u8>) -> Vec<String> {
    let mut input = &mut bytes[..];
    let mut heard = Vec::new();
    while let Some(event) = rig.with(|cx| socket.receive(&mut input, cx)).unwrap() {
        match event {
            Event::Text(text) => heard.push(text.into_string()),
            other => panic!("{other:?}"),
        }
    }
    heard
}

#[test]
fn both_sides_at_every_cut() {
    for version in Version::ALL {
        for cut in 0..400 {
            let answer = converse(version, cut, cut);
            assert_eq!(answer.subprotocol.as_deref(), Some("b"));
            assert_eq!(answer.wire.version(), version);
        }
    }
}

#[test]
fn both_sides_have_the_same_key() {
    let mut rig = Rig::new();
    let asked = ConnectRequest {
        version: Version::Hybi04,
        ..request()
    };
    let mut connect = rig.connect(asked).unwrap();
    let accepting = accept(&std::mem::take(&mut rig.output), "");
    let (answer, _) = rig.feed(&mut connect, &accepting.output);
    assert_eq!(answer.unwrap().unwrap().wire, accepting.wire);
    assert!(!format!("{:?}", accepting.wire).contains('['));
}

#[test]
fn heads_are_bounded_with_a_challenge_as_without() {
    let limits = Limits {
        request_head_len: HIXIE.len() - 9,
        request_target_len: 100,
        ..Limits::default()
    };
    let mut rig = Rig::new();
    let config = Config {
        limits,
        ..Config::default()
    };
    let mut server = Server::new(Arc::new(config), rig.now);
    server.set_drafts(true);
    let mut bytes = HIXIE.as_bytes().to_vec();
    let mut input = &mut bytes[..];
    let result = rig.with(|cx| server.receive(&mut input, cx).map(drop));
    assert_eq!(result, Err(HttpError::HeadTooLong));
}
