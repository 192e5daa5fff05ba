//! One direction of a simulated connection: bytes on their way, and the end behind them.
//!
//! Knows bytes and instants; knows nothing of engines and connections.

use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug)]
pub(super) struct Pipe {
    /// Bytes that have arrived and were not read.
    arrived: VecDeque<u8>,
    /// Bytes under way, and when they arrive; in order.
    flight: VecDeque<(Instant, Vec<u8>)>,
    /// When the end of the stream arrives, once the writer has ended it.
    end: Option<Instant>,
    /// Whether the reader has seen the end.
    pub(super) end_seen: bool,
    /// Nobody reads any more.
    pub(super) abandoned: bool,
}

impl Pipe {
    pub(super) fn new() -> Self {
        Self {
            arrived: VecDeque::new(),
            flight: VecDeque::new(),
            end: None,
            end_seen: false,
            abandoned: false,
        }
    }

    /// Bytes written and not read.
    pub(super) fn len(&self) -> usize {
        let under_way: usize = self.flight.iter().map(|(_, bytes)| bytes.len()).sum();
        self.arrived.len() + under_way
    }

    pub(super) fn write(&mut self, bytes: &[u8], now: Instant, arrives: Instant) {
        if self.abandoned || bytes.is_empty() {
            return;
        }
        if arrives <= now && self.flight.is_empty() {
            self.arrived.extend(bytes);
        } else {
            self.flight.push_back((arrives, bytes.to_vec()));
        }
    }

    /// The writer will write no more.
    pub(super) fn finish(&mut self, arrives: Instant) {
        self.end.get_or_insert(arrives);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.end.is_some()
    }

    /// Lets arrive what is due.
    pub(super) fn deliver(&mut self, now: Instant) {
        while let Some((arrives, _)) = self.flight.front()
            && *arrives <= now
            && let Some((_, bytes)) = self.flight.pop_front()
        {
            self.arrived.extend(bytes);
        }
    }

    /// Whether the end of the stream is all that is left.
    pub(super) fn is_at_end(&self, now: Instant) -> bool {
        self.arrived.is_empty() && self.flight.is_empty() && self.end.is_some_and(|end| end <= now)
    }

    pub(super) fn is_readable(&self, now: Instant) -> bool {
        !self.arrived.is_empty() || self.is_at_end(now)
    }

    /// Whether nothing more will come, read or not.
    pub(super) fn is_ended(&self, now: Instant) -> bool {
        self.flight.is_empty() && self.end.is_some_and(|end| end <= now)
    }

    /// Takes bytes that have arrived.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let len = buffer.len().min(self.arrived.len());
        for (to, from) in buffer.iter_mut().zip(self.arrived.drain(..len)) {
            *to = from;
        }
        len
    }

    /// Takes all bytes that have arrived.
    pub(super) fn read_all(&mut self, into: &mut Vec<u8>) -> usize {
        let len = self.arrived.len();
        into.extend(self.arrived.drain(..));
        len
    }

    /// The reader is gone: what is under way is lost.
    pub(super) fn abandon(&mut self) {
        self.abandoned = true;
        self.arrived = VecDeque::new();
        self.flight.clear();
    }

    /// The next time that something arrives.
    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let bytes = self.flight.front().map(|(arrives, _)| *arrives);
        let end = self.end.filter(|end| *end > now);
        [bytes, end].into_iter().flatten().min()
    }
}
