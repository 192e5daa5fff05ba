//! The messages that are sent, framed and masked before the clock runs: a ring of different ones,
//! so that an echo of another message, or to another connection, does not pass.

use std::io::IoSlice;

use crate::frame::{self, Kind};

/// Bytes that the ring takes at most, so that it stays in the cache.
const RING_LEN: usize = 256 * 1024;
/// How many different messages there are.
const FEWEST: usize = 4;
const MOST: usize = 64;

#[derive(Debug)]
pub(crate) struct Script {
    kind: Kind,
    payloads: Vec<Vec<u8>>,
    frames: Vec<u8>,
}

impl Script {
    pub(crate) fn new(kind: Kind, size: usize) -> Self {
        let count = (RING_LEN / size.max(1)).clamp(FEWEST, MOST);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            // xorshift64: no statistics hang on it, it only has to differ.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut payloads = Vec::new();
        let mut frames = Vec::new();
        for _ in 0..count {
            let payload: Vec<u8> = (0..size)
                .map(|_| match kind {
                    Kind::Text => b' ' + (next() % 95) as u8,
                    Kind::Binary => next() as u8,
                })
                .collect();
            frame::write(
                &mut frames,
                kind.opcode(),
                &payload,
                (next() as u32).to_ne_bytes(),
            );
            payloads.push(payload);
        }
        Self {
            kind,
            payloads,
            frames,
        }
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.kind.opcode()
    }

    /// How many different messages there are.
    pub(crate) fn len(&self) -> usize {
        self.payloads.len()
    }

    pub(crate) fn payload(&self, message: usize) -> &[u8] {
        &self.payloads[message % self.payloads.len()]
    }

    pub(crate) fn frame_len(&self) -> usize {
        self.frames.len() / self.payloads.len()
    }

    /// Up to `len` bytes of the endless row of frames, from `position` on.
    pub(crate) fn bytes(&self, position: usize, len: usize) -> [IoSlice<'_>; 2] {
        let start = position % self.frames.len();
        let end = (start + len).min(self.frames.len());
        let again = (len - (end - start)).min(start);
        [
            IoSlice::new(&self.frames[start..end]),
            IoSlice::new(&self.frames[..again]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_frames_has_no_end() {
        let script = Script::new(Kind::Binary, 20);
        let total = script.frame_len() * script.len();
        let taken: Vec<u8> = script
            .bytes(total - 5, 12)
            .iter()
            .flat_map(|slice| slice.to_vec())
            .collect();
        let mut row = script.frames.clone();
        row.extend(script.frames.clone());
        assert_eq!(taken, row[total - 5..total + 7]);
    }

    #[test]
    fn messages_differ() {
        let script = Script::new(Kind::Text, 1024);
        assert_eq!(script.len(), MOST);
        assert_ne!(script.payload(0), script.payload(1));
        assert!(script.payload(3).is_ascii());
    }
}
