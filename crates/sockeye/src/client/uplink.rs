//! A connection that comes back: when it is tried again, when it is given up, what waits meanwhile.
//!
//! Knows no sockets and no loop: it is told what became of an attempt and says when the next is due.
//!
//! ```text
//!             ┌────────────── failed, closed: wait ◀─────────────┐
//!             ▼                                                  │
//! waiting ──▶ preparing (the program's hook) ──▶ connecting ──▶ open
//!             │ no session, or too many failures
//!             ▼
//!            over
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use sockeye_proto::ws::Prepared;

use super::backoff::Backoff;
use super::error::ConnectError;
use super::options::ConnectOptions;
use crate::id::ConnId;
use crate::protocol::CloseInfo;

/// Names one uplink of one engine. After its end it names nothing any more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UplinkId(pub(crate) ConnId);

impl fmt::Display for UplinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for UplinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UplinkId({self})")
    }
}

/// How much may wait for an uplink that is away. Nothing by default: what is sent meanwhile is
/// refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UplinkQueue {
    /// The most messages.
    pub messages: usize,
    /// The most bytes, counting each message with its frame's header; never more than
    /// [`Limits::backlog_len`](crate::Limits::backlog_len), so that all can be sent at once.
    pub bytes: usize,
}

/// An attempt of an uplink to connect, before it is made: see
/// [`Protocol::on_uplink`](crate::Protocol::on_uplink).
#[derive(Debug)]
pub struct Attempt {
    uplink: UplinkId,
    number: u64,
    failures: u32,
    ending: Option<Ending>,
    /// What is asked for and how. Changes stay for later attempts.
    pub options: ConnectOptions,
}

/// What became of the attempt before.
#[derive(Debug)]
enum Ending {
    Failed(ConnectError),
    Closed(CloseInfo),
}

impl Attempt {
    /// The uplink, to be remembered for [`Core::send_uplink`](crate::Core::send_uplink).
    pub fn uplink(&self) -> UplinkId {
        self.uplink
    }

