//! Waiting for descriptors: the traits that the engine needs, and two pollers that fulfil them.
//!
//! [`Epoll`] is the one to use; [`Portable`] does the same with `poll(2)`. A loop of somebody
//! else's takes part by a [`Registrar`] of its own and hands what it finds to the engine as
//! [`Ready`]. Nothing here knows what a descriptor or a token stands for.
//!
//! All are level-triggered: what is ready and not dealt with is reported again by the next wait.

mod epoll;
mod portable;
#[cfg(test)]
mod suite;

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

pub use self::epoll::Epoll;
pub use self::portable::Portable;
#[cfg(feature = "uring")]
pub(crate) use self::portable::events;

/// What a descriptor was registered under. Comes back unchanged in [`Ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What to wait for on a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// Something can be read, or the other side will send no more.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
}

impl Interest {
    /// Nothing at all, not even a hangup: the descriptor stays registered and silent.
    pub const NONE: Self = Self {
        readable: false,
        writable: false,
    };
    /// Reading only.
    pub const READ: Self = Self {
        readable: true,
        writable: false,
    };
    /// Writing only.
    pub const WRITE: Self = Self {
        readable: false,
        writable: true,
    };
    /// Reading and writing.
    pub const BOTH: Self = Self {
        readable: true,
        writable: true,
    };

    /// Whether this is [`Interest::NONE`].
    pub const fn is_none(self) -> bool {
        !self.readable && !self.writable
    }
}

/// What a wait found out about one descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ready {
    /// What the descriptor is registered under.
    pub token: Token,
    /// A read will not block: there are data, or the end of the stream. Only if asked for.
    pub readable: bool,
    /// A write will not block. Only if asked for.
    pub writable: bool,
    /// Both directions are shut, or an error is pending; a read or a write tells which. This is
    /// reported with every interest but [`Interest::NONE`], again and again until the descriptor
    /// is removed or its interest is `NONE`.
    pub hangup: bool,
}

/// Keeps track of which descriptors to wait for.
///
/// A descriptor is registered from `add` to `remove`, and must be removed before it is closed:
/// the number may be another one's right after. Adding a registered descriptor fails with
/// [`io::ErrorKind::AlreadyExists`], modifying or removing any other with
/// [`io::ErrorKind::NotFound`].
pub trait Registrar {
    /// Begins to watch a descriptor.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` as above; what the system says, for instance when it is out of memory.
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()>;

    /// Replaces the token and the interest of a descriptor. Holds from the next wait on.
    ///
    /// # Errors
    ///
    /// `NotFound` as above; what the system says.
    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()>;

    /// Stops watching a descriptor. Reports that a wait has returned already are not recalled.
    ///
    /// # Errors
    ///
    /// `NotFound` as above; what the system says.
    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()>;
}

/// A registrar that a foreign loop shares with its engine: the loop keeps one `Rc`, the engine gets
/// the other by [`EngineBuilder::registrar`](crate::EngineBuilder::registrar).
///
/// # Panics
///
/// The loop must not hold a borrow while it calls the engine.
impl<R: Registrar + ?Sized> Registrar for Rc<RefCell<R>> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.borrow_mut().add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.borrow_mut().modify(fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.borrow_mut().remove(fd)
    }
}

/// A [`Registrar`] that can wait.
pub trait Poller: Registrar {
    /// Waits until a registered descriptor is ready or `timeout` is over (`None`: without end;
    /// zero: not at all), and says in `ready`, which is cleared before, what was found. At most
    /// one entry a descriptor; not necessarily all that are ready.
    ///
    /// The timeout is rounded up to whole milliseconds, so that the deadline it was made of has
    /// passed on return. It may be cut short by a signal, with nothing ready; timeouts of more
    /// than 24 days are.
    ///
    /// # Errors
    ///
    /// What the system says. `ready` is empty then.
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()>;

    /// Does now what would else be done by the next [`wait`](Self::wait), for pollers that put
    /// something off till then. The default does nothing.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn submit(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whole milliseconds, not less than the duration unless it exceeds what `poll(2)` can express.
fn timeout_millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

pub(crate) fn already_registered() -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        "the descriptor is registered already",
    )
}

pub(crate) fn not_registered() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the descriptor is not registered")
}
