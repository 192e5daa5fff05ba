//! The engine's side of its channels: reading them in bounded portions, and not at all while too
//! much waits for slow peers.
//!
//! Invariant: an inlet that rests is not polled, and its rest has an end.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::net::{Shutdown, shutdown};

use super::receiver::{Buffer, Received, Receiver};
use crate::Prepared;
use crate::core::Core;
use crate::engine::Engine;
use crate::error::Error;
use crate::id::ConnId;
use crate::listener::INLET_TOKENS;
use crate::poll::{Interest, Registrar, Token};
use crate::protocol::{Overflow, Protocol, ProtocolKey};

/// The receiving ends that an engine has.
#[derive(Debug, Default)]
pub(crate) struct Inlets {
    all: Vec<Option<Inlet>>,
    buffer: Buffer,
}

#[derive(Debug)]
struct Inlet {
    receiver: Receiver,
    /// The protocol whose connections get what arrives.
    protocol: u16,
    rest: Option<Rest>,
    /// Slow peers were waited for long enough: they are not, until all is well again.
    impatient: bool,
}

/// Why a channel is not read.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Option<Instant>,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    /// The process lacks descriptors or memory.
    Short,
    Crowded(Crowd),
}

/// Where too much waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Crowd {
    Total,
    At(ConnId),
}

/// Reading stops above the one level, and goes on below the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Crowded,
    Relieved,
}

impl Inlets {
    /// Which inlet a token names.
    pub(crate) fn index_of(token: Token) -> Option<usize> {
        let index = token.0.checked_sub(INLET_TOKENS.start)?;
        INLET_TOKENS.contains(&token.0).then_some(index as usize)
    }

    fn token(index: usize) -> Token {
        Token(INLET_TOKENS.start + index as u64)
    }

    fn add(
        &mut self,
        protocol: u16,
        receiver: Receiver,
        registrar: &mut dyn Registrar,
    ) -> io::Result<()> {
        let vacant = self.all.iter().position(Option::is_none);
        let index = vacant.unwrap_or(self.all.len());
        registrar.add(receiver.as_fd(), Self::token(index), Interest::READ)?;
        let inlet = Some(Inlet {
            receiver,
            protocol,
            rest: None,
            impatient: false,
        });
        match self.all.get_mut(index) {
            Some(slot) => *slot = inlet,
            None => self.all.push(inlet),
        }
        Ok(())
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Inlet> {
        self.all.get_mut(index)?.as_mut()
    }

    /// Stops reading.
    fn rest(&mut self, index: usize, rest: Rest, registrar: &mut dyn Registrar) {
        if let Some(inlet) = self.get_mut(index) {
            inlet.rest = Some(rest);
            let fd = inlet.receiver.as_fd();
            // What could not be silenced is reported, and rests all the same.
            drop(registrar.modify(fd, Self::token(index), Interest::NONE));
        }
    }

    /// Goes on reading. Says whether that could be arranged.
    fn wake(&mut self, index: usize, registrar: &mut dyn Registrar) -> bool {
        let Some(inlet) = self.get_mut(index) else {
            return true;
        };
        let fd = inlet.receiver.as_fd();
        let told = registrar
            .modify(fd, Self::token(index), Interest::READ)
            .is_ok();
        if told {
            inlet.rest = None;
        }
        told
    }

    fn close(&mut self, index: usize, registrar: &mut dyn Registrar) {
        if let Some(inlet) = self.all.get_mut(index).and_then(Option::take) {
            drop(registrar.remove(inlet.receiver.as_fd()));
        }
    }

    /// Closes all of them: senders are told that nobody receives.
    pub(crate) fn close_all(&mut self, registrar: &mut dyn Registrar) {
        for index in 0..self.all.len() {
            self.close(index, registrar);
        }
    }

    /// The next time that one goes on at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let inlets = self.all.iter().flatten();
        inlets.filter_map(|inlet| inlet.rest?.until).min()
    }
}

impl Engine {
    /// Hands what comes out of a channel to a protocol, as broadcasts. See [`bus`](crate::bus).
    ///
    /// # Errors
    ///
    /// The channel cannot be watched, or the protocol is not this engine's.
    pub fn attach<P: Protocol>(
        &mut self,
        key: ProtocolKey<P>,
        receiver: Receiver,
    ) -> Result<(), Error> {
        if usize::from(key.index) >= self.protocols.len() {
            return Err(Error::Config(format!("{key:?} is not this engine's")));
        }
        self.inlets
            .add(key.index, receiver, self.core.driver.registrar())
            .map_err(|error| Error::io("watch the channel", error))
    }

    /// Reads a channel: some messages, not all.
    pub(crate) fn read_inlet(&mut self, index: usize) {
        let Some(inlet) = self.inlets.get_mut(index) else {
            return;
        };
        if inlet.rest.is_some() {
            return;
        }
        let protocol = inlet.protocol;
        if inlet.impatient {
            inlet.impatient = self.core.crowd(protocol, Level::Relieved).is_some();
        } else if let Some(crowd) = self.core.crowd(protocol, Level::Crowded) {
            let patience = self.core.limits.bus_patience;
            let until = self.core.now().checked_add(patience);
            return self.rest_inlet(index, until, Cause::Crowded(crowd));
        }
        let mut bytes = 0;
        for _ in 0..self.core.limits.bus_messages_per_turn {
            match self.take_message(index) {
                Some(len) => bytes += len,
                None => break,
            }
            if bytes >= self.core.limits.read_per_turn {
                break;
            }
        }
        self.inlets.buffer.shrink();
    }

