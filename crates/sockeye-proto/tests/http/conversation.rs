//! Whole conversations, each at every cut.

use sockeye_proto::ws::Fate;

use crate::rig::{Plan, Rig, every_cut};

const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn one_request_and_its_answer() {
    let outcome = every_cut(Plan::AtOnce, "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(outcome.seen(), ["GET /a?b"]);
    assert_eq!(
        outcome.output,
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nGET /a"
    );
    assert_eq!(outcome.fate, Fate::Keep);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let bytes = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc\
        POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\ndef\r\n1;ext=\"a;b\"\r\ng\r\n0\r\nTrailer: t\r\n\r\n\
        HEAD /4 HTTP/1.1\r\nHost: x\r\n\r\n\
        GET /5 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n\
        GET /6 HTTP/1.1\r\nHost: x\r\n\r\n";
    let requests = ["GET /1", "POST /2", "POST /3", "HEAD /4", "GET /5"];
    let outcome = every_cut(Plan::AtOnce, bytes);
    assert_eq!(outcome.seen(), requests);
    assert_eq!(outcome.statuses(), [200; 5]);
    assert_eq!(outcome.fate, Fate::HalfClose);
    assert!(outcome.output.ends_with(
        "POST /3HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nGET /5"
    ));
    let echoed = every_cut(Plan::Echo(4), bytes);
    assert_eq!(
        echoed.seen(),
        [
            "GET /1",
            "body ",
            "POST /2",
            "body abc",
            "POST /3",
            "body defg",
            "HEAD /4",
            "body ",
            "GET /5",
            "body "
        ]
    );
}

#[test]
fn next_request_waits_for_the_answer() {
    let mut rig = Rig::new(Plan::Never);
    rig.feed(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGE");
    assert_eq!(rig.seen, ["GET /1"]);
    assert!(rig.held.starts_with(b"GET /2"), "left where it was");
    rig.answer(200, b"one");
    assert_eq!(rig.seen, ["GET /1"], "nothing is run within an answer");
    rig.feed(b"");
    assert_eq!(rig.seen, ["GET /1", "GET /2"]);
    assert_eq!(rig.held, b"GE");
}

#[test]
fn next_request_waits_while_output_is_over_the_mark() {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut rig = Rig::new(Plan::AtOnce);
    rig.blocked = true;
    rig.feed(request);
    assert!(rig.seen.is_empty());
    assert_eq!(rig.held, request);
    rig.blocked = false;
    rig.output = vec![0; 1024 * 1024];
    rig.feed(b"");
    assert!(rig.seen.is_empty());
    rig.output.pop();
    rig.feed(b"");
    assert_eq!(rig.seen, ["GET /"]);
}

#[test]
fn upgrade_leaves_http_with_every_byte_behind_the_head() {
    let head = format!(
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
         {KEY}Origin: http://x\r\n\r\n"
    );
    let frames = b"\x81\x82\0\0\0\0hiGET / HTTP/1.1\r\n\r\n";
    let outcome = every_cut(Plan::AtOnce, [head.as_bytes(), frames].concat());
    assert_eq!(outcome.seen(), ["GET /chat"]);
    assert_eq!(
        outcome.output,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert_eq!(outcome.frames.as_deref(), Some(&frames[..]));
}

#[test]
fn upgrade_behind_other_requests() {
    let bytes = format!(
        "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\
         GET /2 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}\r\nframe"
    );
    let outcome = every_cut(Plan::AtOnce, bytes);
    assert_eq!(outcome.seen(), ["POST /1", "GET /2"]);
    assert_eq!(outcome.statuses(), [200, 101]);
    assert_eq!(outcome.frames.as_deref(), Some(&b"frame"[..]));
}

#[test]
fn refused_upgrade_ends_the_connection_so_that_frames_are_not_run() {
    let bytes = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}\
         Origin: http://evil\r\n\r\nGET /frame HTTP/1.1\r\nHost: x\r\n\r\n"
    );
    let outcome = every_cut(Plan::AtOnce, bytes);
    assert_eq!(outcome.seen(), ["GET /", "refused Origin"]);
    assert_eq!(outcome.statuses(), [403]);
    assert!(outcome.output.contains("\r\nConnection: close\r\n"));
    assert_eq!(outcome.fate, Fate::HalfClose);
}

#[test]
fn body_on_an_upgrade_is_refused() {
    for body in [
        "Content-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ] {
        let bytes = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}{body}"
        );
        let outcome = every_cut(Plan::AtOnce, bytes);
        assert_eq!(outcome.seen(), ["error UpgradeBody"]);
        assert_eq!(outcome.statuses(), [400]);
        assert_eq!(outcome.fate, Fate::HalfClose);
    }
    let empty = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{KEY}\
         Content-Length: 0\r\n\r\n"
    );
    assert_eq!(every_cut(Plan::AtOnce, empty).statuses(), [101]);
}

