//! An open loop: messages are due at a steady rate, whatever the server does, and the time of each
//! counts from when it was due. A server that stalls so cannot slow down who measures it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags};

use crate::client::{self, Client, pump};
use crate::failure::Failure;
use crate::link::Buffers;
use crate::many;
use crate::opening::Opener;
use crate::script::Script;
use crate::watch::Watch;
use crate::{Latency, LatencyArgs, Outcome};
use crate::{deflate::Deflate, frame::Kind};

const BUFFER_LEN: usize = 256 * 1024;
/// How late an echo may be.
const PATIENCE: Duration = Duration::from_secs(5);

/// When messages are due: one after the other on connections that take turns.
#[derive(Debug)]
struct Schedule {
    begin: Instant,
    rate: u32,
    /// Messages that were due so far.
    sent: u64,
}

impl Schedule {
    fn next(&self) -> Instant {
        self.begin + Duration::from_nanos(self.sent * 1_000_000_000 / u64::from(self.rate))
    }

    /// When the next message was due, if it is.
    fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next();
        (due <= now).then(|| {
            self.sent += 1;
            due
        })
    }
}

pub(crate) fn run(args: &LatencyArgs) -> Result<Outcome, Failure> {
    let watch = Watch::new(args.server.watch)?;
    let opener = Opener::new(&args.server.url, Deflate::Off)?;
    let script = Script::new(Kind::Binary, args.size, Deflate::Off);
    let mut buffers = Buffers::new(BUFFER_LEN);
    let poll =
        epoll::create(CreateFlags::CLOEXEC).map_err(|errno| Failure::Io("poll", errno.into()))?;
    let links = many::opened(&|buffers| opener.open(buffers), args.connections)?;
    let mut clients: Vec<Client> = links
        .into_iter()
        .map(|link| Client::new(link, &script, 0, 0))
        .collect();
    client::watched(&clients, &poll)?;
    // Of each connection, when the messages that have not come back were due.
    let mut due = vec![VecDeque::new(); clients.len()];

    let most = PATIENCE.as_nanos() as u64;
    let mut histogram =
        Histogram::<u64>::new_with_max(most, 3).map_err(|_| Failure::Late("counting"))?;
    let mut events = Vec::with_capacity(1024);
    let mut count = 0;
    let mut start = None;
    let mut schedule = Schedule {
        begin: Instant::now(),
        rate: args.rate.max(1),
        sent: 0,
    };
    let begin = schedule.begin + args.window.warmup();
    loop {
        let now = Instant::now();
        match &start {
            None if now >= begin => start = Some(watch.snapshot(count)?),
            Some(start) if now >= start.at() + args.window.length() => {
                let mut outcome = start.until(&watch.snapshot(count)?);
                let micros = |part| histogram.value_at_quantile(part) as f64 / 1e3;
                outcome.latency = Some(Latency {
                    p50: micros(0.5),
                    p90: micros(0.9),
                    p99: micros(0.99),
                    p999: micros(0.999),
                });
                many::abort(clients.iter().map(|it| &it.link))?;
                return Ok(outcome);
            }
            _ => {}
        }
        while let Some(at) = schedule.take(now) {
            if now > at + PATIENCE {
                return Err(Failure::Late("sending"));
            }
            let index = (schedule.sent - 1) as usize % clients.len();
            due[index].push_back(at);
            clients[index].due += 1;
            pump(&mut clients, index, &script, &poll)?;
        }
        let wait = schedule.next().saturating_duration_since(Instant::now());
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait.min(Duration::from_millis(50)).subsec_nanos().into(),
        };
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), Some(&wait)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(Failure::Io("poll", errno.into())),
        }
        for event in &events {
            let index = event.data.u64() as usize;
            let complete = clients[index].serve(&script, &mut buffers)?;
            let now = Instant::now();
            count += complete as u64;
            for at in due[index].drain(..complete) {
                let late = now - at;
                if late > PATIENCE {
                    return Err(Failure::Late("an echo"));
                }
                if start.is_some() {
                    histogram.saturating_record(late.as_nanos() as u64);
                }
            }
            pump(&mut clients, index, &script, &poll)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_stays_due() {
        let begin = Instant::now();
        let mut schedule = Schedule {
            begin,
            rate: 1000,
            sent: 0,
        };
        assert_eq!(schedule.take(begin), Some(begin));
        assert_eq!(schedule.take(begin), None);
        // After a stall all of them count from when they were due.
        let later = begin + Duration::from_millis(3);
        for millis in 1..=3 {
            let due = begin + Duration::from_millis(millis);
            assert_eq!(schedule.take(later), Some(due));
        }
        assert_eq!(schedule.take(later), None);
        assert_eq!(schedule.next(), begin + Duration::from_millis(4));
    }
}
