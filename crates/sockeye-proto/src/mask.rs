//! The masking of RFC 6455 §5.3: XOR with a four-byte key that repeats from the payload's start.
//!
//! Knows nothing of frames or roles. Safe code that the compiler vectorises: whole words at a
//! time, no alignment demands, in place. Where it pays, with the widest registers of the processor
//! that it finds itself on.

use std::fmt;

use fearless_simd::{Level, dispatch};

/// From so many bytes on it pays to ask what the processor can do.
const WIDE_LEN: usize = 512;
/// What the widest registers are aligned to: across two lines of the cache an access costs two.
const REGISTER_LEN: usize = 32;
/// From here on data are masked by a loop of their own.
const LONG_LEN: usize = 128;

/// Times a key: the key in each of the four words.
const REPEAT: u128 = 0x0000_0001_0000_0001_0000_0001_0000_0001;

/// A masking key.
///
/// ```
/// use sockeye_proto::Mask;
/// let mask = Mask::new([1, 2, 3, 4]);
/// let mut data = *b"hello";
/// mask.apply(&mut data[..2], 0);
/// mask.apply(&mut data[2..], 2);
/// mask.apply(&mut data, 0);
/// assert_eq!(&data, b"hello");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Mask([u8; 4]);

impl Mask {
    /// The key as it stands in the frame header.
    pub const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// The four bytes of the key, in wire order.
    pub const fn key(self) -> [u8; 4] {
        self.0
    }

    /// Masks or unmasks `data`, whose first byte is `offset` bytes behind the payload's start.
    #[inline]
    pub fn apply(self, data: &mut [u8], offset: usize) {
        let key = self.rotated(offset);
        if data.len() < LONG_LEN {
            key.apply_short(data);
        } else {
            key.apply_long(data);
        }
    }

    /// Few steps: what a vectorised loop has to find out first would cost more than it saves.
    #[inline]
    fn apply_short(self, data: &mut [u8]) {
        let word = u128::from(u32::from_ne_bytes(self.0)) * REPEAT;
        let (chunks, data) = data.as_chunks_mut();
        for chunk in chunks {
            *chunk = (u128::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
        }
        let (chunks, data) = data.as_chunks_mut();
        if let [chunk] = chunks {
            *chunk = (u64::from_ne_bytes(*chunk) ^ word as u64).to_ne_bytes();
        }
        let (chunks, data) = data.as_chunks_mut();
        if let [chunk] = chunks {
            *chunk = (u32::from_ne_bytes(*chunk) ^ word as u32).to_ne_bytes();
        }
        for (byte, key) in data.iter_mut().zip(self.0) {
            *byte ^= key;
        }
    }

    #[inline(never)]
    fn apply_long(self, data: &mut [u8]) {
        if data.len() < WIDE_LEN {
            xor(self.0, data);
            return;
        }
        let unaligned = (data.as_ptr() as usize).wrapping_neg() % REGISTER_LEN;
        let (head, data) = data.split_at_mut(unaligned);
        xor(self.0, head);
        let key = self.rotated(unaligned).0;
        dispatch!(Level::new(), _ => xor(key, data));
    }

    /// The key for data that begins `offset` bytes further on.
    #[must_use]
    #[inline]
    pub const fn rotated(self, offset: usize) -> Self {
        let bits = (offset % 4) as u32 * 8;
        Self(u32::from_le_bytes(self.0).rotate_right(bits).to_le_bytes())
    }
}

// Inlined, it is compiled for each kind of processor; in blocks, it is unrolled.
#[inline(always)]
fn xor(key: [u8; 4], data: &mut [u8]) {
    let half = u64::from(u32::from_ne_bytes(key));
    let word = half << 32 | half;
    let (blocks, data) = data.as_chunks_mut::<256>();
    for block in blocks {
        for chunk in block.as_chunks_mut::<8>().0 {
            *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
        }
    }
    let (words, rest) = data.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(word.to_ne_bytes()) {
        *byte ^= key;
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({:08x})", u32::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_example() {
        // RFC 6455 §5.7: a single-frame masked text message "Hello".
        let mut data = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        Mask::new([0x37, 0xfa, 0x21, 0x3d]).apply(&mut data, 0);
        assert_eq!(&data, b"Hello");
    }

    #[test]
    fn every_length_and_offset_agrees_with_the_definition() {
        let mask = Mask::new([0x12, 0x00, 0xff, 0xa5]);
        let long = [WIDE_LEN - 1, WIDE_LEN, WIDE_LEN + 1, 1000, 4099];
        for len in (0..70usize).chain(LONG_LEN - 2..LONG_LEN + 20).chain(long) {
            for offset in 0..9usize {
                let plain: Vec<u8> = (0..len).map(|at| (at * 7) as u8).collect();
                let mut data = plain.clone();
                mask.apply(&mut data, offset);
                for (at, (got, byte)) in data.iter().zip(&plain).enumerate() {
                    assert_eq!(*got, byte ^ mask.key()[(at + offset) % 4]);
                }
            }
        }
    }

    #[test]
    fn nothing_hangs_on_where_the_data_lie() {
        let mask = Mask::new([0x12, 0x00, 0xff, 0xa5]);
        let mut data = vec![0; WIDE_LEN + 2 * REGISTER_LEN];
        for start in 0..=REGISTER_LEN {
            for len in [WIDE_LEN, WIDE_LEN + REGISTER_LEN - 1] {
                mask.apply(&mut data[start..start + len], 0);
                for (at, byte) in data[start..start + len].iter().enumerate() {
                    assert_eq!(*byte, mask.key()[at % 4]);
                }
                mask.apply(&mut data[start..start + len], 0);
                assert!(data.iter().all(|byte| *byte == 0));
            }
        }
    }
}
