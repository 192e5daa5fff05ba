//! Places for things that the kernel is told a small number of, used again when they are free.
//!
//! Knows not what is in them, nor when one is free: a place must not be given back while the kernel
//! may still speak of it.

use std::ops::{Index, IndexMut};

#[derive(Debug)]
pub(super) struct Slots<T> {
    places: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// Puts something in a free place, and says where it is.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(key) => {
                self[key] = value;
                key
            }
            None => {
                self.places.push(value);
                (self.places.len() - 1) as u32
            }
        }
    }

    pub(super) fn get_mut(&mut self, key: u32) -> Option<&mut T> {
        self.places.get_mut(key as usize)
    }

    /// Nobody speaks of a place any more. What is in it stays until the next
    /// [`insert`](Self::insert).
    pub(super) fn free(&mut self, key: u32) {
        debug_assert!(!self.free.contains(&key), "freed twice");
        self.free.push(key);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

impl<T> Index<u32> for Slots<T> {
    type Output = T;

    #[inline]
    fn index(&self, key: u32) -> &T {
        &self.places[key as usize]
    }
}

impl<T> IndexMut<u32> for Slots<T> {
    #[inline]
    fn index_mut(&mut self, key: u32) -> &mut T {
        &mut self.places[key as usize]
    }
}
