//! What the fuzz targets in `fuzz/` run: each takes any bytes and panics if something does not hold
//! that must always hold. They are here so that tests run them too, and so that they see what is
//! not public.
//!
//! The first bytes of an input choose the circumstances, the rest is what the peer sends.

mod conversation;
mod extension;
mod frame;
mod handshake;
mod http;

pub use self::conversation::{conversation, draft};
pub use self::extension::extension;
pub use self::frame::frame;
pub use self::handshake::handshake;
pub use self::http::http;

/// The same bytes in reads of different lengths: one, of a byte each, and two ways at random.
fn cuts(bytes: &[u8], seed: u8) -> [Vec<&[u8]>; 4] {
    let random = |mut state: u64| {
        let (mut rest, mut pieces) = (bytes, Vec::new());
        while !rest.is_empty() {
            // xorshift64: all it needs to be is different.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let most = if state & 64 == 0 { 16 } else { 512 };
            let len = (state >> 32) % most.min(rest.len() as u64) + 1;
            let (piece, behind) = rest.split_at(len as usize);
            pieces.push(piece);
            rest = behind;
        }
        pieces
    };
    let seed = u64::from(seed) * 2 + 1;
    [
        vec![bytes],
        bytes.chunks(1).collect(),
        random(seed),
        random(seed << 32),
    ]
}

#[cfg(test)]
mod tests {
    #[test]
    fn however_it_is_cut_it_is_the_same() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
        for seed in 0..=255 {
            for pieces in super::cuts(&bytes, seed) {
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
                assert_eq!(pieces.concat(), bytes);
            }
        }
    }
}
