//! Deadlines, in virtual time.

use std::time::Duration;

use sockeye_proto::ws::Fate;

use crate::rig::{Plan, Rig};

const MS: Duration = Duration::from_millis(1);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn silence_is_closed_without_a_word() {
    let mut rig = Rig::new(Plan::AtOnce);
    rig.pass(secs(10) - MS);
    assert_eq!(rig.server.fate(), Fate::Keep);
    rig.pass(MS);
    assert_eq!(rig.seen, ["timeout Idle"]);
    assert_eq!((rig.output.len(), rig.server.fate()), (0, Fate::Close));
    assert_eq!(rig.server.next_timeout(), None);
}

#[test]
fn bytes_do_not_extend_the_time_of_the_head() {
    let mut rig = Rig::new(Plan::AtOnce);
    for byte in GET.iter().take(9) {
        rig.feed(&[*byte]).pass(secs(1));
    }
    rig.feed(b"H").pass(secs(1) - MS);
    assert!(rig.seen.is_empty());
    rig.pass(MS);
    assert_eq!(rig.seen, ["timeout Head", "error HeadTimeout"]);
    assert_eq!(rig.outcome().statuses(), [408]);
    assert_eq!(rig.server.fate(), Fate::HalfClose);
    // It does not go away.
    rig.feed(GET).pass(secs(5) - MS);
    assert_eq!(rig.server.fate(), Fate::HalfClose);
    rig.pass(MS);
    assert_eq!(rig.server.fate(), Fate::Close);
    assert_eq!(rig.outcome().statuses(), [408]);
}

#[test]
fn a_head_that_takes_too_long_to_be_head_gets_no_body() {
    let mut rig = Rig::new(Plan::AtOnce);
    rig.feed(b"HEAD / HT").pass(secs(10));
    assert_eq!(rig.outcome().statuses(), [408]);
    assert!(rig.output.ends_with(b"\r\n\r\n"));
}

#[test]
fn keep_alive_time_then_head_time() {
    let mut rig = Rig::new(Plan::AtOnce);
    rig.pass(secs(9)).feed(GET).pass(secs(15) - MS);
    assert_eq!(rig.seen, ["GET /"]);
    // The first byte of the next head starts its time; an empty line is not one.
    rig.feed(b"\r\n")
        .feed(b"G")
        .pass(secs(10) - MS)
        .feed(&GET[1..]);
    assert_eq!(rig.seen, ["GET /"; 2]);
    rig.feed(b"\r\n").pass(secs(15));
    assert_eq!(rig.seen, ["GET /", "GET /", "timeout Idle"]);
    assert_eq!(rig.outcome().statuses(), [200; 2]);
    assert_eq!(rig.server.fate(), Fate::Close);

    let mut rig = Rig::new(Plan::AtOnce);
    rig.feed(GET).feed(b"G").pass(secs(10));
    assert_eq!(rig.seen, ["GET /", "timeout Head", "error HeadTimeout"]);
}

#[test]
fn the_application_has_all_the_time_it_wants() {
    let mut rig = Rig::new(Plan::Never);
    rig.feed(GET);
    assert_eq!(rig.server.next_timeout(), None);
    rig.pass(secs(10_000));
    rig.answer(200, b"");
    assert_eq!(rig.server.next_timeout(), Some(rig.now + secs(15)));
}

#[test]
fn a_wanted_body_must_keep_its_rate() {
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    // 600 bytes a second may take any time.
    let mut rig = Rig::new(Plan::Echo(1_000_000));
    rig.feed(head);
    for _ in 0..100 {
        rig.feed(&[b'a'; 600]).pass(secs(1));
    }
    assert_eq!(rig.seen, ["POST /"]);
    // But no pause of ten seconds.
    rig.pass(secs(9) - MS);
    assert_eq!(rig.seen, ["POST /"]);
    rig.pass(MS);
    assert_eq!(rig.seen.last().unwrap(), "error BodyTimeout");
    assert_eq!(rig.outcome().statuses(), [408]);
    assert_eq!(rig.server.fate(), Fate::HalfClose);
    // 400 bytes a second use the ten seconds up: each second costs 0.2 of them.
    let mut rig = Rig::new(Plan::Echo(1_000_000));
    rig.feed(head);
    for _ in 0..45 {
        rig.feed(&[b'a'; 400]).pass(secs(1));
    }
    assert_eq!(rig.seen, ["POST /"]);
    rig.feed(&[b'a'; 400]).pass(secs(1));
    assert_eq!(rig.seen.last().unwrap(), "error BodyTimeout");
}

#[test]
fn an_unwanted_body_has_its_time() {
    let head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";
    let mut rig = Rig::new(Plan::AtOnce);
    rig.feed(head);
    for _ in 0..4 {
        rig.feed(b"a").pass(secs(1));
    }
    rig.feed(b"a").pass(secs(1) - MS);
    assert_eq!(rig.server.fate(), Fate::Keep);
    rig.pass(MS);
    assert_eq!(rig.server.fate(), Fate::Close);
    // In time, all is well.
    let mut rig = Rig::new(Plan::AtOnce);
    rig.feed(head)
        .pass(secs(5) - MS)
        .feed(b"0123456789")
        .feed(GET);
    assert_eq!(rig.seen, ["POST /", "GET /"]);
    // An answer that is still due is given first.
    let mut rig = Rig::new(Plan::Never);
    rig.feed(head).pass(secs(5));
    assert_eq!(
        (rig.server.fate(), rig.server.next_timeout()),
        (Fate::Keep, None)
    );
    rig.feed(b"0123456789").feed(GET);
    rig.answer(200, b"late");
    assert!(rig.outcome().output.contains("Connection: close\r\n"));
    assert_eq!((rig.server.fate(), rig.seen.len()), (Fate::HalfClose, 1));
}

#[test]
fn an_early_answer_leaves_the_rest_of_a_wanted_body_its_time() {
    let mut rig = Rig::new(Plan::Echo(10));
    rig.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        .pass(secs(9));
    rig.answer(200, b"enough");
    rig.pass(secs(5) - MS).feed(b"defghij").feed(GET);
    assert_eq!(rig.seen, ["POST /", "GET /", "body "]);
}

#[test]
fn deadlines_start_anew_while_output_waits() {
    let mut rig = Rig::new(Plan::AtOnce);
    rig.feed(GET);
    rig.blocked = true;
    rig.pass(secs(15));
    assert_eq!(rig.server.next_timeout(), Some(rig.now + secs(15)));
    rig.feed(GET);
    assert_eq!(rig.seen, ["GET /"], "it waits in the input");
    rig.blocked = false;
    rig.feed(b"");
    assert_eq!(rig.seen, ["GET /"; 2]);
    rig.feed(b"GET / HTTP/9.9\r\n\r\n");
    rig.blocked = true;
    rig.pass(secs(5));
    assert_eq!(rig.server.fate(), Fate::HalfClose);
    rig.blocked = false;
    rig.pass(secs(5));
    assert_eq!(rig.server.fate(), Fate::Close);
}

#[test]
fn an_error_that_nobody_answers_ends_too() {
    let mut rig = Rig::new(Plan::Never);
    let mut bytes = *b"\0";
    let mut input = &mut bytes[..];
    assert!(
        rig.with(|server, cx| server.receive(&mut input, cx))
            .is_err()
    );
    assert!(rig.server.can_respond());
    rig.pass(secs(5));
    assert_eq!(rig.server.fate(), Fate::Close);
}
