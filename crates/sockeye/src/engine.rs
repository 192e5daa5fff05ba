//! The engine: protocols, core and read buffer, side by side, and how one is built and driven.
//!
//! The three parts are disjoint, which is what lets a callback hold its protocol, its session, the
//! received message and the core at the same time without a guard or a `RefCell`.

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_proto::ws::{Config, Delivery};
use sockeye_proto::{Limits, Shared};

use crate::bus::Inlets;
use crate::client::ConnectOptions;
use crate::clock::Clock;
use crate::compression::{Compression, Wish};
use crate::core::{Core, Stats};
use crate::driver::Driver;
use crate::error::Error;
use crate::group::member::Member;
use crate::handle::{Command, Handle, Inbox};
use crate::hosted::{DynProtocol, Hosted};
use crate::id::ConnId;
use crate::link::{Acceptor, Connector};
use crate::listener::{Front, ListenerMut, Listeners, WAKER};
use crate::net::listener::{ListenOptions, Listener};
use crate::net::resolver::Resolver;
use crate::net::{self, Bind};
use crate::outbox::Pool;
use crate::poll::{Interest, Poller, Ready, Registrar};
use crate::protocol::{Protocol, ProtocolKey};
use crate::shutdown::{ShutdownReport, Stopping};
use crate::slab::Slab;
use crate::timer::Wheel;
use crate::topic::Topics;
use crate::waker::Waker;

/// Descriptors that are left to the rest of the process when no limit of connections is set.
const RESERVED_DESCRIPTORS: usize = 64;

/// A WebSocket and HTTP engine: any number of listeners, protocols and connections on one thread.
///
/// ```no_run
/// # fn main() -> Result<(), sockeye::Error> {
/// let mut engine = sockeye::Engine::new()?;
/// let echo = engine.host(sockeye::on_message(|conn, message| {
///     conn.send(message);
/// }));
/// engine.listen("127.0.0.1:7681")?.route("/echo", echo);
/// engine.run()?;
/// # Ok(())
/// # }
/// ```
pub struct Engine {
    pub(crate) core: Core,
    pub(crate) protocols: Vec<Box<dyn DynProtocol>>,
    /// What each listener does with what comes in, by its index.
    pub(crate) fronts: Vec<Front>,
    /// The one buffer that all sockets are read into.
    pub(crate) read_buf: Vec<u8>,
    /// A piece of a file on its way into an outbox.
    pub(crate) piece: Vec<u8>,
    pub(crate) ready: Vec<Ready>,
    pub(crate) expired: Vec<u32>,
    pub(crate) commands: Vec<Command>,
    pub(crate) stopping: Option<Stopping>,
    /// TLS handshakes that were driven in this turn.
    pub(crate) handshakes: usize,
    /// Channels from other processes.
    pub(crate) inlets: Inlets,
    listen_options: ListenOptions,
    poller_kind: Option<PollerKind>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("connections", &self.core.connection_count())
            .field("protocols", &self.protocols.len())
            .field("listeners", &self.fronts.len())
            .finish_non_exhaustive()
    }
}

/// Which of the built-in pollers waits for the sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PollerKind {
    /// `epoll(7)`: the cost of a turn does not depend on how many connections are idle.
    #[cfg_attr(not(all(sockeye_driver = "uring", feature = "uring")), default)]
    Epoll,
    /// `poll(2)`: works on every Unix; each turn costs a look at every connection.
    Poll,
    /// `io_uring(7)`: what a turn has to ask of the kernel is asked at once, which pays where many
    /// connections have a little to say each. Needs the feature `uring` and Linux 6.1, and that no
    /// sandbox forbids it: see [`check`](Self::check). The engine stays on the thread that made it,
    /// and does not survive a `fork()`.
    #[cfg_attr(all(sockeye_driver = "uring", feature = "uring"), default)]
    Uring,
    /// [`Uring`](Self::Uring) where it can be had, else [`Epoll`](Self::Epoll);
    /// [`Engine::poller_kind`] tells which it became.
    Auto,
}

impl PollerKind {
    /// Whether an engine can be made with it here.
    ///
    /// # Errors
    ///
    /// Why not: the crate was built without it, the kernel is too old, a sandbox forbids it, or
    /// no descriptor or memory is left. Never for [`Auto`](Self::Auto), but for the last reason.
    pub fn check(self) -> Result<(), Error> {
        Driver::new(self).map(drop)
    }
}

