//! A store of values that stay where they are, named by generational ids.
//!
//! Values live in [`Chunks`], so growing neither moves a value nor doubles the memory. It knows
//! nothing of what it stores.
//!
//! Invariants:
//! - A slot is vacant and on the free list, or occupied; `len` counts the occupied ones.
//! - The generation of a slot changes whenever its value is removed, so an old id finds nothing.
//! - An index is always below [`Slab::INDEX_END`]: tokens with larger ones are free for others.

use std::mem;

use crate::chunk::Chunks;
use crate::id::ConnId;

/// Ends the free list; no slot has this index.
const NIL: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Chunks<Slot<T>>,
    /// The most recently freed slot: its memory is the likeliest to be in the cache.
    free: u32,
    len: usize,
    max_len: usize,
    /// The generation of a new slot.
    first_generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

#[derive(Debug)]
enum Content<T> {
    Vacant { next: u32 },
    Occupied(T),
}

impl<T> Slab<T> {
    /// The bound of all indices. Ids made of larger ones never name a value of a slab.
    pub(crate) const INDEX_END: u32 = 1 << 31;

    pub(crate) fn new() -> Self {
        Self {
            slots: Chunks::new(),
            free: NIL,
            len: 0,
            max_len: Self::INDEX_END as usize,
            first_generation: 0,
        }
    }

    /// Sets how many values make the slab [full](Self::is_full). Values beyond it stay.
    pub(crate) fn set_max_len(&mut self, max_len: usize) {
        self.max_len = max_len.min(Self::INDEX_END as usize);
    }

    /// Makes the ids of this slab others than those of one that begins elsewhere.
    pub(crate) fn set_first_generation(&mut self, generation: u32) {
        self.first_generation = generation;
    }

    /// How many values make the slab full.
    pub(crate) fn max_len(&self) -> usize {
        self.max_len
    }

    /// Whether as many values are in it as [`set_max_len`](Self::set_max_len) allows. The limit
    /// is for the caller to keep: `insert` does not look at it.
    pub(crate) fn is_full(&self) -> bool {
        self.len >= self.max_len
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// # Panics
    ///
    /// With 2³¹ values in it, which no descriptor table and no memory allows.
    pub(crate) fn insert(&mut self, value: T) -> ConnId {
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index)
            && let Content::Vacant { next } = slot.content
        {
            slot.content = Content::Occupied(value);
            let id = ConnId::new(index, slot.generation);
            self.free = next;
            self.len += 1;
            return id;
        }
        let index = self.slot_count();
        assert!(index < Self::INDEX_END, "a slab holds at most 2^31 values");
        self.slots.push(Slot {
            generation: self.first_generation,
            content: Content::Occupied(value),
        });
        self.len += 1;
        ConnId::new(index, self.first_generation)
    }

