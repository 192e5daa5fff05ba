//! What lies in the channel: one packet for each message, a head and the beginning of the payload;
//! the rest of a long one is in a sealed file in memory whose descriptor travels along.
//!
//! The beginning goes inline even then: it makes a long message take its share of the channel's
//! room, which so bounds how many of them, with their files, can wait.

use crate::{Kind, Message};

/// Bytes of the payload that are in the packet itself.
pub(super) const INLINE_LEN: usize = 32 * 1024;
/// The longest packet.
pub(super) const PACKET_LEN: usize = Head::LEN + INLINE_LEN;

const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// What a packet says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Of the whole payload.
    pub(super) len: u64,
}

impl Head {
    pub(super) const LEN: usize = 16;

    pub(super) fn of(message: Message<'_>) -> Self {
        Self {
            kind: message.kind(),
            len: message.data().len() as u64,
        }
    }

    pub(super) fn encode(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = match self.kind {
            Kind::Text => TEXT,
            Kind::Binary => BINARY,
        };
        // Both ends are on one machine.
        bytes[8..].copy_from_slice(&self.len.to_ne_bytes());
        bytes
    }

    /// The head and what follows it, if the packet is one of ours.
    pub(super) fn decode(packet: &[u8]) -> Option<(Self, &[u8])> {
        let (head, inline) = packet.split_first_chunk::<{ Self::LEN }>()?;
        let kind = match head[0] {
            TEXT => Kind::Text,
            BINARY => Kind::Binary,
            _ => return None,
        };
        let (zeros, len) = head[1..].split_first_chunk::<7>()?;
        let len = u64::from_ne_bytes(len.try_into().ok()?);
        let is_ours = *zeros == [0; 7] && inline.len() as u64 == len.min(INLINE_LEN as u64);
        is_ours.then_some((Self { kind, len }, inline))
    }

    /// Bytes of the payload that are not in the packet.
    pub(super) fn rest_len(self) -> u64 {
        self.len.saturating_sub(INLINE_LEN as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_told_from_what_is_none() {
        let head = Head::of(Message::Text("four"));
        let packet = [&head.encode()[..], b"four"].concat();
        assert_eq!(Head::decode(&packet), Some((head, &b"four"[..])));
        assert_eq!(head.rest_len(), 0);

        for broken in 1..Head::LEN {
            let mut packet = packet.clone();
            packet[broken] ^= 0x80;
            assert_eq!(Head::decode(&packet), None, "byte {broken}");
        }
        for kind in [0, 3, 255] {
            let mut packet = packet.clone();
            packet[0] = kind;
            assert_eq!(Head::decode(&packet), None, "kind {kind}");
        }
        for len in 0..packet.len() {
            assert_eq!(Head::decode(&packet[..len]), None, "{len} bytes");
        }
        assert_eq!(Head::decode(&[&packet[..], b"s"].concat()), None);
    }

    #[test]
    fn what_is_not_inline_is_the_rest() {
        for (len, rest) in [(0, 0), (INLINE_LEN, 0), (INLINE_LEN + 1, 1)] {
            let payload = vec![7; len];
            let head = Head::of(Message::Binary(&payload));
            assert_eq!(head.rest_len(), rest);
            let inline = &payload[..len.min(INLINE_LEN)];
            let packet = [&head.encode()[..], inline].concat();
            assert_eq!(Head::decode(&packet), Some((head, inline)));
            assert!(packet.len() <= PACKET_LEN);
        }
    }
}
