//! The deadlines: keepalive, idleness, the end of closing.
//!
//! [`WebSocket::next_timeout`] is computed, never stored: receiving costs no timer operation, and
//! the deadline an owner was told may only turn out to lie later.

use std::time::{Duration, Instant};

use super::{Event, Lost, Phase, WebSocket};
use crate::close::CloseCode;
use crate::cx::Cx;
use crate::frame::Opcode;

impl WebSocket {
    /// When [`handle_timeout`](Self::handle_timeout) wants to be called. Cheap, and the answer may
    /// move later without notice: an owner that wakes up too early just asks again.
    #[inline]
    pub fn next_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Open => earlier(self.keepalive_due(), self.idle_due()),
            Phase::Gone => None,
            _ => self.close_due(),
        }
    }

    /// Does what is due; nothing if called too early. A ping or a Close may go to the output; a
    /// deadline that ends the connection is reported unless the end already was.
    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Option<Event<'static>> {
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= cx.now);
        if cx.blocked && self.phase == Phase::Open && due(self.next_timeout()) {
            self.restart(cx.now);
        }
        match self.phase {
            Phase::Open if due(self.idle_due()) => {
                self.put_close(CloseCode::GOING_AWAY, "idle", Phase::Draining, cx);
                None
            }
            Phase::Open if due(self.keepalive_due()) => self.keep_alive(cx),
            Phase::Draining | Phase::Discarding if due(self.close_due()) => {
                self.lose(Lost::CloseTimeout)
            }
            Phase::Failed | Phase::Finished if due(self.close_due()) => {
                self.end();
                None
            }
            _ => None,
        }
    }

    /// Takes note that the stream ended. Reports it unless the end already was.
    pub fn receive_eof(&mut self, _cx: &mut Cx<'_>) -> Option<Event<'static>> {
        match self.phase {
            Phase::Open | Phase::Draining | Phase::Discarding => self.lose(Lost::EndOfStream),
            Phase::Failed | Phase::Finished | Phase::Gone => {
                self.end();
                None
            }
        }
    }

    fn keep_alive(&mut self, cx: &mut Cx<'_>) -> Option<Event<'static>> {
        if self.pinged {
            return self.lose(Lost::PingTimeout);
        }
        self.since = cx.now;
        self.pinged = true;
        self.frame(Opcode::Ping, true, &[], cx);
        None
    }

    /// Begins all waiting anew. While output waits for the peer, a ping would wait behind it:
    /// silence proves nothing, and a message is still on its way.
    fn restart(&mut self, now: Instant) {
        self.since = now;
        self.active = now;
        self.pinged = false;
    }

    fn lose(&mut self, lost: Lost) -> Option<Event<'static>> {
        self.end();
        Some(Event::Lost(lost))
    }

    fn end(&mut self) {
        self.phase = Phase::Gone;
        self.parts = None;
    }

    #[inline]
    fn keepalive_due(&self) -> Option<Instant> {
        let limits = &self.config.limits;
        let interval = limits.ping_interval?;
        #[cfg(feature = "drafts")]
        if self.version().is_text_only() {
            return None;
        }
        let wait = match self.pinged {
            true => limits.pong_timeout,
            false => interval,
        };
        after(self.since, wait)
    }

    #[inline]
    fn idle_due(&self) -> Option<Instant> {
        after(self.active, self.config.limits.idle_timeout?)
    }

    fn close_due(&self) -> Option<Instant> {
        after(self.since, self.config.limits.close_timeout)
    }
}

/// A deadline beyond the end of time is none.
fn after(start: Instant, wait: Duration) -> Option<Instant> {
    start.checked_add(wait)
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
