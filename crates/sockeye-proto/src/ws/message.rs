//! Messages to send, and messages framed once for many receivers.

use std::fmt;
use std::sync::Arc;

use crate::bytes::{Bytes, Text};
use crate::frame::{FrameHeader, Opcode};
use crate::utf8;

/// What a message is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    pub(super) const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// A message, or a fragment of one, that is to be sent.
///
/// ```
/// use sockeye_proto::ws::{Kind, Message};
/// let message = Message::from("hi");
/// assert_eq!(message, Message::Text("hi"));
/// assert_eq!((message.kind(), message.data()), (Kind::Text, &b"hi"[..]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'m> {
    /// A text message.
    Text(&'m str),
    /// A binary message.
    Binary(&'m [u8]),
}

impl<'m> Message<'m> {
    /// What it is made of.
    pub const fn kind(self) -> Kind {
        match self {
            Self::Text(_) => Kind::Text,
            Self::Binary(_) => Kind::Binary,
        }
    }

    /// Its payload.
    pub const fn data(self) -> &'m [u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Binary(data) => data,
        }
    }
}

impl<'m> From<&'m str> for Message<'m> {
    fn from(text: &'m str) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m String> for Message<'m> {
    fn from(text: &'m String) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m Text<'_>> for Message<'m> {
    fn from(text: &'m Text<'_>) -> Self {
        Self::Text(text)
    }
}

impl<'m> From<&'m Bytes<'_>> for Message<'m> {
    fn from(data: &'m Bytes<'_>) -> Self {
        Self::Binary(data)
    }
}

impl<'m> From<&'m Vec<u8>> for Message<'m> {
    fn from(data: &'m Vec<u8>) -> Self {
        Self::Binary(data)
    }
}

impl<'m> From<&'m [u8]> for Message<'m> {
    fn from(data: &'m [u8]) -> Self {
        Self::Binary(data)
    }
}

/// A message framed once, to be sent to many peers by a server.
///
/// A clone shares the bytes. A frame of a client must be masked afresh for every receiver
/// (RFC 6455 §5.3): a client sends [`message`](Self::message) instead of the frame.
///
/// ```
/// use sockeye_proto::ws::{Message, Prepared};
/// let prepared = Prepared::text("hi");
/// assert_eq!(&**prepared.frame(), b"\x81\x02hi");
/// assert_eq!(prepared.message(), Message::Text("hi"));
/// ```
///
/// Compressed forms are made when a connection first asks for one, and shared as well.
#[derive(Clone)]
pub struct Prepared {
    framed: Arc<Framed>,
}

struct Framed {
    frame: Arc<[u8]>,
    kind: Kind,
    header_len: u8,
    #[cfg(feature = "deflate")]
    packed: packed::Cache,
    #[cfg(feature = "drafts")]
    old: super::old::Cache,
}

impl Prepared {
    /// Frames `message`; the one copy it ever needs.
    pub fn new(message: Message<'_>) -> Self {
        let data = message.data();
        let kind = message.kind();
        let mut frame = Vec::with_capacity(FrameHeader::MAX_LEN + data.len());
        FrameHeader {
            fin: true,
            rsv1: false,
            opcode: kind.opcode(),
            mask: None,
            payload_len: data.len() as u64,
        }
        .encode(&mut frame);
        let header_len = frame.len() as u8;
        frame.extend_from_slice(data);
        Self {
            framed: Arc::new(Framed {
                frame: frame.into(),
                kind,
                header_len,
                #[cfg(feature = "deflate")]
                packed: packed::Cache::default(),
                #[cfg(feature = "drafts")]
                old: super::old::Cache::default(),
            }),
        }
    }

    /// Frames a text message.
    pub fn text(text: &str) -> Self {
        Self::new(Message::Text(text))
    }

    /// Frames a binary message.
    pub fn binary(data: &[u8]) -> Self {
        Self::new(Message::Binary(data))
    }

    /// What the message is made of.
    pub fn kind(&self) -> Kind {
        self.framed.kind
    }

    /// The payload of the message.
    #[inline]
    pub fn data(&self) -> &[u8] {
        let Framed {
            frame, header_len, ..
        } = &*self.framed;
        frame.get(usize::from(*header_len)..).unwrap_or_default()
    }

    /// The message. For text this looks through the bytes once more: where bytes will do,
    /// [`data`](Self::data) costs nothing.
    pub fn message(&self) -> Message<'_> {
        match self.framed.kind {
            // Made from a `str`, so it is one.
            Kind::Text => Message::Text(utf8::validate(self.data()).unwrap_or_default()),
            Kind::Binary => Message::Binary(self.data()),
        }
    }

    /// The whole frame, as a server sends it.
    #[inline]
    pub fn frame(&self) -> &Arc<[u8]> {
        &self.framed.frame
    }

    #[cfg(feature = "drafts")]
    pub(super) fn old(&self) -> &super::old::Cache {
        &self.framed.old
    }
}

impl From<Message<'_>> for Prepared {
    fn from(message: Message<'_>) -> Self {
        Self::new(message)
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("kind", &self.kind())
            .field("payload_len", &self.data().len())
            .finish()
    }
}

#[cfg(feature = "deflate")]
mod packed {
    //! Compressed frames of one message, each made once.

    use std::sync::{Arc, Mutex, PoisonError};

    use super::Prepared;
    use crate::deflate::{Pool, WindowBits};
    use crate::frame::FrameHeader;

    /// By window and level; `None` if the message would not become shorter.
    #[derive(Default)]
    pub(super) struct Cache(Mutex<Vec<Entry>>);

    type Entry = ((WindowBits, u8), Option<Arc<[u8]>>);

    impl Prepared {
        /// The frame of a server with the message compressed so, on its own.
        pub(in crate::ws) fn packed(
            &self,
            bits: WindowBits,
            level: u8,
            pool: &mut Pool,
        ) -> Option<Arc<[u8]>> {
            let Cache(cache) = &self.framed.packed;
            let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, frame)) = cache.iter().find(|(key, _)| *key == (bits, level)) {
                return frame.clone();
            }
            let packed = pool.deflate(bits, level, None, self.data(), true);
            let frame = (packed.len() < self.data().len()).then(|| {
                let mut frame = Vec::with_capacity(FrameHeader::MAX_LEN + packed.len());
                FrameHeader {
                    fin: true,
                    rsv1: true,
                    opcode: self.kind().opcode(),
                    mask: None,
                    payload_len: packed.len() as u64,
                }
                .encode(&mut frame);
                frame.extend_from_slice(packed);
                frame.into()
            });
            cache.push(((bits, level), Option::clone(&frame)));
            frame
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prepared_is_the_frame_of_a_server() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let data = vec![0xa5; len];
            let prepared = Prepared::binary(&data);
            let (header, header_len) = FrameHeader::decode(prepared.frame()).unwrap().unwrap();
            assert_eq!(
                (header.opcode, header.fin, header.mask),
                (Opcode::Binary, true, None)
            );
            assert_eq!(header.payload_len, len as u64);
            assert_eq!(prepared.frame().len(), header_len + len);
            assert_eq!(prepared.message(), Message::Binary(&data));
            assert!(Arc::ptr_eq(prepared.frame(), prepared.clone().frame()));
        }
        let text = Prepared::from(Message::Text("grüße"));
        assert_eq!(
            (text.kind(), text.message()),
            (Kind::Text, Message::Text("grüße"))
        );
        assert!(size_of::<Prepared>() <= 24);
    }
}
