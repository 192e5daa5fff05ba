//! hixie-76: text between 00 and FF, FF 00 at the end (draft-ietf-hybi-thewebsocketprotocol-00 §4.2
//! and §5.3).
//!
//! A text has no length, so its limits are met by the byte that is too many. What is not text is
//! read past, of whatever length it says it is. What the version does not have is refused before it
//! comes here.

use super::receive::Frame;
use super::{Delivery, Event, Kind, Phase, WebSocket};
use crate::close::{CloseCode, CloseFrame};
use crate::cx::Cx;
use crate::frame::Opcode;
use crate::http::take_front;
use crate::mask::Mask;
use crate::violation::{Misuse, Violation};

const TEXT: u8 = 0x00;
const END: u8 = 0xff;
const CLOSE: u8 = 0xff;
/// Types from here up have a length.
const MEASURED: u8 = 0x80;

/// What is being read, in the words of a frame: a text, what has an end but no meaning, what has a
/// length but no meaning, and such a length.
const SPOKEN: Opcode = Opcode::Text;
const MUMBLED: Opcode = Opcode::Continuation;
const SKIPPED: Opcode = Opcode::Binary;
const ANNOUNCED: Opcode = Opcode::Close;

impl WebSocket {
    /// Consumes at least one byte.
    pub(super) fn advance_hixie<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        match self.reading {
            None => {
                if let Some((&byte, _)) = take_front(input, 1).split_first() {
                    self.begin_hixie(byte);
                }
                Ok(None)
            }
            Some(frame) if frame.opcode == ANNOUNCED => {
                let Some((&byte, _)) = take_front(input, 1).split_first() else {
                    return Ok(None);
                };
                let [kind, ..] = frame.mask.key();
                self.read_length(kind, frame.remaining, byte, cx)
            }
            Some(frame) if frame.opcode == SPOKEN => {
                self.active = cx.now;
                self.read_text(input)
            }
            Some(frame) if frame.opcode == MUMBLED => {
                let end = end_of_text(input);
                if end.is_some() {
                    self.reading = None;
                }
                take_front(input, end.map_or(usize::MAX, |end| end + 1));
                Ok(None)
            }
            Some(frame) => {
                let len = usize::try_from(frame.remaining).unwrap_or(usize::MAX);
                let len = take_front(input, len).len() as u64;
                self.reading = match frame.remaining - len {
                    0 => None,
                    remaining => reading(SKIPPED, remaining),
                };
                Ok(None)
            }
        }
    }

    /// The byte that tells what comes.
    fn begin_hixie(&mut self, byte: u8) {
        self.reading = match byte {
            TEXT => {
                self.receiving = Some(Kind::Text);
                self.first = true;
                self.message_len = 0;
                reading(SPOKEN, u64::MAX)
            }
            1..MEASURED => reading(MUMBLED, u64::MAX),
            _ => length_so_far(byte, 0),
        };
    }

    /// A byte of a length: seven bits, and whether more follow.
    fn read_length<'b>(
        &mut self,
        kind: u8,
        so_far: u64,
        byte: u8,
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        if so_far >> (63 - 7) != 0 {
            return Err(Violation::LengthOverflow);
        }
        let length = so_far << 7 | u64::from(byte & 0x7f);
        self.reading = match (byte & 0x80, length) {
            (0, 0) => None,
            (0, _) => reading(SKIPPED, length),
            _ => length_so_far(kind, length),
        };
        if byte & 0x80 != 0 || length != 0 || kind != CLOSE {
            return Ok(None);
        }
        if self.phase == Phase::Open {
            self.put_close(CloseCode::NO_STATUS, "", Phase::Finished, cx);
        }
        self.phase = Phase::Finished;
        self.parts = None;
        Ok(Some(Event::Close(CloseFrame {
            code: CloseCode::NO_STATUS,
            reason: Default::default(),
        })))
    }

    /// What is there of a text.
    fn read_text<'b>(&mut self, input: &mut &'b mut [u8]) -> Result<Option<Event<'b>>, Violation> {
        let end = end_of_text(input);
        let last = end.is_some();
        let len = end.unwrap_or(input.len());
        if self.phase == Phase::Discarding {
            take_front(input, len + usize::from(last));
            self.end_text(last);
            return Ok(None);
        }
        if self.config.delivery == Delivery::Streaming {
            return self.stream_text(input, len, last);
        }
        let limits = &self.config.limits;
        let frame_first = limits.frame_len < limits.message_len as u64;
        let most = limits.frame_len.min(limits.message_len as u64);
        let room = most.saturating_sub(self.message_len);
        if len as u64 > room {
            // Bytes are judged in their order, however they were cut.
            let fits = input.get(..room as usize).unwrap_or_default();
            self.append(Kind::Text, fits)?;
            return Err(match frame_first {
                true => Violation::FrameTooBig,
                false => Violation::MessageTooBig,
            });
        }
        self.message_len += len as u64;
        let data = take_front(input, len + usize::from(last));
        let data = data.get(..len).unwrap_or_default();
        self.end_text(last);
        self.assemble(Kind::Text, data, last)
    }

    fn stream_text<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        len: usize,
        last: bool,
    ) -> Result<Option<Event<'b>>, Violation> {
        let text = input.get(..len).unwrap_or_default();
        let good = self.good_len(text, false);
        let mut end = self.utf8;
        let ends = last && good == len && end.finish().is_ok();
        if good == 0 && !ends && (len > 0 || last) {
            return Err(Violation::InvalidText);
        }
        // An end that cuts a character stays, and is met when it is the first byte: who reads the
        // text before it cannot know what comes.
        let last = ends;
        if last {
            self.utf8 = end;
        }
        let data = take_front(input, good + usize::from(last));
        let data = data.get(..good).unwrap_or_default();
        self.end_text(last);
        Ok(self.stream(Kind::Text, data, last, 0))
    }

    fn end_text(&mut self, last: bool) {
        if last {
            self.reading = None;
            self.receiving = None;
        }
    }

    /// Refuses what this version cannot send.
    pub(super) fn must_have(&self, opcode: Opcode, whole: bool) -> Result<(), Misuse> {
        let text_only = self.version().is_text_only();
        match !text_only || opcode == Opcode::Text && whole {
            true => Ok(()),
            false => Err(Misuse::NotInVersion),
        }
    }
}

/// Appends a text or a Close.
pub(super) fn frame_hixie(opcode: Opcode, data: &[u8], output: &mut Vec<u8>) {
    match opcode {
        Opcode::Text => {
            output.reserve(data.len() + 2);
            output.push(TEXT);
            output.extend_from_slice(data);
            output.push(END);
        }
        Opcode::Close => output.extend_from_slice(&[CLOSE, 0]),
        // `must_have` lets nothing else come here.
        Opcode::Continuation | Opcode::Binary | Opcode::Ping | Opcode::Pong => {}
    }
}

fn end_of_text(input: &[u8]) -> Option<usize> {
    input.iter().position(|&byte| byte == END)
}

const fn reading(opcode: Opcode, remaining: u64) -> Option<Frame> {
    Some(Frame {
        remaining,
        mask: Mask::new([0; 4]),
        opcode,
        fin: true,
    })
}

/// A type, and its length as far as it came.
const fn length_so_far(kind: u8, length: u64) -> Option<Frame> {
    Some(Frame {
        remaining: length,
        mask: Mask::new([kind, 0, 0, 0]),
        opcode: ANNOUNCED,
        fin: true,
    })
}
