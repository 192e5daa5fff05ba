//! For owners that think in frames: bytes of a kind that need not be whole, a Close without a code,
//! an end that waits for nobody.
//!
//! Adds no state to the machine; what it puts on the wire follows the same rules as all else.

use super::send::Sending;
use super::{Kind, Phase, WebSocket};
use crate::close::CloseCode;
use crate::cx::Cx;
use crate::frame::Opcode;
use crate::violation::Misuse;

impl WebSocket {
    /// Sends a part of a message, never compressed, as [`send_fragment`](Self::send_fragment) does
    /// with what it is given as a whole; `last` ends the message. That the parts of a text make
    /// UTF-8 together is up to the caller: each for itself need not.
    ///
    /// # Errors
    /// [`Misuse::AlreadyClosing`] and [`Misuse::NotOpen`] once a Close has gone out or come in,
    /// [`Misuse::MixedKinds`] if the message began as the other kind, or compressed.
    pub fn send_data(
        &mut self,
        kind: Kind,
        data: &[u8],
        last: bool,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        self.must_be_open()?;
        let opcode = match self.sending.kind() {
            None => kind.opcode(),
            Some(begun) if begun == kind && !self.sending.is_packed() => Opcode::Continuation,
            Some(_) => return Err(Misuse::MixedKinds),
        };
        #[cfg(feature = "drafts")]
        {
            self.must_have(opcode, last)?;
            // hixie-76 takes this byte for the end of a text, and there is none in UTF-8.
            if self.version().is_text_only() && data.contains(&0xff) {
                return Err(Misuse::NotInVersion);
            }
        }
        self.sending = Sending::after(kind, false, last);
        self.active = cx.now;
        self.frame(opcode, last, data, cx);
        Ok(())
    }

    /// As [`close_sending`](Self::close_sending), with a Close that is empty: the peer is told no
    /// code (RFC 6455 §7.1.5: it takes that for 1005).
    ///
    /// # Errors
    /// [`Misuse::AlreadyClosing`] and [`Misuse::NotOpen`] once a Close has gone out or come in.
    pub fn close_without_code(&mut self, cx: &mut Cx<'_>) -> Result<(), Misuse> {
        self.must_be_open()?;
        self.put_close(CloseCode::NO_STATUS, "", Phase::Draining, cx);
        Ok(())
    }

    /// Ends the connection without waiting for the peer's Close: a Close is put out, unless one
    /// was, with this code or none, and nothing that arrives counts any more. The sending direction
    /// is shut down behind it, and the peer has [`close_timeout`](crate::Limits::close_timeout) to
    /// end its own: see [`fate`](Self::fate). A code that must not travel is left out.
    pub fn hang_up(&mut self, code: Option<CloseCode>, cx: &mut Cx<'_>) {
        match self.phase {
            Phase::Open => {
                let code = code.filter(|code| code.may_travel());
                let code = code.unwrap_or(CloseCode::NO_STATUS);
                self.put_close(code, "", Phase::Failed, cx);
            }
            Phase::Draining | Phase::Discarding => self.phase = Phase::Failed,
            Phase::Failed | Phase::Finished | Phase::Gone => {}
        }
        self.parts = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;
    use crate::Shared;
    use crate::ws::{Config, Fate, Role};

    /// A server that is told what to do; what it wrote, and what became of it.
    fn run(act: impl FnOnce(&mut WebSocket, &mut Cx<'_>)) -> (Vec<u8>, WebSocket) {
        let (mut output, mut shared) = (Vec::new(), Shared::from_seed([0; 32]));
        #[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
        let now = Instant::now();
        let mut socket = WebSocket::new(Role::Server, Arc::<Config>::default(), now);
        let mut cx = Cx {
            now,
            output: &mut output,
            shared: &mut shared,
            blocked: false,
        };
        act(&mut socket, &mut cx);
        (output, socket)
    }

    #[test]
    fn parts_need_not_be_utf8_and_go_on_as_continuations() {
        let (output, _) = run(|socket, cx| {
            assert_eq!(socket.send_data(Kind::Text, b"\xc3", false, cx), Ok(()));
            let mixed = socket.send_data(Kind::Binary, b"x", true, cx);
            assert_eq!(mixed, Err(Misuse::MixedKinds));
            assert_eq!(socket.send_data(Kind::Text, b"\xa4", true, cx), Ok(()));
            assert_eq!(socket.send_data(Kind::Binary, b"", true, cx), Ok(()));
        });
        assert_eq!(output, b"\x01\x01\xc3\x80\x01\xa4\x82\x00");
    }

    #[test]
    fn a_close_without_a_code_is_empty_and_the_only_one() {
        let (output, socket) = run(|socket, cx| {
            assert_eq!(socket.close_without_code(cx), Ok(()));
            assert_eq!(socket.close_without_code(cx), Err(Misuse::AlreadyClosing));
        });
        assert_eq!((&output[..], socket.fate()), (&b"\x88\x00"[..], Fate::Keep));
    }

    #[test]
    fn hanging_up_waits_for_nobody() {
        for (code, close) in [
            (None, &b"\x88\x00"[..]),
            (Some(CloseCode::NORMAL), b"\x88\x02\x03\xe8"),
            (Some(CloseCode::ABNORMAL), b"\x88\x00"),
        ] {
            let (output, mut socket) = run(|socket, cx| {
                socket.hang_up(code, cx);
                socket.hang_up(code, cx);
                let mut bytes = *b"\x81\x82\0\0\0\0hi";
                assert_eq!(socket.receive(&mut &mut bytes[..], cx), Ok(None));
            });
            assert_eq!((&output[..], socket.fate()), (close, Fate::HalfClose));
            assert!(socket.next_timeout().is_some());
            let (_, closing) = run(|other, cx| {
                assert_eq!(other.close_without_code(cx), Ok(()));
                other.hang_up(code, cx);
                assert_eq!(cx.output, b"\x88\x00");
                assert_eq!(socket.receive_eof(cx), None);
            });
            assert_eq!(
                (closing.fate(), socket.fate()),
                (Fate::HalfClose, Fate::Close)
            );
        }
    }
}
