//! What programs do by hand that think in frames and bytes: raw answers, parts of messages, ends
//! that wait for nobody.
//!
//! These calls of [`Core`] append and mark as all others do. What they put on a connection is the
//! program's responsibility: the engine does not look at it.

use std::collections::VecDeque;

use sockeye_proto::CloseCode;
use sockeye_proto::ws::Kind as MessageKind;

use crate::conn::{Refusal, Sent};
use crate::core::{Core, Deferred};
use crate::engine::Engine;
use crate::entry::Stage;
use crate::http::FileBody;
use crate::id::ConnId;
use crate::protocol::{CloseCause, CloseInfo};
use crate::send::Kind;
use crate::stage::http::FILE_PIECE_LEN;

/// What the program writes on a connection that speaks HTTP, past the machine, as far as it does not
/// fit into the outbox yet.
#[derive(Debug, Default)]
pub(crate) struct OwnWords {
    waiting: VecDeque<Piece>,
    /// The connection ends behind it.
    last: bool,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    File(FileBody),
}

impl OwnWords {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait in memory.
    fn len(&self) -> usize {
        let bytes = self.waiting.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::File(_) => 0,
        });
        bytes.sum()
    }
}

impl Core {
    /// Sends a part of a message as a frame of its own, never compressed; `last` ends the message.
    /// Unlike those of [`send_fragment`](Self::send_fragment), the parts of a text need not be
    /// UTF-8 each for itself. That they are together is the caller's to see to: a peer that gets
    /// other text ends the connection (RFC 6455 §8.1).
    pub fn send_data(&mut self, id: ConnId, kind: MessageKind, data: &[u8], last: bool) -> Sent {
        self.append(id, data.len(), Kind::Part, |ws, cx| {
            ws.send_data(kind, data, last, cx)
        })
    }

    /// Begins the closing handshake as [`close_sending`](Self::close_sending) does, without telling
    /// the peer a code.
    pub fn close_without_code(&mut self, id: ConnId) -> Sent {
        self.append(id, 0, Kind::Control, |ws, cx| ws.close_without_code(cx))
    }

    /// Ends a connection without waiting for the peer: what was sent before still goes out, behind
    /// it a Close with this code or none if it is an open WebSocket, then the stream is ended. What
    /// arrives from now on is dropped. `on_close` follows in this turn or the next; a connection
    /// that is still to be opened is cut.
    pub fn hang_up(&mut self, id: ConnId, code: Option<CloseCode>) {
        let now = self.now();
        if self.is_connecting(id) {
            return self.abort(id);
        }
        if let Some((stage, _)) = self.http_stage(id) {
            stage.machine.hand_over();
            return self.finish_raw(id);
        }
        let Some(entry) = self.conns.get_mut(id) else {
            return;
        };
        let Stage::WebSocket(ws) = &mut entry.stage else {
            return;
        };
        ws.hang_up(
            code,
            &mut sockeye_proto::Cx {
                now,
                output: entry.outbox.tail(&mut self.pool),
                shared: &mut self.shared,
                blocked: entry.flags.blocked,
            },
        );
        entry.flags.wants_writable = false;
        if entry.session.is_some() && !std::mem::replace(&mut entry.flags.hung_up, true) {
            self.deferred.push(Deferred::HungUp(id));
        }
        // Whoever does not read would not see the peer's end.
        self.resume(id);
        self.mark_dirty(id);
    }

    /// Takes the connection of a request that is still without an answer away from the engine: the
    /// program writes the answer itself, head and all, by [`send_raw`](Self::send_raw) and
    /// [`send_raw_file`](Self::send_raw_file), and ends it by [`finish_raw`](Self::finish_raw), now
    /// or later. Returns whether there was such a request.
    pub fn take_over(&mut self, id: ConnId) -> bool {
        match self.http_stage(id) {
            Some((stage, _)) if stage.machine.can_respond() => {
                stage.machine.hand_over();
                self.mark_dirty(id);
                true
            }
            _ => false,
        }
    }

