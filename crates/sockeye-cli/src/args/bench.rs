//! The options of `bench`.

use std::time::Duration;

use clap::Args;

use super::remote::RemoteArgs;
use super::{Deflate, parse_count, parse_duration, parse_size};

/// The largest message that `bench` sends.
const MOST: usize = 256 << 20;
/// Linux gives no process a larger number.
const PIDS: i64 = 1 << 22;

/// Load a WebSocket server, and measure how fast and how soon it answers
///
/// Opens connections, sends messages, verifies that each comes back as it was sent (content, kind,
/// length, order), and tells throughput and latency.
///
/// Closed loop (the default): each connection has --pipeline messages in flight; one that comes back
/// sends the next. It finds out how much the server can do. Open loop (--rate): messages are sent at
/// their times, whether the server keeps up or not, and latency counts from the time at which a
/// message was meant to be sent: a stall is seen in all messages that it holds up (no coordinated
/// omission). It finds out how soon the server answers at a given load.
///
/// Other modes: --broadcast (what one publishes, everybody receives), --connect (open, handshake,
/// close, again), --idle (open, and hold).
///
/// One thread. The report says how much processor time it took itself, and whether it was the
/// bottleneck. Exit status: 0, or 1 if anything was wrong: a connection not opened or lost, an echo
/// that is missing, late beyond --wait, or not what was sent. Ctrl-C ends early, with the figures so
/// far.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  sockeye bench 127.0.0.1:7681/echo                       10 connections, 10 s
  sockeye bench 127.0.0.1:7681/echo -c 100 --pipeline 16 --warm-up 1
  sockeye bench wss://example.org/echo -c 500 --ramp-up 5 --rate 20k -d 60
  sockeye bench 127.0.0.1:7681/echo -s 64,1K-4K,64K --text --deflate
  sockeye bench 127.0.0.1:7681/echo -n 100000 --json | jq .latency_us.p99
  sockeye bench 127.0.0.1:7681/echo -c 100 --watch $(pidof sockeye)

  sockeye bench 127.0.0.1:7681/broadcast --broadcast -c 1000 --rate 100
  sockeye bench 127.0.0.1:7681/echo --connect --concurrency 64
  sockeye bench 127.0.0.1:7681/echo --idle -c 10000 -d 60"
)]
pub(crate) struct BenchArgs {
    /// Connections
    #[arg(
        long,
        short,
        value_name = "N",
        value_parser = parse_count,
        default_value = "10",
        conflicts_with = "connect"
    )]
    pub(crate) connections: usize,

    /// Bytes of payload of a message: a size such as 64, 16K or 1M, a range such as 64-4K, or
    /// several of them with commas, each as likely as the others
    #[arg(
        long,
        short,
        value_name = "SIZES",
        value_parser = parse_sizes,
        default_value = "64",
        conflicts_with_all = ["connect", "idle"]
    )]
    pub(crate) size: Sizes,

    /// Seconds to measure [default: 10, unless --messages is given]
    #[arg(long, short, value_name = "SECS", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// End after N messages (with --connect: connections) that count
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        conflicts_with = "idle"
    )]
    pub(crate) messages: Option<u64>,

    /// Open loop: messages (with --connect: connections) to send per second in all, such as 500,
    /// 20k or 1.5M
    #[arg(
        long,
        value_name = "N",
        value_parser = parse_rate,
        conflicts_with_all = ["pipeline", "idle"]
    )]
    pub(crate) rate: Option<f64>,

    /// Closed loop: messages in flight on each connection (with --broadcast: of each sender)
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=65_536),
        conflicts_with_all = ["connect", "idle"]
    )]
    pub(crate) pipeline: u32,

    /// Seconds over which the connections are opened, each under load as soon as it is open (with
    /// --broadcast: when all are). Without it they are opened as fast as --concurrency allows, and
    /// the load begins when all are open
    #[arg(long, value_name = "SECS", value_parser = parse_duration, conflicts_with = "connect")]
    pub(crate) ramp_up: Option<Duration>,

    /// Seconds of load before it counts
    #[arg(long, value_name = "SECS", value_parser = parse_duration)]
    pub(crate) warm_up: Option<Duration>,

    /// Seconds without any answer after which the server is given up, and that it has for the last
    /// answers when the load is over
    #[arg(short = 'W', long, value_name = "SECS", value_parser = parse_duration, default_value = "10")]
    pub(crate) wait: Duration,

    /// Text messages, lines of JSON [default: binary, random bytes]
    #[arg(long, short, conflicts_with_all = ["connect", "idle"])]
    pub(crate) text: bool,

    /// Compression to offer (permessage-deflate): `off`; `on`, message by message; `takeover`, where
    /// a message may refer to earlier ones. Text shrinks, random bytes do not
    #[arg(
        long,
        value_enum,
        default_value_t = Deflate::Off,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on"
    )]
    pub(crate) deflate: Deflate,

    /// Every message goes to all connections: measures deliveries. The server sends it to the sender
    /// too, as /broadcast and /mirror of `sockeye serve` do
    #[arg(long, group = "mode")]
    pub(crate) broadcast: bool,

    /// With --broadcast: connections that publish
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "1", requires = "broadcast")]
    pub(crate) senders: usize,

    /// With --broadcast: the server sends a message to all but its sender
    #[arg(long, requires = "broadcast")]
    pub(crate) to_others: bool,

    /// Measure connections: connect, handshake, closing handshake, again
    #[arg(long, group = "mode")]
    pub(crate) connect: bool,

    /// Open the connections, and hold them for the duration
    #[arg(long, group = "mode")]
    pub(crate) idle: bool,

    /// Connections that are being opened at the same time (with --connect: or closed)
    #[arg(long, value_name = "N", value_parser = parse_count, default_value = "64")]
    pub(crate) concurrency: usize,

    /// Tell the processor time and memory of this process too: the server, if it runs here
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=PIDS))]
    pub(crate) watch: Option<u32>,

    /// Print the report as JSON: numbers without rounding, units in the names
    #[arg(long)]
    pub(crate) json: bool,

    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// A value of `--size`: ranges of which each is as likely as the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// As it was written.
    pub(crate) text: String,
    /// The least and the most of each range, in bytes; at least one range.
    pub(crate) ranges: Vec<(usize, usize)>,
}

