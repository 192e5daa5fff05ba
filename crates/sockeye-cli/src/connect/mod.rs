//! `sockeye connect`: standard input to a server, and what it says to standard output.
//!
//! Puts the loop, the input's and the output's thread together. Three threads, so that neither a
//! user who types nothing nor a reader who pauses keeps the loop from its work.

mod client;
mod input;
mod output;
mod piece;
mod show;

use std::io::{self, IsTerminal};
use std::process;

use anstream::ColorChoice;
use sockeye::{Backoff, Engine};

use self::client::Client;
use self::input::Source;
use self::output::{Output, Sink};
use self::show::{Look, Show};
use crate::args::ConnectArgs;
use crate::failure::Failure;
use crate::terminal::Settings;
use crate::{remote, signal};

/// What a shell shows of a process that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Talks until one of both sides closes.
pub(crate) fn run(args: ConnectArgs) -> Result<(), Failure> {
    let mut engine = Engine::builder().limits(client::limits(&args)).build()?;
    let handle = engine.handle();
    let Ends {
        source,
        sink,
        look,
        settings,
    } = Ends::find(args.binary);
    let show = Show {
        look,
        verbose: args.remote.verbose,
    };
    let output = Output::new();
    let told = output.clone();
    let options = remote::options(&args.remote, move |style, line| {
        show.print(&told, style, line);
    })?;
    let client = Client::new(&args, options.url(), handle.clone(), output.clone(), show);
    let key = engine.host(client);
    if args.reconnect {
        let uplink = engine.uplink(key, options, Backoff::default())?;
        engine.core().set_uplink_queue(uplink, client::AWAY_ROOM);
    } else {
        let id = engine.connect(key, options, ())?;
        if let Some(client) = engine.protocol(key) {
            client.set_connection(id);
        }
    }

    // Calls on the loop fail once the engine has ended, which is what they would ask for.
    let caller = handle.clone();
    let writer = output.start(sink, move |report| {
        let _ = caller.call(key, move |client, core| client.hear_output(core, report));
    })?;
    let caller = handle.clone();
    let start_input = move || {
        source.start(move || {
            let _ = caller.call(key, move |client, core| client.pump(core));
        })
    };
    if let Some(client) = engine.protocol(key) {
        client.set_input(Box::new(start_input));
    }
    let saved = settings.clone();
    signal::watch(move |count| {
        if count > 0 {
            saved.restore();
            process::exit(INTERRUPTED);
        }
        let _ = handle.call(key, move |client, core| client.interrupt(core));
    })?;

    let ran = engine.run();
    let outcome = match engine.protocol(key) {
        Some(client) => client.take_outcome(),
        None => Ok(()),
    };
    // Threads that still wait for the loop learn that it has ended.
    drop(engine);
    writer.finish();
    settings.restore();
    ran?;
    outcome
}

/// Where input comes from and output goes, and how that looks.
struct Ends {
    source: Source,
    sink: Sink,
    look: Look,
    settings: Settings,
}

impl Ends {
    fn find(binary: bool) -> Self {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let plain = |look| Self {
            source: Source::Stdin,
            sink: Sink::Stdout,
            look,
            settings: Settings::none(),
        };
        if binary {
            return plain(Look::Raw);
        }
        if !stdout.is_terminal() {
            return plain(Look::Lines);
        }
        if !stdin.is_terminal() {
            return plain(Look::Terminal);
        }
        let settings = Settings::save();
        let Some((source, sink)) = Source::editor() else {
            return plain(Look::Terminal);
        };
        let colours = anstream::AutoStream::choice(&stdout) != ColorChoice::Never;
        Self {
            source,
            sink,
            look: Look::Prompt { colours },
            settings,
        }
    }
}