    /// Sends bytes as they are, behind what was sent before, on a connection in any state. What the
    /// peer makes of them is the caller's business.
    pub fn send_raw(&mut self, id: ConnId, data: &[u8]) -> Sent {
        let backlog_len = self.limits.backlog_len;
        let Some(entry) = self.conns.get_mut(id) else {
            self.stats.stale += 1;
            return Sent::Refused(Refusal::Gone);
        };
        if entry.flags.doomed || matches!(entry.stage, Stage::Gone | Stage::Attempt(_)) {
            return Sent::Refused(Refusal::Gone);
        }
        let own = match &entry.stage {
            Stage::Http(stage) => stage.own_words.as_ref().map_or(0, |own| own.len()),
            _ => 0,
        };
        let waiting = entry.outbox.len() + own;
        if waiting > 0 && waiting.saturating_add(data.len()) > backlog_len {
            self.doom(id, CloseCause::Backlog);
            return Sent::Refused(Refusal::Backlog);
        }
        match &mut entry.stage {
            Stage::Http(stage) if stage.has_own_words() => {
                let own = stage.own_words.get_or_insert_default();
                own.waiting.push_back(Piece::Bytes(data.to_vec()));
            }
            _ => {
                let output = entry.outbox.tail_for(data.len(), &mut self.pool);
                output.extend_from_slice(data);
            }
        }
        self.queued(id)
    }

    /// Sends a file as it is, behind what was sent before, on a connection that speaks HTTP. It is
    /// read piece by piece while there is room; one that becomes shorter meanwhile ends the
    /// connection. Returns whether the connection is one that can.
    pub fn send_raw_file(&mut self, id: ConnId, file: FileBody) -> bool {
        let Some((stage, _)) = self.http_stage(id) else {
            return false;
        };
        if !file.is_empty() {
            let own = stage.own_words.get_or_insert_default();
            own.waiting.push_back(Piece::File(file));
            self.mark_dirty(id);
        }
        true
    }

    /// Ends a connection that speaks HTTP behind all that was sent, in order: the peer reads the end
    /// of the stream, and has [`Limits::unwanted_body_timeout`](crate::Limits::unwanted_body_timeout)
    /// to end its own.
    pub fn finish_raw(&mut self, id: ConnId) {
        let now = self.now();
        let Some((stage, _)) = self.http_stage(id) else {
            return;
        };
        match &mut stage.own_words {
            Some(own) if !own.is_empty() => own.last = true,
            _ => stage.machine.release(now),
        }
        self.resume(id);
        self.mark_dirty(id);
    }

    /// Whether a request waits for an answer here, which nobody has begun to give.
    pub(crate) fn awaits_answer(&self, id: ConnId) -> bool {
        self.conns.get(id).is_some_and(|entry| {
            !entry.flags.doomed
                && matches!(&entry.stage, Stage::Http(stage) if stage.machine.can_respond())
        })
    }

    /// Moves the next piece of what the program wrote into the outbox.
    pub(crate) fn refill_from_own_words(&mut self, id: ConnId, piece: &mut Vec<u8>) {
        let now = self.now();
        let Some((stage, cx)) = self.http_stage(id) else {
            return;
        };
        let Some(own) = &mut stage.own_words else {
            return;
        };
        let (read, done) = match own.waiting.front_mut() {
            Some(Piece::Bytes(bytes)) => {
                piece.append(bytes);
                (Ok(0), true)
            }
            Some(Piece::File(file)) => {
                let read = file.read_piece(piece, FILE_PIECE_LEN);
                (read, file.remaining() == 0)
            }
            None => (Ok(0), true),
        };
        cx.output.extend_from_slice(piece);
        if done {
            own.waiting.pop_front();
        }
        let over = own.is_empty().then_some(own.last);
        match (read, over) {
            (Err(_), _) => {
                stage.own_words = None;
                stage.machine.abort();
            }
            (Ok(_), Some(last)) => {
                stage.own_words = None;
                if last {
                    stage.machine.release(now);
                }
            }
            (Ok(_), None) => {}
        }
        self.mark_dirty(id);
    }
}

impl Engine {
    /// Gives the session of a connection back that the program hung up on.
    pub(crate) fn hung_up(&mut self, id: ConnId) {
        if let Some(entry) = self.core.conns.get_mut(id) {
            entry.flags.hung_up = false;
        }
        self.close_session(id, &CloseInfo::unclean(CloseCause::Aborted));
        self.core.mark_dirty(id);
    }
}
