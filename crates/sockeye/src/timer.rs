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
    nodes: Vec<Node>,
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
            nodes: Vec::new(),
            armed_count: 0,
        }
    }

    /// Arms the timer of `index` for `at`, in place of what it was armed for.
    pub(crate) fn set(&mut self, index: u32, at: Instant) {
        debug_assert!(index < UNARMED, "the last two indices are marks");
        self.cancel(index);
        if index as usize >= self.nodes.len() {
            self.grow(index as usize + 1);
        }
        let tick = self.tick_at_or_after(at);
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.tick = tick;
            self.armed_count += 1;
            self.link(index, tick);
        }
    }

    pub(crate) fn cancel(&mut self, index: u32) {
        let Some(&node) = self.nodes.get(index as usize) else {
            return;
        };
        if node.prev == UNARMED {
            return;
        }
        self.armed_count -= 1;
        self.unlink(index, node);
    }

    /// When the timer of `index` goes off, rounded up to a whole tick.
    pub(crate) fn armed(&self, index: u32) -> Option<Instant> {
        let node = self.nodes.get(index as usize)?;
        if node.prev == UNARMED {
            None
        } else {
            Some(self.instant_of(node.tick))
        }
    }

    /// How many timers are armed.
    pub(crate) fn len(&self) -> usize {
        self.armed_count
    }

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
        while let Some(node) = self.nodes.get_mut(index as usize) {
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
        if let Some(next) = self.nodes.get_mut(next as usize) {
            next.prev = index;
        }
        self.nodes[index as usize] = Node {
            tick,
            prev: NIL,
            next,
        };
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
        } else {
            self.nodes[node.prev as usize].next = node.next;
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.prev = node.prev;
        }
        self.nodes[index as usize].prev = UNARMED;
    }

    /// Empties a list and gives its first node.
    fn take(&mut self, list: List) -> u32 {
        if let List::Slot { level, slot } = list {
            self.levels[level].used &= !(1 << slot);
        }
        std::mem::replace(self.head_mut(list), NIL)
    }

    fn grow(&mut self, len: usize) {
        if len > self.nodes.capacity() {
            // By a quarter rather than by doubling: with many connections the spare room counts.
            self.nodes
                .reserve_exact((len - self.nodes.len()).max(self.nodes.len() / 4).max(64));
        }
        self.nodes.resize(
            len,
            Node {
                tick: 0,
                prev: UNARMED,
                next: NIL,
            },
        );
    }

    fn tick_at_or_before(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_millis()).unwrap_or(u64::MAX)
    }

    fn tick_at_or_after(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.base).as_nanos();
        u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

    fn expired(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
        let mut expired = Vec::new();
        wheel.expire(now, &mut expired);
        expired
    }

    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 16);
    }

    #[test]
    fn deadlines_are_rounded_up_to_ticks() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let nano = Duration::from_nanos(1);
        wheel.set(0, base + MILLI + nano);
        wheel.set(1, base + MILLI);
        assert_eq!(wheel.armed(0), Some(base + 2 * MILLI));
        assert_eq!(wheel.next_deadline(), Some(base + MILLI));
        assert_eq!(expired(&mut wheel, base + MILLI - nano), []);
        assert_eq!(expired(&mut wheel, base + MILLI), [1]);
        assert_eq!(wheel.armed(1), None);
        assert_eq!(wheel.next_deadline(), Some(base + 2 * MILLI));
        assert_eq!(expired(&mut wheel, base + 2 * MILLI - nano), []);
        assert_eq!(expired(&mut wheel, base + 2 * MILLI), [0]);
        assert_eq!(wheel.next_deadline(), None);
    }

    #[test]
    fn what_is_past_is_due_at_once() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base + YEAR);
        wheel.set(3, base);
        assert_eq!(wheel.next_deadline(), Some(base + YEAR));
        assert_eq!(expired(&mut wheel, base + YEAR), [3]);
        let now = base + YEAR + 1000 * MILLI;
        assert_eq!(expired(&mut wheel, now), []);
        wheel.set(3, now - 500 * MILLI);
        wheel.set(4, now);
        assert!(wheel.next_deadline().unwrap() <= now);
        let mut due = expired(&mut wheel, now);
        due.sort_unstable();
        assert_eq!(due, [3, 4]);
    }

    #[test]
    fn nothing_is_too_far_away() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        let mut furthest = YEAR;
        while base.checked_add(furthest * 2).is_some() {
            furthest *= 2;
        }
        wheel.set(0, base + furthest);
        assert!(
            wheel
                .next_deadline()
                .is_some_and(|at| at <= base + furthest)
        );
        assert_eq!(expired(&mut wheel, base + 1000 * YEAR), []);
        assert!(wheel.armed(0).is_some());
        wheel.cancel(0);
        wheel.set(0, base + 2000 * YEAR);
        assert_eq!(expired(&mut wheel, base + 2000 * YEAR - MILLI), []);
        assert_eq!(expired(&mut wheel, base + 2000 * YEAR), [0]);
    }

    #[test]
    fn cancelling_and_setting_again_replace() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        wheel.cancel(7);
        wheel.set(7, base + 5 * MILLI);
        wheel.set(7, base + 5000 * MILLI);
        wheel.set(8, base + 5 * MILLI);
        wheel.cancel(8);
        wheel.cancel(8);
        assert_eq!(wheel.len(), 1);
        assert_eq!(expired(&mut wheel, base + 4999 * MILLI), []);
        assert_eq!(expired(&mut wheel, base + 5000 * MILLI), [7]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_clock_that_goes_backwards_does_no_harm() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base + 100 * MILLI);
        wheel.set(0, base + 200 * MILLI);
        assert_eq!(expired(&mut wheel, base), []);
        assert_eq!(expired(&mut wheel, base + 199 * MILLI), []);
        assert_eq!(expired(&mut wheel, base), []);
        wheel.set(1, base + 150 * MILLI);
        assert_eq!(expired(&mut wheel, base + 150 * MILLI), [1]);
        assert_eq!(expired(&mut wheel, base + 200 * MILLI), [0]);
    }

    #[test]
    fn waiting_for_one_timer_takes_at_most_one_wake_up_a_level() {
        let base = Instant::now();
        for delay in [
            MILLI,
            63 * MILLI,
            64 * MILLI,
            30_000 * MILLI,
            YEAR,
            1_000_000 * YEAR,
        ] {
            let mut wheel = Wheel::new(base);
            expired(&mut wheel, base + 12_345 * MILLI);
            let at = base + 12_345 * MILLI + delay;
            wheel.set(0, at);
            let mut wake_ups = 0;
            while let Some(now) = wheel.next_deadline() {
                assert!(now <= at);
                wake_ups += 1;
                assert_eq!(expired(&mut wheel, now) == [0], now == at);
            }
            assert!(wake_ups <= LEVEL_COUNT, "{wake_ups} for {delay:?}");
        }
    }

    #[test]
    fn many_in_one_tick_and_an_index_far_out() {
        let base = Instant::now();
        let mut wheel = Wheel::new(base);
        for index in (0..10_000).chain([1_000_000]) {
            wheel.set(index, base + 70_000 * MILLI);
        }
        assert_eq!(wheel.len(), 10_001);
        let mut all = expired(&mut wheel, base + YEAR);
        all.sort_unstable();
        assert_eq!(all.len(), 10_001);
        assert_eq!(all.last(), Some(&1_000_000));
        all.dedup();
        assert_eq!(all.len(), 10_001);
    }

    /// Nanoseconds on all scales, often at a boundary of the wheel.
    fn nanos() -> impl Strategy<Value = u64> {
        let scale = (0u32..58).prop_flat_map(|bits| 0..2u64 << bits);
        let boundary = (0u32..7, 0u64..64, -1i64..=1).prop_map(|(level, digit, off)| {
            (digit << (level * DIGIT_BITS))
                .saturating_add_signed(off)
                .saturating_mul(1_000_000)
        });
        prop_oneof![scale, boundary].prop_map(|nanos| nanos.min(1 << 58))
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Arm an index, so long after now (or before, if `past`).
        Set {
            index: u32,
            nanos: u64,
            past: bool,
        },
        Cancel {
            index: u32,
        },
        /// Let the time pass, then expire.
        Advance {
            nanos: u64,
        },
        /// Expire at the next deadline, and arm what expired again.
        Wake {
            again: Option<u64>,
        },
        /// Expire at an earlier time.
        Back {
            nanos: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u32..40, nanos(), prop::bool::weighted(0.1))
                .prop_map(|(index, nanos, past)| Step::Set { index, nanos, past }),
            1 => (0u32..40).prop_map(|index| Step::Cancel { index }),
            3 => nanos().prop_map(|nanos| Step::Advance { nanos }),
            3 => prop::option::of(nanos()).prop_map(|again| Step::Wake { again }),
            1 => nanos().prop_map(|nanos| Step::Back { nanos }),
        ]
    }

    /// The obvious implementation.
    struct Model {
        base: Instant,
        armed: BTreeMap<u32, Instant>,
    }

    impl Model {
        fn tick_up(&self, at: Instant) -> u128 {
            at.saturating_duration_since(self.base)
                .as_nanos()
                .div_ceil(1_000_000)
        }

        fn expire(&mut self, now: Instant) -> Vec<u32> {
            let now = now.saturating_duration_since(self.base).as_millis();
            let (base, mut due) = (self.base, Vec::new());
            let tick = |at: &Instant| {
                Self {
                    base,
                    armed: BTreeMap::new(),
                }
                .tick_up(*at)
            };
            self.armed.retain(|index, at| {
                let keep = tick(at) > now;
                if !keep {
                    due.push(*index);
                }
                keep
            });
            due
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn it_behaves_like_a_sorted_list(steps in prop::collection::vec(step(), 1..200)) {
            let base = Instant::now();
            let mut wheel = Wheel::new(base);
            let mut model = Model { base, armed: BTreeMap::new() };
            let mut now = base;
            let mut elapsed = 0;
            for step in steps {
                let mut again = None;
                let mut at = None;
                match step {
                    Step::Set { index, nanos, past } => {
                        let offset = Duration::from_nanos(nanos);
                        let deadline = if past {
                            now.checked_sub(offset).unwrap_or(base)
                        } else {
                            now + offset
                        };
                        wheel.set(index, deadline);
                        model.armed.insert(index, deadline);
                    }
                    Step::Cancel { index } => {
                        wheel.cancel(index);
                        model.armed.remove(&index);
                    }
                    Step::Advance { nanos } => {
                        now += Duration::from_nanos(nanos);
                        at = Some(now);
                    }
                    Step::Wake { again: rearm } => {
                        again = rearm;
                        at = wheel.next_deadline();
                        now = at.unwrap_or(now).max(now);
                    }
                    Step::Back { nanos } => {
                        at = now.checked_sub(Duration::from_nanos(nanos));
                    }
                }
                if let Some(at) = at {
                    let before = wheel.next_deadline();
                    let mut got = expired(&mut wheel, at);
                    let ticks: Vec<_> =
                        got.iter().map(|index| model.tick_up(model.armed[index])).collect();
                    // What was past when it was set comes first, in any order.
                    let late = ticks.iter().take_while(|tick| **tick <= elapsed).count();
                    prop_assert!(ticks[late..].is_sorted(), "{ticks:?} after {elapsed}");
                    elapsed = now.duration_since(base).as_millis();
                    got.sort_unstable();
                    // A call with an earlier time counts as one with the latest.
                    let expected = model.expire(now);
                    prop_assert_eq!(&got, &expected);
                    if before.is_some_and(|before| before <= at) && got.is_empty() {
                        prop_assert!(wheel.next_deadline() > before, "no progress");
                    }
                    if let Some(nanos) = again {
                        for index in got {
                            let deadline = now + Duration::from_nanos(nanos);
                            wheel.set(index, deadline);
                            model.armed.insert(index, deadline);
                        }
                    }
                }
                prop_assert_eq!(wheel.len(), model.armed.len());
                for index in 0..40 {
                    let armed = model.armed.get(&index).map(|at| {
                        base + Duration::from_millis(model.tick_up(*at) as u64)
                    });
                    prop_assert_eq!(wheel.armed(index), armed);
                }
                let earliest = model.armed.values().map(|at| model.tick_up(*at)).min();
                match (wheel.next_deadline(), earliest) {
                    (None, None) => {}
                    (Some(next), Some(earliest)) => {
                        let earliest = base + Duration::from_millis(earliest as u64);
                        prop_assert!(next <= earliest.max(now), "too late");
                    }
                    (next, earliest) => prop_assert!(false, "{next:?} for {earliest:?}"),
                }
            }
            // What is left comes in its time and order, in few steps.
            let mut wake_ups = 0;
            let limit = (model.armed.len() + 1) * LEVEL_COUNT;
            while let Some(next) = wheel.next_deadline() {
                wake_ups += 1;
                prop_assert!(wake_ups <= limit, "livelock");
                now = next.max(now);
                let mut got = expired(&mut wheel, now);
                got.sort_unstable();
                prop_assert_eq!(got, model.expire(now));
            }
            prop_assert!(model.armed.is_empty());
        }
    }
}
