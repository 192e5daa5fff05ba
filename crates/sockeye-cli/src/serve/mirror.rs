//! `/mirror`: what one sends, all receive, and nobody is sent more than the slowest can take.
//!
//! All members read from one [`Ring`], each at its own place and pace: [`Mirror::deliver`] gives a
//! member what it has room for, and `on_writable` goes on. When the slowest member is so far
//! behind that the ring is full, all members are paused, so that nothing is added; when it has
//! caught up, they go on. A member that has not caught up in [`GRACE`] is closed: it may slow the
//! others down, but not for ever.
//!
//! Each thread has a ring and members of its own. What is sent on one goes into the rings of all, and
//! when one ring is full, the members of all are paused.
//!
//! Invariants: nothing is added while the ring is full but what other threads sent before they
//! heard of it, so it holds at most one message and that more than its marks say; a member's outbox holds at most the engine's low-water mark and one message,
//! whose bytes it shares with the ring.

use std::collections::VecDeque;
use std::time::Duration;

use slab::Slab;
use sockeye::{
    Accepted, Bytes, CloseCode, CloseInfo, Conn, ConnId, Core, Message, Peer, Prepared, Protocol,
    ProtocolKey, Reject, Request, Text,
};

use super::log::Logged;

/// How long those who hold the others up may take to catch up.
const GRACE: Duration = Duration::from_secs(5);
/// Messages and bytes at which the ring is full.
const FULL: Mark = Mark {
    count: 1024,
    len: 4 * 1024 * 1024,
};
/// Messages and bytes at which senders go on. Well below, so that they do not stop and go at every
/// message.
const LOW: Mark = Mark {
    count: 256,
    len: 1024 * 1024,
};

#[derive(Clone, Copy, Debug)]
struct Mark {
    count: usize,
    len: usize,
}

/// The messages that some member has not been given yet, oldest first.
#[derive(Debug, Default)]
struct Ring {
    slots: VecDeque<Slot>,
    /// The number of the oldest message; messages are numbered for ever.
    first: u64,
    /// Bytes of all messages.
    len: usize,
}

#[derive(Debug)]
struct Slot {
    message: Prepared,
    /// Members that have not been given it.
    readers: usize,
}

impl Ring {
    /// The number of the next message.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    fn push(&mut self, message: Prepared, readers: usize) {
        self.len += message.data().len();
        self.slots.push_back(Slot { message, readers });
    }

    fn get(&self, number: u64) -> Option<&Prepared> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.slots.get(index).map(|slot| &slot.message)
    }

    /// One member has, or does not want, a message. What nobody waits for is dropped.
    fn take(&mut self, number: u64) {
        let index = (number - self.first) as usize;
        if let Some(slot) = self.slots.get_mut(index) {
            slot.readers -= 1;
        }
        while let Some(slot) = self.slots.front()
            && slot.readers == 0
        {
            self.len -= slot.message.data().len();
            self.first += 1;
            self.slots.pop_front();
        }
    }

    fn is_full(&self) -> bool {
        self.slots.len() >= FULL.count || self.len >= FULL.len
    }

    fn is_low(&self) -> bool {
        self.is_low_from(self.first)
    }

    /// Whether a member that is to be given `number` next is near enough to the end.
    fn is_low_from(&self, number: u64) -> bool {
        let skip = (number - self.first) as usize;
        let behind = self.slots.range(skip..);
        behind.len() <= LOW.count
            && behind.map(|slot| slot.message.data().len()).sum::<usize>() <= LOW.len
    }
}

#[derive(Debug)]
struct Member {
    id: ConnId,
    /// The number of the message it is to be given next; `None` once it is given nothing any more.
    next: Option<u64>,
    /// `on_writable` was asked for.
    waiting: bool,
}

#[derive(Debug, Default)]
pub(super) struct Mirror {
    ring: Ring,
    members: Slab<Member>,
    /// Members that are given messages.
    reader_count: usize,
    /// All members are paused because this ring is full.
    is_full: bool,
    /// Other threads whose rings are full; then all members are paused, too.
    full_others: usize,
    /// By which the mirrors of other threads are reached.
    key: Option<ProtocolKey<Logged<Self>>>,
}

impl Mirror {
    /// Tells how those of other threads are reached.
    pub(super) fn join(&mut self, key: ProtocolKey<Logged<Self>>) {
        self.key = Some(key);
    }

