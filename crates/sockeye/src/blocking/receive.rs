//! The receiving side: the input buffer and the loop that waits.
//!
//! Works the same over a connection of one thread and over one that is shared. Invariant: what a
//! read brought is looked at whole before anybody concludes that time is up, and no deadline is
//! extended by what arrives.

use std::time::{Duration, Instant};

use sockeye_proto::{CloseCode, Misuse};

use super::access::Access;
use super::error::Error;
use super::received::{Event, Received};
use super::stream::TimedStream;
use super::wait::{Waited, earlier, is_due};
use crate::clock::Clock;
use crate::protocol::CloseInfo;

/// What one read takes at most. A session of TLS decrypts within it.
pub(super) const BUFFER_LEN: usize = 64 * 1024;

/// Bytes that were read and not looked at yet.
pub(super) struct Input {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER_LEN].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    /// With bytes that somebody else has read.
    pub(super) fn with(bytes: &[u8]) -> Self {
        let mut buffer = vec![0; bytes.len().max(BUFFER_LEN)].into_boxed_slice();
        if let Some(front) = buffer.get_mut(..bytes.len()) {
            front.copy_from_slice(bytes);
        }
        Self {
            buffer,
            start: 0,
            end: bytes.len(),
        }
    }

    /// Where to read to, once all input is used up.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    /// So many bytes were read.
    pub(super) fn filled(&mut self, len: usize) {
        self.start = 0;
        self.end = len;
    }

    /// The bytes to look at. What is left of them is to be told to [`Rest::left`].
    pub(super) fn bytes(&mut self) -> (&mut [u8], Rest<'_>) {
        let bytes = self.buffer.get_mut(self.start..self.end);
        let rest = Rest {
            start: &mut self.start,
            end: self.end,
        };
        (bytes.unwrap_or_default(), rest)
    }

    pub(super) fn into_vec(self) -> Vec<u8> {
        self.buffer
            .get(self.start..self.end)
            .unwrap_or_default()
            .to_vec()
    }
}

/// Takes note of how much of the [`Input`] is left.
pub(super) struct Rest<'i> {
    start: &'i mut usize,
    end: usize,
}

impl Rest<'_> {
    pub(super) fn left(self, cursor: &[u8]) {
        *self.start = self.end.saturating_sub(cursor.len());
    }
}

pub(super) struct Receiver<A> {
    pub(super) access: A,
    pub(super) input: Input,
    /// How long a call may wait, unless it says so itself.
    pub(super) limit: Option<Duration>,
    /// The last read took all there was: the next one is worth a try only after a wait.
    drained: bool,
    /// Nothing is left to be said or awaited.
    wound_up: bool,
}

impl<A: Access> Receiver<A> {
    pub(super) fn new(access: A, input: Input) -> Self {
        Self {
            access,
            input,
            limit: None,
            drained: false,
            wound_up: false,
        }
    }

    /// The connection, and how to go on with it reached in another way.
    pub(super) fn detach<B: Access>(self) -> (A, impl FnOnce(B) -> Receiver<B>) {
        let Self {
            access,
            input,
            limit,
            drained,
            wound_up,
        } = self;
        let attach = move |access| Receiver {
            access,
            input,
            limit,
            drained,
            wound_up,
        };
        (access, attach)
    }

