//! Answers: their framing, and what a caller may not do.

use http::{HeaderValue, StatusCode, header};
use sockeye_proto::http::{BodyPlan, Misuse, ResponseHead};
use sockeye_proto::ws::Fate;

use crate::rig::{Plan, Rig};

fn asked(head: &str) -> Rig {
    let mut rig = Rig::new(Plan::Never);
    rig.feed(head.as_bytes());
    assert_eq!(rig.seen.len(), 1, "{head}");
    rig
}

fn get() -> Rig {
    asked("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn status(status: u16) -> ResponseHead {
    ResponseHead::new(StatusCode::from_u16(status).unwrap())
}

#[test]
fn framing_by_method_version_status_and_plan() {
    let (get, head) = (
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    let (old, kept) = (
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    );
    let old_head = "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    use BodyPlan::{Known, None, Stream};
    for (request, code, plan, expected, fate) in [
        (get, 200, None, "Content-Length: 0\r\n\r\n", Fate::Keep),
        (
            get,
            200,
            Known(3),
            "Content-Length: 3\r\n\r\nabc",
            Fate::Keep,
        ),
        (
            get,
            200,
            Stream,
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Fate::Keep,
        ),
        (get, 404, None, "Content-Length: 0\r\n\r\n", Fate::Keep),
        (get, 204, None, "\r\n", Fate::Keep),
        (get, 204, Known(3), "\r\n", Fate::Keep),
        (get, 304, Stream, "\r\n", Fate::Keep),
        (head, 200, None, "Content-Length: 0\r\n\r\n", Fate::Keep),
        (head, 404, Known(3), "Content-Length: 3\r\n\r\n", Fate::Keep),
        (head, 200, Stream, "\r\n", Fate::Keep),
        (head, 304, Known(3), "\r\n", Fate::Keep),
        (
            old,
            200,
            Known(3),
            "Content-Length: 3\r\nConnection: close\r\n\r\nabc",
            Fate::HalfClose,
        ),
        (
            old,
            200,
            Stream,
            "Connection: close\r\n\r\nabc",
            Fate::HalfClose,
        ),
        (
            kept,
            200,
            Known(3),
            "Content-Length: 3\r\nConnection: keep-alive\r\n\r\nabc",
            Fate::Keep,
        ),
        (
            kept,
            200,
            Stream,
            "Connection: close\r\n\r\nabc",
            Fate::HalfClose,
        ),
        (
            old_head,
            200,
            Stream,
            "Connection: keep-alive\r\n\r\n",
            Fate::Keep,
        ),
    ] {
        let mut rig = asked(request);
        let name = format!("{request:?} {code} {plan:?}");
        rig.with(|server, cx| {
            server.respond(&status(code), plan, cx).unwrap();
            if plan != None {
                server.send_body(b"", cx).unwrap();
                server.send_body(b"abc", cx).unwrap();
            }
            server.finish(cx).unwrap();
        });
        let outcome = rig.outcome();
        let (line, rest) = outcome.output.split_once("\r\n").unwrap();
        assert!(line.starts_with("HTTP/1.1 "), "{name}");
        assert_eq!((rest, outcome.fate), (expected, fate), "{name}");
    }
}

#[test]
fn head_answers_leave_the_next_request_in_step() {
    let mut rig = Rig::new(Plan::AtOnce);
    rig.feed(
        b"HEAD /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab\
          GET /2 HTTP/1.1\r\nHost: x\r\n\r\n",
    );
    assert_eq!(rig.seen, ["HEAD /1", "GET /2"]);
    assert!(!rig.server.is_head_request());
    assert!(rig.outcome().output.ends_with("\r\n\r\nGET /2"));
}

#[test]
fn large_chunks_have_their_size_in_hexadecimal() {
    let mut rig = get();
    rig.with(|server, cx| {
        server.respond(&status(200), BodyPlan::Stream, cx).unwrap();
        server.send_body(&[b'a'; 0x1f0], cx).unwrap();
    });
    assert!(rig.outcome().output.contains("\r\n\r\n1f0\r\naaa"));
}

#[test]
fn headers_of_the_caller() {
    let value = HeaderValue::from_static;
    let mut rig = get();
    let head = status(426)
        .header(header::UPGRADE, value("websocket"))
        .header(header::CONNECTION, value("Upgrade, close"))
        .header(header::CONNECTION, value("keep-alive, X"))
        .header(header::CONTENT_LENGTH, value("99"))
        .header(header::TRANSFER_ENCODING, value("gzip"))
        .header(header::SET_COOKIE, value("a"))
        .header(header::SET_COOKIE, value("b"));
    rig.with(|server, cx| server.respond(&head, BodyPlan::None, cx).unwrap());
    assert_eq!(
        rig.outcome().output,
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\
         Content-Length: 0\r\nConnection: Upgrade, X, close\r\n\r\n"
    );
    rig.with(|server, cx| server.finish(cx).unwrap());
    assert_eq!(rig.server.fate(), Fate::HalfClose);
}

#[test]
fn interim_answers_come_before_the_final_one() {
    let mut rig = get();
    let hints = status(103).header(header::LINK, HeaderValue::from_static("</a>"));
    rig.with(|server, cx| server.respond(&hints, BodyPlan::None, cx).unwrap());
    assert_eq!(
        rig.outcome().output,
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    );
    assert!(rig.server.can_respond());
    rig.answer(200, b"");
    let mut old = asked("GET / HTTP/1.0\r\n\r\n");
    old.with(|server, cx| server.respond(&hints, BodyPlan::None, cx).unwrap());
    assert!(old.output.is_empty(), "RFC 9110 section 15.2");
}

#[test]
fn misuse_is_told_and_writes_nothing() {
    let mut rig = Rig::new(Plan::Never);
    rig.with(|server, cx| {
        assert_eq!(
            server.respond(&status(200), BodyPlan::None, cx),
            Err(Misuse::NoRequest)
        );
        assert_eq!(server.send_body(b"a", cx), Err(Misuse::NoRequest));
        assert_eq!(server.finish(cx), Err(Misuse::NoRequest));
        server.want_body(1, cx);
    });
    let mut rig = get();
    rig.with(|server, cx| {
        assert_eq!(server.send_body(b"a", cx), Err(Misuse::NoHead));
        assert_eq!(server.finish(cx), Err(Misuse::NoHead));
        let switching = server.respond(&status(101), BodyPlan::None, cx);
        assert_eq!(switching, Err(Misuse::SwitchingProtocols));
        assert!(cx.output.is_empty());
        server
            .respond(&status(200), BodyPlan::Known(3), cx)
            .unwrap();
        let len = cx.output.len();
        let again = server.respond(&status(200), BodyPlan::None, cx);
        assert_eq!(again, Err(Misuse::HeadWritten));
        server.send_body(b"ab", cx).unwrap();
        assert_eq!(server.send_body(b"cd", cx), Err(Misuse::BodyTooLong));
        assert_eq!(cx.output.len(), len + 2);
        assert_eq!(server.finish(cx), Err(Misuse::BodyTooShort));
        assert_eq!(server.fate(), Fate::Close, "the peer must notice");
        assert_eq!(
            server.respond(&status(200), BodyPlan::None, cx),
            Err(Misuse::NoRequest)
        );
    });
}

#[test]
fn an_answer_that_was_given_up_does_not_look_whole() {
    let mut rig = get();
    rig.with(|server, cx| {
        server.respond(&status(200), BodyPlan::Stream, cx).unwrap();
        server.send_body(b"a", cx).unwrap();
        server.abort();
    });
    assert!(rig.outcome().output.ends_with("1\r\na\r\n"));
    assert_eq!(rig.server.fate(), Fate::Close);
}

#[test]
fn a_wanted_body_that_breaks_amid_the_answer_cuts_it() {
    let mut rig = Rig::new(Plan::Echo(100));
    rig.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    rig.with(|server, cx| server.respond(&status(200), BodyPlan::Stream, cx).unwrap());
    rig.feed(b"zz");
    assert_eq!(rig.seen, ["POST /", "part a", "error ChunkSize"]);
    assert!(!rig.server.can_respond());
    assert_eq!(rig.server.fate(), Fate::Close);
    assert!(rig.outcome().output.ends_with("chunked\r\n\r\n"));
}

#[test]
fn an_unwanted_body_that_breaks_amid_the_answer_ends_the_connection_after_it() {
    let mut rig = Rig::new(Plan::Never);
    rig.feed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    rig.with(|server, cx| server.respond(&status(200), BodyPlan::Stream, cx).unwrap());
    rig.feed(b"zz");
    assert_eq!(rig.seen, ["POST /"]);
    rig.with(|server, cx| server.finish(cx).unwrap());
    assert!(rig.outcome().output.ends_with("0\r\n\r\n"));
    assert_eq!(rig.server.fate(), Fate::HalfClose);
}
