//! Time of a run, as nanoseconds since it began, and the processor time that this process spent.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    base: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            base: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        nanos(self.base.elapsed())
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Processor time of this process so far, all threads, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    pub(super) user: f64,
    pub(super) kernel: f64,
}

impl Cpu {
    /// Zero where the system does not tell.
    pub(super) fn now() -> Self {
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        getrusage(UsageWho::RUSAGE_SELF).map_or_else(
            |_| Self::default(),
            |usage| Self {
                user: seconds(usage.user_time()),
                kernel: seconds(usage.system_time()),
            },
        )
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            user: (self.user - before.user).max(0.0),
            kernel: (self.kernel - before.kernel).max(0.0),
        }
    }

    pub(super) fn total(self) -> f64 {
        self.user + self.kernel
    }
}
