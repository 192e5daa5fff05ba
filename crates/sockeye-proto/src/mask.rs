//! The masking of RFC 6455 §5.3: XOR with a four-byte key that repeats from the payload's start.
//!
//! Knows nothing of frames or roles. Safe code that the compiler vectorises: whole words at a
//! time, no alignment demands, in place.

use std::fmt;

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
    pub fn apply(self, data: &mut [u8], offset: usize) {
        let [a, b, c, d] = self.rotated(offset).0;
        let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
        let (words, rest) = data.as_chunks_mut::<8>();
        for chunk in words {
            *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
            *byte ^= key;
        }
    }

    /// The key for data that begins `offset` bytes further on.
    #[must_use]
    pub const fn rotated(self, offset: usize) -> Self {
        let bits = (offset % 4) as u32 * 8;
        Self(u32::from_le_bytes(self.0).rotate_right(bits).to_le_bytes())
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
        for len in 0..70usize {
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
}
