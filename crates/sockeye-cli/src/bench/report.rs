//! What a run found, as values: the fields of `--json`, out of which the text is made too.
//!
//! Every name ends in its unit, numbers are not rounded. A field that makes no sense in a mode is
//! `null`.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::Load;
use super::plan::{Mode, Pace, Plan};
use super::tally::LATE;
use crate::args::Deflate;

/// Part of a core from which on this side is taken for the bottleneck.
const BUSY: f64 = 0.95;
/// Part of the messages that may be sent late before it is.
const MANY_LATE: f64 = 0.01;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) version: &'static str,
    pub(super) url: String,
    /// `echo`, `broadcast`, `connect` or `idle`.
    pub(super) mode: &'static str,
    pub(super) load: Demand,
    /// Whether it was ended by hand.
    pub(super) interrupted: bool,
    /// How long it counted.
    pub(super) measured_s: f64,
    pub(super) connections: Connections,
    /// `null` with `connect` and `idle`.
    pub(super) messages: Option<Messages>,
    /// Of messages: from when they were meant to be sent until they were back. Of `connect`: from
    /// connecting until both had said goodbye.
    pub(super) latency_us: Option<Times>,
    /// `null` in a closed loop.
    pub(super) open_loop: Option<OpenLoop>,
    pub(super) errors: Errors,
    pub(super) generator: Generator,
    /// The watched process; `null` without one.
    pub(super) server: Option<Server>,
}

/// What was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Demand {
    pub(super) connections: Option<usize>,
    pub(super) concurrency: usize,
    pub(super) size: Option<String>,
    /// `text` or `binary`.
    pub(super) kind: Option<&'static str>,
    pub(super) pipeline: Option<usize>,
    pub(super) rate_per_s: Option<f64>,
    pub(super) senders: Option<usize>,
    /// What was offered: `off`, `on` or `takeover`.
    pub(super) deflate: &'static str,
    /// Whether the server agreed.
    pub(super) deflate_agreed: bool,
    pub(super) subprotocol: Option<String>,
    pub(super) warm_up_s: f64,
    pub(super) ramp_up_s: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Connections {
    /// With `connect`: those that were opened and closed within the time.
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) lost: u64,
    /// Until the last one was open; `null` with `connect`.
    pub(super) opening_took_s: Option<f64>,
    pub(super) per_s: Option<f64>,
    /// From connecting until it was open.
    pub(super) open_us: Option<Times>,
}

#[derive(Debug, Serialize)]
pub(super) struct Messages {
    pub(super) sent: u64,
    /// How often they were to come; more than `sent` if many receive each.
    pub(super) expected: u64,
    /// How often they came as they were sent.
    pub(super) received: u64,
    /// Those that came within the time, per second.
    pub(super) per_s: f64,
    /// Their payload.
    pub(super) payload_bytes_per_s: f64,
}

/// A distribution of times.
#[derive(Debug, Serialize)]
pub(super) struct Times {
    pub(super) count: u64,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) stdev: f64,
    pub(super) p50: f64,
    pub(super) p75: f64,
    pub(super) p90: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) p99_99: f64,
    pub(super) max: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct OpenLoop {
    /// What was sent at least 1 ms late because this side was busy.
    pub(super) late: u64,
    pub(super) latest_us: f64,
    /// What was sent late because the server took or answered no more.
    pub(super) held_back: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Errors {
    pub(super) total: u64,
    /// How many of each kind; kinds that did not occur are left out.
    pub(super) kinds: BTreeMap<&'static str, u64>,
    /// The kinds in words, in the plural.
    #[serde(skip)]
    pub(super) words: BTreeMap<&'static str, String>,
    /// What happened to connections, and the first message of each kind.
    pub(super) details: Vec<Detail>,
}

#[derive(Debug, Serialize)]
pub(super) struct Detail {
    pub(super) kind: &'static str,
    pub(super) text: String,
    pub(super) count: u64,
}

/// What this side spent within the time.
#[derive(Debug, Serialize)]
pub(super) struct Generator {
    pub(super) cpu_user_s: f64,
    pub(super) cpu_kernel_s: f64,
    /// 1 is a whole core.
    pub(super) cpu_of_core: f64,
    /// How long it had something to do, but got no core.
    pub(super) waited_for_core_s: f64,
    /// Over how long all this was measured.
    pub(super) span_s: f64,
    /// Why it was the bottleneck: `cpu` (it worked all the time), `starved` (it would have, but got no
    /// core) or `late` (it sent too late); `null` if it was not.
    pub(super) bottleneck: Option<&'static str>,
}

/// What the watched process spent within the time.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    pub(super) pid: u32,
    pub(super) cpu_s: f64,
    /// 1 is a whole core.
    pub(super) cpu_of_core: f64,
    /// For each message, delivery, or connection opened and closed.
    pub(super) cpu_us_each: Option<f64>,
    /// Memory in use at the end.
    pub(super) resident_bytes: Option<u64>,
    /// By how much it grew since nobody was connected, for each connection.
    pub(super) grown_bytes_per_connection: Option<f64>,
}

impl Times {
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        (!histogram.is_empty()).then(|| Self {
            count: histogram.len(),
            min: histogram.min() as f64 / 1e3,
            mean: histogram.mean() / 1e3,
            stdev: histogram.stdev() / 1e3,
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: histogram.max() as f64 / 1e3,
        })
    }
}

