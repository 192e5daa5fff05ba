//! A list that grows by pieces of [`CHUNK_LEN`] values: growing moves nothing, leaves no holes in the
//! heap, and has room to spare for less than one piece.
//!
//! It knows nothing of what it stores, and never shrinks.

/// Values that memory comes for at a time.
pub(crate) const CHUNK_LEN: usize = 256;

#[derive(Debug)]
pub(crate) struct Chunks<T> {
    /// Each is allocated at its full capacity at once and never grows beyond it. All but the last
    /// are full.
    chunks: Vec<Vec<T>>,
}

impl<T> Chunks<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK_LEN + last.len(),
            None => 0,
        }
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK_LEN => last.push(value),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK_LEN);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        let (chunk, offset) = place(index);
        self.chunks.get(chunk)?.get(offset)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (chunk, offset) = place(index);
        self.chunks.get_mut(chunk)?.get_mut(offset)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.chunks.iter_mut().flatten()
    }
}

const fn place(index: u32) -> (usize, usize) {
    (index as usize / CHUNK_LEN, index as usize % CHUNK_LEN)
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn values_stay_where_they_are_while_it_grows() {
        let mut list = Chunks::new();
        assert_eq!(list.get(0), None);
        list.push(0);
        let address = ptr::from_ref(list.get(0).unwrap());
        for value in 1..=CHUNK_LEN * 5 {
            assert_eq!(list.len(), value);
            list.push(value);
        }
        assert!(ptr::eq(address, list.get(0).unwrap()));
        assert!(
            list.chunks
                .iter()
                .all(|chunk| chunk.capacity() == CHUNK_LEN)
        );
        assert!(list.iter().copied().eq(0..=CHUNK_LEN * 5));
        for (index, value) in (0..).zip(list.iter_mut()) {
            *value *= 2;
            assert_eq!(*value, 2 * index as usize);
        }
        assert_eq!(list.get_mut(300).copied(), Some(600));
        assert_eq!(list.get(list.len() as u32), None);
        assert_eq!(list.get(u32::MAX), None);
    }
}
