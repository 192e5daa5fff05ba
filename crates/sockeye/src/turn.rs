//! A turn of the engine: its phases, in order.
//!
//! ```text
//! accept and dispatch   what the poller reported, broadcasts of other processes too
//! timers                whose time has come
//! inbox                 commands of other threads and what other engines of the group did, bounded
//! deferred              what callbacks asked for; new work goes to the next turn
//! group                 what this turn had to say to the other engines
//! flush                 whoever was sent to by others; channels go on that waited for that
//! reap                  free the slots of the dead
//! ```
//!
//! A callback never runs inside a callback, and a slot is never used again in the turn it died.

use std::io;
use std::time::Instant;

use sockeye_proto::Cx;

use crate::bus::Inlets;
use crate::conn::Conn;
use crate::core::Deferred;
use crate::engine::Engine;
use crate::entry::Stage;
use crate::handle::Command;
use crate::id::ConnId;
use crate::listener::{Listeners, WAKER};
use crate::poll::Ready;
use crate::protocol::{CloseCause, CloseInfo};

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
        self.run_posts();
        self.run_deferred();
        self.step_shutdown();
        self.send_posts();
        self.flush_dirty();
        self.resume_inlets();
        self.reap();
    }

    /// Tells the engine what time it is, and nothing else: for those who call the
    /// [core](Self::core) long after the last turn, so that what they begin has its whole time.
    pub fn advance(&mut self, now: Instant) {
        self.core.clock.set(now);
    }

    /// Writes what was sent since the last turn, between turns, so that it need not wait for the
    /// next one. Calls nobody back.
    pub fn flush(&mut self, now: Instant) {
        self.advance(now);
        self.flush_dirty();
        self.core.submit();
    }

    /// When [`service`](Self::service) must be called at the latest, ready or not; in the past if
    /// there is work left over. `None`: nothing is due.
    pub fn next_deadline(&self) -> Option<Instant> {
        let core = &self.core;
        let has_posts = core.group.as_ref().is_some_and(|group| group.has_work());
        if !core.deferred.is_empty()
            || !core.dirty.is_empty()
            || !core.inbox.is_empty()
            || has_posts
        {
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
            self.inlets.next_deadline(),
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
        if self.core.pressed && !report.writable {
            // What could be said now has no place to go. It is reported again.
            return;
        }
        if let Some(index) = Listeners::index_of(report.token) {
            self.accept(index);
            return;
        }
        if let Some(index) = Inlets::index_of(report.token) {
            self.read_inlet(index);
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
        if (report.readable || report.hangup) && !self.core.pressed {
            self.read(id, report.hangup);
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
        if self.core.pressed {
            // They wait in their bounded queue.
            return;
        }
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
            Deferred::Broadcast { protocol, message } => self.broadcast(protocol, &message),
            Deferred::ConnectFailed(id, error) => self.connect_failed(id, error),
            Deferred::Cut(id, cause) => self.lost(id, cause),
            Deferred::HungUp(id) => self.hung_up(id),
            Deferred::Read(_) if self.core.pressed => self.core.deferred.push(work),
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
            self.core.pool.all_flushed();
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
}
