//! In the place of `packed` when permessage-deflate is not compiled in: nothing is compressed, and
//! RSV1 has no meaning.

use std::sync::Arc;

use super::receive::Frame;
use super::{Event, Message, Prepared, WebSocket};
use crate::cx::{Cx, Shared};
use crate::frame::Opcode;
use crate::violation::Violation;

#[derive(Default)]
pub(super) struct Packed;

#[expect(
    clippy::unused_self,
    reason = "the signatures are those of the real thing"
)]
impl Packed {
    pub(super) const fn is_empty(&self) -> bool {
        true
    }

    pub(super) const fn drop_message(&self) {}
}

#[expect(
    clippy::unused_self,
    clippy::needless_pass_by_ref_mut,
    reason = "the signatures are those of the real thing"
)]
impl WebSocket {
    /// The frame of a message that was prepared.
    pub fn frame_of(&mut self, message: &Prepared, _shared: &mut Shared) -> Arc<[u8]> {
        #[cfg(feature = "drafts")]
        if self.framing.is_old() {
            return message.frame_as(self.version());
        }
        Arc::clone(message.frame())
    }

    /// Does nothing without compression.
    pub const fn forget_sent(&mut self) {}

    pub(super) const fn may_unpack(&self) -> bool {
        false
    }

    pub(super) const fn may_pack(&self, _len: usize) -> bool {
        false
    }

    pub(super) fn receive_packed<'b>(
        &mut self,
        _frame: Frame,
        _input: &mut &'b mut [u8],
        _cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, Violation> {
        Err(Violation::ReservedBits)
    }

    pub(super) const fn send_packed(&mut self, _message: Message<'_>, _cx: &mut Cx<'_>) -> bool {
        false
    }

    pub(super) fn frame_packed(&mut self, opcode: Opcode, fin: bool, data: &[u8], cx: &mut Cx<'_>) {
        self.frame(opcode, fin, data, cx);
    }
}
