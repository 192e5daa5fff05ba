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
    use std::sync::atomic::AtomicUsize;
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
        const PRODUCERS: usize = 3;
        const MESSAGES: usize = 5_000;
        let waker = Waker::new().unwrap();
        let queue = Mutex::new(VecDeque::new());
        let taken = [const { AtomicUsize::new(0) }; PRODUCERS];
        let mut poller = watching(&waker);
        thread::scope(|scope| {
            for (producer, taken) in taken.iter().enumerate() {
                let (waker, queue) = (waker.clone(), &queue);
                scope.spawn(move || {
                    for message in 1..=MESSAGES {
                        queue.lock().unwrap().push_back(producer);
                        waker.wake();
                        // One at a time, so that the loop goes to sleep and is woken again and
                        // again.
                        while taken.load(Ordering::Acquire) < message {
                            thread::yield_now();
                        }
                    }
                });
            }
            let mut received = 0;
            while received < PRODUCERS * MESSAGES {
                if !is_ready(&mut poller, Duration::from_secs(20)) {
                    // Let the producers end, so that the failure is reported.
                    taken
                        .iter()
                        .for_each(|taken| taken.store(MESSAGES, Ordering::Release));
                    panic!("slept over a message, after {received}");
                }
                waker.acknowledge();
                while let Some(producer) = queue.lock().unwrap().pop_front() {
                    received += 1;
                    taken[producer].fetch_add(1, Ordering::AcqRel);
                }
            }
        });
    }

    #[test]
    fn a_wake_during_an_acknowledgement_is_kept_or_acknowledged() {
        const ROUNDS: usize = 60_000;
        let waker = Waker::new().unwrap();
        let mut poller = watching(&waker);
        let round = AtomicUsize::new(0);
        let woken = AtomicUsize::new(0);
        let wait_for = |counter: &AtomicUsize, value| {
            while counter.load(Ordering::Acquire) < value {
                thread::yield_now();
            }
        };
        let stuck = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=ROUNDS {
                    wait_for(&round, number);
                    // So that the two meet at ever other points.
                    for _ in 0..number % 256 {
                        std::hint::spin_loop();
                    }
                    waker.wake();
                    woken.store(number, Ordering::Release);
                }
            });
            let mut stuck = 0;
            for number in 1..=ROUNDS {
                round.store(number, Ordering::Release);
                waker.acknowledge();
                wait_for(&woken, number);
                // All is quiet now. A flag without a readable descriptor would keep all further
                // wakes from writing.
                let pending = waker.shared.pending.load(Ordering::Acquire);
                stuck += usize::from(pending && !is_ready(&mut poller, Duration::ZERO));
                waker.acknowledge();
            }
            stuck
        });
        assert_eq!(stuck, 0, "of {ROUNDS}");
    }
}
