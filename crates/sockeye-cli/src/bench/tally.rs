//! What is counted while a run is under way. Its size does not depend on how much that is.

use hdrhistogram::Histogram;

use super::course::Course;
use super::fault::{Fault, Faults};
use crate::failure::Failure;

/// The longest time that histograms tell apart, in nanoseconds: an hour.
const LONGEST: u64 = 3_600_000_000_000;
/// Decimal digits to which they are exact.
const DIGITS: u8 = 3;
/// From when on a message is sent late, in nanoseconds.
pub(super) const LATE: u64 = 1_000_000;

#[derive(Debug)]
pub(super) struct Tally {
    /// Messages sent, or connections begun, that count.
    pub(super) sent: u64,
    /// Answers that those are to have.
    pub(super) expected: u64,
    /// Answers that came and were right.
    pub(super) received: u64,
    /// Answers that came within the window, whenever they were sent for.
    pub(super) completed: u64,
    /// Their payload in bytes.
    pub(super) payload: u64,
    /// From when a message was meant to be sent until it was back, in nanoseconds.
    pub(super) latency: Histogram<u64>,
    /// From connecting until the connection was open, in nanoseconds.
    pub(super) opening: Histogram<u64>,
    /// When the last answer came.
    pub(super) heard: Option<u64>,
    pub(super) faults: Faults,
    /// Messages that were sent late because this side was busy.
    pub(super) late: u64,
    /// By how much at most.
    pub(super) latest: u64,
    /// Messages that were sent late because the server took or answered no more.
    pub(super) held: u64,
}

impl Tally {
    pub(super) fn new() -> Result<Self, Failure> {
        let histogram = || {
            Histogram::new_with_bounds(1, LONGEST, DIGITS)
                .map_err(|_| Failure::Options("there is no histogram of that size"))
        };
        Ok(Self {
            sent: 0,
            expected: 0,
            received: 0,
            completed: 0,
            payload: 0,
            latency: histogram()?,
            opening: histogram()?,
            heard: None,
            faults: Faults::default(),
            late: 0,
            latest: 0,
            held: 0,
        })
    }

    /// A message goes out that was due then; `held`: the server kept it from going out in time.
    pub(super) fn send(&mut self, course: &Course, due: u64, now: u64, held: bool, answers: u64) {
        if !course.counts(due) {
            return;
        }
        self.sent += 1;
        self.expected += answers;
        let lag = now.saturating_sub(due);
        if lag >= LATE && held {
            self.held += 1;
        } else if lag >= LATE {
            self.late += 1;
            self.latest = self.latest.max(lag);
        }
    }

    /// What was due then has come back, of this size, and right.
    pub(super) fn complete(&mut self, course: &Course, due: u64, now: u64, len: usize) {
        self.heard = Some(now);
        if course.counts(due) {
            self.received += 1;
            self.latency.saturating_record(now.saturating_sub(due));
        }
        if course.counts(now) {
            self.completed += 1;
            self.payload += len as u64;
        }
    }

    /// Something has come that is not right.
    pub(super) fn fail(&mut self, now: u64, fault: Fault, text: impl std::fmt::Display) {
        self.heard = Some(now);
        self.faults.add(fault, text);
    }
}
