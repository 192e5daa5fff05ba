//! Each limit at its bound, and one past it; and that a slow drip costs no more than a flood.

use sockeye_proto::Limits;
use sockeye_proto::ws::Fate;

use crate::rig::{Outcome, Plan, Rig};

/// The outcome in one piece, and byte by byte.
fn both(plan: Plan, bytes: &[u8]) -> Outcome {
    let mut whole = Rig::new(plan);
    whole.feed(bytes);
    let mut drip = Rig::new(plan);
    for byte in bytes.chunks(1) {
        drip.feed(byte);
    }
    assert_eq!(whole.outcome(), drip.outcome());
    whole.outcome()
}

fn head_of(len: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: x\r\nA: ".to_vec();
    head.resize(len - 4, b'a');
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// The scanner charges each byte it looks at to this limit. So that a head of exactly this length
/// passes byte by byte shows that no byte is looked at twice: drip-feeding costs linear time.
#[test]
fn head_len() {
    let bound = Limits::default().request_head_len;
    let outcome = both(Plan::AtOnce, &head_of(bound));
    assert_eq!(outcome.statuses(), [200]);
    let outcome = both(Plan::AtOnce, &head_of(bound + 1));
    assert_eq!(outcome.seen(), ["error HeadTooLong"]);
    assert_eq!(outcome.statuses(), [431]);
    assert_eq!(outcome.fate, Fate::HalfClose);
    // Before the blank line is there.
    let mut endless = head_of(bound + 1);
    endless.truncate(bound);
    assert_eq!(both(Plan::AtOnce, &endless).statuses(), [0_u16; 0]);
    endless.push(b'a');
    assert_eq!(both(Plan::AtOnce, &endless).statuses(), [431]);
}

#[test]
fn target_len() {
    let bound = Limits::default().request_target_len;
    let line = |len: usize| format!("GET /{}", "a".repeat(len - 1)).into_bytes();
    let mut whole = line(bound);
    whole.extend_from_slice(b" HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(both(Plan::AtOnce, &whole).statuses(), [200]);
    assert_eq!(both(Plan::AtOnce, &line(bound)).statuses(), [0_u16; 0]);
    // At once: neither the end of the line nor the head is waited for.
    let outcome = both(Plan::AtOnce, &line(bound + 1));
    assert_eq!(outcome.seen(), ["error TargetTooLong"]);
    assert_eq!(outcome.statuses(), [414]);
    assert_eq!(outcome.fate, Fate::HalfClose);
}

#[test]
fn header_count() {
    let bound = Limits::default().header_count;
    let lines = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: x\r\n{}",
            "A:\r\n".repeat(count - 1)
        )
    };
    let whole = format!("{}\r\n", lines(bound));
    assert_eq!(both(Plan::AtOnce, whole.as_bytes()).statuses(), [200]);
    let outcome = both(Plan::AtOnce, format!("{}A", lines(bound)).as_bytes());
    assert_eq!(outcome.seen(), ["error TooManyFields"]);
    assert_eq!(outcome.statuses(), [431]);
}

#[test]
fn limits_that_are_set_are_kept() {
    let limits = Limits {
        request_head_len: 38,
        request_target_len: 4,
        header_count: 2,
        ..Limits::default()
    };
    for (bytes, status) in [
        ("GET /abc HTTP/1.1\r\nHost: x\r\nA: bbb\r\n\r\n", 200),
        ("GET /abc HTTP/1.1\r\nHost: x\r\nA: bbbb\r\n\r\n", 431),
        ("GET /abcd HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nHost: x\r\nA:\r\nB:\r\n\r\n", 431),
    ] {
        let mut rig = Rig::with_limits(Plan::AtOnce, limits.clone());
        rig.feed(bytes.as_bytes());
        assert_eq!(rig.outcome().statuses(), [status], "{bytes}");
    }
    // More headers than a usual request has.
    let limits = Limits {
        header_count: 1000,
        ..Limits::default()
    };
    let mut rig = Rig::with_limits(Plan::AtOnce, limits);
    rig.feed(format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "A:\r\n".repeat(999)).as_bytes());
    assert_eq!(rig.outcome().statuses(), [200]);
}

#[test]
fn method_len() {
    let long = |len: usize| "A".repeat(len).into_bytes();
    assert_eq!(both(Plan::AtOnce, &long(32)).statuses(), [0_u16; 0]);
    assert_eq!(both(Plan::AtOnce, &long(33)).statuses(), [501]);
}

