//! What a call into a machine brings along: the time, the output, the resources of the loop.
//!
//! The core reads no clock, owns no output buffer and no randomness: all three arrive here. One
//! [`Shared`] serves all machines of a thread.

use std::fmt;
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::mask::Mask;

/// The surroundings of one call.
pub struct Cx<'c> {
    /// The present: read once by the owner, the same for everything that happens in a turn.
    pub now: Instant,
    /// Where bytes for the peer are appended. What it already holds is left alone.
    pub output: &'c mut Vec<u8>,
    /// The resources of the thread.
    pub shared: &'c mut Shared,
    /// Whether output of earlier calls still waits for the peer. Then an answer that a newer one
    /// can replace (a pong) is kept back instead of appended.
    pub blocked: bool,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("now", &self.now)
            .field("output_len", &self.output.len())
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

/// What all machines of one thread share: the source of masking keys and nonces, and the contexts
/// that compress and inflate.
///
/// RFC 6455 §5.3 and §10.3 want keys that cannot be predicted: seed it from the operating
/// system. A fixed seed is for tests, which it makes repeatable.
pub struct Shared {
    random: ChaCha12Rng,
    #[cfg(feature = "deflate")]
    pub(crate) pool: crate::deflate::Pool,
    #[cfg(feature = "deflate")]
    pub(crate) budget: std::sync::Arc<crate::deflate::Budget>,
}

impl Shared {
    /// A source that ChaCha12 stretches out of `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self {
            random: ChaCha12Rng::from_seed(seed),
            #[cfg(feature = "deflate")]
            pool: Default::default(),
            #[cfg(feature = "deflate")]
            budget: Default::default(),
        }
    }

    /// A fresh masking key.
    pub fn mask(&mut self) -> Mask {
        // The generator computes four blocks at a time: this is a load, once in 64 calls a refill.
        Mask::new(self.random.next_u32().to_ne_bytes())
    }

    /// Sixteen fresh bytes, for a `Sec-WebSocket-Key` (RFC 6455 §4.1).
    pub fn nonce(&mut self) -> [u8; 16] {
        let mut nonce = [0; 16];
        self.random.fill_bytes(&mut nonce);
        nonce
    }

    /// A fresh number from 0 to `most`.
    #[cfg(feature = "drafts")]
    pub(crate) fn number(&mut self, most: u32) -> u32 {
        // Of 64 bits, what is over shows in none of the numbers.
        (self.random.next_u64() % (u64::from(most) + 1)) as u32
    }
}

impl fmt::Debug for Shared {
    // The key stream stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn masks_are_fresh_and_follow_from_the_seed() {
        let mut shared = Shared::from_seed([7; 32]);
        let masks: Vec<[u8; 4]> = (0..200).map(|_| shared.mask().key()).collect();
        assert_eq!(masks.iter().collect::<HashSet<_>>().len(), masks.len());
        let mut same = Shared::from_seed([7; 32]);
        assert!(masks.iter().all(|key| *key == same.mask().key()));
        assert_ne!(Shared::from_seed([8; 32]).mask().key(), masks[0]);
        assert_ne!(shared.nonce(), shared.nonce());
    }
}
