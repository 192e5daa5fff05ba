//! Compressed messages (RFC 7692 §6 and §7): between frame and assembly on the way in, between
//! message and frame on the way out.
//!
//! A connection holds a decompressor only from the first frame of a compressed message to its
//! last, a compressor never, and windows only if takeover was agreed on.
//!
//! Whole messages are inflated as their bytes arrive, step by step, and counted after each step.
//! Streamed ones are handed out step by step: what a step leaves of the input stays in the
//! caller's cursor, and the last byte of a read stays there until there is room for everything
//! that it can still cause, so that a consumed input never leaves output behind.

use std::mem;
use std::sync::Arc;

use super::receive::Frame;
use super::send::put_frame;
use super::{Chunk, Delivery, Event, Kind, Message, Prepared, Role, WebSocket};
use crate::bytes::Bytes;
use crate::cx::{Cx, Shared};
use crate::deflate::{History, Inflater, Reservation, STEP_LEN, Settings, WindowBits};
use crate::frame::{FrameHeader, Opcode};
use crate::violation::Violation;

/// Input that one step of a streamed message looks at.
const LOOK_LEN: usize = 16 * 1024;
/// Bytes below which a message may inflate as it likes.
const RATIO_FLOOR: u64 = 1024 * 1024;

/// With takeover a short message may become longer by so much: the next ones can refer to it.
const INVESTED_LEN: usize = 16;
/// Above this, what does not shrink is taken for noise.
const INVESTMENT_LEN: usize = 1024;

/// What compression keeps for a connection.
#[derive(Default)]
pub(super) struct Packed {
    /// That of the message being received.
    inflater: Option<Inflater>,
    /// Bytes of that message: as they came, and inflated.
    packed_len: u64,
    unpacked_len: u64,
    /// What is wrong behind the piece that was just handed out.
    doom: Option<Violation>,
    /// The window of what is received. Without takeover it lives as long as a message.
    incoming: History,
    /// The window of what is sent.
    outgoing: History,
    reservation: Option<Reservation>,
}

impl Packed {
    pub(super) fn is_empty(&self) -> bool {
        self.inflater.is_none()
            && self.doom.is_none()
            && self.reservation.is_none()
            && self.incoming.is_empty()
            && self.outgoing.is_empty()
    }

    /// Frees what belongs to the message being received; nobody will see another one.
    pub(super) fn drop_message(&mut self) {
        self.inflater = None;
        self.incoming = History::default();
    }
}

impl WebSocket {
    /// Takes the right to keep windows between messages, as it came out of the handshake. It ends
    /// with the connection. Without it windows are kept all the same, but nobody counts them.
    pub fn hold(&mut self, reservation: Reservation) {
        self.parts.get_or_insert_default().packed.reservation = Some(reservation);
    }

