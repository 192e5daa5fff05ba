//! When the messages of an open loop are due: a pure function of their numbers.
//!
//! Nothing is remembered of messages that are not sent yet. Whoever is held up sends later what was
//! due before, with the time at which it was due; so no stall is left out of what is measured, and
//! none makes memory grow. Times are nanoseconds on the clock of the run.

/// Message `k`, counted from 0, is due `k / rate` seconds after the start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    start: u64,
    /// Messages a second.
    rate: f64,
}

impl Schedule {
    pub(super) fn new(start: u64, rate: f64) -> Self {
        Self { start, rate }
    }

    /// When a message is due.
    pub(super) fn at(&self, number: u64) -> u64 {
        let offset = number as f64 * 1e9 / self.rate;
        self.start.saturating_add(offset as u64)
    }

    /// The first message that is due at this time or later.
    fn first_at(&self, time: u64) -> u64 {
        let elapsed = time.saturating_sub(self.start) as f64;
        let guess = (elapsed * self.rate / 1e9) as u64;
        // Rounding may be off by a few either way.
        let mut number = guess.saturating_sub(2);
        while self.at(number) < time {
            number += 1;
        }
        number
    }
}

/// The part of a schedule that one connection sends: every so-manieth message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    next: u64,
    stride: u64,
}

impl Share {
    /// That of connection `index` out of `count`, from the first message on that is not due before
    /// `now`.
    pub(super) fn new(schedule: &Schedule, index: usize, count: usize, now: u64) -> Self {
        let (index, stride) = (index as u64, count.max(1) as u64);
        let first = schedule.first_at(now);
        let rounds = first.saturating_sub(index).div_ceil(stride);
        Self {
            next: index + rounds * stride,
            stride,
        }
    }

    /// When its next message is due.
    pub(super) fn due(&self, schedule: &Schedule) -> u64 {
        schedule.at(self.next)
    }

    pub(super) fn advance(&mut self) {
        self.next += self.stride;
    }

    /// How many of its messages are due before this time and not sent.
    pub(super) fn unsent(&self, schedule: &Schedule, until: u64) -> u64 {
        schedule
            .first_at(until)
            .saturating_sub(self.next)
            .div_ceil(self.stride)
    }
}

/// Whose turn it is: goes through the schedule once, connection by connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turns {
    schedule: Schedule,
    next: u64,
    count: u64,
}

impl Turns {
    pub(super) fn new(schedule: Schedule, count: usize) -> Self {
        Self {
            schedule,
            next: 0,
            count: count.max(1) as u64,
        }
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The connection whose message is due, each message once.
    pub(super) fn take(&mut self, now: u64) -> Option<usize> {
        if self.schedule.at(self.next) > now {
            return None;
        }
        let turn = self.next % self.count;
        self.next += 1;
        usize::try_from(turn).ok()
    }

    /// When the next message is due.
    pub(super) fn due(&self) -> u64 {
        self.schedule.at(self.next)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const MILLI: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MILLI;

    #[test]
    fn messages_are_spread_evenly() {
        let schedule = Schedule::new(5, 1000.0);
        assert_eq!(
            [0, 1, 2].map(|k| schedule.at(k)),
            [5, 5 + MILLI, 5 + 2 * MILLI]
        );
        let odd = Schedule::new(0, 3.0);
        assert_eq!(odd.at(3), SECOND);
        // After a day at a million a second.
        let fast = Schedule::new(0, 1e6);
        assert_eq!(fast.at(86_400_000_000), 86_400 * SECOND);
    }

    #[test]
    fn shares_make_up_the_schedule() {
        for rate in [3.0, 1000.0, 7777.0] {
            let schedule = Schedule::new(17, rate);
            let mut all: Vec<u64> = Vec::new();
            for index in 0..7 {
                let mut share = Share::new(&schedule, index, 7, 17);
                for _ in 0..10 {
                    all.push(share.next);
                    share.advance();
                }
            }
            all.sort_unstable();
            assert_eq!(all, (0..70).collect::<Vec<u64>>());
        }
    }

    #[test]
    fn who_comes_late_begins_with_what_is_due_then() {
        let schedule = Schedule::new(0, 1000.0);
        let share = Share::new(&schedule, 3, 10, 25 * MILLI);
        assert_eq!(share.due(&schedule), 33 * MILLI);
        let on_the_dot = Share::new(&schedule, 3, 10, 33 * MILLI);
        assert_eq!(on_the_dot.due(&schedule), 33 * MILLI);
        let after = Share::new(&schedule, 3, 10, 33 * MILLI + 1);
        assert_eq!(after.due(&schedule), 43 * MILLI);
    }

    #[test]
    fn what_is_not_sent_is_counted() {
        let schedule = Schedule::new(0, 1000.0);
        let mut share = Share::new(&schedule, 0, 2, 0);
        // Due at 0, 2, 4, 6, 8.
        assert_eq!(share.unsent(&schedule, 10 * MILLI), 5);
        share.advance();
        assert_eq!(share.unsent(&schedule, 10 * MILLI), 4);
        assert_eq!(share.unsent(&schedule, 0), 0);
    }

    #[test]
    fn everybody_has_a_turn_for_each_message() {
        let mut turns = Turns::new(Schedule::new(0, 1000.0), 3);
        let mut taken = Vec::new();
        // Held up: all that is due is made up for at once.
        for now in [0, 0, 4 * MILLI] {
            while let Some(index) = turns.take(now) {
                taken.push(index);
            }
        }
        assert_eq!(taken, [0, 1, 2, 0, 1]);
        assert_eq!(turns.due(), 5 * MILLI);
    }

    /// One connection on which one message may be in flight, to a server that answers at once but
    /// for a stall; in simulated time.
    fn latencies(rate: f64, stall: std::ops::Range<u64>, end: u64) -> Vec<u64> {
        let schedule = Schedule::new(0, rate);
        let mut share = Share::new(&schedule, 0, 1, 0);
        let mut flights: VecDeque<u64> = VecDeque::new();
        let mut latencies = Vec::new();
        let mut now = 0;
        while now < end {
            if !stall.contains(&now) {
                latencies.extend(flights.drain(..).map(|due| now - due));
            }
            // Beyond the one in flight, nothing is kept: the share knows what is due.
            while flights.is_empty() && share.due(&schedule) <= now {
                flights.push_back(share.due(&schedule));
                share.advance();
                if !stall.contains(&now) {
                    latencies.extend(flights.drain(..).map(|due| now - due));
                }
            }
            now += MILLI;
        }
        latencies
    }

    #[test]
    fn a_stall_counts_for_every_message_that_it_holds_up() {
        let stall = 500 * MILLI..600 * MILLI;
        let mut latencies = latencies(1000.0, stall, SECOND);
        assert_eq!(latencies.len(), 1000);
        latencies.sort_unstable();
        // A closed loop would have seen one slow message.
        assert_eq!(latencies[..900], vec![0; 900]);
        let held: Vec<u64> = (1..=100).map(|millis| millis * MILLI).collect();
        assert_eq!(latencies[900..], held);
    }
}