impl Report {
    pub(super) fn new(plan: &Plan, load: &Load, url: String) -> Self {
        let tally = &load.shared.tally;
        let course = &load.shared.course;
        let seconds = course.window().as_secs_f64();
        let per_second = |count: u64| match seconds > 0.0 {
            true => count as f64 / seconds,
            false => 0.0,
        };
        let has_messages = matches!(plan.mode, Mode::Echo | Mode::Broadcast { .. });
        let is_open_loop = matches!(plan.pace, Pace::Open(_));
        let messages = has_messages.then(|| Messages {
            sent: tally.sent,
            expected: tally.expected,
            received: tally.received,
            per_s: per_second(tally.completed),
            payload_bytes_per_s: per_second(tally.payload),
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            url,
            mode: match plan.mode {
                Mode::Echo => "echo",
                Mode::Broadcast { .. } => "broadcast",
                Mode::Connect => "connect",
                Mode::Idle => "idle",
            },
            load: Demand::new(plan, load),
            interrupted: course.is_interrupted(),
            measured_s: seconds,
            connections: Connections::new(plan, load, per_second(tally.completed)),
            messages,
            latency_us: Times::of(&tally.latency),
            open_loop: is_open_loop.then(|| OpenLoop {
                late: tally.late,
                latest_us: tally.latest as f64 / 1e3,
                held_back: tally.held,
            }),
            errors: Errors::new(load),
            generator: Generator::new(load),
            server: Server::new(load, seconds),
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.errors.total == 0
    }
}

impl Demand {
    fn new(plan: &Plan, load: &Load) -> Self {
        let has_messages = matches!(plan.mode, Mode::Echo | Mode::Broadcast { .. });
        let (pipeline, rate_per_s) = match plan.pace {
            Pace::Closed(pipeline) => (has_messages.then_some(pipeline), None),
            Pace::Open(rate) => (None, Some(rate)),
        };
        Self {
            connections: (plan.mode != Mode::Connect).then_some(plan.connections),
            concurrency: plan.concurrency,
            size: has_messages.then(|| plan.sizes.text.clone()),
            kind: has_messages.then_some(match plan.text {
                true => "text",
                false => "binary",
            }),
            pipeline,
            rate_per_s,
            senders: match plan.mode {
                Mode::Broadcast { senders, .. } => Some(senders),
                _ => None,
            },
            deflate: match plan.deflate {
                Deflate::Off => "off",
                Deflate::On => "on",
                Deflate::Takeover => "takeover",
            },
            deflate_agreed: load.deflate.is_some(),
            subprotocol: load.subprotocol.clone(),
            warm_up_s: plan.warm_up.as_secs_f64(),
            ramp_up_s: plan.ramp_up.unwrap_or_default().as_secs_f64(),
        }
    }
}

impl Connections {
    fn new(plan: &Plan, load: &Load, per_second: f64) -> Self {
        use super::fault::Fault;
        let tally = &load.shared.tally;
        let is_churn = plan.mode == Mode::Connect;
        Self {
            opened: match is_churn {
                true => tally.completed,
                false => load.fleet.opened() as u64,
            },
            failed: tally.faults.count(Fault::Connect),
            lost: tally.faults.count(Fault::Lost),
            opening_took_s: load
                .fleet
                .took()
                .filter(|_| !is_churn)
                .map(|took| took.as_secs_f64()),
            per_s: is_churn.then_some(per_second),
            open_us: Times::of(&tally.opening),
        }
    }
}

impl Errors {
    fn new(load: &Load) -> Self {
        let faults = &load.shared.tally.faults;
        let mut kinds = BTreeMap::new();
        let mut words = BTreeMap::new();
        let mut details = Vec::new();
        for (fault, count, texts) in faults.iter() {
            kinds.insert(fault.name(), count);
            words.insert(fault.name(), fault.to_string());
            let detail = |text: &str, count| Detail {
                kind: fault.name(),
                text: text.to_owned(),
                count,
            };
            details.extend(texts.into_iter().map(|(text, count)| detail(text, count)));
        }
        Self {
            total: faults.total(),
            kinds,
            words,
            details,
        }
    }
}

impl Server {
    fn new(load: &Load, seconds: f64) -> Option<Self> {
        let spent = load.meter.server?;
        let completed = load.shared.tally.completed;
        let both = spent.resident_before.zip(spent.resident);
        let grown = both.map(|(before, after)| after as f64 - before as f64);
        let open = load.fleet.opened();
        let of_core = part(spent.cpu, load.meter.span);
        Some(Self {
            pid: spent.pid,
            cpu_s: spent.cpu,
            cpu_of_core: of_core,
            cpu_us_each: (completed > 0).then(|| of_core * seconds * 1e6 / completed as f64),
            resident_bytes: spent.resident,
            grown_bytes_per_connection: grown.filter(|_| open > 0).map(|grown| grown / open as f64),
        })
    }
}

/// A part of a time, 1 for all of it.
fn part(spent: f64, span: f64) -> f64 {
    match span > 0.0 {
        true => spent / span,
        false => 0.0,
    }
}

impl Generator {
    fn new(load: &Load) -> Self {
        let tally = &load.shared.tally;
        let (own, span) = (load.meter.own, load.meter.span);
        let of_core = part(own.total(), span);
        let is_restless = part(own.total() + own.waited, span) >= BUSY;
        let is_late = tally.late as f64 >= tally.sent as f64 * MANY_LATE && tally.late > 0;
        Self {
            cpu_user_s: own.user,
            cpu_kernel_s: own.kernel,
            cpu_of_core: of_core,
            waited_for_core_s: own.waited,
            span_s: span,
            bottleneck: match (of_core >= BUSY, is_restless, is_late) {
                (true, ..) => Some("cpu"),
                (_, true, _) => Some("starved"),
                (.., true) => Some("late"),
                _ => None,
            },
        }
    }
}

const _: () = assert!(LATE == 1_000_000, "the texts say 1 ms");
