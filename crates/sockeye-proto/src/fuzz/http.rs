//! The server's side of an HTTP connection.

use std::sync::Arc;
use std::time::Instant;

use ::http::{HeaderMap, StatusCode};

use super::cuts;
use crate::handshake::{Accept, HandshakeError, OriginPolicy};
use crate::http::{BodyPlan, Event, HttpError, Request, ResponseHead, Server};
use crate::limits::Limits;
use crate::ws::{Config, Fate};
use crate::{Cx, Shared};

/// Any bytes as what a client sends. The first byte chooses how requests are answered, the second
/// cuts.
///
/// # Panics
/// If what is reported or answered depends on how the input is cut, if a body is longer than was
/// asked for, or if the connection never comes to an end.
pub fn http(data: &[u8]) {
    let [choice, seed, bytes @ ..] = data else {
        return;
    };
    let [whole, others @ ..] = &cuts(bytes, *seed).map(|pieces| Run::of(*choice, &pieces));
    for other in others {
        assert_eq!(other, whole, "in other pieces");
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Request(String, String),
    Body(Vec<u8>),
    Refused(HandshakeError),
    Error(HttpError),
}

/// How requests are answered.
#[derive(Clone, Copy, PartialEq)]
enum Plan {
    AtOnce,
    /// With the body, which may have so many bytes.
    Echo(u64),
    Never,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    seen: Vec<Seen>,
    output: Vec<u8>,
    fate: Fate,
    /// What stands behind an upgrade.
    frames: Option<Vec<u8>>,
}

struct Run {
    server: Server,
    shared: Shared,
    now: Instant,
    plan: Plan,
    body: Vec<u8>,
    outcome: Outcome,
}

impl Run {
    fn of(choice: u8, pieces: &[&[u8]]) -> Outcome {
        #[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
        let now = Instant::now();
        let config = Config {
            limits: Limits {
                request_head_len: if choice & 4 == 0 { 200 } else { 16 * 1024 },
                unwanted_body_len: 100,
                ..Limits::default()
            },
            ..Config::default()
        };
        let mut run = Self {
            server: Server::new(Arc::new(config), now),
            shared: Shared::from_seed([0; 32]),
            now,
            plan: match choice & 3 {
                0 => Plan::AtOnce,
                1 => Plan::Never,
                _ => Plan::Echo(u64::from(choice)),
            },
            body: Vec::new(),
            outcome: Outcome {
                seen: Vec::new(),
                output: Vec::new(),
                fate: Fate::Keep,
                frames: None,
            },
        };
        let mut held = Vec::new();
        for piece in pieces {
            held.extend_from_slice(piece);
            run.receive(&mut held);
        }
        if run.outcome.frames.is_none() {
            run.end(choice & 8 != 0);
        }
        run.outcome.fate = run.server.fate();
        run.outcome
    }

    fn with<T>(&mut self, call: impl FnOnce(&mut Server, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            output: &mut self.outcome.output,
            shared: &mut self.shared,
            blocked: false,
        };
        call(&mut self.server, &mut cx)
    }

    /// Leaves what the machine leaves.
    fn receive(&mut self, held: &mut Vec<u8>) {
        let mut bytes = std::mem::take(held);
        let mut input = &mut bytes[..];
        loop {
            if let Some(frames) = &mut self.outcome.frames {
                frames.extend_from_slice(input);
                return;
            }
            match self.with(|server, cx| server.receive(&mut input, cx)) {
                Ok(Some(event)) => self.event(event),
                Ok(None) => break,
                Err(error) => self.fail(error),
            }
        }
        held.extend_from_slice(input);
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request(request) => self.request(&request),
            Event::Body(data) => {
                assert!(!data.is_empty());
                self.body.extend_from_slice(&data);
                let Plan::Echo(most) = self.plan else {
                    panic!("a body that nobody wants");
                };
                assert!(self.body.len() as u64 <= most);
            }
            Event::End => {
                let body = std::mem::take(&mut self.body);
                self.respond(&ResponseHead::new(StatusCode::OK), &body);
                self.outcome.seen.push(Seen::Body(body));
            }
        }
    }

    fn request(&mut self, request: &Request<'_>) {
        let (method, target) = (request.method().to_owned(), request.target().to_owned());
        self.outcome.seen.push(Seen::Request(method, target));
        if request.is_upgrade() {
            return self.upgrade(request);
        }
        match self.plan {
            Plan::AtOnce => self.respond(&ResponseHead::new(StatusCode::OK), b"yes"),
            Plan::Echo(most) => self.with(|server, cx| server.want_body(most, cx)),
            Plan::Never => {}
        }
    }

    fn upgrade(&mut self, request: &Request<'_>) {
        match Accept::new(request, &OriginPolicy::Same) {
            Ok(accept) => {
                let written = self.with(|_, cx| accept.respond(None, &HeaderMap::new(), cx));
                assert_eq!(written, Ok(()));
                self.outcome.frames = Some(Vec::new());
            }
            Err(error) => {
                self.respond(&error.response(), error.to_string().as_bytes());
                self.outcome.seen.push(Seen::Refused(error));
            }
        }
    }

    fn respond(&mut self, head: &ResponseHead, body: &[u8]) {
        let written = self.with(|server, cx| {
            server.respond(head, BodyPlan::Known(body.len() as u64), cx)?;
            server.send_body(body, cx)?;
            server.finish(cx)
        });
        assert_eq!(written, Ok(()));
    }

    fn fail(&mut self, error: HttpError) {
        if !self.body.is_empty() {
            let part = std::mem::take(&mut self.body);
            self.outcome.seen.push(Seen::Body(part));
        }
        self.outcome.seen.push(Seen::Error(error));
        if self.server.can_respond() {
            self.respond(&error.response(), error.to_string().as_bytes());
        }
    }

    /// The client ends the stream or falls silent; a request that waits for its answer gets one.
    fn end(&mut self, eof: bool) {
        if eof && let Err(error) = self.with(|server, cx| server.receive_eof(cx)) {
            self.fail(error);
        }
        for _ in 0..10 {
            if self.server.fate() == Fate::Close {
                return;
            }
            if let Some(due) = self.server.next_timeout() {
                self.now = self.now.max(due);
                let timeout = self.with(|server, cx| server.handle_timeout(cx));
                if let Some(error) = timeout.and_then(|timeout| timeout.error()) {
                    self.fail(error);
                }
            } else if self.server.can_respond() {
                self.respond(&ResponseHead::new(StatusCode::OK), b"late");
            }
        }
        panic!("{:?} does not come to an end", self.server);
    }
}
