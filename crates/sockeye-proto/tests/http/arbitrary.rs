//! Arbitrary bytes: never a panic, and the same result however they are cut.

use proptest::prelude::*;
use sockeye_proto::Limits;
use sockeye_proto::http::{BodyLength, Request, Version};

use crate::rig::{Plan, pieces};

/// Pieces of requests, right and wrong, so that arbitrary sequences get past the first byte.
const PARTS: [&str; 32] = [
    "GET / HTTP/1.1\r\n",
    "POST /p?q HTTP/1.1\r\n",
    "HEAD http://y/ HTTP/1.0\r\n",
    "Host: x\r\n",
    "Host: x\r\n\r\n",
    "\r\n",
    "\r\n\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "A;ext\r\n0123456789\r\n",
    "hello",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: Upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Sec-WebSocket-Version: 13\r\n",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "A: b\r\n",
    " folded\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    ":",
    "HTTP/2.0",
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
];

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => prop::sample::select(&PARTS[..]).prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

/// Plausible requests: a line, headers, a blank line, whatever.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let headers = prop::collection::vec(prop::sample::select(&PARTS[7..24]), 0..5);
    (prop::sample::select(&PARTS[..3]), headers, bytes()).prop_map(|(line, headers, rest)| {
        [
            line.as_bytes(),
            b"Host: x\r\n",
            headers.concat().as_bytes(),
            b"\r\n",
            &rest,
        ]
        .concat()
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![Just(Plan::AtOnce), (0..20u64).prop_map(Plan::Echo)]
}

fn cut(bytes: &[u8], lens: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    for len in lens.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, more) = rest.split_at((*len).min(rest.len()));
        pieces.push(piece.to_vec());
        rest = more;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn results_do_not_depend_on_cuts(
        bytes in prop_oneof![bytes(), request()],
        lens in prop::collection::vec(1..40usize, 1..8),
        plan in plan(),
    ) {
        let whole = pieces(plan, [&bytes[..]]);
        let cut = cut(&bytes, &lens);
        prop_assert_eq!(pieces(plan, cut.iter().map(Vec::as_slice)), whole.clone());
        prop_assert_eq!(pieces(plan, bytes.chunks(1)), whole);
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        pieces(Plan::Echo(9), bytes.chunks(3));
    }

    /// What is accepted here, `httparse` accepts too, and reads in the same way.
    #[test]
    fn httparse_agrees(bytes in request()) {
        if let Ok(Some((request, len))) = Request::parse(&bytes, &Limits::default()) {
            let mut headers = [httparse::EMPTY_HEADER; 100];
            let mut judge = httparse::Request::new(&mut headers);
            prop_assert_eq!(judge.parse(&bytes).unwrap(), httparse::Status::Complete(len));
            prop_assert_eq!(judge.method.unwrap(), request.method());
            prop_assert_eq!(judge.path.unwrap(), request.target());
            prop_assert_eq!(judge.version.unwrap() == 1, request.version() == Version::Http11);
            let headers: Vec<_> = judge.headers.iter().map(|h| (h.name, h.value)).collect();
            prop_assert_eq!(headers, request.headers().collect::<Vec<_>>());
            prop_assert!(!request.is_upgrade() || request.body() != BodyLength::Known(u64::MAX));
        }
    }
}
