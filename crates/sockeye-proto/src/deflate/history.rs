//! The last bytes of what went one way: all that context takeover has to remember.
//!
//! A ring that begins without memory and grows with what is pushed, to the size of the window and
//! no further.

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct History {
    bytes: Vec<u8>,
    /// Where the oldest byte stands, once the ring is full.
    start: usize,
    max_len: usize,
}

impl Clone for History {
    fn clone(&self) -> Self {
        let bytes = self.bytes.clone();
        Self { bytes, ..*self }
    }

    /// Into the memory that is there.
    fn clone_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        (self.start, self.max_len) = (other.start, other.max_len);
    }
}

impl History {
    pub(crate) const fn new(max_len: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            max_len,
        }
    }

    pub(crate) fn push(&mut self, data: &[u8]) {
        let kept = data.len().min(self.max_len);
        let (_, mut data) = data.split_at(data.len() - kept);
        let room = self.max_len - self.bytes.len();
        if room > 0 {
            let (fill, rest) = data.split_at(room.min(data.len()));
            self.reserve(fill.len());
            self.bytes.extend_from_slice(fill);
            data = rest;
        }
        while !data.is_empty() {
            let len = data.len().min(self.bytes.len() - self.start);
            let (now, rest) = data.split_at(len);
            self.bytes[self.start..self.start + len].copy_from_slice(now);
            self.start = (self.start + len) % self.bytes.len();
            data = rest;
        }
    }

    /// As a vector grows, but never beyond the window.
    fn reserve(&mut self, len: usize) {
        let needed = self.bytes.len() + len;
        if needed > self.bytes.capacity() {
            let capacity = needed.next_power_of_two().min(self.max_len);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
    }

    /// The bytes in two runs, the older one first.
    pub(crate) fn runs(&self) -> [&[u8]; 2] {
        let (newer, older) = self.bytes.split_at(self.start);
        [older, newer]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Forgets everything, but for the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.start = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_the_last_bytes_and_no_more_memory() {
        for max_len in [0, 1, 7, 256] {
            for step in [1, 2, 3, 5, 100, 256, 300] {
                let mut history = History::new(max_len);
                let mut all: Vec<u8> = Vec::new();
                assert_eq!(history.bytes.capacity(), 0);
                for turn in 0..40 {
                    let data: Vec<u8> = (0..step).map(|at| (turn * 31 + at) as u8).collect();
                    history.push(&data);
                    all.extend(&data);
                    let last = &all[all.len() - all.len().min(max_len)..];
                    assert_eq!(history.runs().concat(), last, "{max_len} {step} {turn}");
                    assert!(history.bytes.capacity() <= max_len);
                }
                history.clear();
                history.push(b"x");
                assert_eq!(history.runs().concat(), &b"x"[..max_len.min(1)]);
            }
        }
    }
}
