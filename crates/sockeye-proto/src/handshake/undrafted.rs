//! In the place of `draft` when the old versions are not compiled in.

use ::http::HeaderMap;

use super::accept::{Accept, write_switch};
use crate::Cx;

#[derive(Debug)]
pub(super) struct Draft;

impl Draft {
    pub(super) const NONE: Self = Self;
}

#[expect(
    clippy::unused_self,
    reason = "the signatures are those of the real thing"
)]
impl Accept<'_> {
    #[cfg(feature = "deflate")]
    pub(super) const fn may_deflate(&self) -> bool {
        true
    }

    pub(super) const fn has_draft_header(_extra: &HeaderMap) -> bool {
        false
    }

    pub(super) fn write_begin(&self, output: &mut Vec<u8>) {
        write_switch(self.accept_key(), output);
    }

    pub(super) const fn write_end(&self, _cx: &mut Cx<'_>) {}
}
