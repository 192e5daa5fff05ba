//! In the place of `compression` when permessage-deflate is not compiled in.

use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::handshake::{Accept, Answer};
use sockeye_proto::ws::{Config, Delivery, Role, WebSocket};
use sockeye_proto::{Limits, Shared};

use crate::core::Core;
use crate::draft::{self, Wire};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish;
pub(crate) const NO_WISH: Wish = Wish;
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

pub(crate) fn negotiate(
    _accept: &mut Accept<'_>,
    _wish: &Wish,
    _limits: &Limits,
    _shared: &Shared,
) -> Outcome {
    Outcome
}

pub(crate) fn outcome(_answer: &mut Answer) -> Outcome {
    Outcome
}

pub(crate) fn single(
    role: Role,
    config: Arc<Config>,
    _: Outcome,
    wire: Wire,
    now: Instant,
) -> WebSocket {
    draft::machine(role, config, wire, now)
}

impl Core {
    pub(crate) fn websocket(
        &self,
        role: Role,
        delivery: Delivery,
        _: Outcome,
        wire: Wire,
        now: Instant,
    ) -> WebSocket {
        draft::machine(role, self.config(delivery), wire, now)
    }
}
