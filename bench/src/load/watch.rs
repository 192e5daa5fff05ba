//! Looks at the server's process from outside: processor time and memory, as the kernel counts
//! them, and at our own.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::Outcome;
use crate::failure::Failure;

/// The unit of times in `/proc/PID/stat`, always, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    process: Option<(i32, ClockId)>,
}

/// What was counted and spent up to an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    at: Instant,
    count: u64,
    server_cpu: Option<Duration>,
    server_user: Option<f64>,
    load_cpu: Duration,
}

impl Watch {
    pub(crate) fn new(pid: Option<i32>) -> Result<Self, Failure> {
        let process = pid
            .map(|pid| clock_getcpuclockid(Pid::from_raw(pid)).map(|clock| (pid, clock)))
            .transpose()
            .map_err(|errno| Failure::Io("watch the server", errno.into()))?;
        Ok(Self { process })
    }

    pub(crate) fn snapshot(&self, count: u64) -> Result<Snapshot, Failure> {
        let failed = Failure::io("watch the server");
        let own = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID);
        let server = self
            .process
            .map(|(_, clock)| clock_gettime(clock))
            .transpose();
        Ok(Snapshot {
            at: Instant::now(),
            count,
            server_cpu: server
                .map_err(|errno| failed(errno.into()))?
                .map(Duration::from),
            server_user: self
                .process
                .map(|(pid, _)| user(pid))
                .transpose()
                .map_err(&failed)?,
            load_cpu: own.map_err(|errno| failed(errno.into()))?.into(),
        })
    }

    /// Resident memory in bytes, exactly: the counter of `/proc/PID/statm` lags behind.
    pub(crate) fn memory(&self) -> Result<Option<i64>, Failure> {
        let Some((pid, _)) = self.process else {
            return Ok(None);
        };
        let text = read(pid, "smaps_rollup").map_err(Failure::io("watch the server"))?;
        let kib = text.lines().find_map(|line| {
            line.strip_prefix("Rss:")?
                .trim()
                .strip_suffix(" kB")?
                .parse()
                .ok()
        });
        let kib: i64 = kib.ok_or_else(|| Failure::Server("has no memory".to_owned()))?;
        Ok(Some(kib * 1024))
    }
}

impl Snapshot {
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn until(&self, end: &Self) -> Outcome {
        let both = |from: Option<Duration>, to: Option<Duration>| {
            Some(to?.checked_sub(from?)?.as_secs_f64())
        };
        Outcome {
            count: end.count - self.count,
            seconds: (end.at - self.at).as_secs_f64(),
            server_cpu: both(self.server_cpu, end.server_cpu),
            server_user_cpu: self
                .server_user
                .zip(end.server_user)
                .map(|(from, to)| to - from),
            load_cpu: end.load_cpu.saturating_sub(self.load_cpu).as_secs_f64(),
            ..Outcome::default()
        }
    }
}

/// Seconds outside the kernel so far.
fn user(pid: i32) -> io::Result<f64> {
    let stat = read(pid, "stat")?;
    // Behind the name, which may hold anything, fields are counted from the third.
    let ticks = stat
        .rsplit_once(')')
        .and_then(|(_, fields)| fields.split_whitespace().nth(11)?.parse::<f64>().ok());
    ticks
        .map(|ticks| ticks / TICKS_PER_SECOND)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn read(pid: i32, what: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_watched() {
        let own = i32::try_from(std::process::id()).unwrap();
        let watch = Watch::new(Some(own)).unwrap();
        let before = watch.snapshot(1).unwrap();
        let mut sum = 0_u64;
        while watch.snapshot(0).unwrap().server_cpu == before.server_cpu {
            sum = std::hint::black_box(sum + 1);
        }
        let outcome = before.until(&watch.snapshot(5).unwrap());
        assert_eq!(outcome.count, 4);
        assert!(outcome.server_cpu.unwrap() > 0.0);
        assert!(outcome.load_cpu > 0.0);
        assert!(watch.memory().unwrap().unwrap() > 100_000);
    }
}
