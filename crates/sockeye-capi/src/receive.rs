//! Receiving: messages in pieces of at most 4096 bytes, each as soon as it is full or its frame
//! ends, and none while the program wants none.

use std::sync::Arc;

use sockeye::Chunk;

use crate::abi::{
    LWS_CALLBACK_CLIENT_RECEIVE, LWS_CALLBACK_CLIENT_RECEIVE_PONG, LWS_CALLBACK_RECEIVE,
};
use crate::context::Context;
use crate::record::{Record, Side};

/// The longest piece of a message.
const PIECE_LEN: usize = 4096;

impl Context {
    /// A piece of a message arrived, cut as the network cut it.
    pub(crate) fn received(&self, record: &Arc<Record>, chunk: &Chunk<'_>) {
        if chunk.data.is_empty() {
            let rest = std::mem::take(&mut record.inbox.borrow_mut().partial);
            // The end of a message that was handed over already, unless there is nothing else of it.
            if !rest.is_empty() || chunk.first && chunk.last {
                self.hand_over(record, &rest, 0);
            }
            return;
        }
        let mut data: &[u8] = &chunk.data;
        let ends = match record.is_hixie.get() {
            true => chunk.last,
            false => chunk.frame_remaining == 0,
        };
        loop {
            let partial = record.inbox.borrow().partial.len();
            let room = PIECE_LEN - partial.min(PIECE_LEN);
            let behind = |taken: usize| (data.len() - taken) as u64 + chunk.frame_remaining;
            if data.len() < room && !ends {
                record.inbox.borrow_mut().partial.extend_from_slice(data);
                return;
            }
            let taken = room.min(data.len());
            let (piece, rest) = data.split_at(taken);
            let remaining = behind(taken);
            if partial == 0 {
                self.hand_over(record, piece, remaining);
            } else {
                let mut whole = std::mem::take(&mut record.inbox.borrow_mut().partial);
                whole.extend_from_slice(piece);
                self.hand_over(record, &whole, remaining);
            }
            data = rest;
            if data.is_empty() || record.is_over() {
                return;
            }
        }
    }

    /// Gives the program a piece, or keeps it until it wants one.
    fn hand_over(&self, record: &Arc<Record>, piece: &[u8], remaining: u64) {
        if !record.is_established() {
            return;
        }
        let waits = record.paused.get() || !record.inbox.borrow().waiting.is_empty();
        if !waits {
            return self.give(record, piece, remaining);
        }
        let mut inbox = record.inbox.borrow_mut();
        inbox.waiting.push_back((piece.to_vec(), remaining));
        drop(inbox);
        self.pump(record);
    }

    /// Gives the program the pieces that wait, as long as it takes them. Returns whether none is
    /// left.
    pub(crate) fn pump(&self, record: &Arc<Record>) -> bool {
        if std::mem::replace(&mut record.inbox.borrow_mut().pumping, true) {
            return false;
        }
        let mut is_empty = false;
        while record.is_established() && !record.paused.get() {
            let next = record.inbox.borrow_mut().waiting.pop_front();
            let Some((piece, remaining)) = next else {
                is_empty = true;
                break;
            };
            self.give(record, &piece, remaining);
        }
        record.inbox.borrow_mut().pumping = false;
        is_empty
    }

    fn give(&self, record: &Arc<Record>, piece: &[u8], remaining: u64) {
        let remaining = match record.is_hixie.get() {
            true => 0,
            false => remaining,
        };
        record.remaining.set(remaining);
        let reason = match record.side {
            Side::Client => LWS_CALLBACK_CLIENT_RECEIVE,
            _ => LWS_CALLBACK_RECEIVE,
        };
        let given = self.with_scratch(PIECE_LEN, |buffer| {
            let data = buffer.fill(piece);
            self.tell(record, reason, data, piece.len());
        });
        if given.is_none() {
            // Without memory for it the message cannot be whole.
            self.drop_connection(record);
        }
    }

    /// A pong arrived. Servers are not told.
    pub(crate) fn ponged(&self, record: &Arc<Record>, data: &[u8]) {
        if record.side != Side::Client || !record.is_established() {
            return;
        }
        let reason = LWS_CALLBACK_CLIENT_RECEIVE_PONG;
        self.with_scratch(PIECE_LEN, |buffer| {
            let pointer = buffer.fill(data);
            self.tell(record, reason, pointer, data.len());
        });
    }

    /// The program wants to receive nothing, or again.
    pub(crate) fn control_flow(&self, record: &Arc<Record>, receive: bool) {
        let Some(id) = record.conn.get().filter(|_| !record.is_over()) else {
            return;
        };
        record.paused.set(!receive);
        self.watch.borrow_mut().pause(id.into(), !receive);
        if !receive {
            self.with_core(|core| core.pause(id));
        } else if record.inbox.borrow().waiting.is_empty() {
            self.with_core(|core| core.resume(id));
        } else {
            // What came first goes first, at the next opportunity.
            self.resumed.borrow_mut().push(Arc::clone(record));
        }
    }

    /// Hands over what waited on connections that receive again.
    pub(crate) fn pump_resumed(&self) {
        let resumed = std::mem::take(&mut *self.resumed.borrow_mut());
        for record in resumed {
            if self.pump(&record)
                && let Some(id) = record.conn.get()
            {
                self.with_core(|core| core.resume(id));
            }
        }
    }
}

const _: () = assert!(PIECE_LEN >= 125, "a control frame fits");
