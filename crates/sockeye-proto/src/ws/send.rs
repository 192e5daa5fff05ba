//! The sending half: frames into the output, masked afresh by a client.

use std::time::Instant;

use super::{Kind, Message, Phase, Prepared, Role, WebSocket};
use crate::close::{CloseCode, cut_reason};
use crate::cx::{Cx, Shared};
use crate::frame::{FrameHeader, Opcode};
use crate::mask::Mask;
use crate::violation::Misuse;

/// What fragments belong to. One byte, where a kind and a flag would be two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    Nothing,
    Text,
    Binary,
    PackedText,
    PackedBinary,
}

impl Sending {
    /// What is being sent behind a fragment.
    pub(super) fn after(kind: Kind, packed: bool, last: bool) -> Self {
        match (kind, packed) {
            _ if last => Self::Nothing,
            (Kind::Text, false) => Self::Text,
            (Kind::Binary, false) => Self::Binary,
            (Kind::Text, true) => Self::PackedText,
            (Kind::Binary, true) => Self::PackedBinary,
        }
    }

    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::Nothing => None,
            Self::Text | Self::PackedText => Some(Kind::Text),
            Self::Binary | Self::PackedBinary => Some(Kind::Binary),
        }
    }

    pub(super) fn is_packed(self) -> bool {
        matches!(self, Self::PackedText | Self::PackedBinary)
    }
}

