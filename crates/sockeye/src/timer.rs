//! Deadlines of connections: a hierarchical hashed wheel with ticks of one millisecond.
//!
//! It stores at most one deadline per slab index, in a node of 16 bytes, and knows nothing else of
//! connections: neither generations nor what a deadline is for. Setting and cancelling take
//! constant time. It never reads the clock.
//!
//! Level `n` has 64 slots of 64ⁿ ticks each; eleven levels cover every tick that a `u64` can
//! name, so that no deadline is out of reach. A slot of a higher level is emptied into the lower
//! ones (a cascade) when the time reaches its beginning.
//!
//! Invariants, with the digits of a tick being taken to the base 64:
//! - A node in the wheel has a tick after `elapsed`. It is in the level of the highest digit in
//!   which the two differ, in the slot of its own digit there. The node needs not remember where
//!   it is, and no slot ever holds two rounds.
//! - All nodes of a level come before all those of a higher one, and the slots of a level are in
//!   the order of time. So the earliest slot is the first one in use of the lowest level in use.
//! - Nodes whose tick is not after `elapsed` are in the list `due`.

use std::time::{Duration, Instant};

use crate::chunk::Chunks;

const DIGIT_BITS: u32 = 6;
const SLOT_COUNT: usize = 1 << DIGIT_BITS;
const LEVEL_COUNT: usize = u64::BITS.div_ceil(DIGIT_BITS) as usize;

/// Ends a list.
const NIL: u32 = u32::MAX;
/// Stands in `prev` of a node that is in no list.
const UNARMED: u32 = u32::MAX - 1;

#[derive(Debug)]
pub(crate) struct Wheel {
    base: Instant,
    /// Ticks since `base` that are done with.
    elapsed: u64,
    levels: [Level; LEVEL_COUNT],
    due: u32,
    nodes: Chunks<Node>,
    armed_count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Level {
    /// Bit `n` is set while slot `n` has nodes.
    used: u64,
    heads: [u32; SLOT_COUNT],
}

#[derive(Debug, Clone, Copy)]
struct Node {
    tick: u64,
    prev: u32,
    next: u32,
}

/// Where the head of a list is.
#[derive(Debug, Clone, Copy)]
enum List {
    Due,
    Slot { level: usize, slot: usize },
}

impl Wheel {
    /// A wheel whose time begins at `base`. Deadlines before it are due at once.
    pub(crate) fn new(base: Instant) -> Self {
        Self {
            base,
            elapsed: 0,
            levels: [Level {
                used: 0,
                heads: [NIL; SLOT_COUNT],
            }; LEVEL_COUNT],
            due: NIL,
            nodes: Chunks::new(),
            armed_count: 0,
        }
    }

    /// Arms the timer of `index` for `at`, in place of what it was armed for.
    pub(crate) fn set(&mut self, index: u32, at: Instant) {
        debug_assert!(index < UNARMED, "the last two indices are marks");
        self.cancel(index);
        for _ in self.nodes.len()..=index as usize {
            self.nodes.push(Node {
                tick: 0,
                prev: UNARMED,
                next: NIL,
            });
        }
        let tick = self.tick_at_or_after(at);
        self.armed_count += 1;
        self.link(index, tick);
    }

    pub(crate) fn cancel(&mut self, index: u32) {
        let Some(&node) = self.nodes.get(index) else {
            return;
        };
        if node.prev == UNARMED {
            return;
        }
        self.armed_count -= 1;
        self.unlink(index, node);
    }

    /// Whether the timer of `index` is armed, for `at` or earlier.
    // The tick becomes an instant, since the other way costs a division.
    #[inline(always)]
    pub(crate) fn fires_by(&self, index: u32, at: Instant) -> bool {
        match self.nodes.get(index) {
            Some(node) if node.prev != UNARMED => self
                .base
                .checked_add(Duration::from_millis(node.tick))
                .is_some_and(|armed| armed <= at),
            _ => false,
        }
    }

    /// When the timer of `index` goes off, rounded up to a whole tick.
    #[cfg(test)]
    pub(crate) fn armed(&self, index: u32) -> Option<Instant> {
        let node = self.nodes.get(index)?;
        if node.prev == UNARMED {
            None
        } else {
            Some(self.instant_of(node.tick))
        }
    }

    /// How many timers are armed.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.armed_count
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.armed_count == 0
    }

    /// Disarms all timers whose time has come at `now` and appends their indices to `expired`, in
    /// the order of their ticks, behind those that were due when they were set. A `now` before that of an earlier call counts as that one.
    ///
    /// Timers that are set while the caller works through `expired` are not in it, even if they
    /// are due: they are for the next call. One that is cancelled meanwhile still is in it, so
    /// the caller asks whoever owns the deadline whether it stands.
    pub(crate) fn expire(&mut self, now: Instant, expired: &mut Vec<u32>) {
        let now = self.tick_at_or_before(now).max(self.elapsed);
        self.expire_list(List::Due, expired);
        while let Some((level, slot, begin)) = self.earliest() {
            if begin > now {
                break;
            }
            self.elapsed = begin;
            self.expire_list(List::Slot { level, slot }, expired);
        }
        self.elapsed = now;
    }

