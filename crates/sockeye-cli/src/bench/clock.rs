//! Time of a run, as nanoseconds since it began, and the processor time that this process spent.

use std::fs;
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

/// Where the time of this process went so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cpu {
    /// Of all threads, as is the kernel's.
    pub(super) user: f64,
    pub(super) kernel: f64,
    /// For how long the loop's thread could have worked, but got no core.
    pub(super) waited: f64,
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
                waited: waited().unwrap_or_default(),
            },
        )
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            user: (self.user - before.user).max(0.0),
            kernel: (self.kernel - before.kernel).max(0.0),
            waited: (self.waited - before.waited).max(0.0),
        }
    }

    pub(super) fn total(self) -> f64 {
        self.user + self.kernel
    }
}

/// Of the main thread, which turns the loop.
fn waited() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/schedstat").ok()?;
    let nanos = text.split_whitespace().nth(1)?.parse::<f64>().ok()?;
    Some(nanos / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let before = Cpu::now();
        let mut sum = 0_u64;
        while Cpu::now().since(before).total() < 0.01 {
            sum = std::hint::black_box(sum + 1);
        }
        assert_eq!(before.since(Cpu::now()).total(), 0.0);
    }
}
