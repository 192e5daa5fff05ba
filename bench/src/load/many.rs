//! Opens many connections to a server at the same time, and ends them at once.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt;

use crate::failure::Failure;
use crate::link::{Buffers, Link};

/// How long opening all of them may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many are opened at the same time: one by one, each would wait for the scheduler twice.
const AT_ONCE: usize = 16;
const BUFFER_LEN: usize = 16 * 1024;

/// So many of what `one` opens.
pub(crate) fn opened(
    one: &(impl Fn(&mut Buffers) -> Result<Link, Failure> + Sync),
    count: usize,
) -> Result<Vec<Link>, Failure> {
    let deadline = Instant::now() + PATIENCE;
    let left = AtomicUsize::new(count);
    let take = || {
        let step = |left: usize| left.checked_sub(1);
        let outcome = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step);
        outcome.is_ok()
    };
    let some = || {
        let mut buffers = Buffers::new(BUFFER_LEN);
        let mut links = Vec::new();
        while take() {
            links.push(one(&mut buffers)?);
            if Instant::now() > deadline {
                return Err(Failure::Late("opening the connections"));
            }
        }
        Ok(links)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE.min(count)).map(|_| scope.spawn(some)).collect();
        let mut links = Vec::new();
        for thread in threads {
            links.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        }
        Ok(links)
    })
}

/// Lets connections end without a trace when they are dropped: thousands that wait out their time
/// would be in the way of the next measurement.
pub(crate) fn abort<'l>(links: impl IntoIterator<Item = &'l Link>) -> Result<(), Failure> {
    for link in links {
        sockopt::set_socket_linger(link.stream(), Some(Duration::ZERO))
            .map_err(|errno| Failure::Io("set up a socket", errno.into()))?;
    }
    Ok(())
}
