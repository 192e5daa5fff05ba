//! What messages are made of: slices of one pool, chosen by who sends and by number.
//!
//! Nothing is built and nothing remembered for a message: the same slice is sent, and compared with
//! what comes back. Two messages of a few bytes may be the same; longer ones differ, so that an echo
//! in the wrong place, or on the wrong connection, is seen.

use sockeye::Message;

use crate::args::Sizes;

/// Bytes by which a broadcast message begins, and that say whose it is.
pub(super) const STAMP: usize = 16;
/// How many different slices of a size there are. A power of two.
const SPAN: usize = 1 << 16;
/// Digits of a sender and of a number in a stamp.
const SENDER_DIGITS: usize = 6;

/// The payloads of all messages.
#[derive(Debug)]
pub(super) struct Contents {
    pool: Pool,
    ranges: Vec<(usize, usize)>,
}

#[derive(Debug)]
enum Pool {
    /// ASCII only, so that any slice is text.
    Text(String),
    Binary(Vec<u8>),
}

/// A step of splitmix64: no statistics hang on it, the results only have to differ.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// A hash of who sends and of the message's number.
fn hash(sender: usize, number: u64) -> u64 {
    mix(mix(sender as u64).wrapping_add(number))
}

impl Contents {
    pub(super) fn new(sizes: &Sizes, text: bool) -> Self {
        let most = sizes.ranges.iter().map(|(_, most)| *most).max();
        let len = most.unwrap_or_default() + SPAN;
        let pool = match text {
            true => Pool::Text(rows(len)),
            false => Pool::Binary(noise(len)),
        };
        Self {
            pool,
            ranges: sizes.ranges.clone(),
        }
    }

    /// What a message is, as bytes.
    pub(super) fn bytes(&self, sender: usize, number: u64) -> &[u8] {
        let slice = self.slice(sender, number);
        let bytes = match &self.pool {
            Pool::Text(text) => text.as_bytes().get(slice),
            Pool::Binary(bytes) => bytes.get(slice),
        };
        bytes.unwrap_or_default()
    }

    /// The message itself.
    pub(super) fn message(&self, sender: usize, number: u64) -> Message<'_> {
        let slice = self.slice(sender, number);
        match &self.pool {
            Pool::Text(text) => Message::Text(text.get(slice).unwrap_or_default()),
            Pool::Binary(bytes) => Message::Binary(bytes.get(slice).unwrap_or_default()),
        }
    }

    /// The message with a stamp in place of its first bytes, built in `scratch`.
    pub(super) fn stamped<'s>(
        &self,
        sender: usize,
        number: u64,
        scratch: &'s mut Vec<u8>,
    ) -> Message<'s> {
        scratch.clear();
        scratch.extend_from_slice(&stamp(sender, number));
        let rest = self.bytes(sender, number).get(STAMP..);
        scratch.extend_from_slice(rest.unwrap_or_default());
        match (&self.pool, std::str::from_utf8(scratch)) {
            (Pool::Text(_), Ok(text)) => Message::Text(text),
            _ => Message::Binary(scratch),
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self.pool, Pool::Text(_))
    }

    fn slice(&self, sender: usize, number: u64) -> std::ops::Range<usize> {
        let hash = hash(sender, number);
        let start = hash as usize % SPAN;
        let size = match self.ranges[..] {
            [(least, most)] if least == most => least,
            _ => {
                let chance = mix(hash);
                let index = chance as usize % self.ranges.len().max(1);
                let (least, most) = self.ranges.get(index).copied().unwrap_or_default();
                least + (chance >> 32) as usize % (most - least + 1)
            }
        };
        start..start + size
    }
}

/// Bytes that do not shrink.
fn noise(len: usize) -> Vec<u8> {
    let words = (0..len.div_ceil(8) as u64).map(|index| mix(index).to_le_bytes());
    let mut bytes: Vec<u8> = words.flatten().collect();
    bytes.truncate(len);
    bytes
}

/// Lines of JSON, about two fifths of them random.
fn rows(len: usize) -> String {
    let mut text = String::with_capacity(len + 64);
    let mut index = 0;
    while text.len() < len {
        let (id, value) = (mix(index), mix(index + 1) % 10_000);
        text.push_str(&format!(
            "{{\"id\":\"{id:016x}\",\"ok\":true,\"value\":{value}}}\n"
        ));
        index += 2;
    }
    text.truncate(len);
    text
}

/// Who sends and the message's number, in hexadecimal digits.
fn stamp(sender: usize, number: u64) -> [u8; STAMP] {
    let value = (sender as u64) << 40 | number & ((1 << 40) - 1);
    let digit = |index: usize| {
        let nibble = (value >> (60 - 4 * index)) as u8 & 15;
        b"0123456789abcdef"[usize::from(nibble)]
    };
    std::array::from_fn(digit)
}

/// What a stamp says: the sender and the message's number.
pub(super) fn read_stamp(stamp: &[u8; STAMP]) -> Option<(usize, u64)> {
    if !stamp.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let text = std::str::from_utf8(stamp).ok()?;
    let (sender, number) = text.split_at(SENDER_DIGITS);
    let sender = usize::from_str_radix(sender, 16).ok()?;
    Some((sender, u64::from_str_radix(number, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn sizes(ranges: &[(usize, usize)]) -> Sizes {
        Sizes {
            text: String::new(),
            ranges: ranges.to_vec(),
        }
    }

    #[test]
    fn messages_differ_by_number_and_by_sender() {
        for text in [false, true] {
            let contents = Contents::new(&sizes(&[(24, 24)]), text);
            let mut seen = HashSet::new();
            for sender in 0..10 {
                for number in 0..10 {
                    assert!(seen.insert(contents.bytes(sender, number)));
                }
            }
        }
    }

    #[test]
    fn what_is_sent_is_what_is_compared() {
        for text in [false, true] {
            let contents = Contents::new(&sizes(&[(100, 200)]), text);
            match contents.message(3, 4) {
                Message::Text(data) => {
                    assert_eq!((text, data.as_bytes()), (true, contents.bytes(3, 4)))
                }
                Message::Binary(data) => assert_eq!((text, data), (false, contents.bytes(3, 4))),
            }
        }
    }

    #[test]
    fn sizes_stay_in_their_ranges_and_reach_all_of_them() {
        let contents = Contents::new(&sizes(&[(1, 1), (100, 103)]), false);
        let seen: HashSet<usize> = (0..1000)
            .map(|number| contents.bytes(0, number).len())
            .collect();
        assert_eq!(seen, HashSet::from([1, 100, 101, 102, 103]));
    }

    #[test]
    fn a_stamp_is_read_back() {
        for (sender, number) in [(0, 0), (1, 2), (4_194_303, (1 << 40) - 1)] {
            assert_eq!(read_stamp(&stamp(sender, number)), Some((sender, number)));
        }
        assert_eq!(read_stamp(b"+000000000000000"), None);
        let contents = Contents::new(&sizes(&[(20, 20)]), true);
        let mut scratch = Vec::new();
        let Message::Text(text) = contents.stamped(7, 9, &mut scratch) else {
            panic!("not text");
        };
        assert_eq!(text.as_bytes()[..STAMP], stamp(7, 9));
        assert_eq!(text.as_bytes()[STAMP..], contents.bytes(7, 9)[STAMP..]);
    }
}
