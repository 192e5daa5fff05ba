//! A server machine with its surroundings, and what it did in a form that can be compared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use sockeye_proto::handshake::{Accept, OriginPolicy};
use sockeye_proto::http::{BodyPlan, Event, HttpError, Request, ResponseHead, Server};
use sockeye_proto::ws::{Config, Fate};
use sockeye_proto::{Cx, Limits, Shared};

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// At once, with method and path; bodies are not wanted.
    AtOnce,
    /// At the end of the body, with the body, which may have so many bytes.
    Echo(u64),
    /// Not at all, unless the test does.
    Never,
}

pub(crate) struct Rig {
    pub(crate) server: Server,
    pub(crate) now: Instant,
    pub(crate) output: Vec<u8>,
    pub(crate) seen: Vec<String>,
    pub(crate) blocked: bool,
    /// What the machine left in the input.
    pub(crate) held: Vec<u8>,
    /// What came behind an upgrade.
    frames: Option<Vec<u8>>,
    shared: Shared,
    plan: Plan,
    body: Vec<u8>,
}

/// What a conversation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) seen: Vec<String>,
    pub(crate) output: String,
    pub(crate) fate: Fate,
    pub(crate) frames: Option<Vec<u8>>,
}

impl Outcome {
    /// The status codes that were written.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let codes = self.output.split("HTTP/1.1 ").skip(1);
        codes
            .map(|response| response[..3].parse().unwrap())
            .collect()
    }

    pub(crate) fn seen(&self) -> Vec<&str> {
        self.seen.iter().map(String::as_str).collect()
    }
}

impl Rig {
    pub(crate) fn new(plan: Plan) -> Self {
        Self::with_limits(plan, Limits::default())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]
    pub(crate) fn with_limits(plan: Plan, limits: Limits) -> Self {
        let now = Instant::now();
        let config = Config {
            limits,
            ..Config::default()
        };
        Self {
            server: Server::new(Arc::new(config), now),
            now,
            output: Vec::new(),
            seen: Vec::new(),
            blocked: false,
            held: Vec::new(),
            frames: None,
            shared: Shared::from_seed([1; 32]),
            plan,
            body: Vec::new(),
        }
    }

    pub(crate) fn with<R>(&mut self, call: impl FnOnce(&mut Server, &mut Cx<'_>) -> R) -> R {
        let mut cx = Cx {
            now: self.now,
            output: &mut self.output,
            shared: &mut self.shared,
            blocked: self.blocked,
        };
        call(&mut self.server, &mut cx)
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        let mut buffer = std::mem::take(&mut self.held);
        buffer.extend_from_slice(bytes);
        let mut input = &mut buffer[..];
        loop {
            if let Some(frames) = &mut self.frames {
                frames.extend_from_slice(input);
                return self;
            }
            match self.with(|server, cx| server.receive(&mut input, cx)) {
                Ok(Some(event)) => self.event(event),
                Ok(None) => break,
                Err(error) => self.error(error),
            }
        }
        self.held = input.to_vec();
        self
    }

    pub(crate) fn eof(&mut self) -> &mut Self {
        if let Err(error) = self.with(|server, cx| server.receive_eof(cx)) {
            self.error(error);
        }
        self
    }

    /// Lets time pass, and has the deadline handled once if it is reached.
    pub(crate) fn pass(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        if let Some(timeout) = self.with(|server, cx| server.handle_timeout(cx)) {
            self.seen.push(format!("timeout {timeout:?}"));
            if let Some(error) = timeout.error() {
                self.error(error);
            }
        }
        self
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Request(request) => self.request(&request),
            Event::Body(data) => {
                assert!(!data.is_empty());
                self.body.extend_from_slice(&data);
            }
            Event::End => {
                let body = std::mem::take(&mut self.body);
                self.seen.push(format!("body {}", body.escape_ascii()));
                self.answer(200, &body);
            }
            other => panic!("{other:?}"),
        }
    }

    fn request(&mut self, request: &Request<'_>) {
        self.seen
            .push(format!("{} {}", request.method(), request.target()));
        if request.is_upgrade() {
            return self.upgrade(request);
        }
        match self.plan {
            Plan::AtOnce => {
                let text = format!("{} {}", request.method(), request.path());
                self.answer(200, text.as_bytes());
            }
            Plan::Echo(max_len) => self.with(|server, cx| server.want_body(max_len, cx)),
            Plan::Never => {}
        }
    }

    fn upgrade(&mut self, request: &Request<'_>) {
        match Accept::new(request, &OriginPolicy::Same) {
            Ok(accept) => {
                let extra = HeaderMap::new();
                self.with(|_, cx| accept.respond(None, &extra, cx)).unwrap();
                self.frames = Some(Vec::new());
            }
            Err(error) => {
                self.seen.push(format!("refused {error:?}"));
                self.respond(&error.response(), error.to_string().as_bytes());
            }
        }
    }

    pub(crate) fn answer(&mut self, status: u16, body: &[u8]) {
        self.body.clear();
        self.respond(&ResponseHead::new(status.try_into().unwrap()), body);
    }

    fn respond(&mut self, head: &ResponseHead, body: &[u8]) {
        self.with(|server, cx| {
            server
                .respond(head, BodyPlan::Known(body.len() as u64), cx)
                .unwrap();
            server.send_body(body, cx).unwrap();
            server.finish(cx).unwrap();
        });
    }

    fn error(&mut self, error: HttpError) {
        if !self.body.is_empty() {
            let body = std::mem::take(&mut self.body);
            self.seen.push(format!("part {}", body.escape_ascii()));
        }
        self.seen.push(format!("error {error:?}"));
        if self.server.can_respond() {
            self.respond(&error.response(), error.to_string().as_bytes());
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            seen: self.seen.clone(),
            output: String::from_utf8_lossy(&self.output).into_owned(),
            fate: self.server.fate(),
            frames: self.frames.clone(),
        }
    }
}

/// The outcome of these pieces.
pub(crate) fn pieces<'p>(plan: Plan, pieces: impl IntoIterator<Item = &'p [u8]>) -> Outcome {
    let mut rig = Rig::new(plan);
    for piece in pieces {
        rig.feed(piece);
    }
    rig.outcome()
}

/// The one outcome of these bytes: whole, in two pieces at every cut, byte by byte.
pub(crate) fn every_cut(plan: Plan, bytes: impl AsRef<[u8]>) -> Outcome {
    let bytes = bytes.as_ref();
    let whole = pieces(plan, [bytes]);
    for cut in 1..bytes.len() {
        let (front, rest) = bytes.split_at(cut);
        assert_eq!(
            pieces(plan, [front, rest]),
            whole,
            "cut at {cut} of {}",
            bytes.escape_ascii()
        );
    }
    assert_eq!(
        pieces(plan, bytes.chunks(1)),
        whole,
        "drip of {}",
        bytes.escape_ascii()
    );
    whole
}
