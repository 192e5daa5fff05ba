//! Everything of an engine but the protocols: connections, timers, topics, pools, the registrar.
//!
//! Holds no user code, so nothing that a callback can reach can call back. What a call causes is
//! appended to an outbox or queued for a later phase of the turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_proto::ws::{Config, Delivery, Fate, Prepared};
use sockeye_proto::{Cx, Limits, Shared};

use crate::census::Census;
use crate::clock::Clock;
use crate::compression::Compression;
use crate::driver::Driver;
use crate::entry::{Entry, Stage};
use crate::group::member::Member;
use crate::handle::Inbox;
use crate::id::ConnId;
use crate::link::{Connector, Link};
use crate::listener::Listeners;
use crate::net::resolver::Resolver;
use crate::outbox::{Flushed, Pool};
use crate::poll::Interest;
use crate::protocol::{CloseCause, Peer};
use crate::slab::Slab;
use crate::timer::Wheel;
use crate::tls::{ClientTls, ClientTlsOptions, Roots, TlsError};
use crate::topic::{self, Topics};
use crate::uplink::Uplinks;

/// Work for the next time that no callback is running.
#[derive(Debug)]
pub(crate) enum Deferred {
    /// Every connection of a protocol gets the message.
    Broadcast { protocol: u16, message: Prepared },
    /// An outgoing connection failed before it was under way.
    ConnectFailed(ConnId, crate::client::ConnectError),
    /// The connection is to be cut.
    Cut(ConnId, CloseCause),
    /// The program hung up: its session is to be given back.
    HungUp(ConnId),
    /// There is more to read that the poller does not know of.
    Read(ConnId),
    /// A file body has room for its next piece.
    Refill(ConnId),
    /// Bytes that had to wait may be looked at.
    Resume(ConnId),
    /// There is room, and somebody asked.
    Writable(ConnId),
    /// Every connection of a protocol asked.
    WritableAll(u16),
}

/// What counts as one engine's doings since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that are over.
    pub closed: u64,
    /// Calls for connections that were gone, from this loop or another thread.
    pub stale: u64,
    /// Messages that were dropped because a backlog was full.
    pub dropped: u64,
    /// Connections refused at accept: no descriptor, too many from one address, or by a filter.
    pub refused: u64,
    /// What came out of a [`bus`](crate::bus) and was no message of a [`Sender`](crate::bus::Sender),
    /// or longer than the bound.
    pub bus_rejected: u64,
    /// Messages and calls that did not reach another engine of the [`Group`](crate::Group), because
    /// too much waits there already; each counts once for each engine.
    pub unshared: u64,
}

/// The connections of an engine and all that can be done with them from anywhere on its thread:
/// send by id, publish, broadcast, connect.
///
/// Callbacks reach it by [`Conn::core`](crate::Conn::core), other threads by
/// [`Handle::call`](crate::Handle::call), the owner by [`Engine::core`](crate::Engine::core).
#[derive(Debug)]
pub struct Core {
    pub(crate) conns: Slab<Entry>,
    pub(crate) listeners: Listeners,
    pub(crate) topics: Topics,
    pub(crate) timers: Wheel,
    pub(crate) pool: Pool,
    pub(crate) shared: Shared,
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) whole: Arc<Config>,
    pub(crate) streaming: Arc<Config>,
    pub(crate) compression: Compression,
    pub(crate) dirty: Vec<ConnId>,
    pub(crate) deferred: Vec<Deferred>,
    pub(crate) dead: Vec<ConnId>,
    pub(crate) driver: Driver,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) resolver: Resolver,
    pub(crate) connector: Option<Box<dyn Connector>>,
    pub(crate) stats: Stats,
    /// Bytes that wait for peers which take no more now, over all connections.
    pub(crate) backlog: usize,
    /// TLS for outgoing connections that bring no settings of their own, once there was one.
    pub(crate) client_tls: Option<ClientTls>,
    pub(crate) census: Arc<Census>,
    /// The group that this engine is one of.
    pub(crate) group: Option<Box<Member>>,
    /// Other engines of the group must catch up before anything is read here.
    pub(crate) pressed: bool,
    /// Entries of the slab that are no connections of their own: see `stage::race`.
    pub(crate) attempts: usize,
    /// Connections that come back, once there was one.
    pub(crate) uplinks: Option<Box<Uplinks>>,
    /// The engine ends: nothing new begins.
    pub(crate) stopping: bool,
}

impl Core {
    /// The turn's instant.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The limits that the engine was built with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// How many connections there are, of every kind and state.
    pub fn connection_count(&self) -> usize {
        self.conns.len() - self.dead.len() - self.attempts
    }

