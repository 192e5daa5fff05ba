//! Happy eyeballs on the loop (RFC 8305): the addresses of a host race each other, and the first to
//! connect carries the connection.
//!
//! The first attempt uses the connection's own place in the slab. Only those that join it while it
//! is undecided have entries of their own, which count for the limit of connections; at the limit
//! an address waits until there is room. The losers are gone as soon as there is a winner.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::connect::{Connecting, Progress};
use crate::client::ConnectCause;
use crate::client::eyeballs::Eyeballs;
use crate::core::Core;
use crate::entry::Stage;
use crate::id::ConnId;
use crate::link::Link;
use crate::net::socket::Socket;
use crate::poll::{Interest, Ready};

/// The attempts to reach one host.
#[derive(Debug)]
pub(crate) struct Race {
    eyeballs: Eyeballs,
    /// Those with entries of their own.
    attempts: Vec<ConnId>,
}

impl Race {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self {
            eyeballs: Eyeballs::new(addresses),
            attempts: Vec::new(),
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.eyeballs.next_deadline()
    }

    pub(super) fn into_attempts(self) -> Vec<ConnId> {
        self.attempts
    }
}

impl Core {
    fn race_of(&mut self, id: ConnId) -> Option<&mut Race> {
        match self.connecting(id)? {
            Connecting {
                progress: Progress::Racing(race),
                ..
            } => Some(race),
            _ => None,
        }
    }

    /// Lets every address join whose time has come; fails when all have failed.
    pub(super) fn race(&mut self, id: ConnId) {
        let now = self.now();
        loop {
            let full = self.conns.is_full();
            let is_free = matches!(
                self.conns.get(id).map(|entry| &entry.link),
                Some(Link::Gone)
            );
            let Some(race) = self.race_of(id) else {
                return;
            };
            if full && !is_free {
                race.eyeballs.postpone(now);
                break;
            }
            let Some(address) = race.eyeballs.next(now) else {
                break;
            };
            let begun = Socket::connect_tcp(address).and_then(|socket| {
                let link = Link::Socket(socket);
                match is_free {
                    true => self.carry(id, link, Interest::WRITE),
                    false => self.join_race(id, link),
                }
            });
            if let Err(error) = begun {
                if is_free {
                    self.unregister(id);
                }
                if let Some(race) = self.race_of(id) {
                    race.eyeballs.failed(error);
                }
            }
        }
        if let Some(error) = self.race_of(id).and_then(|race| race.eyeballs.exhausted()) {
            self.fail_connect(id, ConnectCause::Io(error));
        }
        self.rearm(id);
    }

    fn join_race(&mut self, id: ConnId, link: Link) -> io::Result<()> {
        let attempt = self.admit(link, Stage::Attempt(id), Interest::WRITE)?;
        self.attempts += 1;
        if let Some(race) = self.race_of(id) {
            race.attempts.push(attempt);
        }
        Ok(())
    }

    /// The connection's own socket is decided.
    pub(super) fn raced(&mut self, id: ConnId) {
        match self.finished(id) {
            None => {}
            Some(Ok(())) => self.end_race(id),
            Some(Err(error)) => {
                self.unregister(id);
                self.lost_race(id, error);
            }
        }
    }

    /// The socket of an attempt is decided.
    pub(crate) fn dispatch_attempt(&mut self, attempt: ConnId, parent: ConnId, report: Ready) {
        if !(report.writable || report.hangup) {
            return;
        }
        match self.finished(attempt) {
            None => {}
            Some(Err(error)) => self.attempt_failed(attempt, parent, error),
            Some(Ok(())) => {
                let Some(entry) = self.conns.get_mut(attempt) else {
                    return;
                };
                if let Some(fd) = entry.link.polled_fd() {
                    // It is about to be registered anew, in another's name.
                    drop(self.driver.registrar().remove(fd));
                }
                let link = std::mem::replace(&mut entry.link, Link::Gone);
                self.unregister(parent);
                match self.carry(parent, link, Interest::READ) {
                    Ok(()) => self.end_race(parent),
                    Err(error) => self.fail_connect(parent, ConnectCause::Io(error)),
                }
            }
        }
    }

    /// An attempt that has an entry of its own cannot go on.
    pub(crate) fn attempt_failed(&mut self, attempt: ConnId, parent: ConnId, error: io::Error) {
        self.discard_attempt(attempt);
        if let Some(race) = self.race_of(parent) {
            race.attempts.retain(|&other| other != attempt);
        }
        self.lost_race(parent, error);
    }

    fn lost_race(&mut self, id: ConnId, error: io::Error) {
        if let Some(race) = self.race_of(id) {
            race.eyeballs.failed(error);
            self.race(id);
        }
    }

    /// What became of a socket that was being connected, if that is decided.
    fn finished(&self, id: ConnId) -> Option<io::Result<()>> {
        match self.conns.get(id)?.link.socket()?.finish_connect() {
            // The report was about a socket that had this one's name before.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => None,
            outcome => Some(outcome),
        }
    }

    /// There is a winner, and its link is in place.
    fn end_race(&mut self, id: ConnId) {
        if let Some(race) = self.race_of(id) {
            for attempt in std::mem::take(&mut race.attempts) {
                self.discard_attempt(attempt);
            }
            self.begin_session(id);
        }
    }

    /// Ends an attempt without a word.
    pub(crate) fn discard_attempt(&mut self, attempt: ConnId) {
        self.unregister(attempt);
        if let Some(entry) = self.conns.get_mut(attempt)
            && let Stage::Attempt(_) = entry.stage
        {
            entry.stage = Stage::Gone;
            self.timers.cancel(attempt.index());
            self.attempts -= 1;
            self.dead.push(attempt);
        }
    }
}
