//! What is to be done, out of the options: whatever clap cannot judge is judged here.

use std::time::Duration;

use crate::args::{BenchArgs, Deflate, Sizes};
use crate::failure::Failure;

/// Seconds that are measured when nobody says.
const DURATION: Duration = Duration::from_secs(10);
/// What receivers and senders of a broadcast may be when multiplied: a number is kept for each pair.
const MOST_PAIRS: usize = 4 << 20;

/// How the server is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Every message comes back.
    Echo,
    /// Every message goes to everybody.
    Broadcast {
        /// Connections that publish.
        senders: usize,
        /// The server leaves the sender out.
        to_others: bool,
    },
    /// Connections come and go.
    Connect,
    /// Connections do nothing.
    Idle,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// When another one has come back: so many are in flight.
    Closed(usize),
    /// At their times: so many a second.
    Open(f64),
}

#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) mode: Mode,
    pub(super) pace: Pace,
    pub(super) connections: usize,
    pub(super) concurrency: usize,
    pub(super) sizes: Sizes,
    pub(super) text: bool,
    pub(super) deflate: Deflate,
    /// `None`: until all messages are done.
    pub(super) duration: Option<Duration>,
    pub(super) messages: Option<u64>,
    pub(super) ramp_up: Option<Duration>,
    pub(super) warm_up: Duration,
    pub(super) wait: Duration,
    /// The server's process.
    pub(super) watch: Option<u32>,
}

impl Plan {
    pub(super) fn new(args: &BenchArgs) -> Result<Self, Failure> {
        let mode = match (args.broadcast, args.connect, args.idle) {
            (true, ..) => Mode::Broadcast {
                senders: args.senders,
                to_others: args.to_others,
            },
            (_, true, _) => Mode::Connect,
            (_, _, true) => Mode::Idle,
            _ => Mode::Echo,
        };
        let plan = Self {
            mode,
            pace: match args.rate {
                Some(rate) => Pace::Open(rate),
                None => Pace::Closed(usize::try_from(args.pipeline).unwrap_or(usize::MAX)),
            },
            connections: args.connections,
            concurrency: args.concurrency,
            sizes: args.size.clone(),
            text: args.text,
            deflate: args.deflate,
            duration: match (args.duration, args.messages) {
                (None, None) => Some(DURATION),
                (duration, _) => duration,
            },
            messages: args.messages,
            ramp_up: args.ramp_up,
            warm_up: args.warm_up.unwrap_or_default(),
            wait: args.wait,
            watch: args.watch,
        };
        plan.check().map(|()| plan)
    }

    fn check(&self) -> Result<(), Failure> {
        let Mode::Broadcast { senders, to_others } = self.mode else {
            return Ok(());
        };
        if senders > self.connections {
            return Err(Failure::Options("--senders: not more than --connections"));
        }
        if senders.saturating_mul(self.connections) > MOST_PAIRS {
            return Err(Failure::Options(
                "--senders: at most 4194304 when multiplied by --connections",
            ));
        }
        if to_others && self.connections < 2 {
            return Err(Failure::Options(
                "--to-others: there is only one connection",
            ));
        }
        if self.least() < super::contents::STAMP {
            return Err(Failure::Options(
                "--size: at least 16 with --broadcast, for a message has to name its sender",
            ));
        }
        Ok(())
    }

    /// Bytes of the smallest message.
    fn least(&self) -> usize {
        let least = self.sizes.ranges.iter().map(|(least, _)| *least);
        least.min().unwrap_or_default()
    }

    /// Bytes of the largest message.
    pub(super) fn most(&self) -> usize {
        let most = self.sizes.ranges.iter().map(|(_, most)| *most);
        most.max().unwrap_or_default()
    }

    /// Whether the load begins before all connections are open.
    pub(super) fn ramps_load(&self) -> bool {
        self.ramp_up.is_some() && self.mode == Mode::Echo
    }
}
