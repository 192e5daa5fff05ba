//! The receiving half: from the cursor to an event.
//!
//! Every rule is judged at the header, before a byte of payload is looked at; what a payload
//! alone can break (UTF-8, the codes of a Close) is judged as it arrives. The state between two
//! reads is a [`Frame`] with what remains of it, or, in [`Parts`], a piece of a header.

use std::mem;

use super::packed::Packed;
use super::whole::WholeFrame;
use super::{Chunk, Config, Delivery, Event, Kind, Phase, Role, WebSocket};
use crate::bytes::{Bytes, Text};
use crate::close::CloseFrame;
use crate::cx::Cx;
use crate::frame::{FrameHeader, Opcode};
use crate::mask::Mask;
use crate::utf8;
use crate::violation::Violation;

/// What is still to come of a frame whose header was accepted.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) remaining: u64,
    /// Rotated to the next byte of the payload.
    pub(super) mask: Mask,
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
}

/// What a connection holds only while something is in several pieces or kept back.
#[derive(Default)]
pub(super) struct Parts {
    /// What is there of a header.
    pub(super) header: Vec<u8>,
    pub(super) text: String,
    pub(super) binary: Vec<u8>,
    pub(super) control: Vec<u8>,
    /// What compression holds.
    pub(super) packed: Packed,
    /// The answer to the newest ping that came while the output was blocked.
    pub(super) pong: Option<Vec<u8>>,
    /// The masking of that version, as long as there is something to mask.
    #[cfg(feature = "drafts")]
    pub(super) hybi04: Option<crate::drafts::hybi04::Hybi04>,
}

