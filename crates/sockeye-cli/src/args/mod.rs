//! The command line: every option, what it may be, and help that teaches by examples.
//!
//! Values leave here in the types that the engine takes; what they mean is decided elsewhere.
//! Whatever is wrong with the command line itself is told by clap, with exit status 2.

mod bench;
mod remote;
mod tls;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sockeye::PollerKind;
use sockeye::deflate::Settings;
use sockeye::net::Bind;
use url::Url;

pub(crate) use self::bench::{BenchArgs, Sizes};
pub(crate) use self::remote::{RemoteArgs, Resolve};
pub(crate) use self::tls::{ClientCert, ClientTlsArgs, ServeTlsArgs};

/// More threads than any machine has use for.
const MAX_THREADS: usize = 1024;

/// WebSocket and HTTP: a server, a client, a ping, a load generator.
#[derive(Debug, Parser)]
#[command(
    name = "sockeye",
    version,
    styles = STYLES,
    after_help = "\
Examples:
  sockeye                                     the demo page on http://127.0.0.1:7681/
  sockeye serve ./public --listen :8080       a folder on every address
  sockeye connect ws://127.0.0.1:7681/mirror  type messages, read what comes
  echo hello | sockeye connect ws://127.0.0.1:7681/echo --count 1
  sockeye ping wss://example.org/feed -c 3
  sockeye bench 127.0.0.1:7681/echo -c 100    load it, and measure
  sockeye completions bash > ~/.local/share/bash-completion/completions/sockeye

Without a command, `sockeye` does `sockeye serve`. `sockeye COMMAND --help` tells more."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

impl Cli {
    /// What to do; ends the process if the command line makes no sense.
    pub(crate) fn parse_command() -> Command {
        Self::parse().into_command()
    }

    fn into_command(self) -> Command {
        // So that the defaults of `serve` are written down once.
        let serve = || Self::parse_from(["sockeye", "serve"]).command;
        self.command
            .or_else(serve)
            .unwrap_or(Command::Serve(ServeArgs::default()))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeArgs),
    Connect(ConnectArgs),
    Ping(PingArgs),
    // Boxed: it has many options.
    Bench(Box<BenchArgs>),
    /// Print the completions of a shell
    #[command(after_help = "\
Examples:
  sockeye completions bash > ~/.local/share/bash-completion/completions/sockeye
  sockeye completions zsh > ~/.zfunc/_sockeye
  sockeye completions fish > ~/.config/fish/completions/sockeye.fish")]
    Completions {
        shell: Shell,
    },
}

/// Serve files and WebSocket endpoints
///
/// Built-in endpoints, by path or by subprotocol on any path:
///   /echo       echo                     every message back; /echo?frame=1000 in such frames
///   /broadcast  broadcast                every message to everybody, sender included
///   /mirror     lws-mirror-protocol      the same, with flow control
///   /increment  dumb-increment-protocol  a counter, 20 times a second; `reset` sets it to 0
///
/// Prints one line for each listener on standard output once all are ready. SIGTERM and SIGINT end
/// it in order within 10 s; a second one cuts what is left. With certificates, SIGHUP reads them
/// anew.
#[derive(Args, Debug, Default)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  sockeye serve                               the demo page on http://127.0.0.1:7681/
  sockeye serve ./public                      a folder, beside the endpoints
  sockeye serve --listen :7681                on every address of this machine
  sockeye serve --listen [::1]:0 --listen unix:/run/sockeye.sock
  sockeye serve --listen :7681 --threads auto on all cores
  sockeye serve --listen :80 --user www-data  bind as root, serve as somebody else
  sockeye serve --origin https://example.org  for the pages of another site

  sockeye serve --listen :443 --tls-cert site.pem --tls-key site.key
  sockeye serve --tls-cert a.pem --tls-key a.key --tls-cert b.pem --tls-key b.key
  sockeye serve --tls-cert site.pem --tls-key site.key --client-ca staff-ca.pem
  kill -HUP $(pidof sockeye)                  after the certificates were renewed"
)]
pub(crate) struct ServeArgs {
    /// Folder to serve at `/`; without it, `/` is a demo page
    pub(crate) dir: Option<PathBuf>,

    /// Where to listen: ADDR:PORT, HOST:PORT, INTERFACE:PORT, :PORT (every address) or unix:PATH;
    /// port 0 is a free one. May be given several times
    #[arg(long, short, value_name = "WHERE", default_value = "127.0.0.1:7681")]
    pub(crate) listen: Vec<Bind>,

    /// Threads to serve on, each with a loop of its own and connections of its own; `auto` or 0: one
    /// for each core. Messages reach everybody, whichever thread has them
    #[arg(long, value_name = "N", value_parser = parse_threads, default_value = "1")]
    pub(crate) threads: usize,

