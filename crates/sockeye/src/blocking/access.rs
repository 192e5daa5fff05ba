//! How a connection is reached: owned by one thread, or shared by two.
//!
//! What is done with a [`Channel`] is the same either way; only waiting must happen outside of the
//! lock of a shared one.

use std::io;
use std::time::Instant;

use sockeye_proto::ws;
use sockeye_proto::{Cx, Misuse};

use super::channel::Channel;
use super::error::Error;
use super::stream::TimedStream;
use super::wait::{Waited, wait, watch};
use crate::clock::Clock;
use crate::poll::Interest;

pub(super) trait Access {
    type Stream: TimedStream;

    fn with<R>(&mut self, step: impl FnOnce(&mut Channel<Self::Stream>) -> R) -> R;

    /// Waits until the stream is ready as asked, or the deadline has passed. Input that the
    /// descriptor does not tell of is the caller's to look for.
    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited>;
}

/// A connection of one thread.
pub(super) struct Owned<S>(pub(super) Channel<S>);

impl<S: TimedStream> Access for Owned<S> {
    type Stream = S;

    fn with<R>(&mut self, step: impl FnOnce(&mut Channel<S>) -> R) -> R {
        step(&mut self.0)
    }

    fn wait(&mut self, interest: Interest, deadline: Option<Instant>) -> io::Result<Waited> {
        match self.0.pipe.stream().fd() {
            Some(descriptor) => wait(&mut [watch(descriptor, interest)], deadline),
            None => Ok(Waited::Never),
        }
    }
}

/// Lets the machine append something and waits until the system has it.
pub(super) fn transmit(
    access: &mut impl Access,
    call: impl FnOnce(&mut ws::WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
) -> Result<(), Error> {
    let mark = access.with(|channel| channel.append(Clock::read(), call))?;
    drain(access, mark)
}

/// Waits until the system has everything that was appended.
pub(super) fn flush(access: &mut impl Access) -> Result<(), Error> {
    let mark = access.with(|channel| channel.pipe.mark());
    drain(access, mark)
}

fn drain(access: &mut impl Access, mark: u64) -> Result<(), Error> {
    loop {
        let step = access.with(|channel| {
            let now = Clock::read();
            channel.write(now);
            if let Some(kind) = channel.pipe.failed() {
                return Err(Error::io("write", kind));
            }
            if channel.pipe.has_passed(mark) {
                return Ok(None);
            }
            channel.judge_stall(now);
            if channel.is_over() {
                return Err(channel.error());
            }
            Ok(Some((
                channel.pipe.write_interest(),
                channel.stall_deadline(),
            )))
        })?;
        let Some((interest, deadline)) = step else {
            return Ok(());
        };
        let waited = access
            .wait(interest, deadline)
            .map_err(|error| Error::io("wait", error))?;
        if waited == Waited::Never {
            return Err(Error::TimedOut);
        }
    }
}
