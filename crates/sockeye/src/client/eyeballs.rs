//! Happy eyeballs: in which order and at what pace a host's addresses are tried (RFC 8305).
//!
//! Knows addresses and time; the caller owns the sockets. The first attempt that connects wins, and
//! the caller drops the others.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long an attempt is alone before the next one joins it (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The attempts to reach one host.
#[derive(Debug)]
pub(crate) struct Eyeballs {
    waiting: VecDeque<SocketAddr>,
    /// Attempts that are neither won nor lost.
    pending: usize,
    next_at: Option<Instant>,
    /// The first failure: it belongs to the address that the resolver thinks best.
    error: Option<io::Error>,
}

impl Eyeballs {
    /// Takes a resolver's answer, best address first, and interleaves the families (RFC 8305 §4).
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
        let (first, other): (Vec<_>, Vec<_>) = addresses
            .into_iter()
            .partition(|address| address.is_ipv4() == first_is_ipv4);
        let mut other = other.into_iter();
        let mut waiting = VecDeque::new();
        for address in first {
            waiting.push_back(address);
            waiting.extend(other.next());
        }
        waiting.extend(other);
        Self {
            waiting,
            pending: 0,
            next_at: None,
            error: None,
        }
    }

    /// The address to try now, if it is time for one.
    pub(crate) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.pending > 0 && self.next_at.is_some_and(|at| now < at) {
            return None;
        }
        let address = self.waiting.pop_front()?;
        self.pending += 1;
        self.next_at = now.checked_add(ATTEMPT_DELAY);
        Some(address)
    }

    /// An attempt failed; the next one need not wait.
    pub(crate) fn failed(&mut self, error: io::Error) {
        self.pending = self.pending.saturating_sub(1);
        self.next_at = None;
        self.error.get_or_insert(error);
    }

    /// There is no room for another attempt now.
    pub(crate) fn postpone(&mut self, now: Instant) {
        if self.next_at.is_none_or(|at| at <= now) {
            self.next_at = now.checked_add(ATTEMPT_DELAY);
        }
    }

    /// When [`next`](Self::next) has something again.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            None
        } else {
            self.next_at
        }
    }

    /// Why the host cannot be reached, once nothing is left to wait for.
    pub(crate) fn exhausted(&mut self) -> Option<io::Error> {
        if self.pending > 0 || !self.waiting.is_empty() {
            return None;
        }
        let nowhere = || io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        Some(self.error.take().unwrap_or_else(nowhere))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter()
            .map(|address| address.parse().unwrap())
            .collect()
    }

    #[test]
    fn families_take_turns_and_the_first_address_stays_first() {
        let mut eyeballs = Eyeballs::new(addresses(&[
            "[::1]:1",
            "[::2]:1",
            "[::3]:1",
            "1.1.1.1:1",
            "2.2.2.2:1",
        ]));
        let now = Instant::now();
        let mut order = Vec::new();
        while let Some(address) = eyeballs.next(now) {
            order.push(address);
            eyeballs.failed(io::ErrorKind::ConnectionRefused.into());
        }
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"];
        assert_eq!(order, addresses(&expected));
    }

    #[test]
    fn attempts_join_at_the_delay_or_at_a_failure() {
        let mut eyeballs = Eyeballs::new(addresses(&["1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]));
        let start = Instant::now();
        assert!(eyeballs.next(start).is_some());
        assert_eq!(eyeballs.next(start), None, "the first attempt has its time");
        assert_eq!(eyeballs.next_deadline(), Some(start + ATTEMPT_DELAY));
        assert!(eyeballs.next(start + ATTEMPT_DELAY).is_some());
        eyeballs.failed(io::Error::other("first"));
        assert!(
            eyeballs.next(start + ATTEMPT_DELAY).is_some(),
            "a failure makes room at once"
        );
        assert_eq!(eyeballs.next_deadline(), None, "nothing is left to start");
        eyeballs.failed(io::Error::other("second"));
        assert!(eyeballs.exhausted().is_none(), "one attempt is still out");
        eyeballs.failed(io::Error::other("third"));
        assert_eq!(eyeballs.exhausted().unwrap().to_string(), "first");
    }

    #[test]
    fn no_address_is_an_error() {
        let mut eyeballs = Eyeballs::new(Vec::new());
        assert_eq!(eyeballs.next(Instant::now()), None);
        assert_eq!(
            eyeballs.exhausted().unwrap().kind(),
            io::ErrorKind::NotFound
        );
    }
}
