//! The messages that are sent, framed and masked before the clock runs: a ring of different ones,
//! so that an echo of another message, or to another connection, does not pass.

use std::io::IoSlice;

use crate::deflate::{Deflate, deflated};
use crate::frame::{self, Kind};

/// Bytes that the ring takes at most, so that it stays in the cache.
const RING_LEN: usize = 256 * 1024;
/// How many different messages there are.
const FEWEST: usize = 4;
const MOST: usize = 64;

#[derive(Debug)]
pub(crate) struct Script {
    kind: Kind,
    deflate: Deflate,
    payloads: Vec<Vec<u8>>,
    frames: Vec<u8>,
    /// Where in `frames` each message begins.
    starts: Vec<usize>,
}

impl Script {
    pub(crate) fn new(kind: Kind, size: usize, deflate: Deflate) -> Self {
        let count = (RING_LEN / size.max(1)).clamp(FEWEST, MOST);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            // xorshift64: no statistics hang on it, it only has to differ.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut script = Self {
            kind,
            deflate,
            payloads: Vec::new(),
            frames: Vec::new(),
            starts: Vec::new(),
        };
        for _ in 0..count {
            let payload: Vec<u8> = match kind {
                Kind::Text => (0..size).map(|_| b' ' + (next() % 95) as u8).collect(),
                Kind::Utf8 => scripts(size, &mut next),
                Kind::Binary => (0..size).map(|_| next() as u8).collect(),
                Kind::Json => records(size, &mut next),
            };
            let mask = (next() as u32).to_ne_bytes();
            let frames = &mut script.frames;
            script.starts.push(frames.len());
            match deflate {
                Deflate::Off => frame::write(frames, kind.opcode(), &payload, mask),
                Deflate::Pooled | Deflate::Takeover => {
                    let packed = deflated(&payload);
                    frame::write_with(frames, kind.opcode(), true, &packed, mask);
                }
            }
            script.payloads.push(payload);
        }
        script
    }

    pub(crate) fn opcode(&self) -> u8 {
        self.kind.opcode()
    }

    pub(crate) fn deflate(&self) -> Deflate {
        self.deflate
    }

    /// How many different messages there are.
    pub(crate) fn len(&self) -> usize {
        self.payloads.len()
    }

    pub(crate) fn payload(&self, message: usize) -> &[u8] {
        &self.payloads[message % self.payloads.len()]
    }

    /// Where in the endless row of frames this message begins.
    pub(crate) fn start(&self, message: usize) -> usize {
        let rounds = message / self.starts.len();
        rounds * self.frames.len() + self.starts[message % self.starts.len()]
    }

    /// Whether a message begins at this position.
    pub(crate) fn is_start(&self, position: usize) -> bool {
        self.starts
            .binary_search(&(position % self.frames.len()))
            .is_ok()
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

/// Letters of Latin, Greek, Cyrillic, Han and beyond, and spaces where none of them fits any more.
fn scripts(size: usize, next: &mut impl FnMut() -> u64) -> Vec<u8> {
    const FIRSTS: [char; 5] = ['a', 'α', 'а', '一', '😀'];
    let mut text = String::with_capacity(size);
    while text.len() < size {
        let dice = next();
        let first = FIRSTS[dice as usize % FIRSTS.len()];
        let letter = char::from_u32(u32::from(first) + (dice >> 32) as u32 % 24);
        let fits = |letter: &char| text.len() + letter.len_utf8() <= size;
        text.push(letter.filter(fits).unwrap_or(' '));
    }
    text.into_bytes()
}

/// What a feed of prices or an API sends: the same names, other values.
fn records(size: usize, next: &mut impl FnMut() -> u64) -> Vec<u8> {
    const STATES: [&str; 4] = ["open", "halted", "auction", "closed"];
    const NAMES: [&str; 6] = ["ACME", "Initech", "Umbrella", "Hooli", "Globex", "Soylent"];
    let mut text = String::from("[");
    while text.len() < size {
        let dice = next();
        text.push_str(&format!(
            "{{\"id\":{},\"symbol\":\"{}\",\"price\":{}.{:02},\"volume\":{},\"state\":\"{}\"}},",
            dice % 100_000,
            NAMES[(dice >> 20) as usize % NAMES.len()],
            (dice >> 24) % 1000,
            (dice >> 36) % 100,
            (dice >> 44) % 10_000,
            STATES[(dice >> 60) as usize % STATES.len()],
        ));
    }
    text.truncate(size);
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_frames_has_no_end() {
        let script = Script::new(Kind::Binary, 20, Deflate::Off);
        let total = script.start(script.len());
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
        let script = Script::new(Kind::Text, 1024, Deflate::Off);
        assert_eq!(script.len(), MOST);
        assert_ne!(script.payload(0), script.payload(1));
        assert!(script.payload(3).is_ascii());
    }

    #[test]
    fn text_of_many_scripts_is_text_of_just_that_size() {
        let script = Script::new(Kind::Utf8, 1023, Deflate::Off);
        for message in 0..script.len() {
            let text = str::from_utf8(script.payload(message)).unwrap();
            assert_eq!(text.len(), 1023);
            assert!((1..=4).all(|len| text.chars().any(|it| it.len_utf8() == len)));
        }
    }

    #[test]
    fn frames_of_all_lengths_follow_each_other() {
        let script = Script::new(Kind::Json, 1024, Deflate::Pooled);
        assert_eq!(script.start(script.len()), script.frames.len());
        let mut compressed = 0;
        for message in 0..2 * script.len() {
            let (start, end) = (script.start(message), script.start(message + 1));
            assert!(script.is_start(start) && !script.is_start(start + 1));
            assert_eq!(script.bytes(start, 2)[0][0], 0xc1);
            compressed += end - start;
        }
        let plain = 1024 * 2 * script.len();
        assert!(compressed < plain / 2, "{compressed} of {plain}");
    }
}
