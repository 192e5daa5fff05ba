//! The network itself: what it is made of, and how its time passes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::remote::Remote;
use super::state::{Door, Faults, SharedState, State, Watch, spread};
use super::transport::{Entrance, Exit, Silent};
use crate::clock::Clock;
use crate::engine::{Engine, EngineBuilder};
use crate::link::Acceptor;
use crate::net::PeerAddr;

/// Turns without anything happening on the network after which an engine is said to spin.
const IDLE_TURNS: u32 = 1000;
/// The address that all listeners share; they differ by their ports.
const HOST: [u8; 4] = [10, 0, 0, 1];

/// A simulated network. A clone is the same network.
#[derive(Clone)]
pub struct Network {
    state: SharedState,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("Network")
            .field("seed", &state.seed)
            .field("wires", &state.wires.len())
            .field("turns", &state.turns)
            .finish_non_exhaustive()
    }
}

/// Where the engine listens; made by [`Network::listener`].
#[derive(Clone)]
pub struct Listener {
    state: SharedState,
    door: usize,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.door).finish()
    }
}

/// A server in the test's hands, for the engine to connect to; made by [`Network::server`].
#[derive(Clone)]
pub struct Server {
    state: SharedState,
    door: usize,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.door).finish()
    }
}

impl Network {
    /// An empty network. Masks, keys and the order of events follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            state: Rc::new(RefCell::new(State::new(seed, Clock::read()))),
        }
    }

    /// Settings of an engine that lives on this network, to be completed and built.
    pub fn engine(&self) -> EngineBuilder {
        let state = self.state.borrow();
        Engine::builder()
            .registrar(Silent)
            .connector(Exit {
                state: Rc::clone(&self.state),
            })
            .seed(spread(state.seed))
            .now(state.now)
    }

    /// A place for the engine to listen: give [`Listener::acceptor`] to
    /// [`Engine::listen_on`](crate::Engine::listen_on).
    pub fn listener(&self) -> Listener {
        let door = self.add_door(None);
        Listener {
            state: Rc::clone(&self.state),
            door,
        }
    }

    /// A server in the test's hands, which the engine reaches as `ws://name/`. The name has a port:
    /// `feed.example:80`.
    pub fn server(&self, name: &str) -> Server {
        let door = self.add_door(Some(name));
        Server {
            state: Rc::clone(&self.state),
            door,
        }
    }

    fn add_door(&self, name: Option<&str>) -> usize {
        let mut state = self.state.borrow_mut();
        let port = 80u16.saturating_add(u16::try_from(state.doors.len()).unwrap_or(u16::MAX));
        let addr = SocketAddr::from((HOST, port));
        state.doors.push(Door {
            name: name.map_or_else(|| addr.to_string(), str::to_owned),
            addr,
            waiting: VecDeque::new(),
            watch: Watch::default(),
            closed: false,
            is_engine: name.is_none(),
            exhausted: 0,
        });
        state.doors.len() - 1
    }

    /// Connects to a listener, from an address of this machine that nobody else has.
    pub fn connect(&self, listener: &Listener) -> Remote {
        let addr = self.state.borrow_mut().next_address();
        self.connect_from(listener, addr)
    }

    /// Connects to a listener from a certain address.
    pub fn connect_from(&self, listener: &Listener, addr: SocketAddr) -> Remote {
        let mut state = self.state.borrow_mut();
        let wire = state.add_wire(PeerAddr::Tcp(addr));
        state.events += 1;
        let door = &mut state.doors[listener.door];
        if door.closed {
            state.wire(wire).break_off();
        } else {
            door.waiting.push_back(wire);
        }
        Remote::new(&self.state, wire)
    }

    /// Makes all connections that are opened from now on bad ones.
    pub fn set_faults(&self, faults: Faults) {
        self.state.borrow_mut().faults = faults;
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.state.borrow().now
    }

    /// How many turns the engine has made.
    pub fn turns(&self) -> u64 {
        self.state.borrow().turns
    }

    /// One turn of the engine, if something is ready or due. Returns whether there was.
    pub fn step(&self, engine: &mut Engine) -> bool {
        self.settle();
        let (ready, now) = {
            let mut state = self.state.borrow_mut();
            (state.ready(), state.now)
        };
        // As a real loop does it: an engine that forgets to say that it has work waits for ever.
        if ready.is_empty() && engine.next_deadline().is_none_or(|due| due > now) {
            return false;
        }
        self.state.borrow_mut().turns += 1;
        engine.service(&ready, now);
        self.settle();
        true
    }

    /// Runs until there is nothing to do but to wait for the time to pass.
    ///
    /// # Panics
    ///
    /// When the engine spins: it had a thousand turns in which nothing happened on the network, and
    /// still it wants another one.
    pub fn run_until_idle(&self, engine: &mut Engine) {
        let mut idle_turns = 0;
        loop {
            let before = self.state.borrow().events;
            if !self.step(engine) {
                return;
            }
            idle_turns = if self.state.borrow().events == before {
                idle_turns + 1
            } else {
                0
            };
            if idle_turns == IDLE_TURNS {
                self.complain(engine);
            }
        }
    }

    /// Lets time pass: jumps from one deadline of the engine, or arrival at it, to the next, and
    /// runs until idle at each.
    ///
    /// # Panics
    ///
    /// When the engine spins, as in [`run_until_idle`](Self::run_until_idle).
    pub fn advance(&self, engine: &mut Engine, time: Duration) {
        let until = self.now() + time;
        loop {
            self.run_until_idle(engine);
            let next = [engine.next_deadline(), self.state.borrow().next_arrival()];
            match next.into_iter().flatten().min() {
                Some(next) if next <= until => {
                    let mut state = self.state.borrow_mut();
                    state.now = state.now.max(next);
                }
                _ => break,
            }
        }
        self.state.borrow_mut().now = until;
        // Also if nothing is due: what the test does next happens then, not when it last was.
        engine.service(&[], until);
        self.run_until_idle(engine);
    }

    /// Lets bytes arrive and clients answer.
    fn settle(&self) {
        let mut state = self.state.borrow_mut();
        state.deliver();
        let talks = std::mem::take(&mut state.talks);
        for talk in &talks {
            if let Some(talk) = talk.upgrade() {
                talk.borrow_mut().step(&mut state);
            }
        }
        state.talks = talks;
        state.talks.retain(|talk| talk.strong_count() > 0);
    }

    fn complain(&self, engine: &Engine) -> ! {
        let mut state = self.state.borrow_mut();
        let (seed, now, ready) = (state.seed, state.now, state.ready());
        let overdue = engine
            .next_deadline()
            .filter(|due| *due <= now)
            .map(|due| now - due);
        panic!(
            "the engine spins (seed {seed}): {IDLE_TURNS} turns in which no byte moved; \
             ready {ready:?}, overdue by {overdue:?}, {engine:?}"
        );
    }
}