    /// When to call [`expire`](Self::expire) next: never later than the earliest timer. It may
    /// be earlier, when timers that are far away come nearer in the wheel; such a call moves
    /// them to a lower level, so that there are at most ten for one timer.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.due != NIL {
            return Some(self.instant_of(self.elapsed));
        }
        self.earliest().map(|(_, _, begin)| self.instant_of(begin))
    }

    /// Empties a list that the time has reached: each node expires or goes to a lower level.
    fn expire_list(&mut self, list: List, expired: &mut Vec<u32>) {
        let mut index = self.take(list);
        while let Some(node) = self.nodes.get_mut(index) {
            let Node { tick, next, .. } = *node;
            if tick <= self.elapsed {
                node.prev = UNARMED;
                self.armed_count -= 1;
                expired.push(index);
            } else {
                self.link(index, tick);
            }
            index = next;
        }
    }

    /// The first slot in use: its level, its number, and the tick at which it begins.
    fn earliest(&self) -> Option<(usize, usize, u64)> {
        let (level, used) = self
            .levels
            .iter()
            .map(|level| level.used)
            .enumerate()
            .find(|(_, used)| *used != 0)?;
        let slot = used.trailing_zeros();
        let shift = level as u32 * DIGIT_BITS;
        // The digits above this level are those of `elapsed`; above the top level there are none.
        let above = u64::MAX.checked_shl(shift + DIGIT_BITS).unwrap_or(0);
        Some((
            level,
            slot as usize,
            self.elapsed & above | u64::from(slot) << shift,
        ))
    }

    fn list_of(&self, tick: u64) -> List {
        if tick <= self.elapsed {
            return List::Due;
        }
        let level = (self.elapsed ^ tick).ilog2() / DIGIT_BITS;
        let slot = tick >> (level * DIGIT_BITS) & (SLOT_COUNT as u64 - 1);
        List::Slot {
            level: level as usize,
            slot: slot as usize,
        }
    }

    fn head_mut(&mut self, list: List) -> &mut u32 {
        match list {
            List::Due => &mut self.due,
            List::Slot { level, slot } => &mut self.levels[level].heads[slot],
        }
    }

    fn link(&mut self, index: u32, tick: u64) {
        let list = self.list_of(tick);
        let next = std::mem::replace(self.head_mut(list), index);
        if let List::Slot { level, slot } = list {
            self.levels[level].used |= 1 << slot;
        }
        if let Some(next) = self.nodes.get_mut(next) {
            next.prev = index;
        }
        if let Some(node) = self.nodes.get_mut(index) {
            *node = Node {
                tick,
                prev: NIL,
                next,
            };
        }
    }

    fn unlink(&mut self, index: u32, node: Node) {
        if node.prev == NIL {
            let list = self.list_of(node.tick);
            *self.head_mut(list) = node.next;
            if let List::Slot { level, slot } = list
                && node.next == NIL
            {
                self.levels[level].used &= !(1 << slot);
            }
        } else if let Some(prev) = self.nodes.get_mut(node.prev) {
            prev.next = node.next;
        }
        if let Some(next) = self.nodes.get_mut(node.next) {
            next.prev = node.prev;
        }
        if let Some(node) = self.nodes.get_mut(index) {
            node.prev = UNARMED;
        }
    }

    /// Empties a list and gives its first node.
    fn take(&mut self, list: List) -> u32 {
        if let List::Slot { level, slot } = list {
            self.levels[level].used &= !(1 << slot);
        }
        std::mem::replace(self.head_mut(list), NIL)
    }

    fn tick_at_or_before(&self, at: Instant) -> u64 {
        let offset = at.saturating_duration_since(self.base);
        millis(offset, offset.subsec_millis())
    }

    fn tick_at_or_after(&self, at: Instant) -> u64 {
        let offset = at.saturating_duration_since(self.base);
        millis(offset, offset.subsec_nanos().div_ceil(1_000_000))
    }

    fn instant_of(&self, tick: u64) -> Instant {
        let mut offset = Duration::from_millis(tick);
        loop {
            // What the clock cannot express lies further away than it will ever run.
            match self.base.checked_add(offset) {
                Some(instant) => return instant,
                None => offset /= 2,
            }
        }
    }
}

/// Whole seconds of a duration and so many milliseconds.
fn millis(duration: Duration, rest: u32) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1000);
    seconds.saturating_add(u64::from(rest))
}

#[cfg(test)]
mod tests;
