//! Waiting for descriptors until a deadline, by `poll(2)`.
//!
//! Knows descriptors and time. A wait ends when one of them is ready or the deadline has passed,
//! never before: signals do not cut it short.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::clock::Clock;
use crate::poll::Interest;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// Something can be done.
    Ready,
    /// The deadline has passed.
    TooLate,
    /// The stream has nothing that could be waited for.
    Never,
}

/// What to watch of a descriptor. A hangup or an error is reported in any case.
pub(super) fn watch(descriptor: BorrowedFd<'_>, interest: Interest) -> PollFd<'_> {
    let mut events = PollFlags::empty();
    events.set(PollFlags::IN, interest.readable);
    events.set(PollFlags::OUT, interest.writable);
    PollFd::from_borrowed_fd(descriptor, events)
}

/// Waits until one of these is ready. A deadline in the past asks without waiting.
pub(super) fn wait(watched: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<Waited> {
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Clock::read()));
        // What the system cannot count is longer than anybody waits.
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(watched, timeout.as_ref()) {
            Ok(0) => return Ok(Waited::TooLate),
            Ok(_) => return Ok(Waited::Ready),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The earlier of two deadlines.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

/// Whether a deadline has passed.
pub(super) fn is_due(deadline: Option<Instant>, now: Instant) -> bool {
    deadline.is_some_and(|at| at <= now)
}