    /// The frame of a prepared message as this connection's peer is to get it from a server. It
    /// counts as sent: queue it, or close the connection.
    ///
    /// It is compressed once for all connections that agreed on the same parameters, and refers
    /// to nothing sent earlier; what is sent later may refer to it.
    pub fn frame_of(&mut self, message: &Prepared, shared: &mut Shared) -> Arc<[u8]> {
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return message.frame_as(self.version());
        }
        if !self.may_pack(message.data().len()) {
            return Arc::clone(message.frame());
        }
        let Some((bits, _, level)) = self.compressor() else {
            return Arc::clone(message.frame());
        };
        match message.packed(bits, level, &mut shared.pool) {
            Some(frame) => {
                self.remember(message.data());
                frame
            }
            None => Arc::clone(message.frame()),
        }
    }

    /// Makes what is sent from here on refer to nothing that was sent so far. To be called behind
    /// each message that the owner may yet take out of its queue.
    pub fn forget_sent(&mut self) {
        if let Some(parts) = &mut self.parts {
            parts.packed.outgoing.clear();
        }
    }

    pub(super) fn may_unpack(&self) -> bool {
        self.config.deflate.is_some()
    }

    /// Whether a message of this length is to be compressed.
    #[inline]
    pub(super) fn may_pack(&self, len: usize) -> bool {
        match &self.config.deflate {
            Some(settings) => len >= settings.min_len,
            None => false,
        }
    }

    /// Window, whether it is kept between messages, and level.
    fn compressor(&self) -> Option<(WindowBits, bool, u8)> {
        let settings = self.config.deflate.as_ref()?;
        let (bits, takeover) = settings.outgoing(self.role);
        Some((bits, takeover, settings.level))
    }

    /// Sends a message compressed, unless it is not worth it.
    pub(super) fn send_packed(&mut self, message: Message<'_>, cx: &mut Cx<'_>) -> bool {
        let data = message.data();
        let keeps = |it: &Settings| it.outgoing(self.role).1 && data.len() <= INVESTMENT_LEN;
        let bound = match self.config.deflate.as_ref().is_some_and(keeps) {
            true => data.len() + INVESTED_LEN,
            false => data.len(),
        };
        self.may_pack(data.len()) && self.pack(message.kind().opcode(), true, data, bound, cx)
    }

    /// Appends a frame of a compressed message.
    pub(super) fn frame_packed(&mut self, opcode: Opcode, fin: bool, data: &[u8], cx: &mut Cx<'_>) {
        self.pack(opcode, fin, data, usize::MAX, cx);
    }

    /// Appends `data` compressed, if that makes it shorter than `bound`.
    fn pack(
        &mut self,
        opcode: Opcode,
        fin: bool,
        data: &[u8],
        bound: usize,
        cx: &mut Cx<'_>,
    ) -> bool {
        let Some((bits, takeover, level)) = self.compressor() else {
            return false;
        };
        let mask = match self.role {
            Role::Client => Some(self.mask(cx.shared)),
            Role::Server => None,
        };
        const NOTHING: &History = &History::new(0);
        let sent = self.parts.as_ref().map(|parts| &parts.packed.outgoing);
        let history = takeover.then(|| sent.unwrap_or(NOTHING));
        let packed = cx.shared.pool.deflate(bits, level, history, data, fin);
        if packed.len() >= bound {
            return false;
        }
        let header = FrameHeader {
            fin,
            rsv1: opcode != Opcode::Continuation,
            opcode,
            mask,
            payload_len: packed.len() as u64,
        };
        put_frame(header, packed, cx.output);
        self.remember(data);
        true
    }

    /// Keeps what the peer can be referred to.
    fn remember(&mut self, data: &[u8]) {
        let Some((bits, true)) = self.config.deflate.map(|it| it.outgoing(self.role)) else {
            return;
        };
        let outgoing = &mut self.parts.get_or_insert_default().packed.outgoing;
        if outgoing.is_empty() {
            *outgoing = History::new(bits.window_len());
        }
        outgoing.push(data);
    }

    /// Consumes at least one byte of a compressed message, or the rest of a frame that has none.
    pub(super) fn receive_packed<'b>(
        &mut self,
        frame: Frame,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        let (Some(kind), Some(settings)) = (self.receiving, self.config.deflate) else {
            return Ok(None);
        };
        let (bits, takeover) = settings.incoming(self.role);
        let mut packed = match &mut self.parts {
            Some(parts) => mem::take(&mut parts.packed),
            None => Packed::default(),
        };
        if packed.incoming.is_empty() {
            let bits = if takeover { bits } else { WindowBits::MAX };
            packed.incoming = History::new(bits.window_len());
        }
        let inflater = packed
            .inflater
            .take()
            .unwrap_or_else(|| cx.shared.pool.inflater(&packed.incoming));
        let mut unpacking = Unpacking {
            packed,
            inflater,
            step: cx.shared.pool.step(),
            kind,
            takeover,
        };
        let result = match self.config.delivery {
            Delivery::Whole => self.unpack(&mut unpacking, frame, input),
            Delivery::Streaming => self.unpack_step(&mut unpacking, frame, input),
        };
        let Unpacking {
            mut packed,
            inflater,
            step,
            ..
        } = unpacking;
        cx.shared.pool.give_step(step);
        if self.receiving.is_some() && result.is_ok() {
            packed.inflater = Some(inflater);
        } else {
            cx.shared.pool.give(inflater);
            (packed.packed_len, packed.unpacked_len) = (0, 0);
            if !takeover {
                packed.incoming = History::default();
            }
        }
        if self.parts.is_some() || !packed.is_empty() {
            self.parts.get_or_insert_default().packed = packed;
            self.tidy();
        }
        result
    }

    /// Inflates what is there of the frame, into the message under assembly.
    fn unpack<'b>(
        &mut self,
        unpacking: &mut Unpacking,
        mut frame: Frame,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Event<'b>>, Violation> {
        let bytes = mem::take(input);
        let (payload, rest) = bytes.split_at_mut(available(&frame, bytes.len()));
        if self.role == Role::Server {
            frame.mask.apply(payload, 0);
        }
        *input = rest;
        self.note_read(&mut frame, payload.len());
        let last = frame.fin && frame.remaining == 0;
        let Unpacking {
            packed,
            inflater,
            step,
            kind,
            takeover,
        } = unpacking;
        let mut rest = &*payload;
        loop {
            let filled = inflater.fill(rest, step, &mut packed.incoming, *takeover || !last);
            rest = &rest[filled.used..];
            packed.packed_len += filled.used as u64;
            self.keep(packed, *kind, &step[..filled.made])?;
            if filled.broken {
                return Err(Violation::BrokenDeflate);
            }
            if !rest.is_empty() || filled.made == STEP_LEN {
                continue;
            }
            if !last {
                return Ok(None);
            }
            let end = inflater
                .finish(step)
                .map_err(|_| Violation::BrokenDeflate)?;
            if *takeover {
                packed.incoming.push(&step[..end]);
            }
            self.keep(packed, *kind, &step[..end])?;
            self.receiving = None;
            return self.assembled(*kind).map(Some);
        }
    }

    /// Takes in what a step inflated. Of what is too much, as much as a message may have is judged
    /// all the same: what is wrong first decides, however the input was cut.
    fn keep(&mut self, packed: &mut Packed, kind: Kind, data: &[u8]) -> Result<(), Violation> {
        let room = (self.config.limits.message_len as u64).saturating_sub(packed.unpacked_len);
        let fits = usize::try_from(room).map_or(data.len(), |room| room.min(data.len()));
        let verdict = self.count(packed, data.len());
        self.append(kind, &data[..fits])?;
        verdict
    }

    /// Inflates a piece of the frame, to be handed out.
    fn unpack_step<'b>(
        &mut self,
        unpacking: &mut Unpacking,
        mut frame: Frame,
        input: &mut &'b mut [u8],
    ) -> Result<Option<Event<'b>>, Violation> {
        if let Some(violation) = unpacking.packed.doom.take() {
            return Err(violation);
        }
        let len = available(&frame, input.len()).min(LOOK_LEN);
        let masked = self.role == Role::Server;
        if masked {
            frame.mask.apply(&mut input[..len], 0);
        }
        let piece = unpacking.inflate_piece(&frame, &input[..len]);
        let Piece { used, made, .. } = piece;
        unpacking.packed.packed_len += used as u64;
        let mut verdict = match piece.broken {
            true => Err(Violation::BrokenDeflate),
            false => self.count(&mut unpacking.packed, made),
        };
        let good = match unpacking.kind {
            Kind::Text => self.good_len(&unpacking.step[..made], false),
            Kind::Binary => made,
        };
        if good < made || piece.last && verdict.is_ok() && self.utf8.finish().is_err() {
            verdict = Err(Violation::InvalidText);
        }
        let used = match verdict {
            Ok(()) => used,
            Err(violation) if good == 0 || used == 0 => return Err(violation),
            // What stands before it is handed out; the byte that stays is met by the verdict.
            Err(violation) => {
                unpacking.packed.doom = Some(violation);
                used - 1
            }
        };
        if masked {
            frame.mask.apply(&mut input[used..len], used);
        }
        *input = &mut mem::take(input)[used..];
        self.note_read(&mut frame, used);
        let last = piece.last && verdict.is_ok();
        if last {
            self.receiving = None;
        }
        if good == 0 && !last {
            return Ok(None);
        }
        Ok(Some(Event::Chunk(Chunk {
            kind: unpacking.kind,
            data: Bytes::Owned(unpacking.step[..good].to_vec()),
            first: mem::take(&mut self.first),
            last,
            frame_remaining: frame.remaining,
        })))
    }

    /// Counts what was inflated, before it is kept.
    fn count(&self, packed: &mut Packed, made: usize) -> Result<(), Violation> {
        packed.unpacked_len += made as u64;
        let limit = self.config.limits.message_len as u64;
        if self.config.delivery == Delivery::Whole && packed.unpacked_len > limit {
            return Err(Violation::MessageTooBig);
        }
        let ratio = self.config.deflate.and_then(|settings| settings.max_ratio);
        let bound = |ratio| packed.packed_len.saturating_mul(u64::from(ratio));
        if ratio.is_some_and(|ratio| packed.unpacked_len > bound(ratio).max(RATIO_FLOOR)) {
            return Err(Violation::InflatesTooMuch);
        }
        Ok(())
    }
}

