//! What a simulated network consists of: listeners, wires, the time, the randomness.
//!
//! One `State` behind an `Rc<RefCell<..>>` is shared by everything that the network hands out. It is
//! never borrowed while the engine runs.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use sockeye_proto::Shared;

use super::pipe::Pipe;
use super::websocket::Talk;
use crate::net::PeerAddr;
use crate::poll::{Interest, Ready, Token};

/// What is wrong with a simulated connection. The default is a good one: nothing but a window of
/// 64 KiB towards the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// The most bytes that one read of the engine gives. No bound by default.
    pub read_len: usize,
    /// The most bytes that one write of the engine takes. No bound by default.
    pub write_len: usize,
    /// Bytes that may be on the way from the engine to its peer before writes would block. Default
    /// 64 KiB.
    pub window: usize,
    /// How long each byte is under way, in both directions. Default none.
    pub delay: Duration,
    /// The connection is reset once the engine has read and written this many bytes.
    pub reset_after: Option<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            read_len: usize::MAX,
            write_len: usize::MAX,
            window: 64 * 1024,
            delay: Duration::ZERO,
            reset_after: None,
        }
    }
}

impl Faults {
    /// A good connection.
    pub fn none() -> Self {
        Self::default()
    }

    /// Sets [`read_len`](Self::read_len).
    #[must_use]
    pub fn read_len(mut self, read_len: usize) -> Self {
        self.read_len = read_len.max(1);
        self
    }

    /// Sets [`write_len`](Self::write_len).
    #[must_use]
    pub fn write_len(mut self, write_len: usize) -> Self {
        self.write_len = write_len.max(1);
        self
    }

    /// Sets [`window`](Self::window).
    #[must_use]
    pub fn window(mut self, window: usize) -> Self {
        self.window = window;
        self
    }

    /// Sets [`delay`](Self::delay).
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets [`reset_after`](Self::reset_after).
    #[must_use]
    pub fn reset_after(mut self, bytes: u64) -> Self {
        self.reset_after = Some(bytes);
        self
    }
}

/// The engine's registration of one of its ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    pub(super) token: Option<Token>,
    pub(super) interest: Interest,
}

/// Where connections come in.
#[derive(Debug)]
pub(super) struct Door {
    /// `host:port`, as an outgoing connection would name it.
    pub(super) name: String,
    pub(super) addr: SocketAddr,
    pub(super) waiting: VecDeque<usize>,
    pub(super) watch: Watch,
    pub(super) closed: bool,
    /// Whether the engine listens here, or a test.
    pub(super) is_engine: bool,
    /// How many accepts fail for want of descriptors.
    pub(super) exhausted: usize,
}

/// A connection: the engine at one end, a test at the other.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) to_engine: Pipe,
    pub(super) to_remote: Pipe,
    /// What the remote has read, for the test to take.
    pub(super) inbox: Vec<u8>,
    pub(super) reading: bool,
    pub(super) peer: PeerAddr,
    pub(super) watch: Watch,
    pub(super) faults: Faults,
    /// Bytes that the engine has read and written.
    pub(super) moved: u64,
    pub(super) reset: bool,
    /// The engine has dropped its end.
    pub(super) released: bool,
    /// The wire that this one goes on as, when the engine is connected to itself.
    pub(super) other_half: Option<usize>,
}

impl Wire {
    pub(super) fn room(&self) -> usize {
        self.faults.window.saturating_sub(self.to_remote.len())
    }

    pub(super) fn break_off(&mut self) {
        self.reset = true;
        self.to_engine.abandon();
    }

    /// How many bytes may still pass before the connection is reset.
    pub(super) fn allowance(&self) -> usize {
        self.faults.reset_after.map_or(usize::MAX, |bytes| {
            usize::try_from(bytes.saturating_sub(self.moved)).unwrap_or(usize::MAX)
        })
    }

    /// What a poller would report now.
    fn readiness(&self, now: Instant) -> Option<Ready> {
        let Watch {
            token: Some(token),
            interest,
        } = self.watch
        else {
            return None;
        };
        if interest.is_none() || self.released {
            return None;
        }
        let hangup = self.reset || (self.to_engine.is_ended(now) && self.to_remote.is_finished());
        let readable = self.reset || self.to_engine.is_readable(now);
        let writable = self.reset || self.to_remote.abandoned || self.room() > 0;
        let ready = Ready {
            token,
            readable: readable && interest.readable,
            writable: writable && interest.writable,
            hangup,
        };
        (ready.readable || ready.writable || ready.hangup).then_some(ready)
    }
}

