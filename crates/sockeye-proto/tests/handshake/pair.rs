//! Our client and our server with each other, and with noise.

use std::sync::Arc;

use http::HeaderMap;
use proptest::prelude::*;
use sockeye_proto::handshake::{Accept, Answer, ConnectRequest, OriginPolicy};
use sockeye_proto::http::{Event, Server};
use sockeye_proto::ws::Config;

use crate::rig::{Rig, request};

const CLIENT_FRAME: &[u8] = b"\x81\x82\0\0\0\0hi";
const SERVER_FRAME: &[u8] = b"\x81\x02ho";

/// Both sides at these cuts. Frames are glued to the request and to the answer, and must arrive.
fn converse(
    request: ConnectRequest,
    supported: &[String],
    request_cut: usize,
    answer_cut: usize,
) -> Answer {
    let mut client = Rig::new();
    let mut connect = client.connect(request).unwrap();
    client.output.extend_from_slice(CLIENT_FRAME);
    let mut bytes = std::mem::take(&mut client.output);

    let mut rig = Rig::new();
    let mut server = Server::new(Arc::new(Config::default()), rig.now);
    let cut = request_cut % bytes.len();
    let (mut front, mut rest) = bytes.split_at_mut(cut);
    let mut accepted = false;
    let mut frames = Vec::new();
    for input in [&mut front, &mut rest] {
        if !accepted && let Some(event) = rig.with(|cx| server.receive(input, cx)).unwrap() {
            let Event::Request(request) = event else {
                panic!()
            };
            assert!(request.is_upgrade());
            let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
            let chosen = accept.negotiate(supported);
            rig.with(|cx| accept.respond(chosen, &HeaderMap::new(), cx))
                .unwrap();
            accepted = true;
        }
        frames.extend_from_slice(input);
    }
    assert!(accepted);
    assert_eq!(frames, CLIENT_FRAME);

    rig.output.extend_from_slice(SERVER_FRAME);
    let cut = answer_cut % rig.output.len();
    let (front, rest) = rig.output.split_at(cut);
    let (answer, left) = client.feed(&mut connect, front);
    match answer.unwrap() {
        Some(answer) => {
            assert_eq!([&left, rest].concat(), SERVER_FRAME);
            answer
        }
        None => {
            assert!(left.is_empty());
            let (answer, left) = client.feed(&mut connect, rest);
            assert_eq!(left, SERVER_FRAME);
            answer.unwrap().unwrap()
        }
    }
}

#[test]
fn at_every_cut() {
    for cut in 0..400 {
        let request = ConnectRequest {
            origin: Some("http://x".into()),
            subprotocols: vec!["a".into(), "b".into()],
            ..request()
        };
        let answer = converse(request, &["b".into()], cut, cut);
        assert_eq!(answer.subprotocol.as_deref(), Some("b"));
    }
}

fn name() -> impl Strategy<Value = String> {
    "[a-c!#$%&'*+.^_`|~-]{1,2}"
}

proptest! {
    #[test]
    fn any_subprotocols_at_any_cut(
        offered in prop::collection::btree_set(name(), 0..6)
            .prop_map(Vec::from_iter)
            .prop_shuffle(),
        supported in prop::collection::vec(name(), 0..6),
        cuts in (0..1000usize, 0..1000usize),
    ) {
        let request = ConnectRequest { subprotocols: offered.clone(), ..request() };
        let answer = converse(request, &supported, cuts.0, cuts.1);
        let expected = offered.iter().find(|name| supported.contains(name));
        prop_assert_eq!(answer.subprotocol.as_ref(), expected);
    }

    #[test]
    fn noise_never_panics_a_client(
        parts in prop::collection::vec(prop_oneof![
            Just(b"HTTP/1.1 101 x\r\n".to_vec()),
            Just(b"HTTP/1.1 404 x\r\n".to_vec()),
            Just(b"HTTP/1.1 100 x\r\n\r\n".to_vec()),
            Just(b"Content-Length: 5\r\n".to_vec()),
            Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
            Just(b"Upgrade: websocket\r\nConnection: upgrade\r\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"5\r\nhello\r\n".to_vec()),
            Just(b"0\r\n\r\n".to_vec()),
            prop::collection::vec(any::<u8>(), 0..6),
        ], 0..12),
        cut in 1..20usize,
    ) {
        let bytes = parts.concat();
        let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut rig = Rig::new();
            let mut connect = rig.connect(request()).unwrap();
            for piece in pieces {
                if let Some(verdict) = rig.feed(&mut connect, piece).0.transpose() {
                    return verdict;
                }
            }
            Err(connect.receive_eof())
        };
        let whole = run(&mut std::iter::once(&bytes[..]));
        prop_assert!(whole.is_err());
        prop_assert_eq!(&run(&mut bytes.chunks(cut)), &whole);
        prop_assert_eq!(&run(&mut bytes.chunks(1)), &whole);
    }
}
