//! Wakes a loop that waits in its poller, from any thread.
//!
//! It carries no message: whoever wakes has put one into a queue before, and the loop looks into
//! the queue after it has acknowledged. Any number of wakes before an acknowledgement cost one
//! write.
//!
//! Invariant: while `pending` is set, the descriptor is readable, or the thread that set it is about
//! to write, or the loop is within `acknowledge`. In each case the loop comes to look into the
//! queue after the wake, and then sees what was queued before it.

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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;
    use std::thread;
    use std::time::Duration;

    use super::*;
    use crate::poll::{Interest, Poller, Portable, Registrar, Token};

    fn watching(waker: &Waker) -> Portable {
        let mut poller = Portable::new();
        poller.add(waker.fd(), Token(1), Interest::READ).unwrap();
        poller
    }

    fn is_ready(poller: &mut Portable, timeout: Duration) -> bool {
        let mut ready = Vec::new();
        poller.wait(&mut ready, Some(timeout)).unwrap();
        !ready.is_empty()
    }

    #[test]
    fn many_wakes_are_one_until_acknowledged() {
        let waker = Waker::new().unwrap();
        let mut poller = watching(&waker);
        assert!(!is_ready(&mut poller, Duration::ZERO));
        for _ in 0..3 {
            waker.clone().wake();
        }
        assert!(is_ready(&mut poller, Duration::ZERO));
        let mut count = [0; 8];
        rustix::io::read(waker.fd(), &mut count).unwrap();
        assert_eq!(u64::from_ne_bytes(count), 1, "one write for three wakes");
        waker.acknowledge();
        assert!(!is_ready(&mut poller, Duration::ZERO));
        waker.wake();
        assert!(is_ready(&mut poller, Duration::ZERO));
        waker.acknowledge();
        waker.acknowledge();
        assert!(!is_ready(&mut poller, Duration::ZERO));
    }

    #[test]
    fn no_wake_is_lost_between_threads() {
        const PRODUCERS: u32 = 4;
        const MESSAGES: u32 = 20_000;
        let waker = Waker::new().unwrap();
        let queue = Mutex::new(VecDeque::new());
        let mut poller = watching(&waker);
        thread::scope(|scope| {
            for _ in 0..PRODUCERS {
                scope.spawn(|| {
                    for message in 0..MESSAGES {
                        queue.lock().unwrap().push_back(message);
                        waker.wake();
                    }
                });
            }
            let mut received = 0;
            while received < PRODUCERS * MESSAGES {
                assert!(
                    is_ready(&mut poller, Duration::from_secs(20)),
                    "slept over a message"
                );
                waker.acknowledge();
                while queue.lock().unwrap().pop_front().is_some() {
                    received += 1;
                }
            }
        });
    }
}