    /// How to move bytes
    #[arg(
        long,
        alias = "poller",
        value_enum,
        default_value_t,
        value_name = "HOW"
    )]
    pub(crate) driver: Driver,

    /// Web pages that may open WebSockets here: `same` (those of this server), `any`, or origins
    /// such as `https://example.org`. May be given several times. Programs that are no browsers may
    /// always
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin, default_value = "same")]
    pub(crate) origin: Vec<Origin>,

    /// Cache-Control header of files, for example `max-age=3600`
    #[arg(long, value_name = "VALUE", requires = "dir")]
    pub(crate) cache_control: Option<String>,

    /// Largest message taken, for example 64K, 16M or 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "16M")]
    pub(crate) max_message: usize,

    /// Compression for clients that offer it (permessage-deflate): `off`; `on`, message by message;
    /// `takeover`, where a message may refer to earlier ones, for 8 KiB a connection
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "on"
    )]
    pub(crate) deflate: Deflate,

    /// Most connections at a time [default: as many as there are descriptors]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) max_connections: Option<usize>,

    /// Most connections at a time from one address [default: any number]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub(crate) max_per_address: Option<usize>,

    /// User to become once all sockets are bound and certificates are read, by name or number. To
    /// read them anew on SIGHUP, that user must be able to
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,

    /// Group to become once all sockets are bound [default: the user's]
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Option<String>,

    /// Say nothing on standard error but errors
    #[arg(long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    /// Log every connection on standard error
    #[arg(long, short)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) tls: ServeTlsArgs,
}

/// How `serve` asks the system for bytes.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum Driver {
    /// epoll(7): the cost does not grow with idle connections
    #[default]
    Epoll,
    /// io_uring(7): cheaper where many connections have a little to say each
    Uring,
    /// poll(2): works everywhere
    Poll,
    /// io_uring where the system allows it, else epoll
    Auto,
}

impl From<Driver> for PollerKind {
    fn from(driver: Driver) -> Self {
        match driver {
            Driver::Epoll => Self::Epoll,
            Driver::Uring => Self::Uring,
            Driver::Poll => Self::Poll,
            Driver::Auto => Self::Auto,
        }
    }
}

/// What `serve` agrees to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Deflate {
    /// No compression
    Off,
    /// Each message on its own
    #[default]
    On,
    /// Messages may refer to earlier ones
    Takeover,
}

impl Deflate {
    pub(crate) fn settings(self) -> Option<Settings> {
        match self {
            Self::Off => None,
            Self::On => Some(Settings::default()),
            Self::Takeover => Some(Settings::takeover()),
        }
    }
}

/// A value of `--origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Same,
    Any,
    Page(String),
}

/// Send lines as messages and print the messages that come
///
/// Each line of standard input becomes a text message, each message a line of standard output. At
/// the end of input it closes with 1000 once everything is sent, and still prints what comes until
/// the server has closed too. Some servers answer nothing any more once they have seen that: with
/// --count it closes only when so many answers have come, with --wait not at all.
///
/// Exit status: 0 after a clean close (1000, 1001 or without a code), 1 after anything else, with
/// the reason on standard error.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  sockeye connect ws://127.0.0.1:7681/echo            talk to it
  echo hello | sockeye connect 127.0.0.1:7681/echo --count 1
  sockeye connect 127.0.0.1:7681/increment --count 5 </dev/null
  sockeye connect unix:/run/sockeye.sock:/echo <lines.txt
  sockeye connect 127.0.0.1:7681/echo --binary <photo.jpg >copy.jpg
  sockeye connect 127.0.0.1:7681 --subprotocol echo --cookie id=7

  sockeye connect wss://example.org/feed -v           show the handshake and each frame
  sockeye connect wss://dev.test/feed --ca dev-ca.pem --resolve dev.test:443:127.0.0.1
  sockeye connect wss://example.org/feed --cert me.pem --key me.key
  sockeye connect wss://example.org/feed --user bob   asks for the password
  sockeye connect wss://example.org/feed --proxy socks5h://127.0.0.1:1080
  sockeye connect wss://example.org/feed --reconnect --wait </dev/null >>feed.log"
)]
pub(crate) struct ConnectArgs {
    /// Raw bytes both ways: input goes out as binary messages, messages are printed as they are
    #[arg(long, short)]
    pub(crate) binary: bool,

    /// Close after N messages have come, however long the input is
    #[arg(long, short, value_name = "N", value_parser = parse_count)]
    pub(crate) count: Option<usize>,

    /// Stay at the end of input until the server closes
    #[arg(long, short)]
    pub(crate) wait: bool,

    /// Largest message taken, for example 64K, 16M or 1G
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "16M")]
    pub(crate) max_message: usize,

    /// Come back when the connection is lost or cannot be had, after 0.5 s and then up to 30 s.
    /// Input waits meanwhile; at a terminal up to 1000 lines do. What may have got lost is told
    #[arg(long, short)]
    pub(crate) reconnect: bool,

    /// Do not offer compression (permessage-deflate)
    #[arg(long)]
    pub(crate) no_deflate: bool,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