    /// Does something on all other threads, in order with everything else that is done so.
    fn on_others(
        &self,
        core: &mut Core,
        len: usize,
        call: impl Fn(&mut Self, &mut Core) + Send + Sync + 'static,
    ) {
        if let Some(key) = self.key {
            core.call_others(key, len, move |mirror, core| call(mirror.inner(), core));
        }
    }

    fn spread(&mut self, core: &mut Core, message: Message<'_>) {
        let message = Prepared::new(message);
        let copy = message.clone();
        self.on_others(core, message.data().len(), move |mirror, core| {
            mirror.add(core, copy.clone());
        });
        self.add(core, message);
    }

    /// Takes a message in for the members of this thread.
    fn add(&mut self, core: &mut Core, message: Prepared) {
        if self.reader_count == 0 {
            return;
        }
        self.ring.push(message, self.reader_count);
        for (_, member) in &mut self.members {
            if member.next.is_some() && !member.waiting {
                member.waiting = true;
                core.request_writable(member.id);
            }
        }
        if self.ring.is_full() && !self.is_full {
            self.hold(core);
        }
    }

    /// Gives a member what it has room for.
    fn deliver(&mut self, core: &mut Core, index: usize) {
        let room = core.limits().low_water;
        let Some(member) = self.members.get_mut(index) else {
            return;
        };
        member.waiting = false;
        while let Some(next) = member.next
            && let Some(message) = self.ring.get(next)
        {
            if core.backlog(member.id) > room {
                member.waiting = true;
                core.request_writable(member.id);
                break;
            }
            if !core.send_prepared(member.id, message).is_sent() {
                // It is closing or cut: `on_close` follows, and others need not wait for it.
                return self.retire(core, index);
            }
            member.next = Some(next + 1);
            self.ring.take(next);
        }
        self.release(core);
    }

    /// From now on a member is given nothing.
    fn retire(&mut self, core: &mut Core, index: usize) {
        let Some(next) = self.members.get_mut(index).and_then(|it| it.next.take()) else {
            return;
        };
        self.reader_count -= 1;
        for number in next..self.ring.end() {
            self.ring.take(number);
        }
        self.release(core);
    }

    /// Whether the members are paused.
    fn is_held(&self) -> bool {
        self.is_full || self.full_others > 0
    }

    fn hold(&mut self, core: &mut Core) {
        self.is_full = true;
        self.on_others(core, 0, |mirror, core| {
            mirror.full_others += 1;
            mirror.pause(core);
        });
        self.pause(core);
        for (_, member) in &self.members {
            if member.next.is_some_and(|next| !self.ring.is_low_from(next)) {
                core.set_timeout(member.id, Some(GRACE));
            }
        }
    }

    fn pause(&self, core: &mut Core) {
        for (_, member) in &self.members {
            core.pause(member.id);
        }
    }

    /// Lets all go on, if they were paused for this ring and need not be.
    fn release(&mut self, core: &mut Core) {
        if !self.is_full || !self.ring.is_low() {
            return;
        }
        self.is_full = false;
        self.on_others(core, 0, |mirror, core| {
            mirror.full_others = mirror.full_others.saturating_sub(1);
            mirror.resume(core);
        });
        for (_, member) in &self.members {
            core.set_timeout(member.id, None);
        }
        self.resume(core);
    }

    fn resume(&self, core: &mut Core) {
        if self.is_held() {
            return;
        }
        for (_, member) in &self.members {
            core.resume(member.id);
        }
    }
}

impl Protocol for Mirror {
    type Session = usize;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<usize>, Reject> {
        // Its place follows when it is open: a handshake may still fail.
        Ok(Accepted::new(usize::MAX))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, index: &mut usize) {
        *index = self.members.insert(Member {
            id: conn.id(),
            next: Some(self.ring.end()),
            waiting: false,
        });
        self.reader_count += 1;
        if self.is_held() {
            conn.pause();
        }
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, _: &mut usize, text: Text<'_>) {
        self.spread(conn.core(), Message::Text(&text));
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, _: &mut usize, data: Bytes<'_>) {
        self.spread(conn.core(), Message::Binary(&data));
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, index: &mut usize) {
        self.deliver(conn.core(), *index);
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, index: &mut usize) {
        let member = self.members.get(*index);
        let next = member.and_then(|member| member.next);
        if self.is_full && next.is_some_and(|next| !self.ring.is_low_from(next)) {
            conn.close(CloseCode::POLICY, "reads too slowly");
            self.retire(conn.core(), *index);
        }
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, index: usize, _: &CloseInfo) {
        self.retire(conn.core(), index);
        self.members.try_remove(index);
    }
}
