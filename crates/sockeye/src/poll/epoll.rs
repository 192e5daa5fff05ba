//! The poller over Linux' `epoll(7)`.
//!
//! Level-triggered. `epoll` reports a hangup whether asked for or not, so a descriptor without
//! interest is taken out of the kernel's set and only remembered here (`parked`).

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::{
    Interest, Poller, Ready, Registrar, Token, already_registered, not_registered, timeout_millis,
};

/// Reports that one wait fetches at most; the kernel takes turns when there are more.
const EVENTS_PER_WAIT: usize = 1024;

/// Waits by `epoll(7)`: the cost of a wait depends on what is ready, not on what is registered.
pub struct Epoll {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    /// Registered descriptors without interest: not in the kernel's set.
    parked: HashSet<RawFd>,
}

impl Epoll {
    /// Makes one with nothing registered.
    ///
    /// # Errors
    ///
    /// When no descriptor or memory is left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_PER_WAIT),
            parked: HashSet::new(),
        })
    }

    fn flags(interest: Interest) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, interest.readable);
        flags.set(epoll::EventFlags::OUT, interest.writable);
        flags
    }

    fn insert(&self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token.0);
        epoll::add(&self.epoll, fd, data, Self::flags(interest)).map_err(|errno| match errno {
            Errno::EXIST => already_registered(),
            other => other.into(),
        })
    }
}

impl Registrar for Epoll {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        if self.parked.contains(&fd.as_raw_fd()) {
            return Err(already_registered());
        }
        // Also when it will be parked at once: so the kernel says if it is registered already or
        // cannot be polled at all.
        self.insert(fd, token, interest)?;
        if interest.is_none() {
            self.modify(fd, token, interest)
        } else {
            Ok(())
        }
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        if self.parked.contains(&fd.as_raw_fd()) {
            if !interest.is_none() {
                self.insert(fd, token, interest)?;
                self.parked.remove(&fd.as_raw_fd());
            }
            return Ok(());
        }
        let done = if interest.is_none() {
            epoll::delete(&self.epoll, fd)
        } else {
            let data = epoll::EventData::new_u64(token.0);
            epoll::modify(&self.epoll, fd, data, Self::flags(interest))
        };
        done.map_err(unknown)?;
        if interest.is_none() {
            self.parked.insert(fd.as_raw_fd());
        }
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        if self.parked.remove(&fd.as_raw_fd()) {
            return Ok(());
        }
        epoll::delete(&self.epoll, fd).map_err(unknown)
    }
}

impl Poller for Epoll {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        self.events.clear();
        let timeout = timeout.map(|timeout| {
            let millis = i64::from(timeout_millis(timeout));
            Timespec {
                tv_sec: millis / 1000,
                tv_nsec: millis % 1000 * 1_000_000,
            }
        });
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            timeout.as_ref(),
        ) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        ready.extend(self.events.iter().map(|event| {
            let flags = event.flags;
            Ready {
                token: Token(event.data.u64()),
                readable: flags.contains(epoll::EventFlags::IN),
                writable: flags.contains(epoll::EventFlags::OUT),
                hangup: flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR),
            }
        }));
        Ok(())
    }
}

impl fmt::Debug for Epoll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoll")
            .field("epoll", &self.epoll)
            .finish_non_exhaustive()
    }
}

/// Readable whenever a wait would find something: another loop can watch this one descriptor in
/// place of all that are registered.
impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

fn unknown(errno: Errno) -> io::Error {
    match errno {
        Errno::NOENT => not_registered(),
        other => other.into(),
    }
}