/// Settings of an [`Engine`] before it is made.
#[must_use]
pub struct EngineBuilder {
    limits: Limits,
    driver: DriverChoice,
    connector: Option<Box<dyn Connector>>,
    seed: Option<[u8; 32]>,
    now: Option<Instant>,
    listen_options: ListenOptions,
    compression: Wish,
    pub(crate) member: Option<Box<Member>>,
}

enum DriverChoice {
    Kind(PollerKind),
    Poller(Box<dyn Poller>),
    Registrar(Box<dyn Registrar>),
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// All bounds on what peers can make the engine spend. See [`Limits`] for the defaults.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which built-in poller to use. The default is [`PollerKind::Epoll`].
    pub fn poller(mut self, kind: PollerKind) -> Self {
        self.driver = DriverChoice::Kind(kind);
        self
    }

    /// A poller of the program's own.
    pub fn custom_poller(mut self, poller: impl Poller + 'static) -> Self {
        self.driver = DriverChoice::Poller(Box::new(poller));
        self
    }

    /// Puts the engine into a foreign loop: the registrar is told which descriptors to watch, and
    /// the loop calls [`Engine::service`] when they are ready, or at [`Engine::next_deadline`].
    pub fn registrar(mut self, registrar: impl Registrar + 'static) -> Self {
        self.driver = DriverChoice::Registrar(Box::new(registrar));
        self
    }

    /// Opens outgoing TCP connections by something else than the engine's sockets, such as a
    /// simulated network.
    pub fn connector(mut self, connector: impl Connector + 'static) -> Self {
        self.connector = Some(Box::new(connector));
        self
    }

    /// Lets several processes or engines listen on the same TCP address (`SO_REUSEPORT`); the
    /// kernel spreads the connections. Off by default.
    pub fn reuse_port(mut self, reuse_port: bool) -> Self {
        self.listen_options.reuse_port = reuse_port;
        self
    }

    /// Access mode of Unix sockets that are listened on, for example `0o660`. The default is what
    /// the process's umask leaves.
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.listen_options.unix_mode = Some(mode);
        self
    }

    /// The compression (permessage-deflate, RFC 7692) that listeners agree to and outgoing
    /// connections offer, unless they have settings of their own. `None` turns it off. The default
    /// is [`Settings::default`](crate::deflate::Settings): on, with nothing kept between messages.
    #[cfg(feature = "deflate")]
    pub fn deflate(mut self, settings: impl Into<Option<crate::deflate::Settings>>) -> Self {
        self.compression = settings.into();
        self
    }

    /// Fixes the seed of masks and keys. For simulations only: whoever knows the seed can predict
    /// the masks (RFC 6455 §10.3).
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Begins at this instant instead of the clock's. For simulations.
    pub fn now(mut self, now: Instant) -> Self {
        self.now = Some(now);
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    ///
    /// The limits contradict each other, or the system has no descriptors or no random numbers.
    pub fn build(self) -> Result<Engine, Error> {
        self.limits
            .check()
            .map_err(|error| Error::Config(error.to_string()))?;
        let mut kind_of_poller = None;
        let driver = match self.driver {
            DriverChoice::Kind(kind) => {
                let (driver, became) = Driver::new(kind)?;
                kind_of_poller = Some(became);
                driver
            }
            DriverChoice::Poller(poller) => Driver::Own(poller),
            DriverChoice::Registrar(registrar) => Driver::Foreign(registrar),
        };
        let seed = match self.seed {
            Some(seed) => seed,
            None => random_seed()?,
        };
        let waker = match &self.member {
            Some(member) => member.waker().clone(),
            None => Waker::new().map_err(|error| Error::io("create the waker", error))?,
        };
        let inbox = Inbox::new(self.limits.command_queue_len, waker);
        let census = self
            .member
            .as_ref()
            .map(|member| Arc::clone(member.census()));
        let now = self.now.unwrap_or_else(Clock::read);
        let mut conns = Slab::new();
        conns.set_max_len(self.limits.connections.unwrap_or_else(default_connections));
        let presence = self.member.as_ref();
        let presence = presence.map(|member| Arc::clone(member.presence()));
        if let Some(member) = &self.member {
            conns.set_first_generation(member.first_generation());
        }
        let config = |delivery| {
            let limits = self.limits.clone();
            Arc::new(Config::new(limits, delivery))
        };
        let mut core = Core {
            conns,
            listeners: Listeners::new(),
            topics: Topics::new(presence),
            timers: Wheel::new(now),
            pool: Pool::default(),
            shared: Shared::from_seed(seed),
            clock: Clock::new(now),
            whole: config(Delivery::Whole),
            streaming: config(Delivery::Streaming),
            compression: Compression::new(self.compression),
            dirty: Vec::new(),
            deferred: Vec::new(),
            dead: Vec::new(),
            driver,
            inbox: Arc::new(inbox),
            resolver: Resolver::new(),
            connector: self.connector,
            stats: Stats::default(),
            backlog: 0,
            client_tls: None,
            census: census.unwrap_or_default(),
            group: self.member,
            pressed: false,
            attempts: 0,
            uplinks: None,
            stopping: false,
            limits: self.limits,
        };
        core.driver
            .registrar()
            .add(core.inbox.waker().fd(), WAKER, Interest::READ)
            .map_err(|error| Error::io("watch the waker", error))?;
        Ok(Engine {
            read_buf: vec![0; core.limits.read_per_turn],
            piece: Vec::new(),
            core,
            protocols: Vec::new(),
            fronts: Vec::new(),
            ready: Vec::new(),
            expired: Vec::new(),
            commands: Vec::new(),
            stopping: None,
            handshakes: 0,
            inlets: Inlets::default(),
            listen_options: self.listen_options,
            poller_kind: kind_of_poller,
        })
    }
}

