//! In the place of `draft` when the versions before RFC 6455 are not compiled in.

use std::sync::Arc;
use std::time::Instant;

use sockeye_proto::handshake::{Accept, Answer, HandshakeError, OriginPolicy};
use sockeye_proto::http::{Request, Server};
use sockeye_proto::ws::{Config, Kind, Role, WebSocket};
use sockeye_proto::{Misuse, Shared};

#[derive(Clone, Copy, Debug)]
pub(crate) struct Wire;

pub(crate) fn rfc6455() -> Wire {
    Wire
}

pub(crate) fn prepare(_machine: &mut Server, _on: bool) {}

pub(crate) fn judge<'r>(
    request: &'r Request<'_>,
    policy: &OriginPolicy,
    _on: bool,
    _secure: bool,
    _shared: &mut Shared,
) -> Result<Accept<'r>, HandshakeError> {
    Accept::new(request, policy)
}

pub(crate) fn granted(_accept: &Accept<'_>) -> Wire {
    Wire
}

pub(crate) fn agreed(_answer: &Answer) -> Wire {
    Wire
}

pub(crate) fn machine(role: Role, config: Arc<Config>, _: Wire, now: Instant) -> WebSocket {
    WebSocket::new(role, config, now)
}

pub(crate) fn may_carry(_socket: &WebSocket, _kind: Kind) -> Result<(), Misuse> {
    Ok(())
}