    pub(super) fn recv_with<R>(&mut self, take: impl FnOnce(Event<'_>) -> R) -> Result<R, Error> {
        self.recv_within(self.limit, take)
    }

    pub(super) fn recv_within<R>(
        &mut self,
        limit: Option<Duration>,
        take: impl FnOnce(Event<'_>) -> R,
    ) -> Result<R, Error> {
        let mut now = Clock::read();
        let until = limit.and_then(|limit| now.checked_add(limit));
        let mut listened = false;
        loop {
            let (mut cursor, rest) = self.input.bytes();
            let event = self.access.with(|channel| {
                let event = channel.pull(&mut cursor, now);
                channel.write(now);
                event
            });
            rest.left(cursor);
            if let Some(event) = event {
                return Ok(take(event));
            }
            if listened {
                self.access.with(|channel| channel.judge(now));
            }
            if self.access.with(|channel| channel.is_over()) {
                return Err(self.conclude(false));
            }
            if listened && is_due(until, now) {
                return Err(Error::TimedOut);
            }
            listened = self.listen(until)?;
            now = Clock::read();
        }
    }

    /// Reads what is there, or waits until something is. Returns whether what is known of the peer
    /// is all that it has sent until now.
    fn listen(&mut self, until: Option<Instant>) -> Result<bool, Error> {
        let (room, now) = (self.input.room(), Clock::read());
        let was_drained = std::mem::take(&mut self.drained);
        let (read, plan) = self.access.with(|channel| {
            let deadline = earlier(until, channel.next_deadline());
            let too_late = is_due(deadline, now);
            let stream = channel.pipe.stream();
            let has_input = stream.has_input();
            let can_wait = stream.fd().is_some() && !has_input;
            let read = match was_drained && can_wait && !too_late {
                true => None,
                false => channel.read(room, now),
            };
            let go_on = too_late || has_input || read.is_some() || channel.is_over();
            (read, (!go_on).then(|| (channel.pipe.interest(), deadline)))
        });
        self.drained = read.is_some_and(|len| len < room.len());
        self.input.filled(read.unwrap_or(0));
        let Some((interest, deadline)) = plan else {
            return Ok(true);
        };
        let waited = self
            .access
            .wait(interest, deadline)
            .map_err(|error| Error::io("wait", error))?;
        if waited == Waited::Never {
            let is_over = self.access.with(|channel| {
                channel.judge(Clock::read());
                channel.is_over()
            });
            if !is_over {
                return Err(Error::TimedOut);
            }
        }
        Ok(false)
    }

    /// Says the last words on a connection that is over, and tells how it ended.
    fn conclude(&mut self, patient: bool) -> Error {
        while !self.wound_up {
            let room = self.input.room();
            let plan = self
                .access
                .with(|channel| channel.wind_up(Clock::read(), patient, room));
            let waited = plan.map(|(interest, deadline)| self.access.wait(interest, deadline));
            // A wait that fails or cannot be is no reason to keep anybody from the end.
            self.wound_up = !matches!(waited, Some(Ok(Waited::Ready | Waited::TooLate)));
        }
        self.access.with(|channel| channel.error())
    }

    pub(super) fn next_message(&mut self) -> Result<Option<Received>, Error> {
        loop {
            match self.recv_with(|event| event.into()) {
                Ok(Received::Pong(_)) => {}
                Ok(received) => return Ok(Some(received)),
                Err(Error::Closed(info)) if info.clean => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn messages(&mut self) -> impl Iterator<Item = Result<Received, Error>> {
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over {
                return None;
            }
            let message = self.next_message().transpose();
            is_over = matches!(message, Some(Err(_)));
            message
        })
    }

    pub(super) fn close(&mut self, code: CloseCode, reason: &str) -> Result<CloseInfo, Error> {
        // It is written on the way: the deadline of closing holds for that, too.
        let begun = self.access.with(|channel| {
            channel.append(Clock::read(), |machine, cx| machine.close(code, reason, cx))
        });
        match begun {
            // What cannot be written may still be answered: the peer can have closed first.
            Ok(_) | Err(Error::Io { .. } | Error::Closed(_) | Error::Violation(_)) => {}
            Err(Error::Misuse(Misuse::AlreadyClosing | Misuse::NotOpen)) => {}
            Err(error) => return Err(error),
        }
        loop {
            match self.recv_within(None, |_| ()) {
                Ok(()) => {}
                Err(Error::Closed(info)) => {
                    self.wound_up = false;
                    self.conclude(true);
                    return Ok(info);
                }
                Err(error) => return Err(error),
            }
        }
    }
}
