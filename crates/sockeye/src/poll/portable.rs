//! The poller over `poll(2)`, for systems and sandboxes without `epoll`.
//!
//! Registering costs constant time: a table by descriptor number says where in the array of the
//! system call a descriptor stands. One without interest is not in the array, since `poll(2)`
//! would report its hangup all the same.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::libc::{self, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, nfds_t, pollfd};

use super::{
    Interest, Poller, Ready, Registrar, Token, already_registered, not_registered, timeout_millis,
};

/// Waits by `poll(2)`: the cost of a wait grows with what is registered.
#[derive(Debug, Default)]
pub struct Portable {
    watched: Vec<pollfd>,
    /// The token of each entry of `watched`.
    tokens: Vec<Token>,
    /// By descriptor number.
    places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Unknown,
    /// Registered without interest.
    Parked,
    /// Registered, and at this index in `watched`.
    Watched(u32),
}

impl Portable {
    /// Makes one with nothing registered.
    pub fn new() -> Self {
        Self::default()
    }

    fn place(&self, fd: RawFd) -> Place {
        usize::try_from(fd)
            .ok()
            .and_then(|number| self.places.get(number))
            .copied()
            .unwrap_or(Place::Unknown)
    }

    fn set_place(&mut self, fd: RawFd, place: Place) {
        let Ok(number) = usize::try_from(fd) else {
            return;
        };
        if number >= self.places.len() {
            self.places.resize(number + 1, Place::Unknown);
        }
        self.places[number] = place;
    }

    fn watch(&mut self, fd: RawFd, token: Token, interest: Interest) {
        if interest.is_none() {
            self.set_place(fd, Place::Parked);
            return;
        }
        // No process has 2³² descriptors.
        let index = u32::try_from(self.watched.len()).unwrap_or(u32::MAX);
        self.watched.push(pollfd {
            fd,
            events: events(interest),
            revents: 0,
        });
        self.tokens.push(token);
        self.set_place(fd, Place::Watched(index));
    }

    fn unwatch(&mut self, index: u32) {
        let index = index as usize;
        if index >= self.watched.len() {
            return;
        }
        self.watched.swap_remove(index);
        self.tokens.swap_remove(index);
        if let Some(moved) = self.watched.get(index) {
            self.set_place(moved.fd, Place::Watched(index as u32));
        }
    }
}

impl Registrar for Portable {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        if self.place(fd.as_raw_fd()) != Place::Unknown {
            return Err(already_registered());
        }
        self.watch(fd.as_raw_fd(), token, interest);
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        match self.place(fd) {
            Place::Unknown => return Err(not_registered()),
            Place::Parked => self.watch(fd, token, interest),
            Place::Watched(index) if interest.is_none() => {
                self.unwatch(index);
                self.set_place(fd, Place::Parked);
            }
            Place::Watched(index) => {
                self.watched[index as usize].events = events(interest);
                self.tokens[index as usize] = token;
            }
        }
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        match self.place(fd) {
            Place::Unknown => return Err(not_registered()),
            Place::Parked => {}
            Place::Watched(index) => self.unwatch(index),
        }
        self.set_place(fd, Place::Unknown);
        Ok(())
    }
}

impl Poller for Portable {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let mut count = poll(&mut self.watched, timeout.map_or(-1, timeout_millis))?;
        let mut closed = Vec::new();
        for (entry, token) in self.watched.iter().zip(&self.tokens) {
            if count == 0 {
                break;
            }
            if entry.revents == 0 {
                continue;
            }
            count -= 1;
            if entry.revents & POLLNVAL != 0 {
                closed.push(entry.fd);
                continue;
            }
            ready.push(Ready {
                token: *token,
                readable: entry.revents & POLLIN != 0,
                writable: entry.revents & POLLOUT != 0,
                hangup: entry.revents & (POLLHUP | POLLERR) != 0,
            });
        }
        // Closed without having been removed. The kernel drops such a one from an epoll set; here
        // it would make every further wait return at once.
        for fd in closed {
            if let Place::Watched(index) = self.place(fd) {
                self.unwatch(index);
                self.set_place(fd, Place::Unknown);
            }
        }
        Ok(())
    }
}

/// What `poll(2)` is asked for.
pub(crate) fn events(interest: Interest) -> i16 {
    let readable = if interest.readable { POLLIN } else { 0 };
    let writable = if interest.writable { POLLOUT } else { 0 };
    readable | writable
}

/// How many entries have something to report. An interruption counts as none.
///
/// By hand because the safe wrappers want borrowed descriptors for the array, which would have to
/// be made up anew, unsafely and for each entry, before every wait.
#[allow(unsafe_code)]
fn poll(entries: &mut [pollfd], timeout_millis: i32) -> io::Result<usize> {
    // SAFETY: pointer and length are those of one live slice that nobody else can reach during
    // the call, and the kernel writes nothing but the `revents` within. The numbers in it need
    // not be open descriptors: `poll(2)` reports those that are not.
    let count = unsafe {
        libc::poll(
            entries.as_mut_ptr(),
            entries.len() as nfds_t,
            timeout_millis,
        )
    };
    if let Ok(count) = usize::try_from(count) {
        return Ok(count);
    }
    // The kernel leaves `revents` of the last time in place when it fails.
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        error => Err(error),
    }
}
