//! Readiness by the ring: for listeners, wakers and sockets that are still to connect.
//!
//! Level-triggered like every poller: what was reported is asked for once more before the next
//! wait, together with everything else that is asked then. Knows no streams.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT};

use super::queue::{Answer, Op, Queue};
use super::slots::Slots;
use crate::poll::{Interest, Ready, Token, already_registered, events, not_registered};

#[derive(Debug)]
struct Watch {
    fd: RawFd,
    token: Token,
    interest: Interest,
    /// The kernel watches it.
    armed: bool,
    /// It is in the list of those to be armed.
    listed: bool,
    /// Nobody waits for it any more; the slot is free when the kernel has answered.
    removed: bool,
}

/// What is watched, each under a key.
#[derive(Debug, Default)]
pub(super) struct Watches {
    slots: Slots<Watch>,
    keys: HashMap<RawFd, u32>,
    /// Those whose interest the kernel is to be told.
    to_arm: Vec<u32>,
}

impl Watches {
    pub(super) fn add(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let fd = fd.as_raw_fd();
        if self.keys.contains_key(&fd) {
            return Err(already_registered());
        }
        self.insert(fd, token, interest);
        Ok(())
    }

    fn insert(&mut self, fd: RawFd, token: Token, interest: Interest) {
        let key = self.slots.insert(Watch {
            fd,
            token,
            interest,
            armed: false,
            listed: false,
            removed: false,
        });
        self.keys.insert(fd, key);
        self.list(key);
    }

    pub(super) fn modify(
        &mut self,
        queue: &mut Queue,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        let &key = self.keys.get(&fd.as_raw_fd()).ok_or_else(not_registered)?;
        let watch = &mut self.slots[key];
        watch.token = token;
        if watch.interest == interest {
            return Ok(());
        }
        if !watch.armed {
            watch.interest = interest;
            self.list(key);
            return Ok(());
        }
        // Under a new key it can be asked for at once, whenever the old one is answered.
        watch.removed = true;
        let fd = watch.fd;
        queue.cancel(Op::Watch, key)?;
        self.insert(fd, token, interest);
        Ok(())
    }

    /// The kernel lets go of the descriptor before this returns: it may be closed, and is.
    pub(super) fn remove(&mut self, queue: &mut Queue, fd: BorrowedFd<'_>) -> io::Result<()> {
        let key = self
            .keys
            .remove(&fd.as_raw_fd())
            .ok_or_else(not_registered)?;
        let watch = &mut self.slots[key];
        watch.removed = true;
        if watch.armed {
            queue.cancel(Op::Watch, key)?;
        } else if !watch.listed {
            self.slots.free(key);
        }
        // Also for what was watched under an earlier key.
        queue.submit()
    }

    /// Asks the kernel for everything that is to be reported.
    pub(super) fn arm(&mut self, queue: &mut Queue) -> io::Result<()> {
        for key in std::mem::take(&mut self.to_arm) {
            let watch = &mut self.slots[key];
            watch.listed = false;
            if watch.removed {
                self.slots.free(key);
            } else if !watch.interest.is_none() && !watch.armed {
                watch.armed = true;
                queue.poll(watch.fd, Op::Watch, key, events(watch.interest))?;
            }
        }
        Ok(())
    }

    pub(super) fn answered(&mut self, answer: Answer, ready: &mut Vec<Ready>) {
        let key = answer.key;
        let Some(watch) = self.slots.get_mut(key) else {
            return;
        };
        watch.armed = false;
        if watch.removed {
            self.slots.free(key);
            return;
        }
        if let Ok(events) = u16::try_from(answer.result) {
            let events = events as i16;
            let report = Ready {
                token: watch.token,
                readable: watch.interest.readable && events & POLLIN != 0,
                writable: watch.interest.writable && events & POLLOUT != 0,
                hangup: !watch.interest.is_none() && events & (POLLERR | POLLHUP | POLLNVAL) != 0,
            };
            if report.readable || report.writable || report.hangup {
                ready.push(report);
            }
        }
        self.list(key);
    }

    fn list(&mut self, key: u32) {
        let watch = &mut self.slots[key];
        if !std::mem::replace(&mut watch.listed, true) {
            self.to_arm.push(key);
        }
    }
}