impl Listener {
    /// The engine's end, for [`Engine::listen_on`](crate::Engine::listen_on). To be taken once.
    pub fn acceptor(&self) -> Box<dyn Acceptor> {
        Box::new(Entrance::new(&self.state, self.door))
    }

    /// Its address: what [`Engine::connect`](crate::Engine::connect) reaches it by.
    pub fn addr(&self) -> SocketAddr {
        self.state.borrow().doors[self.door].addr
    }

    /// The next so many accepts fail because there are no descriptors (`EMFILE`); the connections
    /// wait meanwhile.
    pub fn exhaust(&self, count: usize) {
        self.state.borrow_mut().doors[self.door].exhausted = count;
    }

    /// Connections that wait to be accepted.
    pub fn waiting(&self) -> usize {
        self.state.borrow().doors[self.door].waiting.len()
    }

    /// Whether the engine listens no more.
    pub fn is_closed(&self) -> bool {
        self.state.borrow().doors[self.door].closed
    }
}

impl Server {
    /// The next connection that the engine has opened.
    pub fn accept(&self) -> Option<Remote> {
        let mut state = self.state.borrow_mut();
        let wire = state.doors[self.door].waiting.pop_front()?;
        state.events += 1;
        drop(state);
        Some(Remote::new(&self.state, wire))
    }

    /// Refuses connections from now on.
    pub fn close(&self) {
        self.state.borrow_mut().doors[self.door].closed = true;
    }
}
