//! The test's end of a connection: raw bytes, and everything a bad peer can do.

use std::fmt;
use std::rc::Rc;

use super::state::{Faults, SharedState};
use super::websocket::WebSocket;

/// The other end of one of the engine's connections, as raw bytes.
///
/// It reads all the time, as a good peer does, and keeps what it read until
/// [`read`](Self::read) takes it; [`stall`](Self::stall) makes it a bad one. What it writes is
/// offered to the engine at once; how much of it the engine took is seen by
/// [`unread`](Self::unread). Dropping it ends the connection.
pub struct Remote {
    pub(super) state: SharedState,
    pub(super) wire: usize,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.wire).finish()
    }
}

impl Remote {
    pub(super) fn new(state: &SharedState, wire: usize) -> Self {
        Self {
            state: Rc::clone(state),
            wire,
        }
    }

    /// Sends bytes to the engine. After [`close`](Self::close) they go nowhere.
    pub fn write(&self, bytes: &[u8]) {
        let mut state = self.state.borrow_mut();
        let (now, arrives) = (state.now, state.arrival(self.wire));
        state.events += 1;
        let pipe = &mut state.wire(self.wire).to_engine;
        if !pipe.is_finished() {
            pipe.write(bytes, now, arrives);
        }
    }

    /// Takes everything that was received and not taken before.
    pub fn read(&self) -> Vec<u8> {
        let mut state = self.state.borrow_mut();
        state.deliver();
        std::mem::take(&mut state.wire(self.wire).inbox)
    }

    /// Bytes written that the engine has not read.
    pub fn unread(&self) -> usize {
        self.state.borrow_mut().wire(self.wire).to_engine.len()
    }

    /// Bytes that the engine has read and written.
    pub fn moved(&self) -> u64 {
        self.state.borrow_mut().wire(self.wire).moved
    }

    /// Reads no more, until [`unstall`](Self::unstall).
    pub fn stall(&self) {
        self.state.borrow_mut().wire(self.wire).reading = false;
    }

    /// Reads again.
    pub fn unstall(&self) {
        let mut state = self.state.borrow_mut();
        state.wire(self.wire).reading = true;
        state.events += 1;
    }

    /// Reads this many bytes at most, stalled or not, as a very slow peer does.
    pub fn sip(&self, len: usize) -> usize {
        let mut state = self.state.borrow_mut();
        let wire = state.wire(self.wire);
        let mut bytes = vec![0; len];
        let len = wire.to_remote.read(&mut bytes);
        wire.inbox.extend_from_slice(&bytes[..len]);
        state.events += len as u64;
        len
    }

    /// Writes no more; the engine reads the end of the stream.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        let arrives = state.arrival(self.wire);
        state.events += 1;
        state.wire(self.wire).to_engine.finish(arrives);
    }

    /// Breaks the connection off: reads and writes of the engine fail from now on.
    pub fn reset(&self) {
        let mut state = self.state.borrow_mut();
        state.events += 1;
        state.wire(self.wire).break_off();
    }

    /// Whether the engine writes no more, and all it wrote was received.
    pub fn is_ended(&self) -> bool {
        let mut state = self.state.borrow_mut();
        state.deliver();
        let now = state.now;
        let wire = state.wire(self.wire);
        wire.to_remote.is_at_end(now) || wire.reset
    }

    /// Whether the engine has let go of the connection altogether.
    pub fn is_released(&self) -> bool {
        self.state.borrow_mut().wire(self.wire).released
    }

    /// Whether the connection was reset, by either side: the engine does it by closing before it
    /// has read everything.
    pub fn is_reset(&self) -> bool {
        self.state.borrow_mut().wire(self.wire).reset
    }

    /// Makes this connection a bad one from now on.
    pub fn set_faults(&self, faults: Faults) {
        let mut state = self.state.borrow_mut();
        state.events += 1;
        state.wire(self.wire).faults = faults;
    }

    /// Speaks WebSocket over this connection: sends the handshake for a path now.
    pub fn websocket(self, path: &str) -> WebSocket {
        WebSocket::new(self, path, &[])
    }

    /// As [`websocket`](Self::websocket), with subprotocols on offer.
    pub fn websocket_offering(self, path: &str, subprotocols: &[&str]) -> WebSocket {
        WebSocket::new(self, path, subprotocols)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let Ok(mut state) = self.state.try_borrow_mut() else {
            return;
        };
        let arrives = state.arrival(self.wire);
        state.events += 1;
        let wire = state.wire(self.wire);
        wire.to_engine.finish(arrives);
        wire.to_remote.abandon();
    }
}
