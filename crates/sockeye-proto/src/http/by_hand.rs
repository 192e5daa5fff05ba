//! For owners that write an answer themselves, byte for byte, past the machine.
//!
//! The machine then knows only that somebody else speaks, and how the connection ends behind it.

use std::time::Instant;

use super::server::{Answer, Intake, Server};

impl Server {
    /// The owner writes from here on: nothing that arrives is looked at any more, and nothing is
    /// answered by the machine. [`release`](Self::release) follows when all is written.
    pub fn hand_over(&mut self) {
        self.intake = Intake::Discard;
        self.answer = Answer::Bodyless;
        self.partial = Vec::new();
        self.deadline = None;
        self.closing = true;
    }

    /// The owner's own answer is in the output as a whole: the connection ends behind it, as
    /// [`fate`](Self::fate) says.
    pub fn release(&mut self, now: Instant) {
        self.hand_over();
        self.answer = Answer::None;
        self.linger(now);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ws::Fate;
    use crate::{Cx, Shared};

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]
    fn what_is_handed_over_is_the_owners() {
        for ended in [false, true] {
            let now = Instant::now();
            let mut server = Server::new(Arc::default(), now);
            let mut output = Vec::new();
            let mut cx = Cx {
                now,
                output: &mut output,
                shared: &mut Shared::from_seed([0; 32]),
                blocked: false,
            };
            let mut bytes = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /".to_vec();
            let mut input = &mut bytes[..];
            assert!(matches!(server.receive(&mut input, &mut cx), Ok(Some(_))));
            server.hand_over();
            assert!(matches!(server.receive(&mut input, &mut cx), Ok(None)));
            assert!(input.is_empty(), "what follows is dropped");
            assert!(!server.can_respond() && server.is_answering());
            assert_eq!((server.fate(), server.next_timeout()), (Fate::Keep, None));
            if ended {
                assert_eq!(server.receive_eof(&mut cx), Ok(()));
                assert_eq!(server.fate(), Fate::Keep, "the answer is not out");
            }
            server.release(now);
            let fate = if ended { Fate::Close } else { Fate::HalfClose };
            assert_eq!(server.fate(), fate);
            assert_eq!(server.next_timeout().is_some(), !ended);
            assert!(!server.is_answering());
            assert!(cx.output.is_empty());
        }
    }
}