fn parse_sizes(text: &str) -> Result<Sizes, String> {
    let ranges = text.split(',').map(|range| {
        let (least, most) = range.split_once('-').unwrap_or((range, range));
        match (parse_size(least)?, parse_size(most)?) {
            (least, most) if least > most => Err(format!("{range}: the smaller size first")),
            (_, most) if most > MOST => Err(format!("{range}: at most 256M")),
            range => Ok(range),
        }
    });
    Ok(Sizes {
        ranges: ranges.collect::<Result<_, _>>()?,
        text: text.to_owned(),
    })
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let problem = || "write a number such as 0.5, 500, 20k or 1.5M".to_owned();
    let (number, unit) = match text.strip_suffix(['k', 'K']) {
        Some(number) => (number, 1e3),
        None => text
            .strip_suffix(['m', 'M'])
            .map_or((text, 1.0), |number| (number, 1e6)),
    };
    let rate = number.parse::<f64>().map_err(|_| problem())? * unit;
    match (0.001..=1e8).contains(&rate) {
        true => Ok(rate),
        false => Err("must be between 0.001 and 100M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let ranges = |text: &str| parse_sizes(text).map(|sizes| sizes.ranges);
        assert_eq!(ranges("64"), Ok(vec![(64, 64)]));
        assert_eq!(ranges("1K,64-4K"), Ok(vec![(1024, 1024), (64, 4096)]));
        for text in ["", "64,", "4K-64", "-1", "257M", "0"] {
            assert!(parse_sizes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, rate) in [("500", 500.0), ("0.5", 0.5), ("20k", 2e4), ("1.5M", 1.5e6)] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in ["", "k", "0", "-1", "NaN", "inf", "1e300", "101M"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