/// The means to inflate, while a call lasts.
struct Unpacking {
    packed: Packed,
    inflater: Inflater,
    /// Output of a step.
    step: Vec<u8>,
    kind: Kind,
    takeover: bool,
}

/// What a step came to.
struct Piece {
    used: usize,
    made: usize,
    /// The message ends with it.
    last: bool,
    /// What is behind it is no DEFLATE.
    broken: bool,
}

impl Unpacking {
    fn inflate_piece(&mut self, frame: &Frame, input: &[u8]) -> Piece {
        let Self {
            packed,
            inflater,
            step,
            ..
        } = self;
        let history = &mut packed.incoming;
        let (head, tail) = input.split_at(input.len().saturating_sub(1));
        let filled = inflater.fill(head, step, history, true);
        let mut piece = Piece {
            used: filled.used,
            made: filled.made,
            last: false,
            broken: filled.broken,
        };
        // Half of the room would do for the last byte alone, and half for the end of the message.
        let room = STEP_LEN - piece.made;
        if piece.broken || piece.used < head.len() || room < 2 * Inflater::FINISH_LEN {
            return piece;
        }
        let filled = inflater.fill(tail, &mut step[piece.made..], history, true);
        piece.used += filled.used;
        piece.made += filled.made;
        piece.broken = filled.broken;
        if piece.broken || !frame.fin || piece.used as u64 != frame.remaining {
            return piece;
        }
        match inflater.finish(&mut step[piece.made..]) {
            Ok(end) => {
                history.push(&step[piece.made..piece.made + end]);
                piece.made += end;
                piece.last = true;
            }
            Err(_) => piece.broken = true,
        }
        piece
    }
}

/// How much of the input belongs to the frame.
fn available(frame: &Frame, input_len: usize) -> usize {
    usize::try_from(frame.remaining).map_or(input_len, |remaining| remaining.min(input_len))
}
