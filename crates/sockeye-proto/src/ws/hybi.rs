//! hybi-04 to 06: frames that are masked from their first byte to their last, and what their Closes
//! say.
//!
//! Only the way to a header and from a payload is their own; what a header means, messages, pings
//! and limits are judged where RFC 6455's are.

use super::receive::Frame;
use super::{Event, Phase, Role, WebSocket};
use crate::bytes::Text;
use crate::close::{CloseCode, CloseFrame};
use crate::cx::Cx;
use crate::drafts::Version;
use crate::drafts::frame::{decode, encode};
use crate::drafts::hybi04::CLEAR;
use crate::frame::{FrameHeader, Opcode};
use crate::mask::Mask;
use crate::violation::Violation;

/// Bytes before a frame of a client.
const NONCE_LEN: usize = 4;

impl WebSocket {
    /// Reads a header, unless a payload is being read. Returns whether one is: its bytes are then
    /// masked by no more than the key in [`Frame`].
    pub(super) fn prepare_hybi(&mut self, input: &mut &mut [u8]) -> Result<bool, Violation> {
        let frame = match self.reading {
            Some(frame) => frame,
            None => match self.read_hybi_header(input)? {
                Some(frame) => frame,
                None => return Ok(false),
            },
        };
        self.reading = Some(frame);
        if self.role == Role::Server
            && let Some(state) = self.parts.as_mut().and_then(|parts| parts.hybi04.as_mut())
        {
            state.unmask(frame.remaining, input);
        }
        Ok(true)
    }

    fn read_hybi_header(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, Violation> {
        let (bytes, len) = self.known_header(input);
        let Some((header, used)) = self.decode_hybi(bytes.get(..len).unwrap_or_default())? else {
            self.keep_header(input);
            return Ok(None);
        };
        self.end_header(used, input);
        self.accept(header).map(Some)
    }

    /// Decodes the front of a frame. The mask of the header is that of its payload.
    fn decode_hybi(&mut self, bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, Violation> {
        if self.role == Role::Client {
            return decode(bytes);
        }
        let Some((&nonce, masked)) = bytes.split_first_chunk::<NONCE_LEN>() else {
            return Ok(None);
        };
        let mut clear = [0; FrameHeader::MAX_LEN - NONCE_LEN];
        let clear = &mut clear[..masked.len()];
        clear.copy_from_slice(masked);
        let mask = Mask::new(nonce);
        let hybi04 = self.parts.as_mut().and_then(|parts| parts.hybi04.as_mut());
        match (hybi04, masked.first_chunk()) {
            // What it is masked with shows in two bytes, and no frame has less.
            (Some(_), None) => Ok(None),
            (Some(state), Some(begin)) => {
                let stream = state.incoming(nonce, *begin);
                stream.apply(clear);
                let Some((mut header, len)) = decode(clear)? else {
                    return Ok(None);
                };
                state.begin(stream.further(len as u64), header.payload_len);
                // The payload comes to the machine unmasked.
                header.mask = Some(Mask::default());
                Ok(Some((header, NONCE_LEN + len)))
            }
            (None, _) => {
                mask.apply(clear, 0);
                let Some((mut header, len)) = decode(clear)? else {
                    return Ok(None);
                };
                header.mask = Some(mask.rotated(len));
                Ok(Some((header, NONCE_LEN + len)))
            }
        }
    }

    /// The peer's Close has come: answers it with its own words, if it was the first.
    pub(super) fn receive_hybi_close(
        &mut self,
        payload: &[u8],
        cx: &mut Cx<'_>,
    ) -> Result<Event<'static>, Violation> {
        let close = match self.version() {
            Version::Hybi06 => CloseFrame::decode_as(Version::Hybi06, payload)?.into_owned(),
            _ => CloseFrame {
                code: CloseCode::NO_STATUS,
                reason: Text::default(),
            },
        };
        if self.phase == Phase::Open {
            let mut answer = payload.to_vec();
            if let Some(&[letter]) = self.bare_close() {
                match answer.first_mut() {
                    Some(first) => *first = letter,
                    None => answer.push(letter),
                }
            }
            self.since = cx.now;
            self.frame(Opcode::Close, true, &answer, cx);
        }
        self.phase = Phase::Finished;
        self.parts = None;
        Ok(Event::Close(close))
    }

    /// The body of a Close of the versions that cannot give a reason; hybi-05 says who sends it.
    pub(super) fn bare_close(&self) -> Option<&'static [u8]> {
        match (self.version(), self.role) {
            (Version::Hixie76 | Version::Hybi04, _) => Some(b""),
            (Version::Hybi05, Role::Client) => Some(b"C"),
            (Version::Hybi05, Role::Server) => Some(b"S"),
            _ => None,
        }
    }

    /// Appends a frame.
    pub(super) fn frame_hybi(&self, opcode: Opcode, fin: bool, data: &[u8], cx: &mut Cx<'_>) {
        let output = &mut *cx.output;
        output.reserve(FrameHeader::MAX_LEN + data.len());
        let nonce = match self.role {
            Role::Server => None,
            Role::Client if self.framing.is_clear() => Some(CLEAR),
            Role::Client => Some(cx.shared.mask().key()),
        };
        output.extend_from_slice(nonce.as_ref().map_or(&[], |nonce| &nonce[..]));
        let start = output.len();
        encode(opcode, fin, data.len(), output);
        output.extend_from_slice(data);
        let Some(nonce) = nonce else { return };
        let frame = &mut output[start..];
        match self.parts.as_ref().and_then(|parts| parts.hybi04.as_ref()) {
            Some(state) => state.outgoing(nonce).apply(frame),
            None => Mask::new(nonce).apply(frame, 0),
        }
    }
}
