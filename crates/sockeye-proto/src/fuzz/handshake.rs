//! Opening handshakes, from either side.

use std::sync::Arc;
use std::time::Instant;

use ::http::HeaderMap;

use super::cuts;
use crate::deflate::Settings;
use crate::drafts::Version;
use crate::handshake::{Accept, Answer, Connect, ConnectRequest, HandshakeError, OriginPolicy};
use crate::http::{Event as Arrived, HttpError, Request, Server};
use crate::limits::Limits;
use crate::ws::Config;
use crate::{Cx, Shared};

/// Any bytes as a request to a server, or to one that speaks old versions too, or as a server's answer to a client: the first byte chooses,
/// the second cuts.
///
/// # Panics
/// If a server answers with anything but a well-formed 101; if what one makes of a request, or a
/// client of an answer, depends on how it is cut.
pub fn handshake(data: &[u8]) {
    match data {
        [choice, seed, request @ ..] if choice & 33 == 32 => {
            let [whole, others @ ..] = &cuts(request, *seed).map(|pieces| serve(*choice, &pieces));
            for other in others {
                assert_eq!(other, whole, "in other pieces");
            }
        }
        [choice, _, request @ ..] if choice & 1 == 0 => accept(*choice, request),
        [choice, seed, answer @ ..] => {
            let [whole, others @ ..] = &cuts(answer, *seed).map(|pieces| connect(*choice, &pieces));
            for other in others {
                assert_eq!(other, whole, "in other pieces");
            }
        }
        _ => {}
    }
}

#[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
fn now() -> Instant {
    Instant::now()
}

fn wish(choice: u8) -> Option<Settings> {
    match choice & 6 {
        0 => None,
        2 => Some(Settings::takeover()),
        _ => Some(Settings::default()),
    }
}

fn accept(choice: u8, bytes: &[u8]) {
    let limits = Limits::default();
    let Ok(Some((request, len))) = Request::parse(bytes, &limits) else {
        return;
    };
    assert!(len <= bytes.len());
    let policy = match choice & 8 {
        0 => OriginPolicy::Same,
        _ => OriginPolicy::Any,
    };
    let mut accept = match Accept::new(&request, &policy) {
        Ok(accept) => accept,
        Err(error) => {
            assert!(error.status().is_client_error(), "{error:?}");
            return;
        }
    };
    let mut output = Vec::new();
    let mut shared = Shared::from_seed([0; 32]);
    let agreed = wish(choice).and_then(|wish| accept.deflate(&wish, &limits, &shared));
    let subprotocol = accept.negotiate(["chat", "superchat"]);
    let mut cx = Cx {
        now: now(),
        output: &mut output,
        shared: &mut shared,
        blocked: false,
    };
    assert_eq!(
        accept.respond(subprotocol, &HeaderMap::new(), &mut cx),
        Ok(())
    );

    let mut headers = [httparse::EMPTY_HEADER; 6];
    let mut response = httparse::Response::new(&mut headers);
    let whole = Ok(httparse::Status::Complete(output.len()));
    assert_eq!(response.parse(&output), whole);
    assert_eq!(response.code, Some(101));
    let count = 3 + usize::from(subprotocol.is_some()) + usize::from(agreed.is_some());
    assert_eq!(response.headers.len(), count, "{:?}", output.escape_ascii());
}

/// What a server did with its first request: what it wrote, and what it left.
type Served = Result<Option<(Vec<u8>, usize)>, HttpError>;

fn serve(choice: u8, pieces: &[&[u8]]) -> Served {
    let now = now();
    let mut shared = Shared::from_seed([0; 32]);
    let mut output = Vec::new();
    let mut cx = Cx {
        now,
        output: &mut output,
        shared: &mut shared,
        blocked: false,
    };
    let mut server = Server::new(Arc::default(), now);
    server.set_drafts(true);
    let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        let before = input.len();
        let event = server.receive(&mut input, &mut cx)?;
        left -= before - input.len();
        let Some(Arrived::Request(request)) = event else {
            continue;
        };
        let policy = match choice & 8 {
            0 => OriginPolicy::Same,
            _ => OriginPolicy::Any,
        };
        let secure = choice & 2 != 0;
        let accept = match Accept::with_drafts(&request, &policy, secure, cx.shared) {
            Ok(accept) => accept,
            Err(error) => {
                assert!(error.status().is_client_error(), "{error:?}");
                return Ok(None);
            }
        };
        let chosen = accept.negotiate(["chat"]);
        let written = accept.respond(chosen, &HeaderMap::new(), &mut cx);
        assert_eq!(written, Ok(()));
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut response = httparse::Response::new(&mut headers);
        let behind = match accept.wire().version() {
            Version::Hixie76 => 16,
            _ => 0,
        };
        let whole = Ok(httparse::Status::Complete(output.len() - behind));
        assert_eq!(response.parse(&output), whole);
        assert_eq!(response.code, Some(101));
        return Ok(Some((output, left)));
    }
    Ok(None)
}

/// The verdict, and how many bytes it left.
type Outcome = (Result<Answer, HandshakeError>, usize);

fn connect(choice: u8, pieces: &[&[u8]]) -> Outcome {
    let mut output = Vec::new();
    // Always the same key, so that an answer can be right.
    let mut shared = Shared::from_seed([0; 32]);
    let now = now();
    let mut cx = Cx {
        now,
        output: &mut output,
        shared: &mut shared,
        blocked: false,
    };
    let request = ConnectRequest {
        host: "x".into(),
        target: "/".into(),
        subprotocols: vec!["chat".into(), "superchat".into()],
        deflate: wish(choice),
        ..ConnectRequest::default()
    };
    let limits = Limits {
        refusal_body_len: 100,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let mut connect = match Connect::new(request, Arc::new(config), &mut cx) {
        Ok(connect) => connect,
        Err(misuse) => panic!("{misuse:?}"),
    };
    let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        let before = input.len();
        let verdict = connect.receive(&mut input, &mut cx);
        left -= before - input.len();
        match verdict {
            Ok(None) => assert!(input.is_empty(), "input is left without a verdict"),
            Ok(Some(answer)) => return (Ok(answer), left),
            // What is left then is nobody's.
            Err(error) => return (Err(error), 0),
        }
    }
    let error = match (choice & 16, connect.next_timeout()) {
        (0, Some(due)) => connect.handle_timeout(due),
        _ => Some(connect.receive_eof()),
    };
    match error {
        Some(error) => (Err(error), left),
        None => panic!("a handshake that does not end"),
    }
}