#[test]
fn unwanted_body_len() {
    let bound = Limits::default().unwanted_body_len as usize;
    let next = b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    let known = |len: usize| {
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n");
        [head.into_bytes(), vec![b'a'; len], next.to_vec()].concat()
    };
    let outcome = both(Plan::AtOnce, &known(bound));
    assert_eq!(outcome.seen(), ["POST /", "GET /next"]);
    assert_eq!(outcome.fate, Fate::Keep);
    // What is announced too long is not read at all, and the answer says so.
    let outcome = both(Plan::AtOnce, &known(bound + 1));
    assert_eq!(outcome.seen(), ["POST /"]);
    assert!(outcome.output.contains("Connection: close\r\n"));
    assert_eq!(outcome.fate, Fate::HalfClose);
    // A chunked body shows its length only as it comes; its framing counts.
    let chunked = |len: usize| {
        let size = len - "xxxx\r\n".len() - "\r\n0\r\n\r\n".len();
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = format!("{size:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(size));
        assert_eq!(chunk.len(), len);
        [head.as_bytes(), chunk.as_bytes(), next].concat()
    };
    let outcome = both(Plan::AtOnce, &chunked(bound));
    assert_eq!(outcome.seen(), ["POST /", "GET /next"]);
    let outcome = both(Plan::AtOnce, &chunked(bound + 1));
    assert_eq!(outcome.seen(), ["POST /"]);
    assert_eq!(outcome.fate, Fate::HalfClose);
}

/// What is wrong with a body behind the bound is not looked at, also if it lies in the same read.
#[test]
fn behind_the_bound_of_an_unwanted_body_nothing_is_wrong() {
    let judge = |seen: &[&str], body: &str| {
        let limits = Limits {
            unwanted_body_len: 10,
            ..Limits::default()
        };
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        let bytes = [head, body].concat();
        for size in [bytes.len(), 1, 7] {
            let mut rig = Rig::with_limits(Plan::Never, limits.clone());
            for piece in bytes.as_bytes().chunks(size) {
                rig.feed(piece);
            }
            assert_eq!(rig.outcome().seen(), seen, "{body:?} in pieces of {size}");
        }
    };
    judge(&["POST /"], "8\r\n12345678\r\n?\r\n");
    judge(&["POST /", "error ChunkSize"], "5\r\n12345\r\n?\r\n");
}

#[test]
fn chunk_extensions_together() {
    let bound = Limits::default().request_head_len;
    let body = |len: usize| {
        let half = len / 2;
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
             1;{}\r\na\r\n1;{}\r\nb\r\n0\r\n\r\n",
            "e".repeat(half - 1),
            "e".repeat(len - half - 1)
        )
    };
    assert_eq!(
        both(Plan::Echo(9), body(bound).as_bytes()).seen(),
        ["POST /", "body ab"]
    );
    let outcome = both(Plan::Echo(9), body(bound + 1).as_bytes());
    assert_eq!(outcome.seen(), ["POST /", "part a", "error ChunkExtension"]);
    assert_eq!(outcome.statuses(), [400]);
}

#[test]
fn trailers() {
    let Limits {
        request_head_len,
        header_count,
        ..
    } = Limits::default();
    let body = |trailer: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n{trailer}"
        )
    };
    let long = |len: usize| format!("A: {}\r\n\r\n", "a".repeat(len - 7));
    assert_eq!(
        both(Plan::Echo(9), body(&long(request_head_len)).as_bytes()).seen(),
        ["POST /", "body a"]
    );
    let outcome = both(Plan::Echo(9), body(&long(request_head_len + 1)).as_bytes());
    assert_eq!(outcome.seen(), ["POST /", "part a", "error HeadTooLong"]);
    assert_eq!(outcome.statuses(), [431]);
    let many = |count: usize| format!("{}\r\n", "A:\r\n".repeat(count));
    assert_eq!(
        both(Plan::Echo(9), body(&many(header_count)).as_bytes()).seen(),
        ["POST /", "body a"]
    );
    let outcome = both(Plan::Echo(9), body(&many(header_count + 1)).as_bytes());
    assert_eq!(outcome.seen(), ["POST /", "part a", "error TooManyFields"]);
}
