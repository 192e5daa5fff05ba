//! Processor time and memory of the server's process, if it runs on this machine, as the kernel
//! counts them; and our own, between the same two instants.
//!
//! A process that is gone, or whose memory is not ours to see, gives no figures; that is no error of
//! the load.

use std::fs;
use std::time::Instant;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::clock::Cpu;
use crate::failure::Failure;

/// A process that is looked at.
#[derive(Clone, Copy, Debug)]
struct Watched {
    pid: u32,
    clock: ClockId,
}

impl Watched {
    fn new(pid: u32) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::io("--watch: look at that process", error);
        let raw = i32::try_from(pid).map_err(|_| failed(std::io::ErrorKind::NotFound.into()))?;
        let clock =
            clock_getcpuclockid(Pid::from_raw(raw)).map_err(|errno| failed(errno.into()))?;
        Ok(Self { pid, clock })
    }

    /// Processor time so far, all threads, in seconds.
    fn cpu(&self) -> Option<f64> {
        let time = clock_gettime(self.clock).ok()?;
        Some(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
    }

    /// Resident memory in bytes, exactly: the counter of `/proc/PID/statm` lags behind.
    fn resident(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"))?;
        let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kib * 1024)
    }
}

/// What a process spent in the window, and what it held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spent {
    pub(super) pid: u32,
    /// Seconds.
    pub(super) cpu: f64,
    /// Bytes before anybody connected.
    pub(super) resident_before: Option<u64>,
    /// Bytes at the end of the window.
    pub(super) resident: Option<u64>,
}

/// Measures between the beginning and the end of the window.
#[derive(Debug)]
pub(super) struct Meter {
    watched: Option<Watched>,
    resident_before: Option<u64>,
    begun: Option<(Instant, Cpu, Option<f64>)>,
    /// Seconds between the two instants: more than the window if its end was noticed late.
    pub(super) span: f64,
    /// What this process spent.
    pub(super) own: Cpu,
    /// What the other one did.
    pub(super) server: Option<Spent>,
}

impl Meter {
    pub(super) fn new(pid: Option<u32>) -> Result<Self, Failure> {
        let watched = pid.map(Watched::new).transpose()?;
        Ok(Self {
            watched,
            resident_before: watched.and_then(|it| it.resident()),
            begun: None,
            span: 0.0,
            own: Cpu::default(),
            server: None,
        })
    }

    pub(super) fn start(&mut self) {
        self.begun = Some((
            Instant::now(),
            Cpu::now(),
            self.watched.and_then(|it| it.cpu()),
        ));
    }

    /// Only the first time after a start counts.
    pub(super) fn stop(&mut self) {
        let Some((begun, own, server)) = self.begun.take() else {
            return;
        };
        self.span = begun.elapsed().as_secs_f64();
        self.own = Cpu::now().since(own);
        self.server = self.watched.and_then(|watched| {
            Some(Spent {
                pid: watched.pid,
                cpu: watched.cpu()? - server?,
                resident_before: self.resident_before,
                resident: watched.resident(),
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_can_be_watched() {
        let mut meter = Meter::new(Some(std::process::id())).unwrap();
        meter.start();
        let before = Cpu::now();
        while Cpu::now().since(before).total() < 0.01 {
            std::hint::spin_loop();
        }
        meter.stop();
        let spent = meter.server.unwrap();
        assert!(spent.cpu >= 0.01 && meter.own.total() >= 0.01);
        let resident = [spent.resident_before, spent.resident];
        assert!(resident.iter().all(|len| len.unwrap() > 100_000));
        meter.stop();
        assert!(meter.server.is_some());
    }

    #[test]
    fn there_is_no_such_process() {
        assert!(Meter::new(Some(u32::MAX)).is_err());
        // One more than the largest there is.
        assert!(Meter::new(Some(1 << 22)).is_err());
    }
}
