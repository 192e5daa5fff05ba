//! The supply of descriptors: how many the process may have, and one kept in reserve.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::listener::Listener;

/// Raises the soft limit of open descriptors to the hard one and returns it (`u64::MAX`:
/// unlimited). Each connection takes one descriptor.
///
/// A library must not do this behind its user's back: children inherit the limit, and programs
/// that use `select(2)` break with descriptors above 1023.
///
/// # Errors
///
/// When the system refuses, as some sandboxes do; the limit is what it was then.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            },
        )?;
    }
    Ok(descriptor_limit())
}

/// How many descriptors the process may have now (`u64::MAX`: unlimited).
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// A descriptor that is given up for a moment when all others are in use, so that a connection
/// that cannot be served is at least taken out of the queue and closed. Without this it would
/// stay there, and the listener would be ready again and again.
#[derive(Debug)]
pub(crate) struct SpareFd {
    reserve: Option<OwnedFd>,
}

impl SpareFd {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            reserve: Some(reserve()?),
        })
    }

    /// Accepts one connection and closes it at once.
    ///
    /// `Ok(false)`: none was waiting. An error says that this does not help: the reserve was
    /// lost to another thread, or the whole system is short of descriptors. The caller then
    /// pauses accepting.
    pub(crate) fn accept_and_close(&mut self, listener: &Listener) -> io::Result<bool> {
        self.reserve = None;
        let accepted = listener.accept();
        let outcome = match accepted {
            Ok(connection) => {
                drop(connection);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        };
        // Without a new reserve the next call has to do with what is free by then.
        self.reserve = reserve().ok();
        outcome
    }
}

fn reserve() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}
