//! The values that C programs hold: names of connections and contexts, dressed as pointers.
//!
//! A handle is an index and a generation, so that one that was kept too long, or never was one,
//! names nothing. No memory lies where it seems to point to; on 64-bit machines no memory can.

use std::ffi::c_void;
use std::sync::Arc;

use parking_lot::Mutex;

/// What a handle is of. The word makes a context that is passed for a connection a foreign pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Context = 1,
    Connection = 2,
}

#[cfg(target_pointer_width = "64")]
mod layout {
    pub(super) const INDEX_BITS: u32 = 32;
    pub(super) const GENERATION_BITS: u32 = 24;
}

#[cfg(not(target_pointer_width = "64"))]
mod layout {
    pub(super) const INDEX_BITS: u32 = 17;
    pub(super) const GENERATION_BITS: u32 = 13;
}

const INDEX_END: usize = 1 << (layout::INDEX_BITS - 1);
const GENERATION_MASK: usize = (1 << layout::GENERATION_BITS) - 1;

/// A name that a program holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(usize);

impl Handle {
    fn new(family: Family, generation: usize, index: usize) -> Self {
        let family = (family as usize) << (layout::INDEX_BITS + layout::GENERATION_BITS);
        let generation = (generation & GENERATION_MASK) << layout::INDEX_BITS;
        Self(family | generation | index)
    }

    /// What the program gets. Nobody may look where it points to.
    pub(crate) fn pointer<T>(self) -> *mut T {
        std::ptr::without_provenance_mut(self.0)
    }

    /// What the program gave, whatever it is.
    pub(crate) fn of<T>(pointer: *const T) -> Self {
        Self(pointer.cast::<c_void>().addr())
    }

    fn index(self) -> usize {
        self.0 & ((1 << layout::INDEX_BITS) - 1)
    }
}

struct Slot<T> {
    generation: usize,
    value: Option<Arc<T>>,
}

struct Slots<T> {
    all: Vec<Slot<T>>,
    vacant: Vec<usize>,
}

/// Everything of one family that programs of this process may name.
pub(crate) struct Registry<T> {
    family: Family,
    slots: Mutex<Slots<T>>,
}

impl<T> Registry<T> {
    pub(crate) const fn new(family: Family) -> Self {
        Self {
            family,
            slots: Mutex::new(Slots {
                all: Vec::new(),
                vacant: Vec::new(),
            }),
        }
    }

    /// Takes in what `make` makes of its handle; `None` if there is no handle left.
    pub(crate) fn insert(&self, make: impl FnOnce(Handle) -> T) -> Option<Arc<T>> {
        let mut slots = self.slots.lock();
        let index = match slots.vacant.pop() {
            Some(index) => index,
            None if slots.all.len() < INDEX_END => {
                slots.all.push(Slot {
                    generation: 1,
                    value: None,
                });
                slots.all.len() - 1
            }
            None => return None,
        };
        let slot = slots.all.get_mut(index)?;
        let value = Arc::new(make(Handle::new(self.family, slot.generation, index)));
        slot.value = Some(Arc::clone(&value));
        Some(value)
    }

    pub(crate) fn get(&self, handle: Handle) -> Option<Arc<T>> {
        let slots = self.slots.lock();
        let slot = slots.all.get(handle.index())?;
        let expected = Handle::new(self.family, slot.generation, handle.index());
        slot.value.clone().filter(|_| handle == expected)
    }

    /// Keeps all other threads out for a moment, such as that of a fork.
    pub(crate) fn hold(&self) -> impl Drop {
        self.slots.lock()
    }

    /// Makes a handle name nothing, for good. Whoever has the value at hand keeps it.
    pub(crate) fn remove(&self, handle: Handle) {
        let value = {
            let mut slots = self.slots.lock();
            let index = handle.index();
            let Some(slot) = slots.all.get_mut(index) else {
                return;
            };
            if handle != Handle::new(self.family, slot.generation, index) || slot.value.is_none() {
                return;
            }
            // No generation is zero, so that no handle is null.
            slot.generation = (slot.generation & GENERATION_MASK) % GENERATION_MASK + 1;
            let value = slot.value.take();
            slots.vacant.push(index);
            value
        };
        // Outside the lock: it may have much to clean up.
        drop(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_names_its_value_until_it_is_removed() {
        let registry = Registry::new(Family::Connection);
        let first = registry.insert(|handle| handle).unwrap();
        let second = registry.insert(|handle| handle).unwrap();
        assert_ne!(first, second);
        assert_eq!(registry.get(*first).as_deref(), Some(&*first));
        registry.remove(*first);
        assert_eq!(registry.get(*first), None);
        registry.remove(*first);
        let third = registry.insert(|handle| handle).unwrap();
        assert_ne!(first, third, "the slot is the same, the name is not");
        assert_eq!(registry.get(*first), None);
        assert_eq!(registry.get(*third).as_deref(), Some(&*third));
        assert_eq!(registry.get(*second).as_deref(), Some(&*second));
    }

    #[test]
    fn generations_come_around_without_ever_being_null() {
        let registry = Registry::new(Family::Context);
        let mut last = registry.insert(|handle| handle).unwrap();
        for _ in 0..100 {
            registry.remove(*last);
            let next = registry.insert(|handle| handle).unwrap();
            assert!(!next.pointer::<u8>().is_null());
            assert_ne!(next, last);
            last = next;
        }
    }

    #[test]
    fn foreign_pointers_name_nothing() {
        let connections = Registry::new(Family::Connection);
        let contexts = Registry::new(Family::Context);
        let connection = connections.insert(|handle| handle).unwrap();
        let context = contexts.insert(|handle| handle).unwrap();
        assert_eq!(connections.get(*context), None);
        assert_eq!(contexts.get(*connection), None);
        let local = 0_u8;
        for pointer in [
            std::ptr::null(),
            &raw const local,
            std::ptr::without_provenance(usize::MAX),
            std::ptr::without_provenance(1),
        ] {
            assert_eq!(connections.get(Handle::of(pointer)), None);
            connections.remove(Handle::of(pointer));
        }
        assert!(connections.get(*connection).is_some());
    }
}
