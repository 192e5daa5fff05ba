//! What many connections are sent in one turn: short frames, each in memory once, so that a
//! publish to a thousand members writes a thousand times from the same hot bytes.
//!
//! Knows no connections. An outbox holds a [`Span`] of it, which is good until the turn's writes
//! are made: what the socket did not take then goes to the outbox's own buffer.

use std::sync::Arc;

/// So much is shared in one turn at most; what comes after is copied for each.
const MAX_LEN: usize = 64 * 1024;

/// Frames behind one another.
#[derive(Debug, Default)]
pub(super) struct Volley {
    bytes: Vec<u8>,
    /// The frame that was placed last, and where.
    last: Option<(Arc<[u8]>, Span)>,
}

/// Some frames of a [`Volley`], or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Volley {
    /// Where a frame lies, at the end if it is not the last one anyway. `None` when all is full.
    #[inline]
    pub(super) fn place(&mut self, frame: &Arc<[u8]>) -> Option<Span> {
        match &self.last {
            Some((last, span)) if Arc::ptr_eq(last, frame) => Some(*span),
            _ => self.append(frame),
        }
    }

    fn append(&mut self, frame: &Arc<[u8]>) -> Option<Span> {
        let start = self.bytes.len();
        let end = start + frame.len();
        if end > MAX_LEN {
            return None;
        }
        self.bytes.extend_from_slice(frame);
        let span = Span {
            start: start as u32,
            end: end as u32,
        };
        self.last = Some((Arc::clone(frame), span));
        Some(span)
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        self.bytes
            .get(span.start as usize..span.end as usize)
            .unwrap_or_default()
    }

    /// Forgets everything: nobody holds a span any more.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.last = None;
    }
}

impl Span {
    #[inline]
    pub(super) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Takes in what follows it. Returns whether that does.
    #[inline]
    pub(super) fn extend(&mut self, next: Self) -> bool {
        if self.is_empty() {
            *self = next;
        } else if self.end == next.start {
            self.end = next.end;
        } else {
            return false;
        }
        true
    }

    /// Leaves out the first bytes, which are written.
    pub(super) fn skip(&mut self, len: usize) {
        self.start = self.end.min(self.start + len as u32);
    }
}