impl WebSocket {
    /// Sends a message in one frame, compressed if that was agreed on, it is long enough, and it
    /// becomes shorter.
    ///
    /// # Errors
    /// [`Misuse::AlreadyClosing`] and [`Misuse::NotOpen`] once a Close has gone out or come in,
    /// [`Misuse::FragmentInProgress`] between [fragments](Self::send_fragment).
    #[inline]
    pub fn send(&mut self, message: Message<'_>, cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.may_send()?;
        self.active = cx.now;
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return self.send_old(message, cx);
        }
        if self.may_pack(message.data().len()) && self.send_packed(message, cx) {
            return Ok(());
        }
        self.send_plain(message, cx);
        Ok(())
    }

    /// Appends a message in one frame. What a server sends has a header of two bytes or four, or a
    /// payload beside which it does not show how that is written.
    #[inline]
    fn send_plain(&self, message: Message<'_>, cx: &mut Cx<'_>) {
        let data = message.data();
        let first = match message.kind() {
            Kind::Text => FrameHeader::WHOLE_TEXT,
            Kind::Binary => FrameHeader::WHOLE_BINARY,
        };
        if self.role == Role::Client {
            return self.frame_long(message, cx);
        }
        let output = &mut *cx.output;
        output.reserve(FrameHeader::MAX_LEN + data.len());
        match u16::try_from(data.len()) {
            Ok(len) if data.len() <= FrameHeader::MAX_SHORT_LEN => {
                output.extend_from_slice(&[first, len as u8]);
            }
            Ok(len) => {
                let [a, b] = len.to_be_bytes();
                output.extend_from_slice(&[first, FrameHeader::LEN_OF_16_BITS, a, b]);
            }
            Err(_) => return self.frame_long(message, cx),
        }
        output.extend_from_slice(data);
    }

    #[inline(never)]
    fn frame_long(&self, message: Message<'_>, cx: &mut Cx<'_>) {
        self.frame_rfc(message.kind().opcode(), true, message.data(), cx);
    }

    /// Sends a message as it is, whatever was agreed on: what is compressed or encrypted already,
    /// or mixes secrets with what others may choose (RFC 7692 §8).
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub fn send_uncompressed(
        &mut self,
        message: Message<'_>,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        self.may_send()?;
        self.active = cx.now;
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return self.send_old(message, cx);
        }
        self.send_plain(message, cx);
        Ok(())
    }

    /// Sends a part of a message as a frame of its own; `last` ends the message. Control frames
    /// may go between the fragments, other messages may not (RFC 6455 §5.4). The first fragment
    /// decides whether all of them are compressed.
    ///
    /// # Errors
    /// [`Misuse::AlreadyClosing`] and [`Misuse::NotOpen`] as for [`send`](Self::send),
    /// [`Misuse::MixedKinds`] if the message began as the other kind.
    pub fn send_fragment(
        &mut self,
        fragment: Message<'_>,
        last: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        self.must_be_open()?;
        let kind = fragment.kind();
        let opcode = match self.sending.kind() {
            None if last => return self.send(fragment, cx),
            None => kind.opcode(),
            Some(begun) if begun == kind => Opcode::Continuation,
            Some(_) => return Err(Misuse::MixedKinds),
        };
        #[cfg(feature = "drafts")]
        self.must_have(opcode, false)?;
        let packed = match opcode {
            Opcode::Continuation => self.sending.is_packed(),
            _ => self.may_pack(fragment.data().len()),
        };
        self.sending = Sending::after(kind, packed, last);
        self.active = cx.now;
        if packed {
            self.frame_packed(opcode, last, fragment.data(), cx);
        } else {
            self.frame(opcode, last, fragment.data(), cx);
        }
        Ok(())
    }

    /// Whether a message may be sent now. Who queues the frame of a
    /// [`Prepared`] by itself asks here first, takes it from
    /// [`frame_of`](Self::frame_of), and tells [`note_sent`](Self::note_sent) afterwards.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    #[inline]
    pub fn may_send(&self) -> Result<(), Misuse> {
        self.must_be_open()?;
        match self.sending {
            Sending::Nothing => Ok(()),
            _ => Err(Misuse::FragmentInProgress),
        }
    }

    /// Whether [`frame_of`](Self::frame_of) would give the frame that was prepared.
    #[inline]
    pub fn sends_as_is(&self, message: &Prepared) -> bool {
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return false;
        }
        !self.may_pack(message.data().len())
    }

    /// Notes that the owner sent a message past the machine: it counts for the idle timeout.
    #[inline]
    pub fn note_sent(&mut self, now: Instant) {
        self.active = now;
    }

    /// Asks the peer for a sign of life. `data`, at most 125 bytes, comes back in a pong.
    ///
    /// # Errors
    /// [`Misuse::ControlTooLong`]; [`Misuse::AlreadyClosing`] and [`Misuse::NotOpen`] once a Close
    /// has gone out or come in.
    pub fn ping(&mut self, data: &[u8], cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.control(Opcode::Ping, data, cx)
    }

    /// Gives a sign of life that nobody asked for (RFC 6455 §5.5.3). Pings are answered without
    /// it.
    ///
    /// # Errors
    /// As for [`ping`](Self::ping).
    pub fn pong(&mut self, data: &[u8], cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.control(Opcode::Pong, data, cx)
    }

    /// Begins the closing handshake. Messages that still arrive are discarded; the peer's Close
    /// is reported, or that it never came. `reason` is cut to 123 bytes, between characters.
    ///
    /// # Errors
    /// [`Misuse::UnsendableCode`] if the code must not be on the wire; [`Misuse::AlreadyClosing`]
    /// and [`Misuse::NotOpen`] once a Close has gone out or come in.
    pub fn close(&mut self, code: CloseCode, reason: &str, cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.begin_close(code, reason, Phase::Discarding, cx)?;
        self.drop_message();
        Ok(())
    }

    /// As [`close`](Self::close), but what arrives before the peer's Close is delivered.
    ///
    /// # Errors
    /// As for [`close`](Self::close).
    pub fn close_sending(
        &mut self,
        code: CloseCode,
        reason: &str,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        self.begin_close(code, reason, Phase::Draining, cx)
    }

    /// Takes note that the output is drained: the pong that was kept back goes out.
    pub fn handle_unblocked(&mut self, cx: &mut Cx<'_>) {
        let Some(parts) = &mut self.parts else { return };
        let Some(data) = parts.pong.take() else {
            return;
        };
        self.tidy();
        self.frame(Opcode::Pong, true, &data, cx);
    }

    #[inline]
    pub(super) fn must_be_open(&self) -> Result<(), Misuse> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Gone => Err(Misuse::NotOpen),
            _ => Err(Misuse::AlreadyClosing),
        }
    }

    fn control(&self, opcode: Opcode, data: &[u8], cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.must_be_open()?;
        if data.len() > FrameHeader::MAX_CONTROL_LEN {
            return Err(Misuse::ControlTooLong);
        }
        #[cfg(feature = "drafts")]
        self.must_have(opcode, true)?;
        self.frame(opcode, true, data, cx);
        Ok(())
    }

    pub(super) fn begin_close(
        &mut self,
        code: CloseCode,
        reason: &str,
        phase: Phase,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        self.must_be_open()?;
        if !code.may_travel() {
            return Err(Misuse::UnsendableCode(code.into()));
        }
        self.put_close(code, reason, phase, cx);
        Ok(())
    }

    /// Puts out the one Close of this connection.
    pub(super) fn put_close(
        &mut self,
        code: CloseCode,
        reason: &str,
        phase: Phase,
        cx: &mut Cx<'_>,
    ) {
        debug_assert_eq!(self.phase, Phase::Open, "the second Close");
        self.phase = phase;
        self.since = cx.now;
        #[cfg(feature = "drafts")]
        if let Some(body) = self.bare_close() {
            return self.frame(Opcode::Close, true, body, cx);
        }
        if code == CloseCode::NO_STATUS {
            return self.frame(Opcode::Close, true, &[], cx);
        }
        let mut payload = [0; FrameHeader::MAX_CONTROL_LEN];
        let reason = cut_reason(reason).as_bytes();
        let (head, tail) = payload.split_at_mut(2);
        #[cfg(feature = "drafts")]
        let number = self.version().close_code(code);
        #[cfg(not(feature = "drafts"))]
        let number = u16::from(code);
        head.copy_from_slice(&number.to_be_bytes());
        tail[..reason.len()].copy_from_slice(reason);
        self.frame(Opcode::Close, true, &payload[..2 + reason.len()], cx);
    }

    /// Answers a ping, now or, while the output is blocked, later: then only the newest is kept,
    /// as RFC 6455 §5.5.3 allows. Otherwise a peer that never reads could make us hoard pongs.
    pub(super) fn answer_ping(&mut self, data: &[u8], cx: &mut Cx<'_>) {
        if cx.blocked {
            let pong = self
                .parts
                .get_or_insert_default()
                .pong
                .get_or_insert_default();
            pong.clear();
            pong.extend_from_slice(data);
            return;
        }
        if let Some(parts) = &mut self.parts {
            parts.pong = None;
        }
        self.frame(Opcode::Pong, true, data, cx);
    }

    /// Appends a frame.
    #[inline]
    pub(super) fn frame(&self, opcode: Opcode, fin: bool, data: &[u8], cx: &mut Cx<'_>) {
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return self.frame_old(opcode, fin, data, cx);
        }
        self.frame_rfc(opcode, fin, data, cx);
    }

    /// The mask of a frame to be sent.
    #[cfg(feature = "drafts")]
    #[inline]
    pub(super) fn mask(&self, shared: &mut Shared) -> Mask {
        match self.framing.is_clear() {
            true => Mask::default(),
            false => shared.mask(),
        }
    }

    /// The mask of a frame to be sent.
    #[cfg(not(feature = "drafts"))]
    #[expect(clippy::unused_self, reason = "there is no other")]
    #[inline]
    pub(super) fn mask(&self, shared: &mut Shared) -> Mask {
        shared.mask()
    }

    /// Appends a frame of RFC 6455's layout.
    #[inline]
    fn frame_rfc(&self, opcode: Opcode, fin: bool, data: &[u8], cx: &mut Cx<'_>) {
        let mask = match self.role {
            Role::Client => Some(self.mask(cx.shared)),
            Role::Server => None,
        };
        let header = FrameHeader {
            fin,
            rsv1: false,
            opcode,
            mask,
            payload_len: data.len() as u64,
        };
        put_frame(header, data, cx.output);
    }
}

/// Appends a frame, masked if the header says so.
#[inline]
pub(super) fn put_frame(header: FrameHeader, data: &[u8], output: &mut Vec<u8>) {
    output.reserve(FrameHeader::MAX_LEN + data.len());
    header.encode(output);
    let start = output.len();
    output.extend_from_slice(data);
    if let Some(mask) = header.mask {
        mask.apply(&mut output[start..], 0);
    }
}
