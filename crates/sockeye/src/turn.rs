//! A turn of the engine: its phases, in order.
//!
//! ```text
//! accept and dispatch   what the poller reported
//! timers                whose time has come
//! inbox                 commands of other threads, bounded
//! deferred              what callbacks asked for; new work goes to the next turn
//! flush                 whoever was sent to by others
//! reap                  free the slots of the dead
//! ```
//!
//! A callback never runs inside a callback, and a slot is never used again in the turn it died.

use std::io;
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::time::Instant;

use sockeye_proto::Cx;
use sockeye_proto::http::Server;
use sockeye_proto::ws::Event;

use crate::conn::Conn;
use crate::core::Deferred;
use crate::engine::Engine;
use crate::entry::{SessionRef, Stage, Stash};
use crate::handle::Command;
use crate::id::ConnId;
use crate::link::Link;
use crate::listener::{Listeners, WAKER};
use crate::net::PeerAddr;
use crate::net::listener::AcceptFailure;
use crate::poll::{Interest, Ready};
use crate::protocol::{CloseCause, CloseInfo, Peer};
use crate::stage::http::HttpStage;
use crate::tls::{ServerTls, TlsError};

impl Engine {
    /// Serves what is ready, and everything that is due at `now`. For foreign loops; [`run`] and
    /// [`turn`] call it too. Never waits, and does a bounded amount of work.
    ///
    /// `ready` may report tokens that are gone; they are ignored.
    ///
    /// [`run`]: Self::run
    /// [`turn`]: Self::turn
    pub fn service(&mut self, ready: &[Ready], now: Instant) {
        self.core.clock.set(now);
        self.handshakes = 0;
        for report in ready {
            self.dispatch(*report);
        }
        self.expire();
        self.expire_uplinks();
        self.run_commands();
        self.run_deferred();
        self.step_shutdown();
        self.flush_dirty();
        self.reap();
    }

