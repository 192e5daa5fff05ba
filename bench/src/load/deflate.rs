//! permessage-deflate (RFC 7692) as a client speaks it: what is offered, and both directions of a
//! message. By stock zlib: the engine uses another library.

use clap::ValueEnum;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

/// Ends a message's data, and is left out on the wire.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What is asked of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deflate {
    /// No compression
    #[default]
    Off,
    /// Compression of each message by itself: nothing has to be kept for a connection
    Pooled,
    /// Compression that refers to earlier messages
    Takeover,
}

const NO_TAKEOVER: &str = "server_no_context_takeover";

impl Deflate {
    /// A header line of the request.
    pub(crate) fn offer(self) -> &'static str {
        match self {
            Self::Off => "",
            Self::Pooled => {
                "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
                 client_no_context_takeover\r\n"
            }
            Self::Takeover => {
                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
            }
        }
    }

    /// Whether the server agreed to just that.
    pub(crate) fn is_agreed(self, answer: &str) -> bool {
        let agreed = answer.contains("permessage-deflate");
        match self {
            Self::Off => !agreed,
            Self::Pooled => agreed && answer.contains(NO_TAKEOVER),
            Self::Takeover => agreed && !answer.contains(NO_TAKEOVER),
        }
    }
}

/// The payload of a message that refers to no other one.
pub(crate) fn deflated(data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(data.len() + 64);
    let mut compress = Compress::new(Compression::default(), false);
    // It cannot fail: there is room for whatever does not shrink.
    let _ = compress.compress_vec(data, &mut packed, FlushCompress::Sync);
    packed.truncate(packed.len().saturating_sub(TAIL.len()));
    packed
}

/// The server's direction of a connection.
#[derive(Debug)]
pub(crate) struct Inflater {
    decompress: Decompress,
    takeover: bool,
}

impl Inflater {
    /// `None`: nothing is compressed.
    pub(crate) fn new(deflate: Deflate) -> Option<Self> {
        (deflate != Deflate::Off).then(|| Self {
            decompress: Decompress::new(false),
            takeover: deflate == Deflate::Takeover,
        })
    }

    /// Inflates a message, which must have `len` bytes, from its payload. What is left of `packed`
    /// has no meaning.
    pub(crate) fn message(
        &mut self,
        packed: &mut Vec<u8>,
        len: usize,
        data: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        packed.extend_from_slice(&TAIL);
        data.clear();
        // More is as wrong as less, but must not look like the end.
        data.reserve(len + 1);
        let before = self.decompress.total_in();
        let status = self
            .decompress
            .decompress_vec(packed, data, FlushDecompress::Sync);
        let used = (self.decompress.total_in() - before) as usize;
        if status.is_err() || used < packed.len() || data.len() != len {
            return Err("sent what does not inflate to its echo");
        }
        if !self.takeover {
            self.decompress.reset(false);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_deflated_inflates_again() {
        let message = b"again and again and again".as_slice();
        for deflate in [Deflate::Pooled, Deflate::Takeover] {
            let mut inflater = Inflater::new(deflate).unwrap();
            let mut data = Vec::new();
            for _ in 0..3 {
                let mut packed = deflated(message);
                assert!(packed.len() < message.len());
                let inflated = inflater.message(&mut packed, message.len(), &mut data);
                assert_eq!(inflated, Ok(()));
                assert_eq!(data, message);
            }
            for wrong in [message.len() - 1, message.len() + 1] {
                let inflated = inflater.message(&mut deflated(message), wrong, &mut data);
                assert!(inflated.is_err());
            }
        }
        assert!(Inflater::new(Deflate::Off).is_none());
    }

    #[test]
    fn an_answer_must_agree_to_what_is_measured() {
        let pooled = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover";
        for (deflate, answer, agreed) in [
            (Deflate::Off, "", true),
            (Deflate::Off, pooled, false),
            (Deflate::Pooled, pooled, true),
            (Deflate::Pooled, "permessage-deflate", false),
            (Deflate::Takeover, "permessage-deflate", true),
            (Deflate::Takeover, pooled, false),
        ] {
            assert_eq!(deflate.is_agreed(answer), agreed, "{deflate:?} {answer}");
        }
    }
}
