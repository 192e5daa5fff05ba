//! The engine's ends of a simulated network: transports, acceptors, the connector, the registrar.

use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use rustix::io::Errno;

use super::state::SharedState;
use crate::link::{Acceptor, Connector, Transport};
use crate::net::{LocalAddr, PeerAddr};
use crate::poll::{Interest, Registrar, Token};

/// The engine's end of a wire.
pub(super) struct End {
    state: SharedState,
    wire: usize,
}

impl End {
    pub(super) fn new(state: &SharedState, wire: usize) -> Self {
        Self {
            state: Rc::clone(state),
            wire,
        }
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("End").field(&self.wire).finish()
    }
}

impl Transport for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let now = state.now;
        let wire = state.wire(self.wire);
        let allowance = wire.allowance();
        if allowance == 0 {
            wire.break_off();
        }
        if wire.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        let len = buffer.len().min(wire.faults.read_len).min(allowance);
        let read = wire.to_engine.read(&mut buffer[..len]);
        if read == 0 {
            if !wire.to_engine.is_at_end(now) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if !std::mem::replace(&mut wire.to_engine.end_seen, true) {
                state.events += 1;
            }
            return Ok(0);
        }
        wire.moved += read as u64;
        state.events += read as u64;
        Ok(read)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let (now, arrives) = (state.now, state.arrival(self.wire));
        let wire = state.wire(self.wire);
        let allowance = wire.allowance();
        if allowance == 0 {
            wire.break_off();
        }
        if wire.reset {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if wire.to_remote.abandoned || wire.to_remote.is_finished() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = wire.room().min(wire.faults.write_len).min(allowance);
        if room == 0 && offered > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut left = room;
        for slice in slices {
            let len = slice.len().min(left);
            wire.to_remote.write(&slice[..len], now, arrives);
            left -= len;
        }
        let written = room.min(offered);
        wire.moved += written as u64;
        state.events += written as u64;
        Ok(written)
    }

    fn shutdown_write(&mut self) {
        let mut state = self.state.borrow_mut();
        let arrives = state.arrival(self.wire);
        state.events += 1;
        state.wire(self.wire).to_remote.finish(arrives);
    }

    fn set_interest(&mut self, token: Token, interest: Interest) {
        let mut state = self.state.borrow_mut();
        let watch = &mut state.wire(self.wire).watch;
        watch.token = Some(token);
        watch.interest = interest;
    }

    fn peer_addr(&self) -> PeerAddr {
        self.state.borrow_mut().wire(self.wire).peer
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        let arrives = state.arrival(self.wire);
        state.events += 1;
        let wire = state.wire(self.wire);
        wire.released = true;
        // As TCP does: closing with bytes unread tells the peer that they were lost.
        if wire.to_engine.len() > 0 {
            wire.reset = true;
        }
        wire.to_engine.abandon();
        wire.to_remote.finish(arrives);
    }
}

/// The engine's end of a [`Listener`](super::Listener).
pub(super) struct Entrance {
    state: SharedState,
    door: usize,
}

impl Entrance {
    pub(super) fn new(state: &SharedState, door: usize) -> Self {
        Self {
            state: Rc::clone(state),
            door,
        }
    }
}

impl fmt::Debug for Entrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entrance").field(&self.door).finish()
    }
}

impl Acceptor for Entrance {
    fn accept(&mut self) -> io::Result<(Box<dyn Transport>, PeerAddr)> {
        let mut state = self.state.borrow_mut();
        let door = &mut state.doors[self.door];
        if door.waiting.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if door.exhausted > 0 {
            door.exhausted -= 1;
            return Err(Errno::MFILE.into());
        }
        let Some(wire) = door.waiting.pop_front() else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        state.events += 1;
        let peer = state.wire(wire).peer;
        drop(state);
        Ok((Box::new(End::new(&self.state, wire)), peer))
    }

    fn local_addr(&self) -> LocalAddr {
        LocalAddr::Tcp(self.state.borrow().doors[self.door].addr)
    }

    fn set_interest(&mut self, token: Token, interest: Interest) {
        let watch = &mut self.state.borrow_mut().doors[self.door].watch;
        watch.token = Some(token);
        watch.interest = interest;
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut state = self.state.borrow_mut();
        let door = &mut state.doors[self.door];
        door.closed = true;
        for wire in std::mem::take(&mut door.waiting) {
            state.wire(wire).break_off();
        }
    }
}

/// Outgoing connections of the engine: to a listener of the network, by its name.
#[derive(Clone)]
pub(super) struct Exit {
    pub(super) state: SharedState,
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exit")
    }
}

impl Connector for Exit {
    fn connect(&mut self, host: &str, port: u16) -> io::Result<Box<dyn Transport>> {
        let name = format!("{host}:{port}");
        let mut state = self.state.borrow_mut();
        let Some(door) = state
            .doors
            .iter()
            .position(|door| door.name == name && !door.closed)
        else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let peer = PeerAddr::Tcp(state.doors[door].addr);
        let wire = state.add_wire(peer);
        state.events += 1;
        if state.doors[door].is_engine {
            let own = state.next_address();
            let half = state.add_wire(PeerAddr::Tcp(own));
            state.wire(wire).other_half = Some(half);
            state.wire(half).other_half = Some(wire);
            state.doors[door].waiting.push_back(half);
        } else {
            state.doors[door].waiting.push_back(wire);
        }
        drop(state);
        Ok(Box::new(End::new(&self.state, wire)))
    }
}

/// A registrar with nothing to register: the network knows what the engine waits for.
#[derive(Debug)]
pub(super) struct Silent;

impl Registrar for Silent {
    fn add(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn modify(&mut self, _: BorrowedFd<'_>, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn remove(&mut self, _: BorrowedFd<'_>) -> io::Result<()> {
        Ok(())
    }
}
