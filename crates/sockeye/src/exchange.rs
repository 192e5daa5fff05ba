//! An HTTP request being answered, in the hands of a callback.

use std::time::Instant;

use crate::core::Core;
use crate::http::Response;
use crate::id::ConnId;
use crate::protocol::Peer;

/// One HTTP request and its answer, lent to [`Protocol::on_request`](crate::Protocol::on_request).
#[derive(Debug)]
pub struct Exchange<'c> {
    core: &'c mut Core,
    id: ConnId,
}

impl<'c> Exchange<'c> {
    pub(crate) fn new(core: &'c mut Core, id: ConnId) -> Self {
        Self { core, id }
    }

    /// The connection's id, for an answer that comes later through [`Core::respond`].
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The turn's instant.
    pub fn now(&self) -> Instant {
        self.core.now()
    }

    /// Who asks; `None` once the connection is gone.
    pub fn peer(&self) -> Option<Peer> {
        self.core.peer(self.id)
    }

    /// Answers. A body of [`Body::Stream`](crate::Body::Stream) is written by
    /// [`Core::send_body`] and ended by [`Core::finish_body`]. Returns whether the request was
    /// still without an answer.
    pub fn respond(&mut self, response: Response) -> bool {
        self.core.respond(self.id, response)
    }

    /// Everything that is not this request: connections, topics.
    pub fn core(&mut self) -> &mut Core {
        self.core
    }
}
