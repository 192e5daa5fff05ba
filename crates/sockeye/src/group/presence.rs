//! Which topics may have members on an engine, for the others to know whom a message concerns.
//!
//! Topics fall into [`SLOTS`] slots by hash, and each slot counts those that exist: a slot without
//! any is proof that nobody is there, one with some may be another topic's. Knows no engines.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

const SLOTS: usize = 256;

/// Where a topic is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot(u8);

impl Slot {
    pub(crate) fn of(topic: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        Self(hasher.finish() as u8)
    }
}

/// The topics of one engine.
#[derive(Debug)]
pub(crate) struct Presence {
    counts: [AtomicU32; SLOTS],
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU32::new(0) }; SLOTS],
        }
    }
}

impl Presence {
    /// A topic has its first member.
    pub(crate) fn enter(&self, topic: &str) {
        self.count(Slot::of(topic)).fetch_add(1, SeqCst);
    }

    /// A topic that was entered has no member any more.
    pub(crate) fn leave(&self, topic: &str) {
        self.count(Slot::of(topic)).fetch_sub(1, SeqCst);
    }

    pub(super) fn has(&self, slot: Slot) -> bool {
        self.count(slot).load(SeqCst) != 0
    }

    fn count(&self, slot: Slot) -> &AtomicU32 {
        &self.counts[usize::from(slot.0)]
    }
}

/// Whom a batch of posts concerns.
#[derive(Debug, Default)]
pub(super) enum Audience {
    #[default]
    Nobody,
    Topics(Vec<Slot>),
    All,
}

impl Audience {
    /// Adds members of a topic, or everybody.
    pub(super) fn add(&mut self, slot: Option<Slot>) {
        match (&mut *self, slot) {
            (Self::All, _) => {}
            (_, None) => *self = Self::All,
            (Self::Nobody, Some(slot)) => *self = Self::Topics(vec![slot]),
            (Self::Topics(slots), Some(slot)) => {
                if slots.last().is_none_or(|last| last.0 != slot.0) {
                    slots.push(slot);
                }
            }
        }
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(self, Self::All)
    }

    /// Whether anybody of it may be on the engine.
    pub(super) fn meets(&self, presence: &Presence) -> bool {
        match self {
            Self::Nobody => false,
            Self::Topics(slots) => slots.iter().any(|slot| presence.has(*slot)),
            Self::All => true,
        }
    }
}