#[test]
fn upgrade_counts_only_as_a_whole() {
    for (head, upgrade) in [
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
            true,
        ),
        (
            "GET / HTTP/1.1\r\nUpgrade: h2c\r\nUPGRADE: a, WEBSOCKET\r\nConnection: x ,upgrade\r\n",
            true,
        ),
        (
            "GET / HTTP/1.2\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
            true,
        ),
        (
            "GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
            false,
        ),
        (
            "POST / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocketx\r\nConnection: upgrade\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket/13\r\nConnection: upgrade\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: noupgrade\r\n",
            false,
        ),
        (
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade x\r\n",
            false,
        ),
        ("GET / HTTP/1.1\r\nUpgrade: websocket\r\n", false),
        ("GET / HTTP/1.1\r\nConnection: upgrade\r\n", false),
    ] {
        let outcome = every_cut(Plan::AtOnce, format!("{head}{KEY}Host: x\r\n\r\n"));
        let status = if upgrade { 101 } else { 200 };
        assert_eq!(outcome.statuses(), [status], "{head}");
    }
}

#[test]
fn continue_is_sent_when_the_body_is_wanted() {
    let head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
    let mut rig = Rig::new(Plan::Echo(3));
    rig.feed(head.as_bytes());
    assert_eq!(rig.outcome().output, "HTTP/1.1 100 Continue\r\n\r\n");
    rig.feed(b"abc");
    assert_eq!(rig.outcome().statuses(), [100, 200]);
    assert_eq!(rig.outcome().fate, Fate::Keep);
    every_cut(
        Plan::Echo(3),
        format!("{head}abcGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    );
}

#[test]
fn continue_is_not_sent_otherwise() {
    let expect = "Host: x\r\nExpect: 100-continue\r\n";
    // Too long: the client is told at once, before it sends anything.
    let long = format!("POST / HTTP/1.1\r\n{expect}Content-Length: 4\r\n\r\n");
    let outcome = every_cut(Plan::Echo(3), long);
    assert_eq!(outcome.seen(), ["POST /", "error BodyTooLong"]);
    assert_eq!(outcome.statuses(), [413]);
    // Unwanted: nobody knows whether the client will send it after this answer.
    let unwanted = format!("POST / HTTP/1.1\r\n{expect}Content-Length: 4\r\n\r\n");
    let outcome = every_cut(Plan::AtOnce, unwanted);
    assert_eq!(outcome.statuses(), [200]);
    assert!(outcome.output.contains("Connection: close\r\n"));
    assert_eq!(outcome.fate, Fate::HalfClose);
    // No body at all, and HTTP/1.0, which has no expectations.
    let none = format!("POST / HTTP/1.1\r\n{expect}\r\n");
    assert_eq!(every_cut(Plan::Echo(9), none).statuses(), [200]);
    let old = format!("POST / HTTP/1.0\r\n{expect}Content-Length: 1\r\n\r\na");
    assert_eq!(every_cut(Plan::Echo(9), old).statuses(), [200]);
    let unknown = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue, more\r\n\r\n";
    assert_eq!(every_cut(Plan::Echo(9), unknown).statuses(), [417]);
}

#[test]
fn persistence_follows_version_and_connection() {
    for (line, connection, written, fate) in [
        ("HTTP/1.1", "", None, Fate::Keep),
        ("HTTP/1.1", "Connection: keep-alive\r\n", None, Fate::Keep),
        ("HTTP/1.1", "Connection: closed\r\n", None, Fate::Keep),
        (
            "HTTP/1.1",
            "Connection: a,CLOSE\r\n",
            Some("close"),
            Fate::HalfClose,
        ),
        (
            "HTTP/1.1",
            "Connection: a\r\nConnection: close\r\n",
            Some("close"),
            Fate::HalfClose,
        ),
        ("HTTP/1.0", "", Some("close"), Fate::HalfClose),
        (
            "HTTP/1.0",
            "Connection: Keep-Alive\r\n",
            Some("keep-alive"),
            Fate::Keep,
        ),
        (
            "HTTP/1.0",
            "Connection: keep-alive, close\r\n",
            Some("close"),
            Fate::HalfClose,
        ),
    ] {
        let outcome = every_cut(
            Plan::AtOnce,
            format!("GET / {line}\r\nHost: x\r\n{connection}\r\n"),
        );
        let found = outcome
            .output
            .lines()
            .find_map(|line| line.strip_prefix("Connection: "));
        assert_eq!(
            (found, outcome.fate),
            (written, fate),
            "{line} {connection}"
        );
    }
}

#[test]
fn end_of_stream_at_every_byte_ends_the_connection() {
    let bytes = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n\
        POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    for plan in [Plan::AtOnce, Plan::Echo(9)] {
        for cut in 0..=bytes.len() {
            let mut rig = Rig::new(plan);
            rig.feed(&bytes[..cut]).eof();
            let outcome = rig.outcome();
            assert_eq!(outcome.fate, Fate::Close, "{cut}");
            let between = cut == 0 || cut == 28 || cut == bytes.len();
            let cut_off = outcome
                .seen
                .last()
                .is_some_and(|last| last == "error EndOfStream");
            let in_body = cut >= bytes.len() - 3;
            if plan == Plan::AtOnce && in_body {
                assert!(!cut_off, "{cut}: nobody misses an unwanted body");
            } else {
                assert_eq!(cut_off, !between, "{cut}");
            }
            assert!(!cut_off || outcome.statuses().last() == Some(&400));
        }
    }
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let mut rig = Rig::new(Plan::Never);
    rig.feed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").eof();
    assert_eq!(rig.server.fate(), Fate::Keep);
    assert_eq!(rig.server.next_timeout(), None);
    rig.answer(200, b"late");
    assert!(
        rig.outcome()
            .output
            .ends_with("Connection: close\r\n\r\nlate")
    );
    assert_eq!(rig.server.fate(), Fate::Close);
}

#[test]
fn draining_ends_after_the_answer_or_at_once() {
    let mut rig = Rig::new(Plan::Never);
    rig.server.drain();
    assert_eq!(rig.server.fate(), Fate::Close, "nothing was asked");
    let mut rig = Rig::new(Plan::Never);
    rig.feed(b"GET / HT");
    rig.server.drain();
    assert_eq!(rig.server.fate(), Fate::Keep);
    rig.feed(b"TP/1.1\r\nHost: x\r\n\r\n");
    rig.answer(200, b"");
    assert!(rig.outcome().output.contains("Connection: close\r\n"));
    assert_eq!(rig.server.fate(), Fate::HalfClose);
    rig.eof();
    assert_eq!(rig.server.fate(), Fate::Close);
}

#[test]
fn a_request_that_was_cut_owns_its_bytes_and_one_that_was_not_borrows() {
    use sockeye_proto::http::{Event, Request};
    let bytes = *b"GET /a?b HTTP/1.1\r\nHost: x\r\nA: 1\r\na: 2\r\nE:\r\n\r\nrest";
    let check = |request: &Request<'_>| {
        assert_eq!(request.target(), "/a?b");
        assert_eq!((request.path(), request.query()), ("/a", Some("b")));
        assert_eq!(request.host(), "x");
        assert_eq!(request.header_str("A"), Some("1"));
        assert_eq!(request.values("a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(request.header("e"), Some(&b""[..]));
        assert_eq!(request.headers().count(), 4);
    };
    let mut rig = Rig::new(Plan::Never);
    let mut buffer = bytes;
    let place = buffer.as_ptr_range();
    let mut input = &mut buffer[..];
    let event = rig
        .with(|server, cx| server.receive(&mut input, cx))
        .unwrap();
    assert_eq!(input, b"rest");
    let Some(Event::Request(request)) = event else {
        panic!()
    };
    check(&request);
    assert!(
        place.contains(&request.target().as_ptr()),
        "parsed in place"
    );

    let mut rig = Rig::new(Plan::Never);
    let mut buffer = bytes;
    let (front, mut rest) = buffer.split_at_mut(9);
    let mut front = front;
    assert!(
        rig.with(|server, cx| server.receive(&mut front, cx))
            .unwrap()
            .is_none()
    );
    assert!(front.is_empty());
    let event = rig
        .with(|server, cx| server.receive(&mut rest, cx))
        .unwrap();
    assert_eq!(rest, b"rest");
    let Some(Event::Request(request)) = event else {
        panic!()
    };
    check(&request);
    check(&request.into_owned());
}
