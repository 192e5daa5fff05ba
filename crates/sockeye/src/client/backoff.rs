//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Exponential backoff with jitter.
///
/// The wait doubles from [`first`](Self::first) to [`longest`](Self::longest); a random part of it
/// is taken off, so that the clients of a server that went down do not come back all at once. A
/// connection that lasted [`stable_after`](Self::stable_after) makes the next wait the first again.
///
/// ```
/// use std::time::Duration;
/// use sockeye::Backoff;
///
/// let backoff = Backoff { longest: Duration::from_secs(10), ..Backoff::default() };
/// assert!(backoff.delay(0, 0.5) <= backoff.first);
/// assert!(backoff.delay(100, 0.0) == Duration::from_secs(10));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    /// The longest wait before the first new attempt. Default 500 ms.
    pub first: Duration,
    /// No wait is longer. Default 30 s.
    pub longest: Duration,
    /// The part of a wait that chance may take off, from 0 to 1. Default 0.5.
    pub jitter: f64,
    /// A connection that was open for so long counts as stable. Default 10 s.
    pub stable_after: Duration,
    /// Give up after so many failed attempts in a row; `None`, the default: never.
    pub attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            jitter: 0.5,
            stable_after: Duration::from_secs(10),
            attempts: None,
        }
    }
}

impl Backoff {
    /// The wait after `failures` failed attempts in a row (0: after a stable connection was lost).
    /// `chance` from 0 to 1 decides how much of it is taken off.
    pub fn delay(&self, failures: u32, chance: f64) -> Duration {
        let doubled = 2_u32
            .checked_pow(failures)
            .and_then(|factor| self.first.checked_mul(factor));
        let delay = doubled.unwrap_or(self.longest).min(self.longest);
        let part = |share: f64| {
            if share.is_nan() {
                0.0
            } else {
                share.clamp(0.0, 1.0)
            }
        };
        delay.mul_f64(1.0 - part(self.jitter) * part(chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let backoff = Backoff::default();
        let seconds: Vec<f64> = (0..8)
            .map(|failures| backoff.delay(failures, 0.0).as_secs_f64())
            .collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(backoff.delay(u32::MAX, 0.0), backoff.longest);
    }

    #[test]
    fn chance_takes_off_no_more_than_the_jitter() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 1.0), Duration::from_millis(500));
        assert_eq!(
            backoff.delay(1, f64::NAN),
            Duration::from_secs(1),
            "nonsense never panics"
        );
        let wild = Backoff {
            jitter: 7.0,
            ..backoff
        };
        assert_eq!(wild.delay(3, 1.0), Duration::ZERO);
    }
}
