//! One connection: the machine, its stream, and how it ended.
//!
//! Everything that both a whole [`WebSocket`](super::WebSocket) and the two halves of one do, as
//! steps that never wait. Knows nothing of threads; the input buffer is the caller's.
//!
//! Invariants: the end is noted once, by whatever comes first; a failed write does not keep what
//! was received before it from being delivered.

use std::io;
use std::time::Instant;

use sockeye_proto::ws::{self, Fate};
use sockeye_proto::{Cx, Misuse, Shared};

use super::error::Error;
use super::pipe::Pipe;
use super::received::Event;
use super::stream::TimedStream;
use super::wait::{earlier, is_due};
use crate::poll::Interest;
use crate::protocol::{CloseCause, CloseInfo};
use crate::tls::TlsError;

pub(super) struct Channel<S> {
    pub(super) pipe: Pipe<S>,
    machine: ws::WebSocket,
    shared: Shared,
    end: Option<CloseInfo>,
    /// What the system said, until it was told.
    failure: Option<io::Error>,
    /// The peer sends no more.
    exhausted: bool,
    /// We send no more.
    shut: bool,
}

impl<S: TimedStream> Channel<S> {
    pub(super) fn new(pipe: Pipe<S>, machine: ws::WebSocket, shared: Shared) -> Self {
        Self {
            pipe,
            machine,
            shared,
            end: None,
            failure: None,
            exhausted: false,
            shut: false,
        }
    }

    pub(super) fn machine(&self) -> &ws::WebSocket {
        &self.machine
    }

    pub(super) fn into_parts(self) -> (Pipe<S>, ws::WebSocket) {
        (self.pipe, self.machine)
    }

    fn parts(&mut self, now: Instant) -> (&mut ws::WebSocket, Cx<'_>) {
        let blocked = self.pipe.is_stalled();
        let cx = Cx {
            now,
            output: self.pipe.output(),
            shared: &mut self.shared,
            blocked,
        };
        (&mut self.machine, cx)
    }

    /// Notes how the connection ended, unless that is known.
    fn finish(&mut self, info: CloseInfo) {
        self.end.get_or_insert(info);
    }

    fn lose(&mut self, cause: CloseCause) {
        self.finish(CloseInfo::unclean(cause));
    }

    pub(super) fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// The end of the connection as an error. To be asked once it is over.
    pub(super) fn error(&mut self) -> Error {
        if let Some(failure) = self.failure.take() {
            return Error::io("read", failure);
        }
        match &self.end {
            None => Error::Misuse(Misuse::NotOpen),
            Some(info) => match info.cause {
                CloseCause::Io(kind) => Error::io("read", kind),
                CloseCause::Violation(violation) => Error::Violation(violation),
                _ => Error::Closed(info.clone()),
            },
        }
    }

