//! Name resolution off the loop.
//!
//! The system's resolver blocks, so a few threads do it: started when there is work, at most
//! [`THREAD_COUNT`], and gone after [`IDLE_TIME`] without any. It knows no loop: the answer is
//! given to a closure, on one of those threads.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

const THREAD_COUNT: usize = 4;
const IDLE_TIME: Duration = Duration::from_secs(10);

/// The addresses of a host in the order to try them (RFC 6724), never empty.
pub(crate) type Answer = io::Result<Vec<SocketAddr>>;

/// Dropping it forgets what is queued; lookups that have begun still give their answers.
pub(crate) struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    idle_time: Duration,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    thread_count: usize,
    idle_count: usize,
    ended: bool,
}

struct Job {
    host: String,
    port: u16,
    answer: Box<dyn FnOnce(Answer) + Send>,
}

impl Resolver {
    /// Costs nothing until the first name is to be resolved.
    pub(crate) fn new() -> Self {
        Self::with_idle_time(IDLE_TIME)
    }

    fn with_idle_time(idle_time: Duration) -> Self {
        let state = Mutex::default();
        Self {
            shared: Arc::new(Shared {
                idle_time,
                state,
                work: Condvar::new(),
            }),
        }
    }

    /// Looks up `host` and calls `answer` exactly once, unless the resolver is dropped before its
    /// turn comes. Literal addresses (IPv6 with or without brackets) are answered at once, on
    /// this thread, and so is a failure to start the first thread.
    ///
    /// The queue has no bound of its own: whoever connects has counted the connection already.
    pub(crate) fn resolve(
        &self,
        host: &str,
        port: u16,
        answer: impl FnOnce(Answer) + Send + 'static,
    ) {
        let literal = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if let Ok(ip) = literal.unwrap_or(host).parse::<IpAddr>() {
            return answer(Ok(vec![SocketAddr::new(ip, port)]));
        }
        let mut state = self.shared.lock();
        state.queue.push_back(Job {
            host: host.to_owned(),
            port,
            answer: Box::new(answer),
        });
        if state.idle_count >= state.queue.len() || state.thread_count >= THREAD_COUNT {
            drop(state);
            self.shared.work.notify_one();
            return;
        }
        state.thread_count += 1;
        let shared = Arc::clone(&self.shared);
        let builder = thread::Builder::new().name("resolver".to_owned());
        if let Err(error) = builder.spawn(move || shared.serve()) {
            state.thread_count -= 1;
            // Another thread will come to it; if there is none, nobody ever would.
            if state.thread_count == 0
                && let Some(job) = state.queue.pop_back()
            {
                drop(state);
                (job.answer)(Err(error));
            }
        }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.ended = true;
        let forgotten = std::mem::take(&mut state.queue);
        drop(state);
        self.shared.work.notify_all();
        // Not under the lock: a closure may own anything.
        drop(forgotten);
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        f.debug_struct("Resolver")
            .field("queued", &state.queue.len())
            .field("threads", &state.thread_count)
            .finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under the lock, so the state behind a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each thread does.
    fn serve(&self) {
        while let Some(Job { host, port, answer }) = self.next() {
            // A panic in the caller's closure has been reported by the hook, and is no reason to
            // lose a thread that the count relies on.
            let _ = catch_unwind(AssertUnwindSafe(|| answer(lookup(&host, port))));
        }
    }

    /// The next job. `None` after a while without one: the thread is counted out already, under
    /// the same lock under which the queue was seen empty, so that no job is left to it.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        state.idle_count += 1;
        let (mut state, _) = self
            .work
            .wait_timeout_while(state, self.idle_time, |state| {
                state.queue.is_empty() && !state.ended
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.idle_count -= 1;
        let job = state.queue.pop_front();
        if job.is_none() {
            state.thread_count -= 1;
        }
        job
    }
}

fn lookup(host: &str, port: u16) -> Answer {
    let mut addresses = Vec::new();
    for address in (host, port).to_socket_addrs()? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn ask(resolver: &Resolver, host: &str) -> Receiver<Answer> {
        let (sender, receiver) = channel();
        resolver.resolve(host, 80, move |answer| {
            let _ = sender.send(answer);
        });
        receiver
    }

    fn thread_count(resolver: &Resolver) -> usize {
        resolver.shared.lock().thread_count
    }

    #[test]
    fn literal_addresses_need_no_thread() {
        let resolver = Resolver::new();
        for (host, address) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("::1", "[::1]:80"),
            ("[::1]", "[::1]:80"),
        ] {
            let answer = ask(&resolver, host).try_recv().unwrap().unwrap();
            assert_eq!(answer, [address.parse().unwrap()]);
        }
        assert_eq!(thread_count(&resolver), 0);
    }

    #[test]
    fn names_are_answered_from_a_thread() {
        let resolver = Resolver::new();
        let answer = ask(&resolver, "localhost")
            .recv_timeout(LONG)
            .unwrap()
            .unwrap();
        assert!(!answer.is_empty());
        assert!(
            answer
                .iter()
                .all(|it| it.ip().is_loopback() && it.port() == 80),
            "{answer:?}"
        );
        let twice = (1..answer.len()).find(|at| answer[..*at].contains(&answer[*at]));
        assert_eq!(twice, None, "{answer:?}");
    }

    #[test]
    fn what_is_no_name_is_an_error() {
        let resolver = Resolver::new();
        for host in ["", "a..b", "nul\0", "[::1"] {
            assert!(
                ask(&resolver, host).recv_timeout(LONG).unwrap().is_err(),
                "{host:?}"
            );
        }
    }

    #[test]
    fn threads_are_few_and_every_question_is_answered() {
        let resolver = Resolver::new();
        let gate = Arc::new(Barrier::new(THREAD_COUNT + 1));
        let (sender, receiver) = channel();
        let running = Arc::new(AtomicUsize::new(0));
        for number in 0..THREAD_COUNT * 10 {
            let (sender, gate, running) = (sender.clone(), gate.clone(), running.clone());
            resolver.resolve("localhost", 80, move |_| {
                let count = running.fetch_add(1, Ordering::SeqCst) + 1;
                // The first ones meet here, so that all threads are busy at once.
                if number < THREAD_COUNT {
                    gate.wait();
                }
                running.fetch_sub(1, Ordering::SeqCst);
                let _ = sender.send(count);
            });
        }
        assert_eq!(thread_count(&resolver), THREAD_COUNT);
        gate.wait();
        for _ in 0..THREAD_COUNT * 10 {
            assert!(receiver.recv_timeout(LONG).unwrap() <= THREAD_COUNT);
        }
    }

    #[test]
    fn a_panicking_answer_costs_no_thread() {
        let resolver = Resolver::new();
        for _ in 0..THREAD_COUNT * 2 {
            resolver.resolve("localhost", 80, |_| panic!("expected by the test"));
        }
        assert!(
            ask(&resolver, "localhost")
                .recv_timeout(LONG)
                .unwrap()
                .is_ok()
        );
    }

    #[test]
    fn idle_threads_end_and_new_ones_begin() {
        let resolver = Resolver::with_idle_time(Duration::ZERO);
        for _ in 0..200 {
            ask(&resolver, "localhost")
                .recv_timeout(LONG)
                .unwrap()
                .unwrap();
        }
        while thread_count(&resolver) > 0 {
            thread::yield_now();
        }
        ask(&resolver, "localhost")
            .recv_timeout(LONG)
            .unwrap()
            .unwrap();
    }

    #[test]
    fn dropping_it_forgets_the_queue() {
        let resolver = Resolver::new();
        let gate = Arc::new(Barrier::new(THREAD_COUNT + 1));
        let (sender, receiver) = channel();
        for _ in 0..THREAD_COUNT {
            let (sender, gate) = (sender.clone(), gate.clone());
            resolver.resolve("localhost", 80, move |_| {
                let _ = sender.send("begun");
                gate.wait();
            });
        }
        for _ in 0..THREAD_COUNT {
            assert_eq!(receiver.recv_timeout(LONG), Ok("begun"));
        }
        resolver.resolve("localhost", 80, move |_| {
            let _ = sender.send("queued");
        });
        drop(resolver);
        gate.wait();
        // Ends when the last sender is gone: nothing is left to call.
        assert_eq!(
            receiver.recv_timeout(LONG),
            Err(RecvTimeoutError::Disconnected)
        );
    }
}
