//! `sockeye bench`: puts a load on a server, and measures what it does with it.
//!
//! One thread with the engine as the client. [`load`] leads the run; what a mode sends and verifies is
//! in [`echo`], [`broadcast`] and [`churn`]; [`report`] is what comes out.
//!
//! What is kept for a message in flight is its number and its time; nothing is kept for messages that
//! are due and not sent, or done. So memory depends on connections and on what is in flight, which
//! are bounded, and not on how long a run takes or how slow the server is.

mod broadcast;
mod churn;
mod clock;
mod contents;
mod course;
mod cue;
mod echo;
mod fault;
mod fleet;
mod load;
mod plan;
mod progress;
mod report;
mod schedule;
mod tally;
mod text;
mod timer;
mod unit;
mod watch;

use std::io::Write as _;
use std::process::{self, ExitCode};
use std::time::{Duration, Instant};

use sockeye::deflate::Settings;
use sockeye::net::raise_descriptor_limit;
use sockeye::{Engine, Limits, ProtocolKey};

use self::load::Load;
use self::plan::{Mode, Pace, Plan};
use self::progress::Progress;
use self::report::Report;
use self::timer::Punctual;
use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::{remote, signal, terminal};

/// Signals that are taken as wishes; one more ends the process.
const WISHES: usize = 3;
/// What a shell shows of a process that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Runs to the end, and prints what was found.
pub(crate) fn run(args: BenchArgs) -> Result<ExitCode, Failure> {
    let plan = Plan::new(&args)?;
    // Where it cannot be raised, the connections that are too many say so.
    let _ = raise_descriptor_limit();
    let options = remote::options(&args.remote, |style, line| terminal::note(style, line))?
        .deflate(plan.deflate.settings().map(|settings| Settings {
            // Who asks for compression wants to measure it.
            min_len: 0,
            ..settings
        }));
    let url = options.url();
    let mut builder = Engine::builder().limits(limits(&plan, args.remote.timeout));
    if matches!(plan.pace, Pace::Open(_)) {
        let poller = Punctual::new().map_err(|error| Failure::io("create a timer", error))?;
        builder = builder.custom_poller(poller);
    }
    let mut engine = builder.build()?;
    let key = engine.host(Load::new(&plan, options)?);
    let handle = engine.handle();
    // Before anybody can know that there is something to interrupt.
    signal::watch(move |count| {
        if count >= WISHES {
            process::exit(INTERRUPTED);
        }
        // It fails if the engine has ended, which is what is wanted.
        let _ = handle.call(key, |load, _| load.interrupt());
    })?;
    drive(&mut engine, key, Progress::new(!args.quiet))?;
    let Some(load) = engine.protocol(key) else {
        return Ok(ExitCode::FAILURE);
    };
    let report = Report::new(&plan, load, url);
    conclude(&report, load, args.json)
}

/// Turns the loop until the run is over.
fn drive(
    engine: &mut Engine,
    key: ProtocolKey<Load>,
    mut progress: Option<Progress>,
) -> Result<(), Failure> {
    while let Some((load, core)) = engine.parts(key) {
        let mut next = load.tick(key, core);
        if load.is_over() {
            break;
        }
        if let Some(progress) = &mut progress {
            progress.draw(load);
            let due = progress.due();
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        let now = load.now();
        let wait = next.map(|next| Duration::from_nanos(next.saturating_sub(now)));
        // What the tick has sent goes out before anything is waited for, or read.
        engine.service(&[], Instant::now());
        engine.turn(wait)?;
    }
    if let Some(progress) = &progress {
        progress.clear();
    }
    Ok(())
}

fn conclude(report: &Report, load: &Load, json: bool) -> Result<ExitCode, Failure> {
    if json {
        let mut text = serde_json::to_vec_pretty(report)
            .map_err(|error| Failure::io("write the report", error.into()))?;
        text.push(b'\n');
        terminal::print(&text)?;
    } else if !load.shared.course.has_measured() {
        return Err(match report.errors.details.first() {
            Some(detail) => Failure::Connect(detail.text.clone()),
            None => Failure::Interrupted,
        });
    } else {
        let mut out = anstream::stdout();
        match out
            .write_all(report.text().as_bytes())
            .and_then(|()| out.flush())
        {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(Failure::io("write to standard output", error));
            }
            _ => {}
        }
    }
    Ok(
        match report.is_clean() && load.shared.course.has_measured() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
    )
}

fn limits(plan: &Plan, timeout: Duration) -> Limits {
    let defaults = Limits::default();
    Limits {
        // Pings of our own would go between the messages.
        ping_interval: match plan.mode {
            Mode::Idle => defaults.ping_interval,
            _ => None,
        },
        // "Writable" is when there is room for the next message.
        low_water: load::ROOM / 2,
        backlog_len: defaults
            .backlog_len
            .max(plan.most() + load::ROOM + defaults.high_water),
        backlog_total_len: usize::MAX,
        close_timeout: Duration::from_secs(3),
        connect_timeout: timeout,
        ..defaults
    }
}