    /// When [`service`](Self::service) must be called at the latest, ready or not; in the past if
    /// there is work left over. `None`: nothing is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = &self.core;
        if !core.deferred.is_empty() || !core.dirty.is_empty() || !core.inbox.is_empty() {
            return Some(core.now());
        }
        let stopping = self
            .stopping
            .as_ref()
            .and_then(|stopping| stopping.deadline(core.connection_count(), core.now()));
        [
            core.timers.next_deadline(),
            core.uplinks
                .as_ref()
                .and_then(|uplinks| uplinks.next_deadline()),
            core.listeners.next_deadline(),
            stopping,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn dispatch(&mut self, report: Ready) {
        if report.token == WAKER {
            // Commands are taken in their phase, in every turn.
            self.core.inbox.waker().acknowledge();
            return;
        }
        if let Some(index) = Listeners::index_of(report.token) {
            self.accept(index);
            return;
        }
        let id = ConnId::from(report.token);
        let Some(entry) = self.core.conns.get(id) else {
            return;
        };
        if let Stage::Attempt(parent) = entry.stage {
            return self.core.dispatch_attempt(id, parent, report);
        }
        if matches!(entry.stage, Stage::Connect(_)) && self.dispatch_connecting(id, report) {
            return;
        }
        if self
            .core
            .conns
            .get(id)
            .is_some_and(|entry| entry.link.is_handshaking())
        {
            // The cost of a handshake is that of thousands of messages: the rest wait a turn, and
            // the poller reports them again.
            if self.handshakes == self.core.limits.tls_handshakes_per_turn {
                return;
            }
            self.handshakes += 1;
        }
        if report.writable {
            self.core.flush(id);
        }
        if report.readable || report.hangup {
            self.read(id, report.hangup);
        }
    }

    fn read(&mut self, id: ConnId, hangup: bool) {
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        if !entry.may_read() || entry.flags.eof {
            if hangup {
                // Nobody is at the other end any more, and waiting to read would only spin.
                self.lost(id, CloseCause::Io(io::ErrorKind::ConnectionReset));
            }
            return;
        }
        let mut buffer = std::mem::take(&mut self.read_buf);
        match entry.link.read(&mut buffer) {
            Ok(0) => self.end_of_stream(id),
            Ok(len) => {
                let left = self.feed(id, &mut buffer[..len]);
                if left > 0
                    && let Some(entry) = self.core.conns.get_mut(id)
                {
                    entry.rare().stash.push(&buffer[len - left..len]);
                }
                self.core.flush(id);
                self.read_on(id);
            }
            Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => {
                if entry.link.wants_write() {
                    self.core.flush(id);
                }
            }
            Err(error) => self.read_failed(id, error),
        }
        self.read_buf = buffer;
    }

    /// Sees to it that what a decorator has decrypted is read: the poller knows nothing of it. While
    /// the connection may not be read it stays there, and this is called again when it may.
    fn read_on(&mut self, id: ConnId) {
        if let Some(entry) = self.core.conns.get(id)
            && entry.may_read()
            && entry.link.has_buffered_input()
        {
            self.core.deferred.push(Deferred::Read(id));
        }
    }

    fn read_failed(&mut self, id: ConnId, error: io::Error) {
        match TlsError::from_io(error) {
            Err(error) => self.lost(id, CloseCause::Io(error.kind())),
            Ok(error) if self.core.is_connecting(id) => self.connecting_tls_failed(id, error),
            Ok(TlsError::Truncated) => self.lost(id, CloseCause::Truncated),
            Ok(_) => self.lost(id, CloseCause::Io(io::ErrorKind::InvalidData)),
        }
    }

    /// Hands received bytes to the stage, again after each change of stage, until the stage has no
    /// more to say. Returns how many bytes at the end may not be looked at yet.
    fn feed(&mut self, id: ConnId, mut input: &mut [u8]) -> usize {
        loop {
            let Some(entry) = self.core.conns.get_mut(id) else {
                return 0;
            };
            if entry.flags.doomed {
                return 0;
            }
            // Between two messages, not only between two reads: a short request may have a long
            // answer.
            if entry.outbox.len() > self.core.limits.high_water {
                entry.choke();
            }
            if !entry.is_receiving() {
                return input.len();
            }
            let more = match entry.stage {
                Stage::WebSocket(_) => self.feed_websocket(id, &mut input),
                Stage::Http(_) => self.feed_http(id, &mut input),
                Stage::Connect(_) => self.feed_connecting(id, &mut input),
                Stage::Attempt(_) | Stage::Gone => false,
            };
            if !more {
                return 0;
            }
        }
    }

    fn end_of_stream(&mut self, id: ConnId) {
        let now = self.core.now();
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        entry.flags.eof = true;
        match &mut entry.stage {
            Stage::WebSocket(ws) => {
                let output = entry.outbox.tail(&mut self.core.pool);
                let shared = &mut self.core.shared;
                let blocked = entry.flags.blocked;
                let event = ws.receive_eof(&mut Cx {
                    now,
                    output,
                    shared,
                    blocked,
                });
                if let Some(event) = event {
                    self.websocket_event(id, event);
                }
                self.core.flush(id);
            }
            Stage::Http(_) => self.http_end_of_stream(id),
            Stage::Connect(_) => self.connecting_end_of_stream(id),
            Stage::Attempt(_) | Stage::Gone => {}
        }
    }

    /// Ends a connection that cannot go on: its protocol is told, then it is gone.
    pub(crate) fn lost(&mut self, id: ConnId, cause: CloseCause) {
        if self.core.is_connecting(id) {
            return self.connecting_lost(id, cause);
        }
        if let Some(&Stage::Attempt(parent)) = self.core.conns.get(id).map(|entry| &entry.stage) {
            let kind = match cause {
                CloseCause::Io(kind) => kind,
                _ => io::ErrorKind::ConnectionAborted,
            };
            return self.core.attempt_failed(id, parent, kind.into());
        }
        self.close_session(id, &CloseInfo::unclean(cause));
        self.core.kill(id);
    }

    /// Tells the protocol that a connection is over, if it was open.
    pub(crate) fn close_session(&mut self, id: ConnId, info: &CloseInfo) {
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        let Some(session) = entry.session.take() else {
            return;
        };
        let uplink = entry.rare.as_ref().and_then(|rare| rare.uplink);
        // Nothing reaches it any more, and who counts the members should not count it.
        self.core.leave_all(id);
        let protocol = &mut self.protocols[usize::from(session.protocol)];
        protocol.close(Conn::new(&mut self.core, id), session.index, info);
        if let Some(uplink) = uplink {
            self.uplink_closed(uplink, info);
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..self.core.limits.accepts_per_turn {
            if self.core.conns.is_full() {
                return self
                    .core
                    .listeners
                    .pause(index, self.core.driver.registrar());
            }
            let Some(listener) = self.core.listeners.get_mut(index) else {
                return;
            };
            match listener.accept() {
                Ok((link, addr)) => self.admit(index, link, addr),
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::Empty => return,
                    AcceptFailure::Connection => {}
                    AcceptFailure::Exhausted | AcceptFailure::Listener => {
                        self.core.stats.refused += 1;
                        let resume_at = self.core.now().checked_add(self.core.limits.accept_pause);
                        let registrar = self.core.driver.registrar();
                        self.core
                            .listeners
                            .out_of_descriptors(index, resume_at, registrar);
                        return;
                    }
                },
            }
        }
    }

    fn admit(&mut self, listener: usize, link: Link, addr: PeerAddr) {
        let peer = Peer::new(addr, None);
        let front = &mut self.fronts[listener];
        let address = peer
            .ip()
            .filter(|_| self.core.limits.connections_per_address.is_some());
        let crowded = address.is_some_and(|address| {
            let count = self.core.per_address.get(&address).copied().unwrap_or(0);
            Some(count) >= self.core.limits.connections_per_address
        });
        if crowded || front.filter.as_mut().is_some_and(|filter| !filter(&peer)) {
            self.core.stats.refused += 1;
            return;
        }
        let link = match front.tls.as_ref().map(ServerTls::accept) {
            None => link,
            Some(Ok(session)) => link.secure(session),
            Some(Err(_)) => {
                self.core.stats.refused += 1;
                return;
            }
        };
        let machine = Server::new(self.core.config(Default::default()), self.core.now());
        let stage = Stage::Http(Box::new(HttpStage::new(machine, addr)));
        // A registrar that refuses has lost this connection only.
        let Ok(id) = self.core.admit(link, stage, Interest::READ) else {
            self.core.stats.refused += 1;
            return;
        };
        self.core.stats.accepted += 1;
        if let Some(entry) = self.core.conns.get_mut(id) {
            entry.listener = listener as u16;
            if let Some(address) = address {
                entry.rare().address = Some(address);
                *self.core.per_address.entry(address).or_insert(0) += 1;
            }
        }
    }

    fn expire(&mut self) {
        let mut expired = std::mem::take(&mut self.expired);
        expired.clear();
        self.core.timers.expire(self.core.now(), &mut expired);
        for &index in &expired {
            if let Some(id) = self.core.conns.id_at(index) {
                self.expire_connection(id);
            }
        }
        self.expired = expired;
        self.resume_listeners();
    }

    fn resume_listeners(&mut self) {
        let has_room = !self.core.conns.is_full();
        let registrar = self.core.driver.registrar();
        self.core
            .listeners
            .resume(self.core.clock.now(), has_room, registrar);
    }

    fn expire_connection(&mut self, id: ConnId) {
        let now = self.core.now();
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        if let Some(rare) = &mut entry.rare {
            if due(rare.stall) {
                return self.lost(id, CloseCause::Stalled);
            }
            if due(rare.timeout) {
                rare.timeout = None;
                if let Some(session) = entry.session {
                    let protocol = &mut self.protocols[usize::from(session.protocol)];
                    protocol.timeout(Conn::new(&mut self.core, id), session.index);
                }
            }
        }
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        match &mut entry.stage {
            Stage::WebSocket(ws) if due(ws.next_timeout()) => {
                // Who does not listen must not conclude that the peer is silent.
                let deaf = !entry.may_read();
                let Stage::WebSocket(ws) = &mut entry.stage else {
                    return;
                };
                let output = entry.outbox.tail(&mut self.core.pool);
                let shared = &mut self.core.shared;
                let blocked = entry.flags.blocked || deaf;
                let event = ws.handle_timeout(&mut Cx {
                    now,
                    output,
                    shared,
                    blocked,
                });
                if let Some(event) = event {
                    self.websocket_event(id, event);
                }
                // A peer that does not even take the Close is not waited for.
                let over = self.core.conns.get(id).is_some_and(|entry| {
                    matches!(&entry.stage, Stage::WebSocket(ws)
                        if ws.fate() == sockeye_proto::ws::Fate::Close)
                });
                if over && blocked {
                    return self.core.kill(id);
                }
            }
            Stage::Http(stage) if due(stage.machine.next_timeout()) => self.http_timeout(id),
            Stage::Connect(connecting) if due(Some(connecting.next_deadline())) => {
                return self.connecting_timeout(id);
            }
            _ => {}
        }
        self.core.flush(id);
    }

    fn run_commands(&mut self) {
        let mut commands = std::mem::take(&mut self.commands);
        if self
            .core
            .inbox
            .take(self.core.limits.commands_per_turn, &mut commands)
        {
            // The rest must not wait for somebody to push again.
            self.core.inbox.waker().wake();
        }
        for command in commands.drain(..) {
            match command {
                Command::Run(run) => run(self),
                Command::Shutdown(limit) => self.shutdown(limit),
            }
        }
        self.commands = commands;
    }

    fn run_deferred(&mut self) {
        let mut deferred = std::mem::take(&mut self.core.deferred);
        for work in deferred.drain(..) {
            self.run_one(work);
        }
        // Keep the larger of the two buffers; what was queued meanwhile waits for the next turn.
        if self.core.deferred.is_empty() {
            self.core.deferred = deferred;
        }
    }

    fn run_one(&mut self, work: Deferred) {
        match work {
            Deferred::Broadcast { protocol, message } => {
                if let Some(hosted) = self.protocols.get_mut(usize::from(protocol)) {
                    hosted.broadcast(&mut self.core, &message);
                }
            }
            Deferred::ConnectFailed(id, error) => self.connect_failed(id, error),
            Deferred::Cut(id, cause) => self.lost(id, cause),
            Deferred::Read(id) => self.read(id, false),
            Deferred::Refill(id) => self.refill(id),
            Deferred::Resume(id) => self.feed_stash(id),
            Deferred::Writable(id) => {
                let Some(entry) = self.core.conns.get(id) else {
                    return;
                };
                let Some(session) = entry.session else { return };
                let protocol = &mut self.protocols[usize::from(session.protocol)];
                protocol.writable(Conn::new(&mut self.core, id), session.index);
            }
            Deferred::WritableAll(protocol) => {
                let mut ids = Vec::new();
                if let Some(hosted) = self.protocols.get(usize::from(protocol)) {
                    hosted.connections(&mut ids);
                }
                for id in ids {
                    self.core.request_writable(id);
                }
            }
        }
    }

    fn feed_stash(&mut self, id: ConnId) {
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        if entry.is_receiving() {
            let mut stash = match &mut entry.rare {
                Some(rare) => std::mem::take(&mut rare.stash),
                None => Stash::default(),
            };
            let left = self.feed(id, stash.bytes());
            if left > 0
                && let Some(entry) = self.core.conns.get_mut(id)
            {
                stash.keep(left);
                entry.rare().stash = stash;
            }
        }
        self.read_on(id);
        self.core.flush(id);
    }

    fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.core.dirty);
        for id in dirty.drain(..) {
            let Some(entry) = self.core.conns.get_mut(id) else {
                continue;
            };
            if !std::mem::take(&mut entry.flags.dirty) {
                continue;
            }
            if entry.flags.blocked {
                // The poller tells when there is room; asking now would only cost a call.
                self.core.settle(id);
            } else {
                self.core.flush(id);
            }
        }
        if self.core.dirty.is_empty() {
            self.core.dirty = dirty;
        }
    }

    fn reap(&mut self) {
        if self.core.dead.is_empty() {
            return;
        }
        let mut dead = std::mem::take(&mut self.core.dead);
        for id in dead.drain(..) {
            self.core.conns.remove(id);
        }
        self.core.dead = dead;
        self.resume_listeners();
    }

    /// Passes an event of a WebSocket on. Kept apart from [`feed_websocket`](Self::feed_websocket)
    /// because deadlines and the end of the stream bring events too.
    pub(crate) fn websocket_event(&mut self, id: ConnId, event: Event<'_>) {
        let entry = self.core.conns.get(id);
        if let Some(session) = entry.and_then(|entry| entry.session) {
            self.session_event(id, session, event);
        }
    }

    /// As [`websocket_event`](Self::websocket_event), for those who have the entry at hand.
    pub(crate) fn session_event(&mut self, id: ConnId, session: SessionRef, event: Event<'_>) {
        let index = session.index;
        let protocol = &mut self.protocols[usize::from(session.protocol)];
        let conn = Conn::new(&mut self.core, id);
        match event {
            Event::Text(text) => protocol.text(conn, index, text),
            Event::Binary(data) => protocol.binary(conn, index, data),
            Event::Chunk(chunk) => protocol.chunk(conn, index, chunk),
            // The Pong is already in the outbox.
            Event::Ping(data) => protocol.ping(conn, index, data),
            Event::Pong(data) => protocol.pong(conn, index, data),
            Event::Close(frame) => {
                let info = CloseInfo::handshake(frame.code, frame.reason.into_string());
                self.close_session(id, &info);
            }
            Event::Lost(lost) => {
                self.close_session(id, &CloseInfo::unclean(CloseCause::Lost(lost)))
            }
            _ => {}
        }
    }
}
