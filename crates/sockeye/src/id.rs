//! Names of connections: an index into the slab and the generation of the slot.
//!
//! A slot is used again and again; its generation tells the users of it apart. So an id that was
//! kept too long finds nothing, never a stranger. This module knows neither slab nor poller.

use std::fmt;

use crate::poll::Token;

/// Names one connection of one engine for as long as the engine lives.
///
/// Ids are small, `Copy`, and may be kept and passed between threads. After the connection has
/// ended its id names nothing any more; a successor in the same slot has another id.
///
/// Displayed as `index.generation`, for instance `17.3`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    index: u32,
    generation: u32,
}

impl ConnId {
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        Self { index, generation }
    }

    /// The slot in the slab, below [`Slab::INDEX_END`](crate::slab::Slab::INDEX_END).
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    pub(crate) const fn generation(self) -> u32 {
        self.generation
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({self})")
    }
}

impl From<ConnId> for Token {
    fn from(id: ConnId) -> Self {
        Self(u64::from(id.generation) << 32 | u64::from(id.index))
    }
}

impl From<Token> for ConnId {
    /// Takes any token apart; whether a connection has that id is for the slab to say.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the two halves of the word"
    )]
    fn from(token: Token) -> Self {
        Self {
            index: token.0 as u32,
            generation: (token.0 >> 32) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_carries_the_whole_id() {
        for (index, generation) in [(0, 0), (17, 3), (u32::MAX, 0), (0, u32::MAX), (1 << 31, 5)] {
            let id = ConnId::new(index, generation);
            assert_eq!(ConnId::from(Token::from(id)), id);
        }
        assert_eq!(Token::from(ConnId::new(17, 3)), Token(3 << 32 | 17));
    }

    #[test]
    fn display_is_index_dot_generation() {
        assert_eq!(ConnId::new(17, 3).to_string(), "17.3");
        assert_eq!(format!("{:?}", ConnId::new(17, 3)), "ConnId(17.3)");
    }
}
