//! Sending by id: the calls of [`Core`] that append to outboxes.
//!
//! Room is checked before a byte is appended; no call here writes to a socket.

use sockeye_proto::ws::{Message, Prepared, Role, WebSocket};
use sockeye_proto::{CloseCode, Cx, FrameHeader, Misuse};

use crate::conn::{Refusal, Sent};
use crate::core::{Core, Deferred};
use crate::draft;
use crate::entry::{Entry, Stage};
use crate::id::ConnId;
use crate::protocol::{CloseCause, Overflow, Protocol, ProtocolKey};

/// Whether a message may be taken out of the backlog again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Whole,
    Part,
    Control,
}

impl Core {
    /// See [`Conn::send`](crate::Conn::send).
    pub fn send<'m>(&mut self, id: ConnId, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        self.append(id, message.data().len(), Kind::Whole, |ws, cx| {
            ws.send(message, cx)
        })
    }

    /// See [`Conn::send_uncompressed`](crate::Conn::send_uncompressed).
    pub fn send_uncompressed<'m>(&mut self, id: ConnId, message: impl Into<Message<'m>>) -> Sent {
        let message = message.into();
        self.append(id, message.data().len(), Kind::Whole, |ws, cx| {
            ws.send_uncompressed(message, cx)
        })
    }

    /// See [`Conn::send_prepared`](crate::Conn::send_prepared).
    pub fn send_prepared(&mut self, id: ConnId, message: &Prepared) -> Sent {
        self.append_shared(id, message)
    }

    /// See [`Conn::send_fragment`](crate::Conn::send_fragment).
    pub fn send_fragment(&mut self, id: ConnId, fragment: Message<'_>, last: bool) -> Sent {
        self.append(id, fragment.data().len(), Kind::Part, |ws, cx| {
            ws.send_fragment(fragment, last, cx)
        })
    }

    /// See [`Conn::ping`](crate::Conn::ping).
    pub fn ping(&mut self, id: ConnId, data: &[u8]) -> Sent {
        self.append(id, data.len(), Kind::Control, |ws, cx| ws.ping(data, cx))
    }

    /// See [`Conn::pong`](crate::Conn::pong).
    pub fn pong(&mut self, id: ConnId, data: &[u8]) -> Sent {
        self.append(id, data.len(), Kind::Control, |ws, cx| ws.pong(data, cx))
    }

    /// See [`Conn::close`](crate::Conn::close).
    pub fn close(&mut self, id: ConnId, code: CloseCode, reason: &str) -> Sent {
        let sent = self.append(id, 0, Kind::Control, |ws, cx| ws.close(code, reason, cx));
        if sent.is_sent() {
            // What arrives is discarded anyway, but for the answer.
            self.resume(id);
        }
        sent
    }

    /// See [`Conn::close_sending`](crate::Conn::close_sending).
    pub fn close_sending(&mut self, id: ConnId, code: CloseCode, reason: &str) -> Sent {
        self.append(id, 0, Kind::Control, |ws, cx| {
            ws.close_sending(code, reason, cx)
        })
    }

    /// Sends a message to every member of a topic, on all engines of a [`Group`](crate::Group).
    /// Returns to how many it was sent on this engine.
    pub fn publish(&mut self, topic: &str, message: &Prepared) -> usize {
        self.share_publish(topic, message);
        self.publish_here(topic, message)
    }

    /// Sends a message to every member of a topic but one of this engine's connections. Returns to
    /// how many it was sent on this engine.
    pub fn publish_except(&mut self, topic: &str, message: &Prepared, except: ConnId) -> usize {
        self.share_publish(topic, message);
        self.publish_where(topic, message, |id| id != except)
    }

    /// Sends a message to every member of a topic on this engine, and on no other one of a group.
    /// Returns to how many.
    pub fn publish_here(&mut self, topic: &str, message: &Prepared) -> usize {
        self.publish_where(topic, message, |_| true)
    }

    /// How many connections of this engine are members of a topic.
    pub fn subscriber_count(&self, topic: &str) -> usize {
        self.topics
            .index(topic)
            .map_or(0, |index| self.topics.members(index).len())
    }

    /// Calls [`Protocol::on_broadcast`] for every open connection of a protocol, later in this turn
    /// or in the next, on all engines of a [`Group`](crate::Group).
    pub fn broadcast<P: Protocol>(&mut self, key: ProtocolKey<P>, message: Prepared) {
        self.deferred.push(Deferred::Broadcast {
            protocol: key.index,
            message,
        });
    }

    /// Does [`request_writable`](Self::request_writable) for every open connection of a protocol on
    /// this engine.
    pub fn request_writable_all<P: Protocol>(&mut self, key: ProtocolKey<P>) {
        self.deferred.push(Deferred::WritableAll(key.index));
    }

    fn publish_where(
        &mut self,
        topic: &str,
        message: &Prepared,
        wanted: impl Fn(ConnId) -> bool,
    ) -> usize {
        let Some(topic) = self.topics.index(topic) else {
            return 0;
        };
        let mut sent = 0;
        let mut position = 0;
        // By position, since sending needs the connections and cannot change who is a member.
        while let Some(&id) = self.topics.members(topic).get(position) {
            position += 1;
            if wanted(id) && self.send_prepared(id, message).is_sent() {
                sent += 1;
            }
        }
        sent
    }

    pub(crate) fn append(
        &mut self,
        id: ConnId,
        len: usize,
        kind: Kind,
        send: impl FnOnce(&mut WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
    ) -> Sent {
        let now = self.clock.now();
        let backlog_len = self.limits.backlog_len;
        let entry = match self.conns.get_mut(id) {
            Some(entry) if has_room(entry, len, backlog_len) => entry,
            _ => {
                if let Err(refusal) = self.make_room(id, len, kind) {
                    return Sent::Refused(refusal);
                }
                match self.conns.get_mut(id) {
                    Some(entry) => entry,
                    None => return Sent::Refused(Refusal::Gone),
                }
            }
        };
        let Entry {
            stage: Stage::WebSocket(ws),
            outbox,
            overflow,
            flags,
            ..
        } = &mut *entry
        else {
            return Sent::Refused(Refusal::Gone);
        };
        let shared = &mut self.shared;
        let blocked = flags.blocked;
        // Only a message that waits can be dropped, and only one with a segment of its own.
        let droppable = blocked && kind == Kind::Whole && *overflow == Overflow::DropOldest;
        let outcome = if droppable {
            let mut output = Vec::new();
            let outcome = send(
                ws,
                &mut Cx {
                    now,
                    output: &mut output,
                    shared,
                    blocked,
                },
            );
            if outcome.is_ok() {
                ws.forget_sent();
                outbox.push_owned(output, true, &mut self.pool);
            }
            outcome
        } else {
            let room = len.saturating_add(FrameHeader::MAX_LEN);
            let output = outbox.tail_for(room, &mut self.pool);
            send(
                ws,
                &mut Cx {
                    now,
                    output,
                    shared,
                    blocked,
                },
            )
        };
        // The buffer that was lent for nothing goes back when the outbox is flushed, too.
        if !std::mem::replace(&mut entry.flags.dirty, true) {
            self.dirty.push(id);
        }
        match outcome {
            Err(misuse) => Sent::Refused(Refusal::Misuse(misuse)),
            Ok(()) => pressure(entry, &mut self.backlog, self.limits.high_water),
        }
    }

    fn append_shared(&mut self, id: ConnId, message: &Prepared) -> Sent {
        let len = message.data().len();
        let now = self.clock.now();
        let backlog_len = self.limits.backlog_len;
        let entry = match self.conns.get_mut(id) {
            Some(entry) if has_room(entry, len, backlog_len) => entry,
            _ => {
                if let Err(refusal) = self.make_room(id, len, Kind::Whole) {
                    return Sent::Refused(refusal);
                }
                match self.conns.get_mut(id) {
                    Some(entry) => entry,
                    None => return Sent::Refused(Refusal::Gone),
                }
            }
        };
        let Entry {
            stage: Stage::WebSocket(ws),
            outbox,
            overflow,
            flags,
            ..
        } = &mut *entry
        else {
            return Sent::Refused(Refusal::Gone);
        };
        if ws.role() == Role::Client {
            // Masked afresh, and not shared.
            return self.send(id, message.message());
        }
        let outcome = ws
            .may_send()
            .and_then(|()| draft::may_carry(ws, message.kind()));
        if outcome.is_ok() {
            ws.note_sent(now);
            let packed;
            let frame = match ws.sends_as_is(message) {
                true => message.frame(),
                false => {
                    packed = ws.frame_of(message, &mut self.shared);
                    &packed
                }
            };
            let droppable = flags.blocked && *overflow == Overflow::DropOldest;
            if droppable {
                ws.forget_sent();
            }
            let pool = &mut self.pool;
            if frame.len() > SHARED_MIN_LEN || droppable || !outbox.is_contiguous() {
                outbox.push_shared(frame, droppable, pool);
            } else if flags.blocked || !outbox.join(frame, pool) {
                outbox.tail_for(frame.len(), pool).extend_from_slice(frame);
            }
        }
        // The buffer that was lent for nothing goes back when the outbox is flushed, too.
        if !std::mem::replace(&mut entry.flags.dirty, true) {
            self.dirty.push(id);
        }
        match outcome {
            Err(misuse) => Sent::Refused(Refusal::Misuse(misuse)),
            Ok(()) => pressure(entry, &mut self.backlog, self.limits.high_water),
        }
    }

    pub(crate) fn queued(&mut self, id: ConnId) -> Sent {
        self.mark_dirty(id);
        match self.conns.get_mut(id) {
            Some(entry) => pressure(entry, &mut self.backlog, self.limits.high_water),
            None => Sent::Clear,
        }
    }

    /// Whether a frame with `payload_len` more bytes may wait. The first message always may,
    /// whatever its size.
    #[cold]
    fn make_room(&mut self, id: ConnId, payload_len: usize, kind: Kind) -> Result<(), Refusal> {
        let Some(entry) = self.conns.get_mut(id) else {
            self.stats.stale += 1;
            return Err(Refusal::Gone);
        };
        if entry.session.is_none() || entry.flags.doomed {
            return Err(Refusal::Gone);
        }
        let masked = matches!(&entry.stage, Stage::WebSocket(ws) if ws.role() == Role::Client);
        let len = payload_len.saturating_add(header_len(payload_len, masked));
        let waiting = entry.outbox.cost();
        let over = waiting
            .saturating_add(len)
            .saturating_sub(self.limits.backlog_len);
        let over_total = match entry.flags.blocked {
            true => self
                .backlog
                .saturating_add(len)
                .saturating_sub(self.limits.backlog_total_len),
            false => 0,
        };
        let missing = over.max(over_total);
        if missing == 0 || waiting == 0 || kind == Kind::Control && missing <= CONTROL_SLACK {
            return Ok(());
        }
        match entry.overflow {
            _ if kind == Kind::Control => return Err(Refusal::Backlog),
            Overflow::DropNewest if kind == Kind::Whole => {
                self.stats.dropped += 1;
                return Err(Refusal::Backlog);
            }
            Overflow::DropOldest if kind == Kind::Whole => {
                let dropped = entry.outbox.drop_oldest(missing);
                let freed = waiting - entry.outbox.cost();
                entry.count(&mut self.backlog);
                self.stats.dropped += dropped as u64;
                if freed >= missing {
                    return Ok(());
                }
                self.stats.dropped += 1;
                return Err(Refusal::Backlog);
            }
            _ => {}
        }
        self.doom(id, CloseCause::Backlog);
        Err(Refusal::Backlog)
    }
}