    /// Takes one message out of a channel and hands it out. Returns its length; `None`: there is
    /// no more now.
    fn take_message(&mut self, index: usize) -> Option<usize> {
        let inlets = &mut self.inlets;
        let inlet = inlets.all.get(index)?.as_ref()?;
        match inlet.receiver.receive(&mut inlets.buffer) {
            Received::Message(message) => {
                let message = Prepared::new(message);
                let protocol = inlet.protocol;
                if let Some(hosted) = self.protocols.get_mut(usize::from(protocol))
                    && hosted.bus_message(&mut self.core, &message)
                {
                    self.broadcast(protocol, &message);
                }
                Some(message.data().len())
            }
            Received::Rejected => {
                self.core.stats.bus_rejected += 1;
                Some(0)
            }
            Received::Empty => None,
            Received::Short => {
                let until = self.core.now().checked_add(self.core.limits.accept_pause);
                self.rest_inlet(index, until, Cause::Short);
                None
            }
            Received::Ended => {
                let protocol = usize::from(inlet.protocol);
                inlets.close(index, self.core.driver.registrar());
                // The end of a channel that is shut down is this side's own doing.
                if !self.core.stopping
                    && let Some(hosted) = self.protocols.get_mut(protocol)
                {
                    hosted.bus_end(&mut self.core);
                }
                None
            }
        }
    }

    fn rest_inlet(&mut self, index: usize, until: Option<Instant>, cause: Cause) {
        let rest = Rest { until, cause };
        self.inlets.rest(index, rest, self.core.driver.registrar());
    }

    /// Lets channels be read again for which it is time. Part of every turn.
    pub(crate) fn resume_inlets(&mut self) {
        let now = self.core.now();
        for index in 0..self.inlets.all.len() {
            let Some(inlet) = self.inlets.get_mut(index) else {
                continue;
            };
            let Some(rest) = inlet.rest else { continue };
            let is_over = rest.until.is_some_and(|until| until <= now);
            match rest.cause {
                Cause::Short if is_over => {}
                Cause::Short => continue,
                Cause::Crowded(_) if is_over => inlet.impatient = true,
                Cause::Crowded(crowd) => {
                    // One is followed at a time: to look at all in every turn would cost.
                    let crowd = match self.core.is_crowded(crowd, Level::Relieved) {
                        true => Some(crowd),
                        false => self.core.crowd(inlet.protocol, Level::Relieved),
                    };
                    if let Some(crowd) = crowd {
                        let cause = Cause::Crowded(crowd);
                        inlet.rest = Some(Rest { cause, ..rest });
                        continue;
                    }
                }
            }
            if !self.inlets.wake(index, self.core.driver.registrar()) {
                let until = now.checked_add(self.core.limits.accept_pause);
                self.rest_inlet(index, until, Cause::Short);
            }
        }
    }

    /// Takes nothing new from any channel, hands out what was sent, and closes them. What was sent
    /// is bounded by the room of a channel.
    pub(crate) fn finish_inlets(&mut self) {
        for index in 0..self.inlets.all.len() {
            let Some(inlet) = self.inlets.get_mut(index) else {
                continue;
            };
            // What is in the queue can still be read; without this a sender could go on for ever.
            if shutdown(&inlet.receiver, Shutdown::Both).is_ok() {
                while self.take_message(index).is_some() {}
            }
        }
        self.inlets.close_all(self.core.driver.registrar());
        self.inlets.buffer.shrink();
    }
}

impl Core {
    /// Where too much waits for a message to all connections of a protocol, if anywhere.
    fn crowd(&self, protocol: u16, level: Level) -> Option<Crowd> {
        if self.is_crowded(Crowd::Total, level) {
            return Some(Crowd::Total);
        }
        if self.backlog <= self.mark(level) {
            return None;
        }
        let mut next = self.conns.next_after(None);
        while let Some(id) = next {
            let session = self.conns.get(id).and_then(|entry| entry.session);
            if session.is_some_and(|session| session.protocol == protocol)
                && self.is_crowded(Crowd::At(id), level)
            {
                return Some(Crowd::At(id));
            }
            next = self.conns.next_after(Some(id.index()));
        }
        None
    }

    fn is_crowded(&self, crowd: Crowd, level: Level) -> bool {
        match crowd {
            Crowd::Total => {
                let part = match level {
                    Level::Crowded => 2,
                    Level::Relieved => 4,
                };
                self.backlog > self.limits.backlog_total_len / part
            }
            // Who may miss messages need not be waited for.
            Crowd::At(id) => self.conns.get(id).is_some_and(|entry| {
                entry.session.is_some()
                    && !entry.flags.doomed
                    && entry.overflow == Overflow::Close
                    && entry.outbox.cost() > self.mark(level)
            }),
        }
    }

    /// What may wait for one connection so that all that one turn reads has room behind it.
    fn mark(&self, level: Level) -> usize {
        let limits = &self.limits;
        let portion = limits.bus_message_len.saturating_add(limits.read_per_turn);
        let mark = limits
            .backlog_len
            .saturating_sub(portion)
            .min(limits.backlog_len / 2)
            .max(limits.high_water);
        match level {
            Level::Crowded => mark,
            Level::Relieved => mark / 2,
        }
    }
}