/// Measure round trips with WebSocket pings
///
/// Ends after -c answers or with Ctrl-C, and prints statistics as ping(8) does. Exit status: 0 if
/// any answer came, 1 otherwise.
#[derive(Args, Debug)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Examples:
  sockeye ping ws://127.0.0.1:7681/echo        until Ctrl-C
  sockeye ping 127.0.0.1:7681/echo -c 10 -i 0.1
  sockeye ping wss://example.org/feed -q -c 100 -i 0.01
  sockeye ping wss://dev.test:8443/ --insecure -c 1 -v"
)]
pub(crate) struct PingArgs {
    /// Stop after N pings
    #[arg(short, long, value_name = "N", value_parser = parse_count)]
    pub(crate) count: Option<usize>,

    /// Seconds between two pings
    #[arg(short, long, value_name = "SECS", value_parser = parse_duration, default_value = "1")]
    pub(crate) interval: Duration,

    /// Payload of a ping in bytes, 0 to 125
    #[arg(
        short,
        long,
        value_name = "BYTES",
        default_value_t = 56,
        value_parser = clap::value_parser!(u8).range(0..=125)
    )]
    pub(crate) size: u8,

    /// Seconds to wait for an answer
    #[arg(short = 'W', long, value_name = "SECS", value_parser = parse_duration, default_value = "10")]
    pub(crate) wait: Duration,

    /// Print nothing but the statistics
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) remote: RemoteArgs,
}

fn parse_threads(text: &str) -> Result<usize, String> {
    let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
    match text.parse() {
        Ok(0) => Ok(cores()),
        Ok(count @ 1..=MAX_THREADS) => Ok(count),
        Ok(_) => Err(format!("must be at most {MAX_THREADS}")),
        Err(_) if text == "auto" => Ok(cores()),
        Err(error) => Err(format!("{error}")),
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(count) => Ok(count),
        Err(error) => Err(format!("{error}")),
    }
}

fn parse_size(text: &str) -> Result<usize, String> {
    let problem = || "write a number of bytes such as 4096, 64K, 16M or 1G".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(problem()),
    };
    let number: usize = number.parse().map_err(|_| problem())?;
    match number.checked_mul(unit) {
        Some(0) => Err("must be at least 1".to_owned()),
        // Above, sums of limits could overflow; below, memory has ended long before.
        Some(size) if size <= 1 << 40 => Ok(size),
        _ => Err("is too large".to_owned()),
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "write seconds, such as 5 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration >= Duration::from_millis(1))
        .ok_or_else(|| "must be at least 0.001 seconds, and not for ever".to_owned())
}

fn parse_origin(text: &str) -> Result<Origin, String> {
    match text {
        "same" => return Ok(Origin::Same),
        "any" | "*" => return Ok(Origin::Any),
        _ => {}
    }
    let problem = "write `same`, `any`, or an origin such as https://example.org";
    let url = Url::parse(text).map_err(|_| problem.to_owned())?;
    let origin = url.origin();
    if !origin.is_tuple() || url.path() != "/" || url.query().is_some() {
        return Err(problem.to_owned());
    }
    // As browsers write it: in lower case, without the default port.
    Ok(Origin::Page(origin.ascii_serialization()))
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
        let Command::Serve(args) = Cli::parse_from(["sockeye"]).into_command() else {
            panic!("not serve");
        };
        assert_eq!(args.listen, ["127.0.0.1:7681".parse().unwrap()]);
        assert_eq!(args.max_message, 16 << 20);
        assert_eq!(args.origin, [Origin::Same]);
        assert_eq!(args.dir, None);
        assert_eq!(args.deflate, Deflate::On);
    }

    #[test]
    fn compression() {
        for (arg, deflate) in [
            ("--deflate", Deflate::On),
            ("--deflate=on", Deflate::On),
            ("--deflate=off", Deflate::Off),
            ("--deflate=takeover", Deflate::Takeover),
        ] {
            // What comes behind is the folder.
            let command = Cli::parse_from(["sockeye", "serve", arg, "off"]).into_command();
            let Command::Serve(args) = command else {
                panic!("not serve");
            };
            assert_eq!((args.deflate, args.dir), (deflate, Some("off".into())));
        }
        assert!(Cli::try_parse_from(["sockeye", "serve", "--deflate=9"]).is_err());
    }

    #[test]
    fn sizes() {
        for (text, size) in [
            ("1", 1),
            ("4096", 4096),
            ("64K", 65_536),
            ("64kib", 65_536),
            ("16M", 16_777_216),
            ("1G", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(size), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "0",
            "1.5M",
            "1T",
            "99999999999999999999",
            "99999999G",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("0.2"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        for text in ["", "x", "0", "-1", "NaN", "inf", "1e300"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins() {
        assert_eq!(parse_origin("same"), Ok(Origin::Same));
        assert_eq!(parse_origin("any"), Ok(Origin::Any));
        for text in ["https://Example.org", "https://example.org:443/"] {
            let page = Origin::Page("https://example.org".to_owned());
            assert_eq!(parse_origin(text), Ok(page), "{text}");
        }
        for text in [
            "",
            "example.org",
            "https://example.org/path",
            "file:///x",
            "https://a/?b",
        ] {
            assert!(parse_origin(text).is_err(), "{text}");
        }
    }
}
