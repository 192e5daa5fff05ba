//! The phases of a run: when the load begins, from when to when it counts, and when all is over.
//!
//! ```text
//! Opening ──▶ WarmUp ──▶ Measuring ──▶ Draining ──▶ Closing ──▶ Over
//! ```
//! Knows times and nothing else. What is sent counts if the time at which it was meant to be sent lies
//! in the window `begin..end`, whenever it comes back.

use std::time::Duration;

use super::clock::nanos;
use super::plan::Plan;

/// How long the server may take to answer our Close.
const CLOSE: Duration = Duration::from_secs(3);
/// How long answers are waited for when somebody wants to see an end.
const HASTE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Connections are being opened.
    Opening,
    /// Under load, but nothing counts.
    WarmUp,
    Measuring,
    /// Nothing new becomes due; answers are waited for.
    Draining,
    /// All is known; connections are being closed.
    Closing,
    Over,
}

#[derive(Debug)]
pub(super) struct Course {
    phase: Phase,
    duration: Option<u64>,
    warm_up: u64,
    wait: u64,
    begin: Option<u64>,
    end: Option<u64>,
    /// When the present phase ends at the latest.
    until: Option<u64>,
    interrupted: bool,
}

impl Course {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            phase: Phase::Opening,
            duration: plan.duration.map(nanos),
            warm_up: nanos(plan.warm_up),
            wait: nanos(plan.wait),
            begin: None,
            end: None,
            until: None,
            interrupted: false,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// When counting begins, once that is known.
    pub(super) fn begin(&self) -> Option<u64> {
        self.begin
    }

    /// When counting ends, once that is known.
    pub(super) fn end(&self) -> Option<u64> {
        self.end
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted
    }

    /// When the phase ends at the latest, if it has a time.
    pub(super) fn until(&self) -> Option<u64> {
        self.until
    }

    /// Whether what is meant to be sent at this time counts.
    pub(super) fn counts(&self, time: u64) -> bool {
        self.begin.is_some_and(|begin| begin <= time) && self.end.is_none_or(|end| time < end)
    }

    /// How much of the measuring is done, from 0 to 1, if a time was set.
    pub(super) fn progress(&self, now: u64) -> Option<f64> {
        let (begin, duration) = self.begin.zip(self.duration)?;
        let done = now.saturating_sub(begin) as f64 / duration.max(1) as f64;
        Some(done.min(1.0))
    }

    /// Everybody is there: the load begins if it has not yet.
    pub(super) fn load(&mut self, now: u64) {
        if self.phase != Phase::Opening {
            return;
        }
        let begin = now.saturating_add(self.warm_up);
        self.phase = Phase::WarmUp;
        self.begin = Some(begin);
        self.end = self.duration.map(|duration| begin.saturating_add(duration));
        self.until = Some(begin);
    }

    /// Goes on to measuring when it is time; says whether it did.
    pub(super) fn begins(&mut self, now: u64) -> bool {
        let begins = self.phase == Phase::WarmUp && self.begin.is_some_and(|begin| begin <= now);
        if begins {
            self.phase = Phase::Measuring;
            self.until = self.end;
        }
        begins
    }

    /// Whether the time for measuring is over.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.phase == Phase::Measuring && self.end.is_some_and(|end| end <= now)
    }

    /// Measuring ends: at its time, or at this one if that is earlier.
    pub(super) fn drain(&mut self, now: u64) {
        if self.phase < Phase::Draining {
            self.phase = Phase::Draining;
            self.end = Some(self.end.map_or(now, |end| end.min(now)));
            self.until = Some(now.saturating_add(self.wait));
        }
    }

    /// The present phase ends as soon as it is looked at.
    pub(super) fn stop_waiting(&mut self, now: u64) {
        self.until = Some(now);
    }

    /// What is not there by now is not waited for.
    pub(super) fn close(&mut self, now: u64) {
        if self.phase < Phase::Closing {
            self.drain(now);
            self.phase = Phase::Closing;
            self.until = Some(now.saturating_add(nanos(CLOSE)));
        }
    }

    pub(super) fn finish(&mut self) {
        self.phase = Phase::Over;
        self.until = None;
    }

    /// Ends the present phase before its time.
    pub(super) fn interrupt(&mut self, now: u64) {
        self.interrupted = true;
        match self.phase {
            Phase::Opening | Phase::WarmUp | Phase::Draining => self.close(now),
            Phase::Measuring => {
                self.wait = self.wait.min(nanos(HASTE));
                self.drain(now);
            }
            Phase::Closing => self.finish(),
            Phase::Over => {}
        }
    }

    /// Whether anything was measured at all.
    pub(super) fn has_measured(&self) -> bool {
        match (self.begin, self.end) {
            (Some(begin), Some(end)) => begin < end,
            _ => false,
        }
    }

    /// How long it was counted.
    pub(super) fn window(&self) -> Duration {
        match (self.begin, self.end) {
            (Some(begin), Some(end)) => Duration::from_nanos(end.saturating_sub(begin)),
            _ => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(duration: Option<u64>) -> Course {
        Course {
            phase: Phase::Opening,
            duration,
            warm_up: 100,
            wait: 50,
            begin: None,
            end: None,
            until: None,
            interrupted: false,
        }
    }

    #[test]
    fn what_counts_lies_in_the_window() {
        let mut course = course(Some(1000));
        assert!(!course.counts(0) && !course.begins(0));
        course.load(10);
        assert_eq!((course.phase(), course.until()), (Phase::WarmUp, Some(110)));
        assert!(!course.begins(109) && course.begins(110) && !course.begins(111));
        let counted: Vec<u64> = [109, 110, 1109, 1110]
            .into_iter()
            .filter(|time| course.counts(*time))
            .collect();
        assert_eq!(counted, [110, 1109]);
        assert!(!course.is_due(1109) && course.is_due(1110));
        // Found out late: the window is what it was to be.
        course.drain(1200);
        assert_eq!(course.window(), Duration::from_nanos(1000));
        assert_eq!(
            (course.phase(), course.until()),
            (Phase::Draining, Some(1250))
        );
    }

    #[test]
    fn without_a_duration_the_last_answer_ends_the_window() {
        let mut course = course(None);
        course.load(0);
        assert!(course.begins(100) && !course.is_due(u64::MAX));
        course.drain(700);
        assert_eq!(course.window(), Duration::from_nanos(600));
    }

    #[test]
    fn each_interruption_ends_a_phase() {
        let mut measuring = course(Some(1000));
        measuring.load(0);
        assert!(measuring.begins(100));
        measuring.interrupt(300);
        assert!(measuring.has_measured() && measuring.is_interrupted());
        assert_eq!(measuring.window(), Duration::from_nanos(200));
        measuring.interrupt(310);
        assert_eq!(measuring.phase(), Phase::Closing);
        measuring.interrupt(320);
        assert_eq!(measuring.phase(), Phase::Over);

        let mut opening = course(Some(1000));
        opening.interrupt(5);
        assert_eq!(opening.phase(), Phase::Closing);
        assert!(!opening.has_measured());
    }
}
