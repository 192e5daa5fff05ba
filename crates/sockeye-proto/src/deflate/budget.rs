//! How much all connections together may keep between messages.
//!
//! Counts promises, not bytes: a connection that was promised takeover may use it at any time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::Limits;

#[derive(Debug, Default)]
pub(crate) struct Budget {
    count: AtomicUsize,
    len: AtomicUsize,
}

/// The right to keep windows between messages; it returns to the budget when the last clone is
/// dropped.
#[derive(Debug, Clone)]
pub struct Reservation(#[expect(dead_code, reason = "held for its drop")] Arc<Reserved>);

#[derive(Debug)]
struct Reserved {
    budget: Arc<Budget>,
    len: usize,
}

impl Budget {
    /// Reserves `len` bytes for one connection; `None` if that is more than the limits leave.
    pub(crate) fn reserve(self: &Arc<Self>, len: usize, limits: &Limits) -> Option<Reservation> {
        let count = self.count.load(Ordering::Relaxed);
        let used = self.len.load(Ordering::Relaxed);
        if count >= limits.takeover_count || len > limits.takeover_len.saturating_sub(used) {
            return None;
        }
        // Only the owner of the budget reserves: between the look and this nobody else did.
        self.count.fetch_add(1, Ordering::Relaxed);
        self.len.fetch_add(len, Ordering::Relaxed);
        Some(Reservation(Arc::new(Reserved {
            budget: Arc::clone(self),
            len,
        })))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.count.fetch_sub(1, Ordering::Relaxed);
        self.budget.len.fetch_sub(self.len, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_reserved_again() {
        let budget = Arc::new(Budget::default());
        let limits = Limits {
            takeover_count: 2,
            takeover_len: 100,
            ..Limits::default()
        };
        let first = budget.reserve(60, &limits).unwrap();
        let clone = first.clone();
        assert!(budget.reserve(41, &limits).is_none(), "bytes");
        let second = budget.reserve(40, &limits).unwrap();
        assert!(budget.reserve(0, &limits).is_none(), "count");
        drop(first);
        assert!(budget.reserve(0, &limits).is_none(), "a clone holds on");
        drop((clone, second));
        assert!(budget.reserve(100, &limits).is_some());
        assert_eq!(budget.len.load(Ordering::Relaxed), 0);
    }
}