    #[inline]
    pub(crate) fn get(&self, id: ConnId) -> Option<&T> {
        match self.slots.get(id.index()) {
            Some(Slot {
                generation,
                content: Content::Occupied(value),
            }) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        match self.slots.get_mut(id.index()) {
            Some(Slot {
                generation,
                content: Content::Occupied(value),
            }) if *generation == id.generation() => Some(value),
            _ => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, id: ConnId) -> bool {
        self.get(id).is_some()
    }

    /// Takes the value out. The next `insert` gets its slot, under another generation.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        let free = self.free;
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation != id.generation() || matches!(slot.content, Content::Vacant { .. }) {
            return None;
        }
        slot.generation = slot.generation.wrapping_add(1);
        let content = mem::replace(&mut slot.content, Content::Vacant { next: free });
        self.free = id.index();
        self.len -= 1;
        match content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } => None,
        }
    }

    /// The id of what is in a slot now.
    pub(crate) fn id_at(&self, index: u32) -> Option<ConnId> {
        match self.slots.get(index)? {
            Slot {
                generation,
                content: Content::Occupied(_),
            } => Some(ConnId::new(index, *generation)),
            _ => None,
        }
    }

    /// The first id whose index is above `after`, or the first of all. A cursor for loops that
    /// insert and remove as they go: what is there all the time is met exactly once.
    pub(crate) fn next_after(&self, after: Option<u32>) -> Option<ConnId> {
        let first = after.map_or(0, |index| index.saturating_add(1));
        (first..self.slot_count()).find_map(|index| self.id_at(index))
    }

    /// All values in the order of their indices.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ConnId, &T)> {
        (0u32..)
            .zip(self.slots.iter())
            .filter_map(|(index, slot)| match &slot.content {
                Content::Occupied(value) => Some((ConnId::new(index, slot.generation), value)),
                Content::Vacant { .. } => None,
            })
    }

    /// Slots that exist, vacant or not.
    fn slot_count(&self) -> u32 {
        self.slots.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slot_is_little_more_than_its_value() {
        let len = size_of::<Slot<crate::entry::Entry>>();
        assert!(len <= size_of::<crate::entry::Entry>() + 8, "{len}");
    }

    #[test]
    fn an_old_id_finds_nothing_and_the_slot_is_used_again() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        let other = slab.insert("other");
        assert_eq!(slab.remove(first), Some("first"));
        assert_eq!(slab.remove(first), None);
        let second = slab.insert("second");
        assert_eq!(second.index(), first.index());
        assert_ne!(second, first);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert!(!slab.contains(first) && slab.contains(second));
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.get(other), Some(&"other"));
        assert_eq!(slab.get(ConnId::new(u32::MAX, 0)), None);
    }

    #[test]
    fn the_last_freed_slot_is_the_first_to_be_used() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..4).map(|value| slab.insert(value)).collect();
        slab.remove(ids[1]);
        slab.remove(ids[3]);
        assert_eq!(slab.insert(0).index(), 3);
        assert_eq!(slab.insert(0).index(), 1);
        assert_eq!(slab.insert(0).index(), 4);
    }

    #[test]
    fn generations_wrap() {
        let mut slab = Slab::new();
        let id = slab.insert(1);
        slab.slots.get_mut(id.index()).unwrap().generation = u32::MAX;
        let last = slab.id_at(id.index()).unwrap();
        assert_eq!(last.generation(), u32::MAX);
        assert_eq!(slab.remove(last), Some(1));
        let next = slab.insert(2);
        assert_eq!(next, ConnId::new(id.index(), 0));
        assert!(!slab.contains(last));
    }

    #[test]
    fn it_is_full_at_its_limit() {
        let mut slab = Slab::new();
        slab.set_max_len(2);
        let id = slab.insert(());
        assert!(!slab.is_full());
        slab.insert(());
        assert!(slab.is_full());
        slab.remove(id);
        assert!(!slab.is_full());
        slab.set_max_len(0);
        assert!(slab.is_full());
    }

    #[test]
    fn a_loop_may_insert_and_remove() {
        let mut slab = Slab::new();
        let ids: Vec<_> = (0..600).map(|value| slab.insert(value)).collect();
        let mut cursor = None;
        let mut met = Vec::new();
        while let Some(id) = slab.next_after(cursor) {
            cursor = Some(id.index());
            met.push(id);
            slab.remove(id);
            if let Some(after_next) = ids.get(id.index() as usize + 2) {
                slab.remove(*after_next);
            }
        }
        assert!(slab.is_empty());
        let expected: Vec<_> = ids
            .iter()
            .copied()
            .filter(|id| id.index() % 4 < 2)
            .collect();
        assert_eq!(met, expected);
        assert_eq!(slab.next_after(None), None);
        assert_eq!(slab.next_after(Some(u32::MAX)), None);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8),
        Remove(usize),
        RemoveOld(usize),
        Change(usize, u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => any::<u8>().prop_map(Step::Insert),
            2 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::RemoveOld),
            1 => (any::<usize>(), any::<u8>()).prop_map(|(which, value)| Step::Change(which, value)),
        ]
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(steps in prop::collection::vec(step(), 0..1500)) {
            let mut slab = Slab::new();
            let mut model = BTreeMap::new();
            let mut old = Vec::new();
            for step in steps {
                let live = |which: usize| model.keys().nth(which % model.len().max(1)).copied();
                match step {
                    Step::Insert(value) => {
                        let id = slab.insert(value);
                        prop_assert!(model.insert(id, value).is_none());
                        prop_assert!(!old.contains(&id));
                    }
                    Step::Remove(which) => if let Some(id) = live(which) {
                        prop_assert_eq!(slab.remove(id), model.remove(&id));
                        old.push(id);
                    }
                    Step::RemoveOld(which) => if !old.is_empty() {
                        prop_assert_eq!(slab.remove(old[which % old.len()]), None);
                    }
                    Step::Change(which, value) => if let Some(id) = live(which) {
                        *slab.get_mut(id).unwrap() = value;
                        model.insert(id, value);
                    }
                }
                prop_assert_eq!(slab.len(), model.len());
            }
            let all: Vec<_> = slab.iter().map(|(id, value)| (id, *value)).collect();
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
            prop_assert!(old.iter().all(|id| slab.get(*id).is_none()));
        }
    }
}
