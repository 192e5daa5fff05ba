//! How many connections there are from each address, counted by all engines of a group together.
//!
//! It is asked only when a connection comes or goes, and only if there is a limit. Knows addresses
//! and numbers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Census {
    counts: Mutex<HashMap<IpAddr, usize>>,
}

impl Census {
    /// Counts one more, unless there are `limit` already.
    pub(crate) fn enter(&self, address: IpAddr, limit: usize) -> bool {
        let mut counts = self.lock();
        let count = counts.entry(address).or_insert(0);
        let is_free = *count < limit;
        if is_free {
            *count += 1;
        }
        is_free
    }

    /// Counts one less.
    pub(crate) fn leave(&self, address: IpAddr) {
        let mut counts = self.lock();
        if let Some(count) = counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Numbers are right whoever panicked.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn who_leaves_makes_room_and_nothing_is_kept_of_those_who_left() {
        let census = Census::default();
        let one = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let other = IpAddr::V4(Ipv4Addr::BROADCAST);
        assert!(census.enter(one, 2) && census.enter(one, 2));
        assert!(!census.enter(one, 2) && census.enter(other, 2));
        census.leave(one);
        assert!(census.enter(one, 2));
        for address in [one, one, other] {
            census.leave(address);
        }
        assert!(census.lock().is_empty());
    }
}
