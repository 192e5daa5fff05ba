//! Versions before RFC 6455 in the engine: which listener takes them, and which client asks for one.
//!
//! What they look like is the protocol core's business; a connection of one differs from others in
//! nothing that the loop does.

use std::sync::Arc;
use std::time::Instant;

pub(crate) use sockeye_proto::drafts::Wire;
use sockeye_proto::handshake::{Accept, Answer, HandshakeError, OriginPolicy};
use sockeye_proto::http::{Request, Server};
use sockeye_proto::ws::{Config, Kind, Role, WebSocket};
use sockeye_proto::{Misuse, Shared, Version};

use crate::core::Core;
use crate::entry::Stage;
use crate::id::ConnId;

/// What is spoken where nobody asked for anything else.
pub(crate) fn rfc6455() -> Wire {
    Wire::default()
}

/// Tells the machine of a new connection what to look for.
pub(crate) fn prepare(machine: &mut Server, on: bool) {
    machine.set_drafts(on);
}

/// Judges an upgrade request; `secure` tells that it came by TLS.
pub(crate) fn judge<'r>(
    request: &'r Request<'_>,
    policy: &OriginPolicy,
    on: bool,
    secure: bool,
    shared: &mut Shared,
) -> Result<Accept<'r>, HandshakeError> {
    match on {
        true => Accept::with_drafts(request, policy, secure, shared),
        false => Accept::new(request, policy),
    }
}

/// What is spoken behind the answer to a client.
pub(crate) fn granted(accept: &Accept<'_>) -> Wire {
    accept.wire()
}

/// What is spoken behind the answer of a server.
pub(crate) fn agreed(answer: &Answer) -> Wire {
    answer.wire
}

/// The machine of a connection that does not compress.
pub(crate) fn machine(role: Role, config: Arc<Config>, wire: Wire, now: Instant) -> WebSocket {
    WebSocket::with_wire(role, config, wire, now)
}

/// Whether the version of a connection has messages of this kind.
pub(crate) fn may_carry(socket: &WebSocket, kind: Kind) -> Result<(), Misuse> {
    socket.may_carry(kind)
}

impl Core {
    /// The version of the protocol that an open WebSocket speaks; `None` if it is none.
    pub fn version(&self, id: ConnId) -> Option<Version> {
        match &self.conns.get(id)?.stage {
            Stage::WebSocket(socket) => Some(socket.version()),
            _ => None,
        }
    }

    /// Stops masking what a client connection sends from here on: with a key of zeros, payloads are
    /// on the wire as they are. `false` masks again. Connections of servers do not mask anyway.
    /// Returns whether there is such a connection.
    ///
    /// Dangerous: masking keeps what one party chooses from looking like HTTP to proxies on the way
    /// (RFC 6455 §10.3). For tests, and for peers on the same machine.
    pub fn dangerously_unmask(&mut self, id: ConnId, on: bool) -> bool {
        let Some(entry) = self.conns.get_mut(id) else {
            return false;
        };
        let Stage::WebSocket(socket) = &mut entry.stage else {
            return false;
        };
        socket.dangerously_unmask(on);
        socket.role() == Role::Client
    }
}