    /// 1 for the first attempt.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// How many attempts in a row led to no stable connection; see [`Backoff::stable_after`].
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Why the attempt before led to no connection, if so.
    pub fn error(&self) -> Option<&ConnectError> {
        match &self.ending {
            Some(Ending::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// How the connection before ended, if there was one.
    pub fn closed(&self) -> Option<&CloseInfo> {
        match &self.ending {
            Some(Ending::Closed(info)) => Some(info),
            _ => None,
        }
    }
}

/// What an uplink does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It tries again then.
    RetryAt(Instant),
    /// It is over.
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Preparing,
    Connecting(ConnId),
    Open { conn: ConnId, since: Instant },
}

/// The state of an uplink.
#[derive(Debug)]
pub(crate) struct Holder {
    pub(crate) protocol: u16,
    backoff: Backoff,
    phase: Phase,
    /// Elsewhere while preparing.
    attempt: Option<Box<Attempt>>,
    room: UplinkQueue,
    queue: VecDeque<Prepared>,
    queue_len: usize,
}

impl Holder {
    pub(crate) fn new(protocol: u16, options: ConnectOptions, backoff: Backoff) -> Self {
        let attempt = Attempt {
            uplink: UplinkId(ConnId::new(0, 0)),
            number: 0,
            failures: 0,
            ending: None,
            options,
        };
        Self {
            protocol,
            backoff,
            phase: Phase::Waiting,
            attempt: Some(Box::new(attempt)),
            room: UplinkQueue::default(),
            queue: VecDeque::new(),
            queue_len: 0,
        }
    }

    /// It is time: the attempt, for the program's hook. [`connecting`](Self::connecting) or
    /// [`failed`](Self::failed) takes it back.
    pub(crate) fn prepare(&mut self, own: UplinkId) -> Option<Box<Attempt>> {
        if self.phase != Phase::Waiting {
            return None;
        }
        let mut attempt = self.attempt.take()?;
        self.phase = Phase::Preparing;
        attempt.uplink = own;
        attempt.number += 1;
        Some(attempt)
    }

    /// The hook is done with it.
    pub(crate) fn prepared(&mut self, attempt: Box<Attempt>) {
        self.attempt = Some(attempt);
    }

    /// A connection is under way.
    pub(crate) fn connecting(&mut self, conn: ConnId) {
        self.phase = Phase::Connecting(conn);
    }

    pub(crate) fn opened(&mut self, conn: ConnId, now: Instant) {
        self.phase = Phase::Open { conn, since: now };
    }

    /// The attempt came to nothing. `chance` is from 0 to 1.
    pub(crate) fn failed(&mut self, error: ConnectError, now: Instant, chance: f64) -> Verdict {
        self.ended(Ending::Failed(error), false, now, chance)
    }

    /// The connection is over.
    pub(crate) fn closed(&mut self, info: CloseInfo, now: Instant, chance: f64) -> Verdict {
        let stable = match self.phase {
            Phase::Open { since, .. } => {
                now.saturating_duration_since(since) >= self.backoff.stable_after
            }
            _ => false,
        };
        self.ended(Ending::Closed(info), stable, now, chance)
    }

    fn ended(&mut self, ending: Ending, stable: bool, now: Instant, chance: f64) -> Verdict {
        self.phase = Phase::Waiting;
        let Some(attempt) = &mut self.attempt else {
            return Verdict::GiveUp;
        };
        attempt.ending = Some(ending);
        attempt.failures = match stable {
            true => 0,
            false => attempt.failures.saturating_add(1),
        };
        let most = self.backoff.attempts;
        if !stable && most.is_some_and(|most| attempt.failures >= most) {
            return Verdict::GiveUp;
        }
        let delay = self.backoff.delay(attempt.failures, chance);
        now.checked_add(delay)
            .map_or(Verdict::GiveUp, Verdict::RetryAt)
    }

    /// The connection that is open or under way.
    pub(crate) fn current(&self) -> Option<ConnId> {
        match self.phase {
            Phase::Connecting(conn) | Phase::Open { conn, .. } => Some(conn),
            Phase::Waiting | Phase::Preparing => None,
        }
    }

    /// The open connection.
    pub(crate) fn open(&self) -> Option<ConnId> {
        match self.phase {
            Phase::Open { conn, .. } => Some(conn),
            _ => None,
        }
    }

    pub(crate) fn set_room(&mut self, room: UplinkQueue) {
        self.room = room;
    }

    /// Keeps a message until the uplink is back. Returns how many bytes wait then, or nothing if
    /// there is no room.
    pub(crate) fn enqueue(&mut self, message: Prepared) -> Option<usize> {
        let len = self.queue_len + message.frame().len();
        if self.queue.len() >= self.room.messages || len > self.room.bytes {
            return None;
        }
        self.queue_len = len;
        self.queue.push_back(message);
        Some(len)
    }

    /// What waited.
    pub(crate) fn take_queue(&mut self) -> VecDeque<Prepared> {
        self.queue_len = 0;
        std::mem::take(&mut self.queue)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::{ConnectCause, Step};
    use crate::protocol::CloseCause;

    const CONN: ConnId = ConnId::new(1, 1);

    fn holder(backoff: Backoff) -> Holder {
        Holder::new(0, ConnectOptions::new("ws://a/").unwrap(), backoff)
    }

    fn error() -> ConnectError {
        ConnectError {
            step: Step::Connect,
            subject: "a:80".to_owned(),
            cause: ConnectCause::TimedOut,
        }
    }

    fn attempt(holder: &mut Holder) -> (u64, u32) {
        let attempt = holder.prepare(UplinkId(CONN)).unwrap();
        let counts = (attempt.number(), attempt.failures());
        holder.prepared(attempt);
        holder.connecting(CONN);
        counts
    }

    fn lost() -> CloseInfo {
        CloseInfo::unclean(CloseCause::Aborted)
    }

    #[test]
    fn failures_make_it_wait_longer_and_a_stable_connection_ends_them() {
        let backoff = Backoff::default();
        let mut holder = holder(backoff);
        let now = Instant::now();
        assert_eq!(attempt(&mut holder), (1, 0));
        let retry = |seconds| Verdict::RetryAt(now + Duration::from_secs(seconds));
        assert_eq!(holder.failed(error(), now, 0.0), retry(1));
        assert_eq!(attempt(&mut holder), (2, 1));
        assert_eq!(holder.failed(error(), now, 0.0), retry(2));
        assert_eq!(attempt(&mut holder), (3, 2));
        holder.opened(CONN, now);
        assert_eq!(
            holder.closed(lost(), now, 0.0),
            retry(4),
            "it was not stable"
        );
        assert_eq!(attempt(&mut holder), (4, 3));
        holder.opened(CONN, now);
        let later = now + backoff.stable_after;
        let soon = Verdict::RetryAt(later + backoff.first);
        assert_eq!(holder.closed(lost(), later, 0.0), soon);
        assert_eq!(attempt(&mut holder), (5, 0));
    }

    #[test]
    fn it_gives_up_after_so_many_failures_in_a_row() {
        let backoff = Backoff {
            attempts: Some(2),
            ..Backoff::default()
        };
        let now = Instant::now();
        let mut holder = holder(backoff);
        attempt(&mut holder);
        assert_ne!(holder.failed(error(), now, 0.0), Verdict::GiveUp);
        attempt(&mut holder);
        assert_eq!(holder.failed(error(), now, 0.0), Verdict::GiveUp);
    }

    #[test]
    fn the_hook_learns_what_happened() {
        let mut holder = holder(Backoff::default());
        let now = Instant::now();
        let first = holder.prepare(UplinkId(CONN)).unwrap();
        assert!(first.error().is_none() && first.closed().is_none());
        assert!(holder.prepare(UplinkId(CONN)).is_none(), "one at a time");
        holder.prepared(first);
        holder.failed(error(), now, 0.0);
        let second = holder.prepare(UplinkId(CONN)).unwrap();
        assert_eq!(
            second.error().unwrap().to_string(),
            "connect a:80: timed out"
        );
        holder.prepared(second);
        holder.opened(CONN, now);
        assert_eq!(holder.open(), Some(CONN));
        holder.closed(lost(), now, 0.0);
        let third = holder.prepare(UplinkId(CONN)).unwrap();
        assert_eq!(third.closed(), Some(&lost()));
        assert!(third.error().is_none());
    }

    #[test]
    fn the_queue_is_bounded_in_messages_and_bytes() {
        let mut holder = holder(Backoff::default());
        assert_eq!(
            holder.enqueue(Prepared::text("a")),
            None,
            "nothing waits by default"
        );
        let room = |messages, bytes| UplinkQueue { messages, bytes };
        holder.set_room(room(2, 100));
        assert_eq!(holder.enqueue(Prepared::text("a")), Some(3));
        assert_eq!(holder.enqueue(Prepared::text("b")), Some(6));
        assert_eq!(holder.enqueue(Prepared::text("c")), None);
        holder.set_room(room(9, 10));
        assert_eq!(
            holder.enqueue(Prepared::text("ddd")),
            None,
            "one byte too many"
        );
        assert_eq!(holder.enqueue(Prepared::text("dd")), Some(10));
        let taken: Vec<usize> = holder
            .take_queue()
            .iter()
            .map(|message| message.data().len())
            .collect();
        assert_eq!(taken, [1, 1, 2]);
        assert_eq!(holder.enqueue(Prepared::text("e")), Some(3));
    }
}