    /// Takes the next event out of the input. `None`: the input is used up, or the end is known.
    pub(super) fn pull<'b>(&mut self, input: &mut &'b mut [u8], now: Instant) -> Option<Event<'b>> {
        loop {
            let (machine, mut cx) = self.parts(now);
            let event = match machine.receive(input, &mut cx) {
                Ok(event) => event?,
                Err(violation) => {
                    self.lose(CloseCause::Violation(violation));
                    return None;
                }
            };
            match event {
                ws::Event::Text(text) => return Some(Event::Text(text)),
                ws::Event::Binary(data) => return Some(Event::Binary(data)),
                ws::Event::Chunk(chunk) => return Some(Event::Chunk(chunk)),
                ws::Event::Pong(data) => return Some(Event::Pong(data)),
                ws::Event::Close(frame) => {
                    let reason = frame.reason.into_string();
                    self.finish(CloseInfo::handshake(frame.code, reason));
                }
                ws::Event::Lost(lost) => self.lose(CloseCause::Lost(lost)),
                // The pong is in the output.
                _ => {}
            }
        }
    }

    /// Reads what is there; `None` if nothing is, or if the connection is over now.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) -> Option<usize> {
        match self.pipe.read(buffer) {
            Ok(Some(0)) => {
                self.exhausted = true;
                let (machine, mut cx) = self.parts(now);
                if let Some(ws::Event::Lost(lost)) = machine.receive_eof(&mut cx) {
                    self.lose(CloseCause::Lost(lost));
                }
                None
            }
            Ok(read) => read,
            Err(error) => {
                self.fail(error);
                None
            }
        }
    }

    /// Notes that the stream can be used no more.
    pub(super) fn fail(&mut self, error: io::Error) {
        self.exhausted = true;
        let kind = error.kind();
        match TlsError::from_io(error) {
            Ok(TlsError::Truncated) => return self.lose(CloseCause::Truncated),
            Ok(error) if self.end.is_none() => self.failure = Some(error.into_io()),
            Err(error) if self.end.is_none() => self.failure = Some(error),
            Ok(_) | Err(_) => {}
        }
        self.lose(CloseCause::Io(kind));
    }

    /// Writes what goes now.
    pub(super) fn write(&mut self, now: Instant) {
        let was_stalled = self.pipe.is_stalled();
        self.pipe.write(now);
        if was_stalled && !self.pipe.is_stalled() {
            let (machine, mut cx) = self.parts(now);
            machine.handle_unblocked(&mut cx);
            self.pipe.write(now);
        }
    }

    /// When [`judge`](Self::judge) has something to do.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        earlier(self.machine.next_timeout(), self.stall_deadline())
    }

    pub(super) fn stall_deadline(&self) -> Option<Instant> {
        let limits = &self.machine.config().limits;
        self.pipe.stall_deadline(limits.write_stall_timeout)
    }

    /// Does what is due. Only to be called after listening: who did not must not conclude that the
    /// peer is silent.
    pub(super) fn judge(&mut self, now: Instant) {
        if is_due(self.machine.next_timeout(), now) {
            let (machine, mut cx) = self.parts(now);
            if let Some(ws::Event::Lost(lost)) = machine.handle_timeout(&mut cx) {
                self.lose(CloseCause::Lost(lost));
            }
            self.write(now);
        }
        self.judge_stall(now);
    }

    pub(super) fn judge_stall(&mut self, now: Instant) {
        if is_due(self.stall_deadline(), now) {
            self.lose(CloseCause::Stalled);
        }
    }

    /// Lets the machine append something, and says where that ends.
    pub(super) fn append(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut ws::WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
    ) -> Result<u64, Error> {
        if self.is_over() {
            return Err(self.error());
        }
        if let Some(kind) = self.pipe.failed() {
            return Err(Error::io("write", kind));
        }
        let (machine, mut cx) = self.parts(now);
        call(machine, &mut cx)?;
        Ok(self.pipe.mark())
    }

    /// The last words on a connection that is over: what is written is brought on its way, the end
    /// of it told, and where a reset could overtake it, the peer's end awaited. Says what to wait
    /// for; `None` when all is done. `patient`: a client waits for the server to end TCP
    /// (RFC 6455 §7.1.1).
    pub(super) fn wind_up(
        &mut self,
        now: Instant,
        patient: bool,
        buffer: &mut [u8],
    ) -> Option<(Interest, Option<Instant>)> {
        let deadline = self.machine.next_timeout();
        let fate = self.machine.fate();
        // Nothing is left to say, or nobody to say it to.
        let is_hopeless = deadline.is_none() || !self.has_last_words();
        if is_hopeless || is_due(deadline, now) || self.pipe.failed().is_some() {
            self.shut();
            return None;
        }
        self.write(now);
        if self.pipe.is_pending() {
            return Some((self.pipe.write_interest(), deadline));
        }
        if fate != Fate::AwaitEof {
            self.shut();
        }
        let lingers = fate == Fate::HalfClose || (fate == Fate::AwaitEof && patient);
        if !lingers || self.exhausted {
            return None;
        }
        self.read(buffer, now);
        (!self.exhausted).then_some((Interest::READ, deadline))
    }

    fn has_last_words(&self) -> bool {
        self.end.as_ref().is_some_and(|info| {
            matches!(info.cause, CloseCause::Handshake | CloseCause::Violation(_))
        })
    }

    fn shut(&mut self) {
        if !std::mem::replace(&mut self.shut, true) {
            self.pipe.shutdown_write();
        }
    }
}
