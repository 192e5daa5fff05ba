//! Who may touch which bytes of the provided buffers: the kernel, or somebody here.
//!
//! Knows no memory and no kernel, only numbers, so that every order of events can be tried.
//!
//! Invariants: a range is lent out once; the kernel is offered a buffer only while no byte of it
//! is lent and the kernel itself is through with it.

use std::ops::Range;

/// What is known of one buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    /// Bytes from the front that the kernel has written since the buffer was offered.
    filled: usize,
    /// Ranges that are lent out.
    lent: usize,
    /// The kernel writes no more to it until it is offered again.
    done: bool,
}

/// The accounts of all buffers of a ring, which have one size.
#[derive(Debug)]
pub(super) struct Ledger {
    accounts: Vec<Account>,
    len: usize,
}

impl Ledger {
    /// All buffers are the kernel's.
    pub(super) fn new(count: u16, len: usize) -> Self {
        Self {
            accounts: vec![Account::default(); usize::from(count)],
            len,
        }
    }

    /// The kernel has written the next `len` bytes of a buffer, and says whether it will write
    /// more to it. The range is lent to whoever asked; `None` for what cannot be.
    pub(super) fn received(&mut self, id: u16, len: usize, more: bool) -> Option<Range<usize>> {
        let account = self.accounts.get_mut(usize::from(id))?;
        let end = account.filled.checked_add(len)?;
        if account.done || end > self.len {
            return None;
        }
        let range = account.filled..end;
        account.filled = end;
        account.lent += 1;
        account.done = !more;
        Some(range)
    }

    /// A range of the buffer is not needed any more. Returns whether the kernel is to be offered
    /// the buffer again, from its front.
    pub(super) fn give_back(&mut self, id: u16) -> bool {
        let Some(account) = self.accounts.get_mut(usize::from(id)) else {
            return false;
        };
        debug_assert!(account.lent > 0, "given back more than was lent");
        account.lent = account.lent.saturating_sub(1);
        let is_free = account.done && account.lent == 0;
        if is_free {
            *account = Account::default();
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const COUNT: u16 = 3;
    const LEN: usize = 10;

    /// The kernel as its documentation has it: it fills the oldest buffer that was offered, and
    /// goes on in it till it is full (or takes one buffer for each receive).
    struct Kernel {
        offered: VecDeque<u16>,
        filled: usize,
        incremental: bool,
    }

    impl Kernel {
        fn receive(&mut self, len: usize) -> Option<(u16, usize, bool)> {
            let &id = self.offered.front()?;
            let len = len.min(LEN - self.filled);
            self.filled += len;
            let more = self.incremental && self.filled < LEN;
            if !more {
                self.offered.pop_front();
                self.filled = 0;
            }
            Some((id, len, more))
        }
    }

    proptest! {
        /// Bytes that somebody still looks at are never written over, and no buffer gets lost.
        #[test]
        fn what_is_lent_stays(
            incremental: bool,
            steps in prop::collection::vec((any::<bool>(), 1..=LEN, any::<prop::sample::Index>()), 1..200),
        ) {
            let mut ledger = Ledger::new(COUNT, LEN);
            let mut kernel = Kernel { offered: (0..COUNT).collect(), filled: 0, incremental };
            let mut lent: Vec<(u16, Range<usize>)> = Vec::new();
            for (receive, len, index) in steps {
                if receive {
                    let Some((id, len, more)) = kernel.receive(len) else {
                        // All are lent out, at least in part.
                        prop_assert!((0..COUNT).all(|id| lent.iter().any(|(other, _)| *other == id)));
                        continue;
                    };
                    let range = ledger.received(id, len, more).expect("what the kernel says");
                    prop_assert_eq!(range.len(), len);
                    let overlaps = lent.iter().any(|(other, theirs)| {
                        *other == id && theirs.start < range.end && range.start < theirs.end
                    });
                    prop_assert!(!overlaps, "{:?} of {} is lent already", range, id);
                    lent.push((id, range));
                } else if !lent.is_empty() {
                    let (id, _) = lent.swap_remove(index.index(lent.len()));
                    if ledger.give_back(id) {
                        prop_assert!(lent.iter().all(|(other, _)| *other != id));
                        prop_assert!(!kernel.offered.contains(&id), "offered twice");
                        kernel.offered.push_back(id);
                    }
                }
            }
            for (id, _) in std::mem::take(&mut lent) {
                if ledger.give_back(id) {
                    kernel.offered.push_back(id);
                }
            }
            prop_assert_eq!(kernel.offered.len(), usize::from(COUNT));
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut ledger = Ledger::new(COUNT, LEN);
        assert_eq!(ledger.received(COUNT, 1, false), None, "no such buffer");
        assert_eq!(ledger.received(0, LEN + 1, false), None, "too long");
        assert_eq!(ledger.received(0, usize::MAX, false), None);
        assert_eq!(ledger.received(0, 4, false), Some(0..4));
        assert_eq!(ledger.received(0, 1, false), None, "was not offered");
        assert_eq!(ledger.received(1, 4, true), Some(0..4));
        assert_eq!(ledger.received(1, 7, true), None, "too long");
        assert!(!ledger.give_back(COUNT));
        assert!(ledger.give_back(0));
        assert!(!ledger.give_back(1), "the kernel is not through with it");
    }
}
