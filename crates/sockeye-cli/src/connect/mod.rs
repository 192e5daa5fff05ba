//! `sockeye connect`: standard input to a server, and what it says to standard output.
//!
//! Puts the loop and the threads of input and output together: neither a user who types nothing
//! nor a reader who pauses keeps the loop from its work.

mod client;
mod editor;
mod input;
mod output;
mod piece;
mod prompt;
mod show;

use std::io::{self, IsTerminal};
use std::process;

use anstream::ColorChoice;
use sockeye::{Backoff, Engine};

use self::client::Client;
use self::output::Output;
use self::show::{Look, Show};
use crate::args::ConnectArgs;
use crate::failure::Failure;
use crate::{remote, signal};

/// What a shell shows of a process that ended by SIGINT.
const INTERRUPTED: i32 = 130;

/// Talks until one of both sides closes.
pub(crate) fn run(args: ConnectArgs) -> Result<(), Failure> {
    let mut engine = Engine::builder().limits(client::limits(&args)).build()?;
    let handle = engine.handle();
    let output = Output::default();
    let look = find_look(args.binary);
    let show = Show {
        look,
        verbose: args.remote.verbose,
    };
    let told = output.clone();
    let mut options = remote::options(&args.remote, move |style, line| {
        show.print(&told, style, line);
    })?;
    if args.no_deflate {
        options = options.deflate(None);
    }
    let client = Client::new(&args, options.url(), handle.clone(), output.clone(), show);
    let key = engine.host(client);

    // Calls on the loop fail once the engine has ended, which is what they would ask for.
    let (reporter, pumper) = (handle.clone(), handle.clone());
    let writer = output.writer(move |report| {
        let _ = reporter.call(key, move |client, core| client.hear_output(core, report));
    });
    let start = move || {
        let (feed, input) = input::queue(move || {
            let _ = pumper.call(key, move |client, core| client.pump(core));
        });
        match look {
            Look::Prompt { .. } => prompt::start(feed, writer)?,
            Look::Lines | Look::Raw | Look::Terminal => {
                writer.start()?;
                feed.start()?;
            }
        }
        Ok(input)
    };
    if let Some(client) = engine.protocol(key) {
        client.set_start(Box::new(start));
    }
    // Before anybody can know that there is something to interrupt.
    signal::watch(move |count| {
        if count > 0 {
            if let Look::Prompt { .. } = look {
                prompt::restore();
            }
            process::exit(INTERRUPTED);
        }
        let _ = handle.call(key, move |client, core| client.interrupt(core));
    })?;
    if args.reconnect {
        let uplink = engine.uplink(key, options, Backoff::default())?;
        engine.core().set_uplink_queue(uplink, client::AWAY_ROOM);
    } else {
        let id = engine.connect(key, options, ())?;
        if let Some(client) = engine.protocol(key) {
            client.set_connection(id);
        }
    }

    let ran = engine.run();
    let outcome = match engine.protocol(key) {
        Some(client) => client.take_outcome(),
        None => Ok(()),
    };
    // Threads that still wait for the loop learn that it has ended.
    drop(engine);
    output.finish();
    ran?;
    outcome
}

/// How messages are to look where they go.
fn find_look(binary: bool) -> Look {
    let (stdin, stdout) = (io::stdin(), io::stdout());
    if binary {
        Look::Raw
    } else if !stdout.is_terminal() {
        Look::Lines
    } else if !stdin.is_terminal() || !prompt::is_possible() {
        Look::Terminal
    } else {
        Look::Prompt {
            colours: anstream::AutoStream::choice(&stdout) != ColorChoice::Never,
        }
    }
}
