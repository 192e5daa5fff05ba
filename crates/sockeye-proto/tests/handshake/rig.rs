//! Surroundings for a handshake.

use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::handshake::{Answer, Connect, ConnectRequest, HandshakeError};
use sockeye_proto::http::{Misuse, Request};
use sockeye_proto::ws::Config;
use sockeye_proto::{Cx, Limits, Shared};

pub(crate) struct Rig {
    pub(crate) now: Instant,
    pub(crate) output: Vec<u8>,
    pub(crate) limits: Limits,
    shared: Shared,
}

impl Rig {
    #[expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]
    pub(crate) fn new() -> Self {
        Self {
            now: Instant::now(),
            output: Vec::new(),
            limits: Limits::default(),
            shared: Shared::from_seed([3; 32]),
        }
    }

    pub(crate) fn with<R>(&mut self, call: impl FnOnce(&mut Cx<'_>) -> R) -> R {
        call(&mut Cx {
            now: self.now,
            output: &mut self.output,
            shared: &mut self.shared,
            blocked: false,
        })
    }

    pub(crate) fn connect(&mut self, request: ConnectRequest) -> Result<Connect, Misuse> {
        let config = Config {
            limits: self.limits.clone(),
            ..Config::default()
        };
        self.with(|cx| Connect::new(request, Arc::new(config), cx))
    }

    /// Gives bytes to a client: its verdict, and what it left of them.
    pub(crate) fn feed(
        &mut self,
        connect: &mut Connect,
        bytes: &[u8],
    ) -> (Result<Option<Answer>, HandshakeError>, Vec<u8>) {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        let result = self.with(|cx| connect.receive(&mut input, cx));
        (result, input.to_vec())
    }
}

pub(crate) fn request() -> ConnectRequest {
    ConnectRequest {
        host: "x".into(),
        target: "/".into(),
        ..ConnectRequest::default()
    }
}

/// The request in these bytes, which are nothing else.
pub(crate) fn parse(bytes: &[u8]) -> Request<'_> {
    let (request, len) = Request::parse(bytes, &Limits::default()).unwrap().unwrap();
    assert_eq!(len, bytes.len());
    request
}
