//! Uplinks on the loop: connections that come back.
//!
//! What an uplink does next is the client's business; here are the calls of a program, the timers
//! and the attempts. An uplink is no connection: it counts for no limit, and a shutdown ends it at
//! once.

use std::any::Any;

use sockeye_proto::CloseCode;
use sockeye_proto::ws::{Message, Prepared};

use crate::client::{
    Backoff, ConnectCause, ConnectError, ConnectOptions, Holder, Step, UplinkId, UplinkQueue,
    Verdict,
};
use crate::conn::{Refusal, Sent};
use crate::core::Core;
use crate::engine::Engine;
use crate::error::Error;
use crate::id::ConnId;
use crate::protocol::{CloseCause, CloseInfo, Protocol, ProtocolKey};
use crate::slab::Slab;
use crate::timer::Wheel;

/// The uplinks of an engine.
#[derive(Debug)]
pub(crate) struct Uplinks {
    holders: Slab<Holder>,
    /// When the next attempt of each is due.
    timers: Wheel,
}

impl Uplinks {
    pub(crate) fn next_deadline(&self) -> Option<std::time::Instant> {
        self.timers.next_deadline()
    }

    fn get_mut(&mut self, id: UplinkId) -> Option<&mut Holder> {
        self.holders.get_mut(id.0)
    }

    fn remove(&mut self, id: UplinkId) -> Option<Holder> {
        let holder = self.holders.remove(id.0)?;
        self.timers.cancel(id.0.index());
        Some(holder)
    }
}

impl Core {
    /// Keeps a connection to a server: opens it, and when it cannot be opened or is lost, opens it
    /// again after a while. Each attempt begins with [`Protocol::on_uplink`], which gives the
    /// session; what follows is as after [`connect`](Self::connect). Returns at once.
    ///
    /// ```
    /// use sockeye::{Accepted, Attempt, Backoff, Conn, Core, Engine, Peer, Protocol, Reject, Request};
    ///
    /// struct Feed;
    ///
    /// impl Protocol for Feed {
    ///     type Session = ();
    /// #    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
    /// #        Err(Reject::status(404))
    /// #    }
    ///
    ///     fn on_uplink(&mut self, _: &mut Core, attempt: &mut Attempt) -> Option<()> {
    ///         if let Some(error) = attempt.error() {
    ///             eprintln!("attempt {}: {error}", attempt.number() - 1);
    ///         }
    ///         Some(())
    ///     }
    ///
    ///     fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
    ///         conn.send("subscribe");
    ///     }
    /// }
    ///
    /// let mut engine = Engine::new()?;
    /// let feed = engine.host(Feed);
    /// engine.uplink(feed, "ws://127.0.0.1:9001/feed", Backoff::default())?;
    /// # Ok::<(), sockeye::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The URL makes no sense.
    pub fn uplink<P, O>(
        &mut self,
        key: ProtocolKey<P>,
        options: O,
        backoff: Backoff,
    ) -> Result<UplinkId, Error>
    where
        P: Protocol,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        let options = options.try_into().map_err(Into::into)?;
        let now = self.now();
        let uplinks = self.uplinks.get_or_insert_with(|| {
            Box::new(Uplinks {
                holders: Slab::new(),
                timers: Wheel::new(now),
            })
        });
        let holder = Holder::new(key.index, options, backoff);
        let id = uplinks.holders.insert(holder);
        uplinks.timers.set(id.index(), now);
        Ok(UplinkId(id))
    }

    /// How much may wait while an uplink is away; nothing unless this is called. What waits already
    /// stays. Returns whether there is such an uplink.
    pub fn set_uplink_queue(&mut self, uplink: UplinkId, mut room: UplinkQueue) -> bool {
        room.bytes = room.bytes.min(self.limits.backlog_len);
        match self.holder(uplink) {
            Some(holder) => {
                holder.set_room(room);
                true
            }
            None => false,
        }
    }

    /// Sends a message over an uplink. While it is away the message waits if it may
    /// ([`Sent::Queued`]), and is refused otherwise. What waits is sent right after
    /// [`Protocol::on_open`].
    pub fn send_uplink<'m>(&mut self, uplink: UplinkId, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        let Some(holder) = self.holder(uplink) else {
            self.stats.stale += 1;
            return Sent::Refused(Refusal::Gone);
        };
        if let Some(conn) = holder.open()
            && self.is_open(conn)
        {
            return self.send(conn, message);
        }
        match self
            .holder(uplink)
            .and_then(|holder| holder.enqueue(Prepared::new(message)))
        {
            Some(waiting) => Sent::Queued(waiting),
            None => Sent::Refused(Refusal::Away),
        }
    }

    /// The connection of an uplink, while it is open.
    pub fn uplink_connection(&self, uplink: UplinkId) -> Option<ConnId> {
        let holder = self.uplinks.as_ref()?.holders.get(uplink.0)?;
        holder.open().filter(|&conn| self.is_open(conn))
    }

    /// Ends an uplink: its connection is closed with 1000, an attempt under way is given up, and
    /// what waits is dropped. Returns whether there was one.
    pub fn stop_uplink(&mut self, uplink: UplinkId) -> bool {
        let Some(holder) = self
            .uplinks
            .as_mut()
            .and_then(|uplinks| uplinks.remove(uplink))
        else {
            return false;
        };
        if let Some(conn) = holder.open() {
            self.close(conn, CloseCode::NORMAL, "");
        } else if let Some(conn) = holder.current() {
            self.doom(conn, CloseCause::Aborted);
        }
        true
    }

    fn holder(&mut self, uplink: UplinkId) -> Option<&mut Holder> {
        self.uplinks.as_mut()?.get_mut(uplink)
    }

    pub(crate) fn uplink_opened(&mut self, uplink: UplinkId, conn: ConnId) {
        let now = self.now();
        if let Some(holder) = self.holder(uplink) {
            holder.opened(conn, now);
        }
    }

    /// Sends what waited.
    pub(crate) fn drain_uplink(&mut self, uplink: UplinkId, conn: ConnId) {
        let Some(holder) = self.holder(uplink) else {
            return;
        };
        for message in holder.take_queue() {
            self.send(conn, message.message());
        }
    }

    /// From 0 to 1, from the loop's random stream.
    fn chance(&mut self) -> f64 {
        let [a, b, c, d, ..] = self.shared.nonce();
        f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }
}

