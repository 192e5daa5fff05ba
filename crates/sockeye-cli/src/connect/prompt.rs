//! A terminal with a line editor: a prompt that stays below what comes.
//!
//! One thread reads keys and prints messages, so that they never mix. When the input is over the
//! terminal is given back at once, and messages go on without a prompt.

use std::env;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::pin;
use std::thread;

use futures_util::future::{Either, select};
use rustix::termios::tcgetwinsize;
use rustyline_async::{Readline, ReadlineError, ReadlineEvent, SharedWriter};

use super::input::{Feed, Input};
use super::output::Writer;
use crate::failure::Failure;

const PROMPT: &str = "> ";

/// Whether the terminal at standard input and output is able to show a prompt.
pub(super) fn is_possible() -> bool {
    let has_size = tcgetwinsize(rustix::stdio::stdout()).is_ok_and(|size| size.ws_col > 0);
    has_size && env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// Reads lines from the terminal and prints messages above the prompt, on a thread of its own.
pub(super) fn start(feed: Feed, writer: Writer) -> Result<(), Failure> {
    thread::Builder::new()
        .name("prompt".to_owned())
        .spawn(move || run(feed, writer))
        .map_err(|error| Failure::io("start a thread", error))?;
    Ok(())
}

fn run(mut feed: Feed, writer: Writer) {
    let ended = match Prompt::new() {
        Ok(prompt) => futures_executor::block_on(prompt.run(&mut feed, &writer)),
        Err(error) => Err(failed(error)),
    };
    // The prompt is gone and the terminal as it was: messages need no care any more.
    let over = match ended {
        Ok(over) => over,
        Err(error) => feed.put(Input::Failed(error)),
    };
    drop(feed);
    match over {
        true => writer.write_all(),
        false => drop(writer),
    }
}

struct Prompt {
    readline: Readline,
    printer: SharedWriter,
    /// A line that the queue has had no room for.
    pending: Option<Input>,
}

/// What happened first.
enum Event {
    Key(Result<ReadlineEvent, ReadlineError>),
    /// The queue has room, or nobody takes from it.
    Room(bool),
    /// A batch was taken, or there is none any more.
    Output(bool),
}

impl Prompt {
    fn new() -> Result<Self, ReadlineError> {
        let (mut readline, printer) = Readline::new(PROMPT.to_owned())?;
        readline.should_print_line_on(true, false);
        Ok(Self {
            readline,
            printer,
            pending: None,
        })
    }

    /// Runs until the input or the output is over. Returns whether output may follow.
    async fn run(mut self, feed: &mut Feed, writer: &Writer) -> io::Result<bool> {
        let mut batch = Vec::new();
        loop {
            match self.next(feed, writer, &mut batch).await {
                Event::Output(true) => self.print(&batch)?,
                Event::Output(false) => break self.end(false),
                Event::Room(true) => {
                    let Some(input) = self.pending.take() else {
                        continue;
                    };
                    let more = matches!(input, Input::Chunk(_));
                    if !more {
                        // Before the loop hears of it, so that what it causes is printed right.
                        self.readline.flush().map_err(failed)?;
                        drop(self);
                        feed.put(input);
                        break Ok(true);
                    }
                    feed.put(input);
                }
                Event::Room(false) => break self.end(true),
                Event::Key(Ok(ReadlineEvent::Line(line))) => {
                    if !line.trim().is_empty() {
                        self.readline.add_history_entry(line.clone());
                    }
                    self.pending = Some(Input::Chunk((line + "\n").into_bytes()));
                }
                Event::Key(Ok(ReadlineEvent::Eof)) => self.pending = Some(Input::End),
                Event::Key(Ok(ReadlineEvent::Interrupted)) => {
                    self.pending = Some(Input::Interrupt);
                }
                Event::Key(Err(error)) => break Err(failed(error)),
            }
        }
    }

    async fn next(&mut self, feed: &mut Feed, writer: &Writer, batch: &mut Vec<u8>) -> Event {
        let output = pin!(poll_fn(|cx| writer.poll_take(cx, batch)));
        match self.pending {
            Some(_) => {
                let room = pin!(poll_fn(|cx| feed.poll_ready(cx)));
                match select(output, room).await {
                    Either::Left((taken, _)) => Event::Output(taken),
                    Either::Right((room, _)) => Event::Room(room),
                }
            }
            None => {
                let key = pin!(self.readline.readline());
                match select(output, key).await {
                    Either::Left((taken, _)) => Event::Output(taken),
                    Either::Right((key, _)) => Event::Key(key),
                }
            }
        }
    }

    /// Prints whole lines, and puts the prompt back below them.
    fn print(&mut self, lines: &[u8]) -> io::Result<()> {
        self.printer.write_all(lines)?;
        self.readline.flush().map_err(failed)?;
        self.readline.update_prompt(PROMPT).map_err(failed)
    }

    fn end(mut self, over: bool) -> io::Result<bool> {
        self.readline.flush().map_err(failed)?;
        Ok(over)
    }
}

fn failed(error: ReadlineError) -> io::Error {
    match error {
        ReadlineError::IO(error) => error,
        ReadlineError::Closed => io::ErrorKind::BrokenPipe.into(),
    }
}
