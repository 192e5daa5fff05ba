//! Wakes a loop that waits in its poller, from any thread.
//!
//! It carries no message: whoever wakes has put one into a queue before, and the loop looks into
//! the queue after it has acknowledged. Any number of wakes before an acknowledgement cost one
//! write.
//!
//! Invariant: when `wake` returns, the descriptor is readable or the other side has yet to return
//! from `acknowledge`, after which it sees everything that was queued before the wake.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::{Errno, retry_on_intr};

#[derive(Debug, Clone)]
pub(crate) struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    descriptor: OwnedFd,
    /// A wake is on its way: further ones need no system call.
    pending: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            shared: Arc::new(Shared {
                descriptor,
                pending: AtomicBool::new(false),
            }),
        })
    }

    /// Makes the descriptor readable until the next [`acknowledge`](Self::acknowledge).
    pub(crate) fn wake(&self) {
        // Release, even if a wake is pending: it hands over what was queued before.
        if self.shared.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        let one = 1u64.to_ne_bytes();
        let written = retry_on_intr(|| rustix::io::write(&self.shared.descriptor, &one));
        // The counter at its maximum is readable already, and nothing else can fail.
        debug_assert!(matches!(written, Ok(8) | Err(Errno::AGAIN)), "{written:?}");
    }

    /// Takes the wake-ups so far. The loop calls this first and looks into its queue then.
    pub(crate) fn acknowledge(&self) {
        let mut count = [0; 8];
        let read = retry_on_intr(|| rustix::io::read(&self.shared.descriptor, &mut count));
        debug_assert!(matches!(read, Ok(8) | Err(Errno::AGAIN)), "{read:?}");
        // After the read: a wake between the two would otherwise be read away while its flag
        // stays set, and no later one would write. A swap, to acquire what a wake released.
        self.shared.pending.swap(false, Ordering::AcqRel);
    }

    /// The descriptor to be registered for reading.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.shared.descriptor.as_fd()
    }
}