pub(super) struct State {
    pub(super) now: Instant,
    pub(super) seed: u64,
    pub(super) shared: Shared,
    pub(super) doors: Vec<Door>,
    pub(super) wires: Vec<Wire>,
    pub(super) talks: Vec<Weak<RefCell<Talk>>>,
    pub(super) faults: Faults,
    pub(super) next_port: u16,
    /// Counts everything that happens, so that an engine which does nothing is found out.
    pub(super) events: u64,
    pub(super) turns: u64,
}

pub(super) type SharedState = Rc<RefCell<State>>;

impl State {
    pub(super) fn new(seed: u64, now: Instant) -> Self {
        Self {
            now,
            seed,
            shared: Shared::from_seed(spread(seed)),
            doors: Vec::new(),
            wires: Vec::new(),
            talks: Vec::new(),
            faults: Faults::default(),
            next_port: 40_000,
            events: 0,
            turns: 0,
        }
    }

    pub(super) fn add_wire(&mut self, peer: PeerAddr) -> usize {
        self.wires.push(Wire {
            to_engine: Pipe::new(),
            to_remote: Pipe::new(),
            inbox: Vec::new(),
            reading: true,
            peer,
            watch: Watch::default(),
            faults: self.faults,
            moved: 0,
            reset: false,
            released: false,
            other_half: None,
        });
        self.wires.len() - 1
    }

    /// An address that nobody has yet.
    pub(super) fn next_address(&mut self) -> SocketAddr {
        self.next_port = self.next_port.checked_add(1).unwrap_or(40_001);
        SocketAddr::from(([127, 0, 0, 1], self.next_port))
    }

    /// The wire of an index that the network itself gave out.
    pub(super) fn wire(&mut self, index: usize) -> &mut Wire {
        &mut self.wires[index]
    }

    pub(super) fn arrival(&self, index: usize) -> Instant {
        let delay = self.wires[index].faults.delay;
        self.now.checked_add(delay).unwrap_or(self.now)
    }

    /// Lets bytes arrive, and those remotes read that do.
    pub(super) fn deliver(&mut self) {
        let now = self.now;
        for wire in &mut self.wires {
            wire.to_engine.deliver(now);
            wire.to_remote.deliver(now);
            if wire.reading {
                let read = wire.to_remote.read_all(&mut wire.inbox);
                self.events += read as u64;
                if wire.to_remote.is_at_end(now) && !wire.to_remote.end_seen {
                    wire.to_remote.end_seen = true;
                    self.events += 1;
                }
            }
        }
        for index in 0..self.wires.len() {
            if let Some(other) = self.wires[index].other_half {
                self.pass_on(index, other);
            }
        }
    }

    /// What one half of a connection of the engine to itself has to say to the other.
    fn pass_on(&mut self, index: usize, other: usize) {
        let now = self.now;
        let wire = &mut self.wires[index];
        let bytes = std::mem::take(&mut wire.inbox);
        let (ended, reset) = (wire.to_remote.end_seen, wire.reset);
        let half = &mut self.wires[other];
        half.to_engine.write(&bytes, now, now);
        if ended {
            half.to_engine.finish(now);
        }
        if reset && !half.reset {
            half.break_off();
        }
        let has_room = half.to_engine.len() < half.faults.window;
        self.wires[index].reading = has_room;
    }

    /// What is ready, in an order that depends on the seed.
    pub(super) fn ready(&mut self) -> Vec<Ready> {
        let now = self.now;
        let mut ready: Vec<Ready> = self
            .wires
            .iter()
            .filter_map(|wire| wire.readiness(now))
            .collect();
        for door in &self.doors {
            if let Some(token) = door.watch.token
                && door.is_engine
                && door.watch.interest.readable
                && !door.closed
                && !door.waiting.is_empty()
            {
                ready.push(Ready {
                    token,
                    readable: true,
                    writable: false,
                    hangup: false,
                });
            }
        }
        for index in (1..ready.len()).rev() {
            let other = self.random(index + 1);
            ready.swap(index, other);
        }
        ready
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.wires
            .iter()
            .filter(|wire| !wire.reset)
            .flat_map(|wire| [&wire.to_engine, &wire.to_remote])
            .filter_map(|pipe| pipe.next_arrival(self.now))
            .min()
    }

    /// A number below `bound`.
    fn random(&mut self, bound: usize) -> usize {
        u32::from_ne_bytes(self.shared.mask().key()) as usize % bound.max(1)
    }
}

/// Makes a seed of 32 bytes of one of eight.
pub(super) fn spread(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}