impl WebSocket {
    /// Consumes `input` from the front, up to the next event or the end; `Ok(None)` means that
    /// all of it is consumed. Payload is unmasked where it lies.
    ///
    /// # Errors
    /// The rule that the peer broke. The Close that says so is in the output (unless ours went out
    /// before), the rest of the input is discarded, and nothing further is reported.
    // The way that nearly every message goes is short enough to lie where it is called: there the
    // event need not be written down to be looked at.
    #[inline(always)]
    pub fn receive<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        if input.is_empty() {
            return Ok(None);
        }
        if self.phase == Phase::Open {
            self.since = cx.now;
            self.pinged = false;
            if let Some((kind, data)) = self.take_whole(input) {
                self.active = cx.now;
                return match kind {
                    Kind::Binary => Ok(Some(Event::Binary(Bytes::Borrowed(data)))),
                    Kind::Text => match utf8::validate(data) {
                        Ok(text) => Ok(Some(Event::Text(Text::Borrowed(text)))),
                        Err(_) => Err(self.receive_bad(Violation::InvalidText, input, cx)),
                    },
                };
            }
        }
        self.receive_any(input, cx)
    }

    /// Takes a message that is one frame, wholly in the input, where one may begin: nearly every
    /// message is. `None` is no verdict: the long way looks at the same bytes again.
    // It must say yes to nothing that the long way would not.
    #[inline(always)]
    fn take_whole<'b>(&self, input: &mut &'b mut [u8]) -> Option<(Kind, &'b [u8])> {
        let Config {
            limits, delivery, ..
        } = &*self.config;
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return None;
        }
        let in_header = |parts: &Parts| !parts.header.is_empty();
        let in_frame = self.reading.is_some() || self.parts.as_deref().is_some_and(in_header);
        if in_frame || self.receiving.is_some() || *delivery != Delivery::Whole {
            return None;
        }
        let whole = WholeFrame::find(input, self.role)?;
        let len = whole.payload_len;
        if len as u64 > limits.frame_len || len > limits.message_len || limits.fragment_count == 0 {
            return None;
        }
        let (frame, rest) = mem::take(input).split_at_mut_checked(whole.head_len + len)?;
        *input = rest;
        let data = frame.get_mut(whole.head_len..)?;
        if let Some(mask) = whole.mask {
            mask.apply(data, 0);
        }
        Some((whole.kind, data))
    }

    #[inline(never)]
    fn receive_any<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        while !input.is_empty() {
            if !self.listens() {
                // RFC 6455 §1.4: what comes behind the peer's Close is discarded.
                *input = &mut [];
                break;
            }
            match self.advance(input, cx) {
                Ok(None) => {}
                Ok(Some(event)) => return Ok(Some(event)),
                Err(violation) => return Err(self.receive_bad(violation, input, cx)),
            }
        }
        Ok(None)
    }

    #[cold]
    fn receive_bad(
        &mut self,
        violation: Violation,
        input: &mut &mut [u8],
        cx: &mut Cx<'_>,
    ) -> Violation {
        *input = &mut [];
        self.fail(violation, cx);
        violation
    }

    /// Whether input still means anything.
    fn listens(&self) -> bool {
        matches!(
            self.phase,
            Phase::Open | Phase::Draining | Phase::Discarding
        )
    }

    /// Consumes at least one byte: a piece of a header, or a frame as far as it is there.
    fn advance<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        #[cfg(feature = "drafts")]
        if self.framing.is_old()
            && let Some(outcome) = self.prepare_old(input, cx)
        {
            return outcome;
        }
        let mut frame = match self.reading {
            Some(frame) => frame,
            None => match self.read_header(input)? {
                Some(frame) => frame,
                None => return Ok(None),
            },
        };
        if self.unpacking && !frame.opcode.is_control() && self.phase != Phase::Discarding {
            self.active = cx.now;
            return self.receive_packed(frame, input, cx);
        }
        let payload = self.read_payload(&mut frame, input)?;
        if frame.opcode.is_control() {
            return self.control_frame(frame, payload, cx);
        }
        self.active = cx.now;
        let Some(kind) = self.receiving else {
            return Ok(None);
        };
        let last = frame.fin && frame.remaining == 0;
        if last {
            self.receiving = None;
        }
        if self.phase == Phase::Discarding {
            return Ok(None);
        }
        match self.config.delivery {
            Delivery::Whole => self.assemble(kind, payload, last),
            Delivery::Streaming => Ok(self.stream(kind, payload, last, frame.remaining)),
        }
    }

    fn read_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        if self
            .parts
            .as_ref()
            .is_some_and(|parts| !parts.header.is_empty())
        {
            return self.resume_header(input);
        }
        let Some((header, used)) = FrameHeader::decode(input)? else {
            self.keep_header(input);
            return Ok(None);
        };
        *input = &mut mem::take(input)[used..];
        self.accept(header).map(Some)
    }

    /// As [`read_header`](Self::read_header), behind the bytes that were kept.
    #[cold]
    fn resume_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        let (bytes, len) = self.known_header(input);
        let Some((header, used)) = FrameHeader::decode(bytes.get(..len).unwrap_or_default())?
        else {
            self.keep_header(input);
            return Ok(None);
        };
        self.end_header(used, input);
        self.accept(header).map(Some)
    }

    /// The front of a header: what was kept, and of the input as much as it may take. And the
    /// length of both.
    pub(super) fn known_header(&self, input: &[u8]) -> ([u8; FrameHeader::MAX_LEN], usize) {
        let kept = self.parts.as_ref().map_or(&[][..], |parts| &parts.header);
        let mut bytes = [0; FrameHeader::MAX_LEN];
        let mut len = 0;
        for (place, byte) in bytes.iter_mut().zip(kept.iter().chain(input)) {
            *place = *byte;
            len += 1;
        }
        (bytes, len)
    }

    /// Keeps the input: with what was kept before it is shorter than the longest header.
    #[cold]
    pub(super) fn keep_header(&mut self, input: &mut &mut [u8]) {
        let input = mem::take(input);
        self.parts
            .get_or_insert_default()
            .header
            .extend_from_slice(input);
    }

    /// Takes what a header of `used` bytes needs of the input besides what was kept.
    pub(super) fn end_header(&mut self, used: usize, input: &mut &mut [u8]) {
        let kept = match &mut self.parts {
            Some(parts) => mem::take(&mut parts.header).len(),
            None => 0,
        };
        *input = &mut mem::take(input)[used - kept..];
        self.tidy();
    }

    /// Judges a header against the role, the message in progress and the limits.
    // Old versions call it too, which must not take it out of the way that all others go.
    #[inline(always)]
    pub(super) fn accept(&mut self, header: FrameHeader) -> Result<Frame, Violation> {
        // RFC 7692 §6.1: only the first frame of a message tells that it is compressed.
        let begins = matches!(header.opcode, Opcode::Text | Opcode::Binary);
        if header.rsv1 && !(begins && self.may_unpack()) {
            return Err(Violation::ReservedBits);
        }
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(Violation::UnmaskedFrame),
            (Role::Client, Some(_)) => return Err(Violation::MaskedFrame),
            _ => {}
        }
        if !header.opcode.is_control() {
            self.accept_data(&header)?;
        }
        Ok(Frame {
            remaining: header.payload_len,
            mask: header.mask.unwrap_or_default(),
            opcode: header.opcode,
            fin: header.fin,
        })
    }

    // Old versions call it too, which must not take it out of the way that all others go.
    #[inline(always)]
    fn accept_data(&mut self, header: &FrameHeader) -> Result<(), Violation> {
        // RFC 6455 §5.4: the fragments of one message are not mixed with those of another.
        let kind = match (header.opcode, self.receiving) {
            (Opcode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
            (Opcode::Continuation, Some(kind)) => kind,
            (_, Some(_)) => return Err(Violation::ExpectedContinuation),
            (Opcode::Text, None) => Kind::Text,
            (_, None) => Kind::Binary,
        };
        if self.receiving.is_none() {
            self.receiving = Some(kind);
            self.first = true;
            self.unpacking = header.rsv1;
            self.message_len = 0;
            self.fragment_count = 0;
        }
        self.message_len = self.message_len.saturating_add(header.payload_len);
        self.fragment_count = self.fragment_count.saturating_add(1);
        if self.config.delivery == Delivery::Streaming || self.phase == Phase::Discarding {
            return Ok(());
        }
        let limits = &self.config.limits;
        // What cannot be compressed grows a little instead: the bound of what is inflated is met
        // while it is.
        let slack = |len: u64| match self.unpacking {
            true => len.saturating_add(len / 64 + 1024),
            false => len,
        };
        if header.payload_len > slack(limits.frame_len) {
            return Err(Violation::FrameTooBig);
        }
        if self.message_len > slack(limits.message_len as u64) {
            return Err(Violation::MessageTooBig);
        }
        if self.fragment_count > limits.fragment_count {
            return Err(Violation::TooManyFragments);
        }
        Ok(())
    }

    /// Takes what is there of the payload, unmasked, and notes what is not.
    fn read_payload<'b>(
        &mut self,
        frame: &mut Frame,
        input: &mut &'b mut [u8],
    ) -> Result<&'b [u8], Violation> {
        let bytes = mem::take(input);
        let mut len =
            usize::try_from(frame.remaining).map_or(bytes.len(), |len| len.min(bytes.len()));
        if self.role == Role::Server {
            frame.mask.apply(&mut bytes[..len], 0);
        }
        if self.streams_text(frame) {
            len = self.check_text(frame, &mut bytes[..len])?;
        }
        let (payload, rest) = bytes.split_at_mut(len);
        *input = rest;
        self.note_read(frame, len);
        Ok(payload)
    }

    /// Notes that `len` bytes of a payload are taken.
    pub(super) fn note_read(&mut self, frame: &mut Frame, len: usize) {
        frame.remaining -= len as u64;
        self.reading = if frame.remaining == 0 {
            None
        } else {
            frame.mask = frame.mask.rotated(len);
            Some(*frame)
        };
    }

    fn streams_text(&self, frame: &Frame) -> bool {
        self.config.delivery == Delivery::Streaming
            && self.receiving == Some(Kind::Text)
            && self.phase != Phase::Discarding
            && !frame.opcode.is_control()
    }

    /// Checks streamed text and returns how much of it is good. A bad byte fails once it is the
    /// first: what stands before it is handed out, however the input was cut.
    fn check_text(&mut self, frame: &Frame, data: &mut [u8]) -> Result<usize, Violation> {
        let last = frame.fin && frame.remaining == data.len() as u64;
        let good = self.good_len(data, last);
        if good == data.len() {
            // An end with no byte before it can cut a character as well.
            if last && data.is_empty() {
                self.utf8.finish().map_err(|_| Violation::InvalidText)?;
            }
            return Ok(good);
        }
        if good == 0 {
            return Err(Violation::InvalidText);
        }
        if self.role == Role::Server {
            frame.mask.apply(&mut data[good..], good);
        }
        Ok(good)
    }

    /// How many bytes at the front continue the text; all of them, if it is right to its end.
    pub(super) fn good_len(&mut self, data: &[u8], last: bool) -> usize {
        let before = self.utf8;
        if self.utf8.check(data).is_ok() && (!last || self.utf8.finish().is_ok()) {
            return data.len();
        }
        self.utf8 = before;
        let mut good = 0;
        for byte in data {
            let mut utf8 = self.utf8;
            let ends = last && good + 1 == data.len();
            if utf8.check(&[*byte]).is_err() || (ends && utf8.finish().is_err()) {
                break;
            }
            self.utf8 = utf8;
            good += 1;
        }
        good
    }

    // Old versions call it too, which must not take it out of the way that all others go.
    #[inline(always)]
    pub(super) fn assemble<'b>(
        &mut self,
        kind: Kind,
        data: &'b [u8],
        last: bool,
    ) -> Result<Option<Event<'b>>, Violation> {
        if last && data.len() as u64 == self.message_len {
            return Ok(Some(match kind {
                Kind::Text => {
                    let text = utf8::validate(data).map_err(|_| Violation::InvalidText)?;
                    Event::Text(Text::Borrowed(text))
                }
                Kind::Binary => Event::Binary(Bytes::Borrowed(data)),
            }));
        }
        if data.is_empty() && !last {
            return Ok(None);
        }
        self.append(kind, data)?;
        if !last {
            return Ok(None);
        }
        self.assembled(kind).map(Some)
    }

    // Old versions call it too, which must not take it out of the way that all others go.
    #[inline(always)]
    pub(super) fn stream<'b>(
        &mut self,
        kind: Kind,
        data: &'b [u8],
        last: bool,
        frame_remaining: u64,
    ) -> Option<Event<'b>> {
        if data.is_empty() && !last {
            return None;
        }
        let first = mem::take(&mut self.first);
        let data = Bytes::Borrowed(data);
        Some(Event::Chunk(Chunk {
            kind,
            data,
            first,
            last,
            frame_remaining,
        }))
    }

    fn control_frame<'b>(
        &mut self,
        frame: Frame,
        data: &'b [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        let Some(payload) = self.gather_control(data, frame.remaining == 0) else {
            return Ok(None);
        };
        let discarding = self.phase == Phase::Discarding;
        match frame.opcode {
            #[cfg(feature = "drafts")]
            Opcode::Close if self.framing.is_old() => {
                self.receive_hybi_close(&payload, cx).map(Some)
            }
            Opcode::Close => {
                let close = match payload {
                    Bytes::Borrowed(payload) => self.decode_close(payload)?,
                    Bytes::Owned(payload) => self.decode_close(&payload)?.into_owned(),
                };
                self.finish(&close, cx);
                Ok(Some(Event::Close(close)))
            }
            Opcode::Ping => {
                self.answer_ping(&payload, cx);
                Ok((!discarding).then_some(Event::Ping(payload)))
            }
            _ => Ok((!discarding).then_some(Event::Pong(payload))),
        }
    }

    #[cfg(feature = "drafts")]
    fn decode_close<'b>(&self, payload: &'b [u8]) -> Result<CloseFrame<'b>, Violation> {
        CloseFrame::decode_as(self.version(), payload)
    }

    #[cfg(not(feature = "drafts"))]
    #[expect(clippy::unused_self, reason = "there is one version")]
    fn decode_close<'b>(&self, payload: &'b [u8]) -> Result<CloseFrame<'b>, Violation> {
        CloseFrame::decode(payload)
    }

    /// The payload of a control frame, once it is complete.
    fn gather_control<'b>(&mut self, data: &'b [u8], complete: bool) -> Option<Bytes<'b>> {
        let begun = self
            .parts
            .as_ref()
            .is_some_and(|parts| !parts.control.is_empty());
        if complete && !begun {
            return Some(Bytes::Borrowed(data));
        }
        if !data.is_empty() {
            self.parts
                .get_or_insert_default()
                .control
                .extend_from_slice(data);
        }
        if !complete {
            return None;
        }
        let gathered = self
            .parts
            .as_mut()
            .map(|parts| mem::take(&mut parts.control));
        self.tidy();
        gathered.map(Bytes::Owned)
    }

    /// The peer's Close has come: answers it, if it was the first.
    fn finish(&mut self, close: &CloseFrame<'_>, cx: &mut Cx<'_>) {
        if self.phase == Phase::Open {
            self.put_close(close.code, &close.reason, Phase::Finished, cx);
        }
        self.phase = Phase::Finished;
        self.parts = None;
    }

    #[cold]
    fn fail(&mut self, violation: Violation, cx: &mut Cx<'_>) {
        if self.phase == Phase::Open {
            self.put_close(
                violation.close_code(),
                violation.reason(),
                Phase::Failed,
                cx,
            );
        }
        self.phase = Phase::Failed;
        self.parts = None;
    }
}
