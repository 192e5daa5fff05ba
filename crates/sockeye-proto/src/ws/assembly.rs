//! A message in several pieces: where they are put together.
//!
//! Knows the pieces and what was announced; what may come and when it ends is known to those who
//! receive. What is finished or given up leaves nothing behind.

use std::mem;

use super::receive::Parts;
use super::{Event, Kind, WebSocket};
use crate::bytes::{Bytes, Text};
use crate::violation::Violation;

impl WebSocket {
    /// Adds to the message under assembly.
    pub(super) fn append(&mut self, kind: Kind, data: &[u8]) -> Result<(), Violation> {
        let announced = usize::try_from(self.message_len).unwrap_or(usize::MAX);
        let parts = self.parts.get_or_insert_default();
        match kind {
            Kind::Text => {
                let text = &mut parts.text;
                if let Some(more) = growth(text.len(), text.capacity(), data.len(), announced) {
                    text.reserve_exact(more);
                }
                self.utf8
                    .append(data, text)
                    .map_err(|_| Violation::InvalidText)
            }
            Kind::Binary => {
                let binary = &mut parts.binary;
                if let Some(more) = growth(binary.len(), binary.capacity(), data.len(), announced) {
                    binary.reserve_exact(more);
                }
                binary.extend_from_slice(data);
                Ok(())
            }
        }
    }

    /// The message under assembly, which is complete.
    pub(super) fn assembled(&mut self, kind: Kind) -> Result<Event<'static>, Violation> {
        self.utf8.finish().map_err(|_| Violation::InvalidText)?;
        let parts = self.parts.get_or_insert_default();
        let event = match kind {
            Kind::Text => Event::Text(Text::Owned(mem::take(&mut parts.text))),
            Kind::Binary => Event::Binary(Bytes::Owned(mem::take(&mut parts.binary))),
        };
        self.tidy();
        Ok(event)
    }

    /// Frees what was assembled of a message that nobody will see.
    pub(super) fn drop_message(&mut self) {
        if let Some(parts) = &mut self.parts {
            parts.text = String::new();
            parts.binary = Vec::new();
            parts.packed.drop_message();
            self.tidy();
        }
    }

    /// Frees the parts if nothing is left in them.
    pub(super) fn tidy(&mut self) {
        let empty = |parts: &Parts| {
            #[cfg(feature = "drafts")]
            if parts.hybi04.is_some() {
                return false;
            }
            parts.header.is_empty()
                && parts.text.is_empty()
                && parts.binary.is_empty()
                && parts.control.is_empty()
                && parts.packed.is_empty()
                && parts.pong.is_none()
        };
        if self.parts.as_deref().is_some_and(empty) {
            self.parts = None;
        }
    }
}

/// How much room to make for `more` bytes, if the whole of what was announced is the right size:
/// when half of it is there, so that a peer still has to send what it makes us hold, and only if
/// that is far from what there is, so that small fragments do not move the message each.
fn growth(len: usize, capacity: usize, more: usize, announced: usize) -> Option<usize> {
    let needed = len.saturating_add(more);
    let fits = needed <= capacity;
    let is_due = needed <= announced && announced / 2 <= needed && announced / 3 * 2 >= len;
    (!fits && is_due).then(|| announced - len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_is_announced_once_half_of_it_is_there() {
        let kib = 1024;
        // (there, capacity, more, announced)
        for (len, capacity, more, announced, expected) in [
            (0, 0, 250, 256, Some(256)),
            (0, 0, 128, 256, Some(256)),
            (0, 0, 127, 256, None),
            (128, 128, 64, 256, Some(128)),
            (128, 256, 64, 256, None),
            // A further small fragment.
            (250, 250, 6, 256, None),
            // What is inflated is more than was announced.
            (0, 0, 256, 100, None),
        ] {
            let expected = expected.map(|room: usize| room * kib);
            let room = growth(len * kib, capacity * kib, more * kib, announced * kib);
            assert_eq!(room, expected, "{len} {capacity} {more} {announced}");
        }
    }
}
