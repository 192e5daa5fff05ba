//! A line at the terminal while a run is under way. Where standard error is none, nothing is said.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::clock::nanos;
use super::course::Phase;
use super::load::Load;
use super::unit::{count, rate, time};

/// How often it is drawn anew.
const PERIOD: Duration = Duration::from_millis(200);
/// Steps of the bar.
const STEPS: u64 = 1000;

#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    /// When it is drawn next.
    next: u64,
    /// When it was drawn last, and how much was done by then.
    last: (u64, u64),
}

impl Progress {
    /// `None`: nobody would see it.
    pub(super) fn new(is_wanted: bool) -> Option<Self> {
        if !is_wanted || !stderr().is_terminal() {
            return None;
        }
        // Drawn when told to, and not by a thread of its own, which would take time from the load.
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{bar:16.green} {wide_msg}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("━╸─"));
        }
        Some(Self {
            bar,
            next: 0,
            last: (0, 0),
        })
    }

    /// When it wants to be drawn.
    pub(super) fn due(&self) -> u64 {
        self.next
    }

    pub(super) fn draw(&mut self, load: &Load) {
        let now = load.now();
        if now < self.next {
            return;
        }
        self.next = now + nanos(PERIOD);
        let (tally, course) = (&load.shared.tally, &load.shared.course);
        let open = format!("{} open", count(load.fleet.open() as u64));
        let (mut text, part) = match course.phase() {
            Phase::Opening => {
                let settled = load.fleet.opened() + load.fleet.failed();
                let part = settled as f64 / load.fleet.planned().max(1) as f64;
                (format!("opening: {open}"), part)
            }
            Phase::WarmUp => (format!("warming up: {open}"), 0.0),
            Phase::Measuring => {
                let by_count = load
                    .shared
                    .messages
                    .map(|all| tally.sent as f64 / all as f64);
                let parts = by_count.into_iter().chain(course.progress(now));
                (self.speed(load, now), parts.fold(0.0, f64::max))
            }
            Phase::Draining => ("waiting for the last answers".to_owned(), 1.0),
            Phase::Closing | Phase::Over => ("closing".to_owned(), 1.0),
        };
        if tally.faults.total() > 0 {
            text.push_str(&format!(", {} errors", count(tally.faults.total())));
        }
        if course.phase() == Phase::Measuring && !tally.latency.is_empty() {
            let at = |quantile| time(tally.latency.value_at_quantile(quantile) as f64);
            text.push_str(&format!(", 50 % {}, 99 % {}", at(0.5), at(0.99)));
        }
        let position = part.clamp(0.0, 1.0) * STEPS as f64;
        self.bar.set_position(position as u64);
        self.bar.set_message(text);
    }

    /// What was done since it was asked last.
    fn speed(&mut self, load: &Load, now: u64) -> String {
        let tally = &load.shared.tally;
        let begin = load.shared.course.begin().unwrap_or_default();
        let (then, before) = self.last.max((begin, 0));
        self.last = (now, tally.completed);
        let seconds = now.saturating_sub(then).max(1) as f64 / 1e9;
        let speed = rate((tally.completed - before) as f64 / seconds);
        match (load.is_idle(), load.fleet.planned()) {
            (true, _) => format!("holding: {} open", count(load.fleet.open() as u64)),
            (_, 0) => format!("{speed} connections/s"),
            _ => format!("{speed} messages/s"),
        }
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