impl Engine {
    /// An engine with all defaults.
    ///
    /// # Errors
    ///
    /// The system has no descriptors or no random numbers.
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// Settings first.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            limits: Limits::default(),
            driver: DriverChoice::Kind(PollerKind::default()),
            connector: None,
            seed: None,
            now: None,
            listen_options: ListenOptions::default(),
            #[cfg(feature = "deflate")]
            compression: Some(Default::default()),
            #[cfg(not(feature = "deflate"))]
            compression: Wish,
            member: None,
        }
    }

    /// Takes a protocol in. Its key names it from now on.
    pub fn host<P: Protocol>(&mut self, protocol: P) -> ProtocolKey<P> {
        let index = self.protocols.len();
        assert!(index < usize::from(u16::MAX), "more than 65,534 protocols");
        self.protocols.push(Box::new(Hosted::new(protocol)));
        ProtocolKey::new(index as u16)
    }

    /// Listens. The address is `"127.0.0.1:7681"`, `"[::1]:80"`, `":80"` (every address),
    /// `"lo:7681"` (a network interface), `"unix:/run/x.sock"`, or a [`Bind`]. Port 0 lets the
    /// system choose: see [`ListenerMut::local_addr`].
    ///
    /// # Errors
    ///
    /// The address makes no sense or cannot be listened on.
    pub fn listen<B>(&mut self, bind: B) -> Result<ListenerMut<'_>, Error>
    where
        B: TryInto<Bind>,
        B::Error: Into<Error>,
    {
        let bind: Bind = bind.try_into().map_err(Into::into)?;
        let options = &self.listen_options;
        let listener = match &self.core.group {
            Some(member) => member.listen(&bind, options),
            None => Listener::bind(&bind, options),
        }?;
        let index = self
            .add_listener(listener)
            .map_err(|error| Error::io(format!("watch the listener on {bind}"), error))?;
        Ok(ListenerMut::new(self, index))
    }

    /// Takes connections from a source that is no socket, such as a simulated network.
    ///
    /// # Errors
    ///
    /// The acceptor cannot be watched.
    pub fn listen_on(&mut self, acceptor: Box<dyn Acceptor>) -> Result<ListenerMut<'_>, Error> {
        let index = self
            .add_acceptor(acceptor)
            .map_err(|error| Error::io("watch the acceptor", error))?;
        Ok(ListenerMut::new(self, index))
    }

    /// Opens a connection as a client: see [`Core::connect`].
    ///
    /// # Errors
    ///
    /// The URL makes no sense, or there are too many connections.
    pub fn connect<P, O>(
        &mut self,
        key: ProtocolKey<P>,
        options: O,
        session: P::Session,
    ) -> Result<ConnId, Error>
    where
        P: Protocol,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        self.core.connect(key, options, session)
    }

    /// Opens a connection as a client over a connected stream: see [`Core::connect_over`].
    ///
    /// # Errors
    ///
    /// As for [`connect`](Self::connect), or the stream cannot be made non-blocking.
    pub fn connect_over<P, O>(
        &mut self,
        key: ProtocolKey<P>,
        options: O,
        stream: TcpStream,
        session: P::Session,
    ) -> Result<ConnId, Error>
    where
        P: Protocol,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        self.core.connect_over(key, options, stream, session)
    }

    /// Gives up root's powers for good, after listening on privileged ports: group first, then the
    /// supplementary groups, then user. `None` leaves one as it is.
    ///
    /// # Errors
    ///
    /// The system refuses; whatever was changed before the refusal stays changed, so a program
    /// should end then.
    pub fn drop_privileges(&mut self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Error> {
        Ok(net::drop_privileges(uid, gid)?)
    }

    /// A way to reach this engine from other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.core.inbox))
    }

    /// Which built-in poller waits for the sockets: never [`PollerKind::Auto`]. `None` if it is the
    /// program's own, or a foreign loop.
    pub fn poller_kind(&self) -> Option<PollerKind> {
        self.poller_kind
    }

    /// The core: connections, topics, counters.
    ///
    /// Between turns the time stands still: a timeout that is set here counts from the last
    /// [`service`](Self::service). A foreign loop that comes here after a long wait calls that
    /// first.
    pub fn core(&mut self) -> &mut Core {
        &mut self.core
    }

    /// A hosted protocol.
    pub fn protocol<P: Protocol>(&mut self, key: ProtocolKey<P>) -> Option<&mut P> {
        self.parts(key).map(|(protocol, _)| protocol)
    }

    /// The open connections of a protocol.
    pub fn connections<P: Protocol>(&self, key: ProtocolKey<P>) -> Vec<ConnId> {
        let mut ids = Vec::new();
        if let Some(protocol) = self.protocols.get(usize::from(key.index)) {
            protocol.connections(&mut ids);
        }
        ids
    }

    /// Serves until [`shutdown`](Self::shutdown) is over, which is usually asked for by
    /// [`Handle::shutdown`].
    ///
    /// # Errors
    ///
    /// The poller failed, or the engine lives in a foreign loop.
    pub fn run(&mut self) -> Result<ShutdownReport, Error> {
        loop {
            self.pass(None)?;
            if let Some(report) = self.shutdown_report() {
                return Ok(report);
            }
        }
    }

    /// One bounded turn: waits at most this long (`None`: until something happens) and serves what
    /// is ready.
    ///
    /// # Errors
    ///
    /// The poller failed, or the engine lives in a foreign loop.
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        self.pass(timeout)?;
        // Who knows when the next turn is.
        self.core.submit();
        Ok(())
    }

    fn pass(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        let now = Clock::read();
        let until = self
            .next_deadline()
            .map(|deadline| deadline.saturating_duration_since(now));
        let mut timeout = [timeout, until].into_iter().flatten().min();
        if self.core.pressed {
            self.core.submit();
            self.wait_for_others()?;
            timeout = Some(Duration::ZERO);
        }
        let Some(poller) = self.core.driver.poller() else {
            return Err(Error::ForeignLoop);
        };
        let mut ready = std::mem::take(&mut self.ready);
        poller
            .wait(&mut ready, timeout)
            .map_err(|error| Error::io("wait for events", error))?;
        self.service(&ready, Clock::read());
        self.ready = ready;
        Ok(())
    }

    /// A hosted protocol and the core at the same time, as [`Handle::call`] gives them. What is
    /// sent here goes out in the next [`turn`](Self::turn) or [`service`](Self::service).
    pub fn parts<P: Protocol>(&mut self, key: ProtocolKey<P>) -> Option<(&mut P, &mut Core)> {
        let hosted = self.protocols.get_mut(usize::from(key.index))?.as_any();
        let hosted = hosted.downcast_mut::<Hosted<P>>()?;
        Some((&mut hosted.protocol, &mut self.core))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.core.inbox.close();
        // An outside registrar may outlive the engine: it must not keep what is closed now.
        self.core.listeners.close_all(self.core.driver.registrar());
        self.inlets.close_all(self.core.driver.registrar());
        let mut id = self.core.conns.next_after(None);
        while let Some(current) = id {
            self.core.unregister(current);
            self.core.forget_address(current);
            id = self.core.conns.next_after(Some(current.index()));
        }
        let waker = self.core.inbox.waker().fd();
        drop(self.core.driver.registrar().remove(waker));
    }
}

fn random_seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        Error::io(
            "get random numbers",
            std::io::Error::other(error.to_string()),
        )
    })?;
    Ok(seed)
}

fn default_connections() -> usize {
    let descriptors = usize::try_from(net::descriptor::descriptor_limit()).unwrap_or(usize::MAX);
    descriptors.saturating_sub(RESERVED_DESCRIPTORS).max(1)
}
