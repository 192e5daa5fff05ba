//! The load generator: closed loops of verified echoes, idle connections, openings and closings.
//!
//! One thread and one `epoll` loop for echoes, so that it needs one core of its own; it measures
//! the watched server's processor time and memory in the same window in which it counts. Shares no
//! code with the engine: it must not agree with it by mistake. Nothing here waits without a bound.
#![forbid(unsafe_code)]

mod churn;
mod client;
mod deflate;
mod echo;
mod failure;
mod frame;
mod idle;
mod link;
mod many;
mod opening;
mod paced;
mod script;
mod target;
mod tls;
mod verifier;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::deflate::Deflate;
use crate::frame::Kind;
use crate::target::Target;

#[derive(Debug, Parser)]
#[command(name = "bench-load", about)]
/// Loads a WebSocket server that echoes.
struct Arguments {
    #[command(subcommand)]
    mode: Mode,
    /// Print one line of JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Send, await the echo, verify it, send again
    Echo(EchoArgs),
    /// Send at a steady rate, whatever comes back; how long does each echo take?
    Latency(LatencyArgs),
    /// Open connections and let them be; how much memory does each take?
    Idle(IdleArgs),
    /// Open, close with a closing handshake, again
    Connect(ConnectArgs),
}

#[derive(Args, Debug)]
struct Server {
    /// ws:// or wss:// (certificates are not verified)
    url: Target,
    /// The process whose processor time and memory are measured
    #[arg(long)]
    watch: Option<i32>,
}

#[derive(Args, Debug)]
struct EchoArgs {
    #[command(flatten)]
    server: Server,
    /// Connections at the same time
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1)]
    pipeline: usize,
    /// Bytes of payload
    #[arg(long, default_value_t = 20)]
    size: usize,
    /// What messages are
    #[arg(long, value_enum, default_value_t = Kind::Binary)]
    kind: Kind,
    /// What is asked of the server
    #[arg(long, value_enum, default_value_t)]
    deflate: Deflate,
    /// Connections beside them that do nothing; how much processor time opening them takes is told
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// One connection sends, and the server is one that sends to everybody what it gets
    #[arg(long)]
    broadcast: bool,
    #[command(flatten)]
    window: Window,
}

#[derive(Args, Debug)]
struct LatencyArgs {
    #[command(flatten)]
    server: Server,
    /// Connections, which take turns
    #[arg(long, default_value_t = 100)]
    connections: usize,
    /// Bytes of payload
    #[arg(long, default_value_t = 20)]
    size: usize,
    /// Messages a second, on all connections together
    #[arg(long, default_value_t = 10_000)]
    rate: u32,
    #[command(flatten)]
    window: Window,
}

#[derive(Args, Debug)]
struct IdleArgs {
    #[command(flatten)]
    server: Server,
    /// Connections that are counted
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Connections that are opened first and not counted
    #[arg(long, default_value_t = 200)]
    uncounted: usize,
    /// Echoes that each of them has got before it is let be
    #[arg(long, default_value_t = 0)]
    talk: usize,
    /// Bytes of payload of each
    #[arg(long, default_value_t = 1024)]
    size: usize,
    /// What is asked of the server
    #[arg(long, value_enum, default_value_t)]
    deflate: Deflate,
}

#[derive(Args, Debug)]
struct ConnectArgs {
    #[command(flatten)]
    server: Server,
    /// Connections that are opened at the same time
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    #[command(flatten)]
    window: Window,
}

/// What is measured, and what goes before.
#[derive(Args, Clone, Copy, Debug)]
struct Window {
    /// Seconds of load before the window
    #[arg(long, default_value_t = 0.3)]
    warmup: f64,
    /// Seconds that are measured
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

impl Window {
    fn warmup(self) -> Duration {
        Duration::try_from_secs_f64(self.warmup).unwrap_or_default()
    }

    fn length(self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

/// What was found. Times in seconds, memory in bytes.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    /// Echoes, connections opened and closed, or idle connections.
    count: u64,
    /// How long the window was.
    seconds: f64,
    /// Processor time of the watched process in the window.
    server_cpu: Option<f64>,
    /// The part of it that was spent outside the kernel; to ten milliseconds.
    server_user_cpu: Option<f64>,
    /// Our own processor time in the window.
    load_cpu: f64,
    /// Bytes of payload of an echo, as they came.
    echo_len: Option<f64>,
    /// Processor time of the watched process for each connection that was opened to be idle.
    opening_cpu: Option<f64>,
    /// Microseconds from when a message was due to when its echo was there.
    latency: Option<Latency>,
    /// By how much the memory of the watched process grew.
    server_memory: Option<i64>,
}

/// Parts of all messages took at most so many microseconds.
#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
}

impl Outcome {
    fn text(&self) -> String {
        let count = self.count as f64;
        let mut text = format!(
            "{} in {:.3} s: {:.0}/s, load generator {:.0} % busy",
            self.count,
            self.seconds,
            count / self.seconds,
            self.load_cpu / self.seconds * 100.0
        );
        if let Some(cpu) = self.server_cpu {
            text.push_str(&format!(
                "\nserver {:.0} % busy, {:.3} us each",
                cpu / self.seconds * 100.0,
                cpu / count * 1e6
            ));
        }
        if let Some(user) = self.server_user_cpu {
            text.push_str(&format!(
                ", {:.3} us of it in user space",
                user / count * 1e6
            ));
        }
        if let Some(len) = self.echo_len {
            text.push_str(&format!("\n{len:.0} bytes of payload each"));
        }
        if let Some(Latency {
            p50,
            p90,
            p99,
            p999,
        }) = self.latency
        {
            text.push_str(&format!(
                "\nus until the echo: 50 % {p50:.0}, 90 % {p90:.0}, 99 % {p99:.0}, 99.9 % {p999:.0}"
            ));
        }
        if let Some(cpu) = self.opening_cpu {
            text.push_str(&format!("\nserver {:.3} us to open each", cpu * 1e6));
        }
        if let Some(memory) = self.server_memory {
            text.push_str(&format!(
                "\nserver grew by {:.0} bytes each",
                memory as f64 / count
            ));
        }
        text
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match &arguments.mode {
        Mode::Echo(args) => echo::run(args),
        Mode::Latency(args) => paced::run(args),
        Mode::Idle(args) => idle::run(args),
        Mode::Connect(args) => churn::run(args),
    };
    match outcome {
        Ok(outcome) if arguments.json => match serde_json::to_string(&outcome) {
            Ok(line) => {
                println!("{line}");
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error.to_string()),
        },
        Ok(outcome) => {
            println!("{}", outcome.text());
            ExitCode::SUCCESS
        }
        Err(failure) => failed(&failure.to_string()),
    }
}

fn failed(why: &str) -> ExitCode {
    eprintln!("bench-load: {why}");
    ExitCode::FAILURE
}
