//! What the library keeps for each connection that a program can name.
//!
//! A record knows its context, its connection in the engine, and how far it is. It outlives its
//! handle: whoever is in the middle of a callback holds it, and with it the session's memory, until
//! the callback has returned.

#![allow(unsafe_code, reason = "says who may touch the cells")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::c_void;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use sockeye::ConnId;

use crate::context::Home;
use crate::handle::{Family, Handle, Registry};
use crate::memory::Block;

/// All connections of all contexts of this process.
pub(crate) static CONNECTIONS: Registry<Record> = Registry::new(Family::Connection);

/// Which end of a connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
    /// Of no connection: a listener, or the set of hidden descriptors.
    None,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no WebSocket yet.
    Opening,
    /// `ESTABLISHED` or `CLIENT_ESTABLISHED` was told.
    Established,
    /// It is over, as far as the program is concerned.
    Over,
}

/// Pieces of messages that the program has not seen yet.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    /// The beginning of a piece that is not complete.
    pub(crate) partial: Vec<u8>,
    /// Complete pieces that wait because the program receives nothing now, and how many bytes of
    /// their frame come behind each.
    pub(crate) waiting: VecDeque<(Vec<u8>, u64)>,
    /// Somebody is handing pieces over.
    pub(crate) pumping: bool,
}

/// A connection as the program knows it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) handle: Handle,
    pub(crate) home: Weak<Home>,
    pub(crate) side: Side,
    pub(crate) conn: Cell<Option<ConnId>>,
    pub(crate) fd: Cell<RawFd>,
    pub(crate) state: Cell<State>,
    /// Its protocol's place in the program's array, once there is one.
    pub(crate) protocol: Cell<Option<usize>>,
    session: RefCell<Option<Block>>,
    pub(crate) inbox: RefCell<Inbox>,
    /// Bytes of the present frame behind the piece that was handed over last.
    pub(crate) remaining: Cell<u64>,
    pub(crate) paused: Cell<bool>,
    pub(crate) wants_room: Cell<bool>,
    /// When the program wants it ended.
    pub(crate) deadline: Cell<Option<Instant>>,
    /// It speaks hixie-76, whose messages do not say how long they are.
    pub(crate) is_hixie: Cell<bool>,
    /// The client asked for a subprotocol.
    pub(crate) asked: Cell<bool>,
    /// Why the client's connection did not come about.
    pub(crate) refusal: RefCell<Option<String>>,
}

// SAFETY: cells are looked at only by whoever holds the lock of the record's context (`Home`), and
// all but cells is immutable. So one thread at a time has them, and the lock orders the accesses.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    /// A connection of this side, with a handle of its own.
    pub(crate) fn create(home: &Weak<Home>, side: Side) -> Option<Arc<Self>> {
        CONNECTIONS.insert(|handle| Self {
            handle,
            home: Weak::clone(home),
            side,
            conn: Cell::new(None),
            fd: Cell::new(-1),
            state: Cell::new(State::Opening),
            protocol: Cell::new((side == Side::Server).then_some(0)),
            session: RefCell::default(),
            inbox: RefCell::default(),
            remaining: Cell::new(0),
            paused: Cell::new(false),
            wants_room: Cell::new(false),
            deadline: Cell::new(None),
            is_hixie: Cell::new(false),
            asked: Cell::new(false),
            refusal: RefCell::default(),
        })
    }

    pub(crate) fn is_established(&self) -> bool {
        self.state.get() == State::Established
    }

    /// Whether anything can still be said.
    pub(crate) fn may_write(&self) -> bool {
        matches!(self.state.get(), State::Opening | State::Established)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.get() == State::Over
    }

    /// Gives the session its memory. Returns whether there was some.
    pub(crate) fn begin_session(&self, len: usize) -> bool {
        let mut session = self.session.borrow_mut();
        if len == 0 {
            return true;
        }
        *session = Block::new(len);
        session.is_some()
    }

    /// What callbacks get for `user`.
    pub(crate) fn user(&self) -> *mut c_void {
        let session = self.session.borrow();
        session.as_ref().map_or(ptr::null_mut(), Block::pointer)
    }
}
