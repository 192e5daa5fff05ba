//! What a fuzzer begins with: what the peers of the talks send, and the heads and header values of
//! handshakes that are right.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use sockeye_proto::handshake::{Accept, Connect, ConnectRequest, OriginPolicy};
use sockeye_proto::http::Request;
use sockeye_proto::ws::{Delivery, Role};
use sockeye_proto::{Cx, Limits, Shared, Version};

use crate::talk::{Act, Talk};

/// A fuzz target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Conversation,
    Draft,
    Extension,
    Frame,
    Handshake,
    Http,
}

/// The bytes in front choose the circumstances; see the targets.
pub(crate) fn seeds(target: Target) -> Vec<Vec<u8>> {
    let with = |front: &[u8], texts: &[&[u8]]| {
        texts
            .iter()
            .map(|text| [front, text].concat())
            .collect::<Vec<_>>()
    };
    match target {
        Target::Conversation => conversations(),
        Target::Draft => talks().iter().filter_map(draft_of).collect(),
        Target::Extension => with(&[0xff], EXTENSIONS),
        Target::Frame => conversations()
            .iter()
            .map(|seed| seed[2..].to_vec())
            .collect(),
        Target::Handshake => {
            let requests = with(&[2, 0], REQUESTS);
            let key = accept_key();
            let answers: Vec<_> = ANSWERS.iter().map(|text| text.replace('@', &key)).collect();
            let answers: Vec<_> = answers.iter().map(String::as_bytes).collect();
            let old = with(&[0x22, 0], OLD_REQUESTS);
            [requests, old, with(&[3, 0], &answers)].concat()
        }
        Target::Http => with(&[2, 0], REQUESTS),
    }
}

const EXTENSIONS: &[&[u8]] = &[
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    b"permessage-deflate; server_max_window_bits=10; client_max_window_bits=\"12\"",
    b"x-other; a=b, permessage-deflate; server_max_window_bits=9\npermessage-deflate",
    b", ,permessage-deflate;client_max_window_bits=\"1\\5\"",
];

const REQUESTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /p?q HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n\
      5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\nHEAD http://x/ HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x80",
    b"GET / HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
      Sec-WebSocket-Protocol: superchat, chat\r\n\
      Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
];

const OLD_REQUESTS: &[&[u8]] = &[
    b"GET /demo?x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
      Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
      Sec-WebSocket-Protocol: chat\r\nOrigin: http://x\r\n\r\n^n:ds[4U\x00hello\xff",
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 4\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
      Sec-WebSocket-Origin: http://x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81",
];

/// `@` is the value that answers the key which a client of the target always sends.
const ANSWERS: &[&str] = &[
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: @\r\n\r\n\u{1}\u{1}a",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: @\r\nSec-WebSocket-Protocol: chat\r\n\
     Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone",
    "HTTP/1.1 302 Found\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "HTTP/1.0 500 Oh\r\n\r\nuntil the end",
];

/// What the server's side answers to the first key of this seed.
fn accept_key() -> String {
    #[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
    let now = Instant::now();
    let (mut asked, mut answered) = (Vec::new(), Vec::new());
    let mut shared = Shared::from_seed([0; 32]);
    let request = ConnectRequest {
        host: "x".into(),
        target: "/".into(),
        ..ConnectRequest::default()
    };
    let mut cx = Cx {
        now,
        output: &mut asked,
        shared: &mut shared,
        blocked: false,
    };
    Connect::new(request, Arc::default(), &mut cx).unwrap();
    let (request, _) = Request::parse(&asked, &Limits::default()).unwrap().unwrap();
    let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
    let mut cx = Cx {
        now,
        output: &mut answered,
        shared: &mut shared,
        blocked: false,
    };
    accept.respond(None, &HeaderMap::new(), &mut cx).unwrap();
    let answer = String::from_utf8(answered).unwrap();
    let (_, value) = answer.split_once("Sec-WebSocket-Accept: ").unwrap();
    value.lines().next().unwrap().to_owned()
}

fn talks() -> Vec<Talk> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folder = above
        .map(|folder| folder.join("testdata/conversations"))
        .find(|folder| folder.is_dir())
        .unwrap();
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| Talk::parse(&fs::read_to_string(file).unwrap()))
        .collect()
}

/// The talks' bytes from the peer, and messages that are compressed.
fn conversations() -> Vec<Vec<u8>> {
    let talks = talks();
    let new = talks.iter().filter(|talk| talk.version.is_none());
    let mut seeds: Vec<Vec<u8>> = new.map(peer_of).collect();
    // RFC 7692 §7.2.3, in frames to a client.
    for frames in [
        &b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00"[..],
        b"\x41\x03\xf2\x48\xcd\x89\x01?\x80\x04\xc9\xc9\x07\x00",
        b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00\xc2\x01\x00",
        b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00\x88\x02\x03\xe8",
        b"\xc2\x0e\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a",
    ] {
        seeds.push([&b"\x49\x01"[..], frames].concat());
        seeds.push([&b"\x45\x00"[..], frames].concat());
    }
    seeds
}

fn peer_of(talk: &Talk) -> Vec<u8> {
    let role = u8::from(talk.role == Role::Client);
    let delivery = u8::from(talk.delivery == Delivery::Streaming);
    let mut seed = vec![role | delivery << 1, 1];
    for turn in &talk.turns {
        if let Act::Receive(bytes) = &turn.act {
            seed.extend_from_slice(bytes);
        }
    }
    seed
}

/// That of a talk in an old version.
fn draft_of(talk: &Talk) -> Option<Vec<u8>> {
    let known = |version: &Version| Some(version.number()) == talk.version;
    let index = Version::ALL.iter().position(known)?;
    Some([&[index as u8], &peer_of(talk)[..]].concat())
}
