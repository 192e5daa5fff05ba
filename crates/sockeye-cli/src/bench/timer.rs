//! A poller that keeps its deadlines to the microsecond.
//!
//! The engine's own rounds timeouts up to whole milliseconds, which is right for deadlines of seconds
//! and wrong for messages that are to be sent at their times. Here a `timerfd` is watched beside the
//! sockets. Nothing else differs from [`Epoll`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use sockeye::poll::{Epoll, Interest, Poller, Ready, Registrar, Token};

/// No connection and no listener of an engine is registered under this.
const TIMER: Token = Token(u64::MAX);
const OFF: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

pub(super) struct Punctual {
    epoll: Epoll,
    timer: OwnedFd,
    /// The timer runs, or has run out.
    armed: bool,
}

impl Punctual {
    pub(super) fn new() -> io::Result<Self> {
        let mut epoll = Epoll::new()?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll.add(timer.as_fd(), TIMER, Interest::READ)?;
        Ok(Self {
            epoll,
            timer,
            armed: false,
        })
    }

    /// Setting it also takes back that it has run out.
    fn set(&mut self, after: Timespec) -> io::Result<()> {
        let value = Itimerspec {
            it_interval: OFF,
            it_value: after,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.armed = after != OFF;
        Ok(())
    }
}

impl Registrar for Punctual {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.epoll.add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.epoll.modify(fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.epoll.remove(fd)
    }
}

impl Poller for Punctual {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        match timeout {
            Some(timeout) if !timeout.is_zero() => {
                // Longer ones may be cut short.
                let timeout = timeout.min(Duration::from_secs(3600));
                self.set(Timespec {
                    tv_sec: timeout.as_secs() as i64,
                    tv_nsec: timeout.subsec_nanos().into(),
                })?;
                self.epoll.wait(ready, None)?;
            }
            _ => {
                if self.armed {
                    self.set(OFF)?;
                }
                self.epoll.wait(ready, timeout)?;
            }
        }
        ready.retain(|report| report.token != TIMER);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_returns_when_the_time_is_over_and_not_before() {
        let mut poller = Punctual::new().unwrap();
        let mut ready = Vec::new();
        for micros in [1, 300, 1500] {
            let timeout = Duration::from_micros(micros);
            let begin = Instant::now();
            poller.wait(&mut ready, Some(timeout)).unwrap();
            assert!(begin.elapsed() >= timeout && ready.is_empty());
        }
        // A timer that has run out is not reported to those who do not wait.
        poller.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn what_is_ready_ends_the_wait() {
        let mut poller = Punctual::new().unwrap();
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        poller.add(near.as_fd(), Token(7), Interest::READ).unwrap();
        io::Write::write_all(&mut &far, b"x").unwrap();
        let mut ready = Vec::new();
        poller
            .wait(&mut ready, Some(Duration::from_secs(60)))
            .unwrap();
        assert_eq!(ready.len(), 1);
        assert_eq!(ready[0].token, Token(7));
    }
}
