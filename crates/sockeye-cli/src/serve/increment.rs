//! `/increment`: a counter of each connection, sent as text every 50 ms.
//!
//! The counter goes by time, not by what was sent: it neither drifts nor hurries after a pause.

use std::time::{Duration, Instant};

use sockeye::{Accepted, Bytes, Conn, Peer, Protocol, Reject, Request, Text};

const PERIOD: Duration = Duration::from_millis(50);
/// Bytes that may wait for a peer. Who does not even take numbers of a few bytes gets no more of
/// them, and is cut by the engine when it takes nothing for long.
const BACKLOG: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Increment;

#[derive(Debug)]
pub(super) struct Counter {
    value: u64,
    /// When the next value is due; set by `on_open`.
    due: Option<Instant>,
}

impl Counter {
    /// The next value, and how long to wait for the one behind it. Periods that were missed are
    /// left out, so that the rhythm stays.
    fn tick(&mut self, now: Instant) -> (u64, Duration) {
        let value = self.value;
        self.value = value.wrapping_add(1);
        let mut due = self.due.unwrap_or(now) + PERIOD;
        if due <= now {
            let missed = (now - due).as_nanos() / PERIOD.as_nanos() + 1;
            due += PERIOD * u32::try_from(missed).unwrap_or(u32::MAX);
        }
        self.due = Some(due);
        (value, due.saturating_duration_since(now))
    }

    fn receive(&mut self, message: &[u8]) {
        // With or without the end of the line: `sockeye connect` sends lines without.
        if matches!(message, b"reset\n" | b"reset") {
            self.value = 0;
        }
    }
}

impl Protocol for Increment {
    type Session = Counter;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<Counter>, Reject> {
        Ok(Accepted::new(Counter {
            value: 0,
            due: None,
        }))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, counter: &mut Counter) {
        counter.due = Some(conn.now() + PERIOD);
        conn.set_timeout(Some(PERIOD));
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, counter: &mut Counter) {
        let (value, wait) = counter.tick(conn.now());
        if conn.backlog() < BACKLOG {
            conn.send(&value.to_string());
        }
        conn.set_timeout(Some(wait));
    }

    fn on_text(&mut self, _: &mut Conn<'_>, counter: &mut Counter, text: Text<'_>) {
        counter.receive(text.as_bytes());
    }

    fn on_binary(&mut self, _: &mut Conn<'_>, counter: &mut Counter, data: Bytes<'_>) {
        counter.receive(&data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rhythm_does_not_drift() {
        let start = Instant::now();
        let late = Duration::from_millis(3);
        let mut counter = Counter {
            value: 0,
            due: Some(start + PERIOD),
        };
        for value in 0..100 {
            let now = start + PERIOD * (value + 1) + late;
            let (sent, wait) = counter.tick(now);
            assert_eq!((sent, wait), (u64::from(value), PERIOD - late));
        }
    }

    #[test]
    fn missed_periods_are_left_out() {
        let start = Instant::now();
        let mut counter = Counter {
            value: 0,
            due: Some(start),
        };
        let (_, wait) = counter.tick(start + PERIOD * 10 + PERIOD / 2);
        assert_eq!(wait, PERIOD / 2);
        let (_, wait) = counter.tick(start + PERIOD * 11);
        assert_eq!(wait, PERIOD);
    }

    #[test]
    fn only_reset_resets() {
        for (message, value) in [
            (&b"reset\n"[..], 0),
            (b"reset", 0),
            (b"reset\n\n", 7),
            (b"preset\n", 7),
            (b"", 7),
        ] {
            let mut counter = Counter {
                value: 7,
                due: None,
            };
            counter.receive(message);
            assert_eq!(counter.value, value, "{message:?}");
        }
    }
}