/// Whether there is room for sure, which is so nearly always. Where it is not,
/// [`Core::make_room`] decides.
#[inline]
fn has_room(entry: &Entry, payload_len: usize, backlog_len: usize) -> bool {
    let len = payload_len.saturating_add(FrameHeader::MAX_LEN);
    entry.session.is_some()
        && !entry.flags.doomed
        && !entry.flags.blocked
        && entry.outbox.is_contiguous()
        && entry.outbox.len() <= backlog_len.saturating_sub(len)
}

/// How much waits, for whoever sends more.
#[inline]
fn pressure(entry: &mut Entry, backlog: &mut usize, high_water: usize) -> Sent {
    let waiting = match entry.flags.blocked {
        // Others may ask for room before the next flush.
        true => entry.count(backlog),
        false => entry.outbox.len(),
    };
    match waiting > high_water {
        true => Sent::Pressed(waiting),
        false => Sent::Clear,
    }
}

/// The length of a frame's header (RFC 6455 §5.2).
fn header_len(payload_len: usize, masked: bool) -> usize {
    let length = match payload_len {
        0..126 => 2,
        126..0x1_0000 => 4,
        _ => 10,
    };
    length + if masked { 4 } else { 0 }
}

/// Prepared messages up to this length are copied behind what already waits: one contiguous write
/// beats a segment's bookkeeping until a copy costs more than a slice.
const SHARED_MIN_LEN: usize = 1024;

/// Control frames may go over the bound by this much, so that a connection with a full backlog can
/// still be closed in order.
const CONTROL_SLACK: usize = 16 * 1024;