impl Engine {
    /// Opens a connection that comes back: see [`Core::uplink`].
    ///
    /// # Errors
    ///
    /// The URL makes no sense.
    pub fn uplink<P, O>(
        &mut self,
        key: ProtocolKey<P>,
        options: O,
        backoff: Backoff,
    ) -> Result<UplinkId, Error>
    where
        P: Protocol,
        O: TryInto<ConnectOptions>,
        O::Error: Into<Error>,
    {
        self.core.uplink(key, options, backoff)
    }

    /// Makes the attempts that are due.
    pub(crate) fn expire_uplinks(&mut self) {
        let now = self.core.now();
        let Some(uplinks) = &mut self.core.uplinks else {
            return;
        };
        let mut expired = Vec::new();
        uplinks.timers.expire(now, &mut expired);
        let due: Vec<ConnId> = expired
            .into_iter()
            .filter_map(|index| uplinks.holders.id_at(index))
            .collect();
        for id in due {
            self.attempt_uplink(UplinkId(id));
        }
    }

    fn attempt_uplink(&mut self, uplink: UplinkId) {
        if self.stopping.is_some() {
            self.core.stop_uplink(uplink);
            return;
        }
        let Some(holder) = self.core.holder(uplink) else {
            return;
        };
        let protocol = holder.protocol;
        let Some(mut attempt) = holder.prepare(uplink) else {
            return;
        };
        let hosted = &mut self.protocols[usize::from(protocol)];
        let session = hosted.uplink(&mut self.core, &mut attempt);
        let options = attempt.options.clone();
        // The hook may have ended the uplink.
        let Some(holder) = self.core.holder(uplink) else {
            return;
        };
        holder.prepared(attempt);
        let Some(session) = session else {
            return self.end_uplink(uplink);
        };
        let subject = options.destination().to_string();
        match self
            .core
            .open(protocol, options, session, Some(uplink), None)
        {
            Ok(conn) => {
                if let Some(holder) = self.core.holder(uplink) {
                    holder.connecting(conn);
                }
            }
            Err((error, session)) => {
                let error = ConnectError {
                    step: Step::Prepare,
                    subject,
                    cause: ConnectCause::Setup(Box::new(error)),
                };
                self.uplink_unopened(protocol, session, error, uplink);
            }
        }
    }

    fn uplink_unopened(
        &mut self,
        protocol: u16,
        session: Box<dyn Any>,
        error: ConnectError,
        uplink: UplinkId,
    ) {
        let hosted = &mut self.protocols[usize::from(protocol)];
        hosted.connect_error(&mut self.core, session, &error);
        self.uplink_failed(uplink, error);
    }

    /// An attempt came to nothing, of which the protocol knows.
    pub(crate) fn uplink_failed(&mut self, uplink: UplinkId, error: ConnectError) {
        let (now, chance) = (self.core.now(), self.core.chance());
        if let Some(holder) = self.core.holder(uplink) {
            let verdict = holder.failed(error, now, chance);
            self.obey(uplink, verdict);
        }
    }

    /// The connection of an uplink is over, of which the protocol knows.
    pub(crate) fn uplink_closed(&mut self, uplink: UplinkId, info: &CloseInfo) {
        let (now, chance) = (self.core.now(), self.core.chance());
        if let Some(holder) = self.core.holder(uplink) {
            let verdict = holder.closed(info.clone(), now, chance);
            self.obey(uplink, verdict);
        }
    }

    fn obey(&mut self, uplink: UplinkId, verdict: Verdict) {
        match verdict {
            Verdict::RetryAt(at) => {
                if let Some(uplinks) = &mut self.core.uplinks {
                    uplinks.timers.set(uplink.0.index(), at);
                }
            }
            Verdict::GiveUp => self.end_uplink(uplink),
        }
    }

    fn end_uplink(&mut self, uplink: UplinkId) {
        let Some(uplinks) = &mut self.core.uplinks else {
            return;
        };
        if let Some(holder) = uplinks.remove(uplink) {
            let hosted = &mut self.protocols[usize::from(holder.protocol)];
            hosted.uplink_end(&mut self.core, uplink);
        }
    }
}
