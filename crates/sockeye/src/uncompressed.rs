//! In the place of `compression` when permessage-deflate is not compiled in.

use std::time::Instant;

use sockeye_proto::handshake::{Accept, Answer};
use sockeye_proto::ws::{Delivery, Role, WebSocket};

use crate::core::Core;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish;
pub(crate) struct Outcome;

#[derive(Debug, Default)]
pub(crate) struct Compression {
    pub(crate) wish: Wish,
}

impl Compression {
    pub(crate) fn new(wish: Wish) -> Self {
        Self { wish }
    }
}

impl Core {
    #[expect(
        clippy::unused_self,
        reason = "the signature is that of the real thing"
    )]
    pub(crate) fn negotiate(&self, _accept: &mut Accept<'_>, _wish: &Wish) -> Outcome {
        Outcome
    }

    pub(crate) fn websocket(
        &self,
        role: Role,
        delivery: Delivery,
        _: Outcome,
        now: Instant,
    ) -> WebSocket {
        WebSocket::new(role, self.config(delivery), now)
    }
}

pub(crate) fn outcome(_answer: &mut Answer) -> Outcome {
    Outcome
}
