//! How the frames of a connection look, in a byte.

use crate::drafts::Version;

/// The version, and whether what a client sends is to be masked.
#[derive(Clone, Copy)]
pub(super) struct Framing(u8);

const CLEAR: u8 = 0x80;

impl Framing {
    pub(super) const fn new(version: Version) -> Self {
        Self(version as u8)
    }

    #[inline]
    pub(super) fn version(self) -> Version {
        let index = usize::from(self.0 & !CLEAR);
        Version::ALL.get(index).copied().unwrap_or_default()
    }

    /// Whether frames have another layout than those of RFC 6455.
    #[inline]
    pub(super) const fn is_old(self) -> bool {
        self.0 & !CLEAR < Version::Hybi07 as u8
    }

    #[inline]
    pub(super) const fn is_clear(self) -> bool {
        self.0 & CLEAR != 0
    }

    pub(super) fn set_clear(&mut self, clear: bool) {
        self.0 = self.0 & !CLEAR | if clear { CLEAR } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_holds_both() {
        for version in Version::ALL {
            let mut framing = Framing::new(version);
            for clear in [true, false, true] {
                framing.set_clear(clear);
                assert_eq!((framing.version(), framing.is_clear()), (version, clear));
                assert_eq!(framing.is_old(), version < Version::Hybi07);
            }
        }
    }
}
