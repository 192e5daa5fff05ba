//! One connection as the loop sees it: link, stage, outbox and flags; what is rare sits behind a
//! pointer.
//!
//! Knows no protocol rules and no user code. An idle connection owns no heap here.

use std::net::IpAddr;
use std::time::Instant;

use sockeye_proto::ws::{Role, WebSocket};

use crate::client::UplinkId;
use crate::hosted::SessionIndex;
use crate::id::ConnId;
use crate::link::Link;
use crate::outbox::Outbox;
use crate::poll::Interest;
use crate::protocol::Overflow;
use crate::stage::connect::Connecting;
use crate::stage::http::HttpStage;
use crate::topic::Membership;

/// What a connection is at the moment.
#[derive(Debug)]
pub(crate) enum Stage {
    /// A server connection that speaks HTTP.
    Http(Box<HttpStage>),
    /// A client connection whose opening handshake is not over.
    Connect(Box<Connecting>),
    /// One more socket of the client connection that is named, which is still to connect.
    Attempt(ConnId),
    /// A WebSocket of either role, till TCP is closed.
    WebSocket(WebSocket),
    /// Nothing: the slot is freed at the end of the turn.
    Gone,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) link: Link,
    pub(crate) stage: Stage,
    pub(crate) outbox: Outbox,
    pub(crate) rare: Option<Box<Rare>>,
    /// The session of the open WebSocket, if there is one.
    pub(crate) session: Option<SessionRef>,
    /// The listener it came by, or [`OUTGOING`](Self::OUTGOING).
    pub(crate) listener: u16,
    pub(crate) overflow: Overflow,
    /// What the poller was last told.
    pub(crate) interest: Interest,
    pub(crate) flags: Flags,
}

/// Which session of which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRef {
    pub(crate) protocol: u16,
    pub(crate) index: SessionIndex,
}

/// Small facts about a connection.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, no hidden state machine"
)]
pub(crate) struct Flags {
    /// In the list of those to flush.
    pub(crate) dirty: bool,
    /// The socket took less than was offered; it will report when it takes more.
    pub(crate) blocked: bool,
    /// The program paused reading.
    pub(crate) paused: bool,
    /// Reading is stopped while too much waits to be written.
    pub(crate) choked: bool,
    /// Reading is stopped until the answer to a request is complete.
    pub(crate) held: bool,
    /// `on_writable` was asked for.
    pub(crate) wants_writable: bool,
    /// The write side is shut down.
    pub(crate) shut: bool,
    /// The peer has ended its stream.
    pub(crate) eof: bool,
    /// To be cut: it is in the list of deferred work.
    pub(crate) doomed: bool,
    /// The program hung up and its session has not been given back yet.
    pub(crate) hung_up: bool,
}

/// What few connections need.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    /// The program's own deadline.
    pub(crate) timeout: Option<Instant>,
    /// When a peer that takes nothing is given up.
    pub(crate) stall: Option<Instant>,
    /// Received bytes that may not be looked at yet.
    pub(crate) stash: Stash,
    pub(crate) topics: Vec<Membership>,
    /// What this connection adds to the engine's backlog.
    pub(crate) counted: usize,
    /// The subprotocol that was agreed on.
    pub(crate) subprotocol: Option<Box<str>>,
    /// The uplink that this is the connection of.
    pub(crate) uplink: Option<UplinkId>,
    /// The address that this connection counts for, if connections are counted by address.
    pub(crate) address: Option<IpAddr>,
}

/// Received bytes, taken from the front without moving the rest.
#[derive(Debug, Default)]
pub(crate) struct Stash {
    buffer: Vec<u8>,
    start: usize,
}

impl Stash {
    pub(crate) fn is_empty(&self) -> bool {
        self.start >= self.buffer.len()
    }

    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Forgets all but the last `len` bytes.
    pub(crate) fn keep(&mut self, len: usize) {
        self.start = self.buffer.len().saturating_sub(len);
    }
}

impl Entry {
    /// The listener of those that came by none.
    pub(crate) const OUTGOING: u16 = u16::MAX;

    pub(crate) fn new(link: Link, stage: Stage) -> Self {
        Self {
            link,
            stage,
            outbox: Outbox::default(),
            rare: None,
            session: None,
            listener: Self::OUTGOING,
            overflow: Overflow::default(),
            interest: Interest::NONE,
            flags: Flags::default(),
        }
    }

    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Brings the engine's backlog up to date with this connection's. Returns the latter.
    #[inline]
    pub(crate) fn count(&mut self, backlog: &mut usize) -> usize {
        let waiting = self.outbox.len();
        if let Some(rare) = &mut self.rare {
            *backlog = *backlog - rare.counted + waiting;
            rare.counted = waiting;
        }
        waiting
    }

    /// Stops reading while too much waits to be written.
    ///
    /// Of two peers that send more than the other has read, one must go on reading, or both wait
    /// till the write stall ends it. That is the client: what it sends is its own doing.
    pub(crate) fn choke(&mut self) {
        let is_client = matches!(&self.stage, Stage::WebSocket(ws) if ws.role() == Role::Client);
        self.flags.choked = !is_client;
    }

    /// Whether received bytes may be looked at.
    #[inline]
    pub(crate) fn is_receiving(&self) -> bool {
        !(self.flags.paused || self.flags.choked || self.flags.held)
    }

    /// Whether to read more. Not before the bytes that had to wait were looked at: what came first
    /// goes first.
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        self.is_receiving() && self.rare.as_ref().is_none_or(|rare| rare.stash.is_empty())
    }

    /// What the poller should report.
    #[inline]
    pub(crate) fn wanted_interest(&self) -> Interest {
        if let Stage::Connect(connecting) = &self.stage
            && let Some(interest) = connecting.interest()
        {
            return interest;
        }
        if let Stage::Attempt(_) = self.stage {
            return Interest::WRITE;
        }
        Interest {
            readable: self.may_read() && !self.flags.eof,
            writable: self.flags.blocked,
        }
    }

    /// The earliest of this connection's deadlines.
    #[inline(always)]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Http(stage) => stage.machine.next_timeout(),
            Stage::Connect(connecting) => Some(connecting.next_deadline()),
            Stage::WebSocket(ws) => ws.next_timeout(),
            Stage::Attempt(_) | Stage::Gone => None,
        };
        let Some(rare) = &self.rare else { return stage };
        [stage, rare.timeout, rare.stall]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An idle connection is this with its generation, a place of 16 bytes in the timer wheel, and
    /// its session with an id and a mark, 12 bytes: 180 bytes of the 256 that are its budget.
    #[test]
    fn size() {
        assert!(size_of::<Entry>() <= 152, "{}", size_of::<Entry>());
    }
}
