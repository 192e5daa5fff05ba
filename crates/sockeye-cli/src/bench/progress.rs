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
        let style = ProgressStyle::with_template("{prefix:>9} {bar:24.green} {wide_msg}");
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
        let tally = &load.shared.tally;
        let course = &load.shared.course;
        let done = match load.fleet.planned() {
            0 => tally.completed,
            _ if course.phase() == Phase::Opening => load.fleet.opened() as u64,
            _ => tally.completed,
        };
        let (then, before) = self.last;
        let seconds = now.saturating_sub(then) as f64 / 1e9;
        self.last = (now, done);
        let (prefix, part) = match course.phase() {
            Phase::Opening => {
                let planned = load.fleet.planned().max(1);
                let settled = load.fleet.opened() + load.fleet.failed();
                ("opening", settled as f64 / planned as f64)
            }
            Phase::WarmUp => ("warm-up", 0.0),
            Phase::Measuring => {
                let by_count = load
                    .shared
                    .messages
                    .map(|all| tally.sent as f64 / all as f64);
                let by_time = course.progress(now);
                let part = by_count.into_iter().chain(by_time).fold(0.0, f64::max);
                ("measuring", part)
            }
            Phase::Draining => ("waiting", 1.0),
            Phase::Closing | Phase::Over => ("closing", 1.0),
        };
        let mut text = format!("{} open", count(load.fleet.open() as u64));
        if course.phase() == Phase::Measuring && seconds > 0.0 {
            let speed = rate(done.saturating_sub(before) as f64 / seconds);
            text = match load.fleet.planned() {
                0 => format!("{speed} connections/s"),
                _ => format!("{text}, {speed} messages/s"),
            };
            if !tally.latency.is_empty() {
                let at = |quantile| time(tally.latency.value_at_quantile(quantile) as f64);
                text.push_str(&format!(", 50 % {}, 99 % {}", at(0.5), at(0.99)));
            }
        }
        if tally.faults.total() > 0 {
            text.push_str(&format!(", {} errors", count(tally.faults.total())));
        }
        self.bar.set_prefix(prefix);
        self.bar.set_message(text);
        self.bar
            .set_position((part.clamp(0.0, 1.0) * STEPS as f64) as u64);
        self.bar.tick();
    }

    /// Takes it away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