    /// Whether this is an open WebSocket connection.
    pub fn is_open(&self, id: ConnId) -> bool {
        match self.conns.get(id) {
            Some(Entry {
                session: Some(_),
                stage: Stage::WebSocket(ws),
                ..
            }) => ws.is_open(),
            _ => false,
        }
    }

    /// Who is at the other end of a connection.
    pub fn peer(&self, id: ConnId) -> Option<Peer> {
        let entry = self.conns.get(id)?;
        let addr = match &entry.stage {
            Stage::Http(stage) => stage.peer,
            _ => entry.link.peer_addr()?,
        };
        Some(Peer::new(addr, entry.link.tls_info()))
    }

    /// See [`Conn::subprotocol`](crate::Conn::subprotocol).
    pub fn subprotocol(&self, id: ConnId) -> Option<&str> {
        self.conns.get(id)?.rare.as_ref()?.subprotocol.as_deref()
    }

    /// See [`Conn::deflate`](crate::Conn::deflate).
    #[cfg(feature = "deflate")]
    pub fn deflate(&self, id: ConnId) -> Option<crate::deflate::Settings> {
        match &self.conns.get(id)?.stage {
            Stage::WebSocket(ws) => ws.config().deflate,
            _ => None,
        }
    }

    /// The descriptor of a connection, for those who set socket options or log it.
    pub fn fd(&self, id: ConnId) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.conns.get(id)?.link.fd()
    }

    /// See [`Conn::abort`](crate::Conn::abort).
    pub fn abort(&mut self, id: ConnId) {
        self.doom(id, CloseCause::Aborted);
    }

    /// See [`Conn::pause`](crate::Conn::pause).
    pub fn pause(&mut self, id: ConnId) {
        if let Some(entry) = self.conns.get_mut(id) {
            entry.flags.paused = true;
            self.mark_dirty(id);
        }
    }

    /// See [`Conn::resume`](crate::Conn::resume).
    pub fn resume(&mut self, id: ConnId) {
        if let Some(entry) = self.conns.get_mut(id)
            && std::mem::take(&mut entry.flags.paused)
        {
            self.deferred.push(Deferred::Resume(id));
            self.mark_dirty(id);
        }
    }

    /// See [`Conn::request_writable`](crate::Conn::request_writable).
    pub fn request_writable(&mut self, id: ConnId) {
        if let Some(entry) = self.conns.get_mut(id) {
            entry.flags.wants_writable = true;
            self.mark_dirty(id);
        }
    }

    /// See [`Conn::set_timeout`](crate::Conn::set_timeout).
    pub fn set_timeout(&mut self, id: ConnId, after: Option<Duration>) {
        let now = self.now();
        if let Some(entry) = self.conns.get_mut(id) {
            if after.is_some() || entry.rare.is_some() {
                entry.rare().timeout = after.and_then(|after| now.checked_add(after));
            }
            self.rearm(id);
        }
    }

    /// See [`Conn::backlog`](crate::Conn::backlog).
    pub fn backlog(&self, id: ConnId) -> usize {
        self.conns.get(id).map_or(0, |entry| entry.outbox.len())
    }

    /// Bytes that wait for peers which take no more now, over all connections: what
    /// [`Limits::backlog_total_len`] bounds.
    pub fn backlog_total(&self) -> usize {
        self.backlog
    }

    /// See [`Conn::set_overflow`](crate::Conn::set_overflow).
    pub fn set_overflow(&mut self, id: ConnId, overflow: crate::protocol::Overflow) {
        if let Some(entry) = self.conns.get_mut(id) {
            entry.overflow = overflow;
        }
    }

    /// See [`Conn::subscribe`](crate::Conn::subscribe).
    pub fn subscribe(&mut self, id: ConnId, topic: &str) -> bool {
        let limit = self.limits.topics_per_connection;
        match self.conns.get_mut(id) {
            Some(entry) if entry.session.is_some() => {
                let held = &mut entry.rare().topics;
                held.len() < limit && self.topics.subscribe(topic, id, held)
            }
            _ => {
                self.stats.stale += 1;
                false
            }
        }
    }

    /// See [`Conn::unsubscribe`](crate::Conn::unsubscribe).
    pub fn unsubscribe(&mut self, id: ConnId, topic: &str) -> bool {
        let Some(rare) = self.conns.get_mut(id).and_then(|entry| entry.rare.as_mut()) else {
            return false;
        };
        let Some(membership) = self.topics.find(topic, &rare.topics) else {
            return false;
        };
        rare.topics.retain(|held| *held != membership);
        self.leave(membership);
        true
    }

    fn leave(&mut self, membership: topic::Membership) {
        if let Some(moved) = self.topics.leave(membership)
            && let Some(rare) = self
                .conns
                .get_mut(moved)
                .and_then(|entry| entry.rare.as_mut())
        {
            topic::moved(&mut rare.topics, membership);
        }
    }

    /// TLS that trusts the machine's roots. Reading them takes a while, so it is done once, and only
    /// if somebody connects that way.
    pub(crate) fn default_client_tls(&mut self) -> Result<ClientTls, TlsError> {
        if let Some(tls) = &self.client_tls {
            return Ok(tls.clone());
        }
        let tls = ClientTls::new(ClientTlsOptions::new(Roots::system()))?;
        self.client_tls = Some(tls.clone());
        Ok(tls)
    }

    /// Ends all memberships of a connection.
    pub(crate) fn leave_all(&mut self, id: ConnId) {
        let rare = self.conns.get_mut(id).and_then(|entry| entry.rare.as_mut());
        let held = rare.map(|rare| std::mem::take(&mut rare.topics));
        for membership in held.unwrap_or_default() {
            self.leave(membership);
        }
    }

    pub(crate) fn config(&self, delivery: Delivery) -> Arc<Config> {
        match delivery {
            Delivery::Whole => Arc::clone(&self.whole),
            Delivery::Streaming => Arc::clone(&self.streaming),
        }
    }

    pub(crate) fn doom(&mut self, id: ConnId, cause: CloseCause) {
        if let Some(entry) = self.conns.get_mut(id)
            && !std::mem::replace(&mut entry.flags.doomed, true)
        {
            self.deferred.push(Deferred::Cut(id, cause));
        }
    }

    pub(crate) fn mark_dirty(&mut self, id: ConnId) {
        if let Some(entry) = self.conns.get_mut(id)
            && !std::mem::replace(&mut entry.flags.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    /// Writes what waits, then does what follows from it: flow control, half-close, the deadline,
    /// what the poller reports. Only the loop calls this, never a callback.
    pub(crate) fn flush(&mut self, id: ConnId) {
        let now = self.now();
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        entry.flags.dirty = false;
        loop {
            let before = entry.outbox.len();
            match entry.outbox.flush(&mut entry.link, &mut self.pool) {
                Ok(Flushed::Clear) => {
                    if !std::mem::take(&mut entry.flags.blocked) {
                        break;
                    }
                    if let Some(rare) = &mut entry.rare {
                        rare.stall = None;
                    }
                    let Stage::WebSocket(ws) = &mut entry.stage else {
                        break;
                    };
                    let output = entry.outbox.tail(&mut self.pool);
                    ws.handle_unblocked(&mut Cx {
                        now,
                        output,
                        shared: &mut self.shared,
                        blocked: false,
                    });
                    if entry.outbox.is_empty() {
                        entry.outbox.clear(&mut self.pool);
                        break;
                    }
                }
                Ok(Flushed::Blocked) => {
                    entry.flags.blocked = true;
                    let progress = entry.outbox.len() < before;
                    let stall = now.checked_add(self.limits.write_stall_timeout);
                    let rare = entry.rare();
                    if progress || rare.stall.is_none() {
                        rare.stall = stall;
                    }
                    break;
                }
                Err(error) => {
                    entry.outbox.clear(&mut self.pool);
                    self.doom(id, CloseCause::Io(error.kind()));
                    return;
                }
            }
        }
        self.settle(id);
    }

    /// Brings everything that depends on the outbox and the stage up to date.
    #[inline]
    pub(crate) fn settle(&mut self, id: ConnId) {
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let waiting = entry.count(&mut self.backlog);
        if waiting > self.limits.high_water {
            entry.choke();
        } else if waiting <= self.limits.low_water {
            if std::mem::take(&mut entry.flags.choked) {
                self.deferred.push(Deferred::Resume(id));
            }
            if std::mem::take(&mut entry.flags.wants_writable) {
                self.deferred.push(Deferred::Writable(id));
            }
            if let Stage::Http(stage) = &mut entry.stage
                && stage.wants_refill()
            {
                self.deferred.push(Deferred::Refill(id));
            }
        }
        // A session that is still there is about to be given back, and that comes first.
        if waiting == 0 && !entry.flags.blocked && !entry.flags.hung_up {
            // The machine leaves a pipelined request alone while anything is blocked, so that to
            // ask again any earlier would be to spin.
            if entry.flags.held
                && matches!(&entry.stage, Stage::Http(stage) if !stage.machine.is_answering())
            {
                entry.flags.held = false;
                self.deferred.push(Deferred::Resume(id));
            }
            let fate = match &entry.stage {
                Stage::WebSocket(ws) => ws.fate(),
                Stage::Http(stage) => stage.fate(),
                Stage::Connect(_) | Stage::Attempt(_) | Stage::Gone => Fate::Keep,
            };
            match fate {
                Fate::Close => {
                    entry.link.announce_end();
                    return self.kill(id);
                }
                Fate::HalfClose | Fate::AwaitEof if entry.flags.eof => {
                    entry.link.announce_end();
                    return self.kill(id);
                }
                Fate::HalfClose => {
                    if !std::mem::replace(&mut entry.flags.shut, true) {
                        entry.link.shutdown_write();
                    }
                }
                Fate::AwaitEof | Fate::Keep => {}
            }
        }
        if entry.wanted_interest() != entry.interest {
            self.update_interest(id);
            return self.rearm(id);
        }
        if let Some(deadline) = entry.next_deadline()
            && !self.timers.fires_by(id.index(), deadline)
        {
            self.timers.set(id.index(), deadline);
        }
    }

    /// Tells the poller if what it should report has changed.
    #[inline(never)]
    pub(crate) fn update_interest(&mut self, id: ConnId) {
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let wanted = entry.wanted_interest();
        if wanted == entry.interest {
            return;
        }
        entry.interest = wanted;
        let outcome = match (&mut entry.link, id.into()) {
            (Link::Gone, _) => Ok(()),
            (link, token) => match link.polled_fd() {
                Some(fd) => self.driver.registrar().modify(fd, token, wanted),
                None => {
                    link.set_interest(token, wanted);
                    Ok(())
                }
            },
        };
        if let Err(error) = outcome {
            self.doom(id, CloseCause::Io(error.kind()));
        }
    }

    /// Makes the timer fire no later than the connection's next deadline. An earlier timer stays:
    /// when it fires too early it is armed anew, so that receiving costs no timer operation.
    pub(crate) fn rearm(&mut self, id: ConnId) {
        let Some(deadline) = self.conns.get(id).and_then(Entry::next_deadline) else {
            return;
        };
        if !self.timers.fires_by(id.index(), deadline) {
            self.timers.set(id.index(), deadline);
        }
    }

    /// Takes a connection into the slab and the poller.
    ///
    /// # Errors
    ///
    /// What the registrar said; the link is dropped then.
    pub(crate) fn admit(
        &mut self,
        link: Link,
        stage: Stage,
        interest: Interest,
    ) -> std::io::Result<ConnId> {
        let id = self.conns.insert(Entry::new(link, stage));
        if let Err(error) = self.register(id, interest) {
            self.conns.remove(id);
            return Err(error);
        }
        self.rearm(id);
        Ok(id)
    }

    /// Puts a connection's (new) link into the poller.
    pub(crate) fn register(&mut self, id: ConnId, interest: Interest) -> std::io::Result<()> {
        let Some(entry) = self.conns.get_mut(id) else {
            return Ok(());
        };
        entry.interest = interest;
        match entry.link.polled_fd() {
            Some(fd) => self.driver.registrar().add(fd, id.into(), interest)?,
            None => entry.link.set_interest(id.into(), interest),
        }
        Ok(())
    }

    /// Takes a connection's link out of the poller and drops it.
    pub(crate) fn unregister(&mut self, id: ConnId) {
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        if let Some(fd) = entry.link.polled_fd() {
            // It fails only for a descriptor that is not registered, which is what is wanted.
            drop(self.driver.registrar().remove(fd));
        }
        entry.link = Link::Gone;
        entry.interest = Interest::NONE;
    }

    /// Stops counting a connection by its address.
    pub(crate) fn forget_address(&mut self, id: ConnId) {
        let rare = self.conns.get_mut(id).and_then(|entry| entry.rare.as_mut());
        if let Some(address) = rare.and_then(|rare| rare.address.take()) {
            self.census.leave(address);
        }
    }

    /// Ends a connection whose protocol has been told. The slot is freed at the end of the turn.
    pub(crate) fn kill(&mut self, id: ConnId) {
        self.unregister(id);
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        if matches!(entry.stage, Stage::Gone) {
            return;
        }
        debug_assert!(entry.session.is_none(), "a session ended without on_close");
        let stage = std::mem::replace(&mut entry.stage, Stage::Gone);
        if entry.listener != Entry::OUTGOING
            && let Some(member) = &mut self.group
        {
            member.release();
        }
        entry.outbox.clear(&mut self.pool);
        self.leave_all(id);
        let rare = self.conns.get_mut(id).and_then(|entry| entry.rare.take());
        self.timers.cancel(id.index());
        self.dead.push(id);
        self.stats.closed += 1;
        if let Stage::Connect(connecting) = stage {
            for attempt in connecting.into_attempts() {
                self.discard_attempt(attempt);
            }
        }
        let Some(rare) = rare else { return };
        self.backlog -= rare.counted;
        if let Some(address) = rare.address {
            self.census.leave(address);
        }
    }
}
