//! A terminal with a line editor: a prompt that stays below what comes.
//!
//! One thread reads keys and prints messages, so that they never mix. When the input is over the
//! terminal is given back at once, and messages go on without a prompt.

use std::collections::VecDeque;
use std::env;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::pin;
use std::thread;

use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, Event, EventStream};
use crossterm::execute;
use crossterm::terminal::{disable_raw_mode, enable_raw_mode, size};
use futures_util::StreamExt;
use futures_util::future::{Either, select};

use super::editor::{Editor, Entry};
use super::input::{Feed, Input};
use super::output::Writer;
use crate::failure::Failure;

/// Whether the terminal at standard input and output is able to show a prompt.
pub(super) fn is_possible() -> bool {
    let has_size = size().is_ok_and(|(width, _)| width > 0);
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

/// Gives the terminal back, in whatever state it is. For who ends the process at once.
pub(super) fn restore() {
    // It fails only if there is no terminal any more.
    let _ = execute!(io::stdout(), DisableBracketedPaste);
    let _ = disable_raw_mode();
}

fn run(mut feed: Feed, writer: Writer) {
    let last = match Prompt::new() {
        Ok(prompt) => futures_executor::block_on(prompt.run(&mut feed, &writer)),
        Err(error) => Ok(Some(Input::Failed(error))),
    };
    // The prompt is gone and the terminal is as it was, before anybody hears of the end.
    match last {
        Ok(last) => {
            if let Some(input) = last {
                feed.put(input);
            }
            drop(feed);
            writer.write_all();
        }
        Err(error) => writer.give_up(error),
    }
}

/// A terminal in raw mode, for as long as this lives.
struct Prompt {
    editor: Editor,
    /// What the user did that the queue has had no room for.
    entered: VecDeque<Entry>,
}

/// What happened first.
enum Happening {
    Key(Option<io::Result<Event>>),
    /// The queue has room, or nobody takes from it.
    Room(bool),
    /// A batch was taken, or there is none any more.
    Output(bool),
}

impl Prompt {
    fn new() -> io::Result<Self> {
        let (width, _) = size()?;
        enable_raw_mode()?;
        let prompt = Self {
            editor: Editor::new(width),
            entered: VecDeque::new(),
        };
        execute!(io::stdout(), EnableBracketedPaste)?;
        prompt.draw(String::new())?;
        Ok(prompt)
    }

    /// Runs until the input or the output is over. Returns the last of the input, if it is over;
    /// output may follow it.
    ///
    /// # Errors
    ///
    /// Nothing can be printed.
    async fn run(mut self, feed: &mut Feed, writer: &Writer) -> io::Result<Option<Input>> {
        let mut keys = EventStream::new();
        let mut batch = Vec::new();
        loop {
            match self.next(&mut keys, feed, writer, &mut batch).await {
                Happening::Output(true) => self.print(&batch)?,
                Happening::Output(false) | Happening::Room(false) => return Ok(None),
                Happening::Room(true) => match self.entered.pop_front() {
                    Some(Entry::Line(line)) => {
                        self.enter(&line)?;
                        feed.put(Input::Chunk((line + "\n").into_bytes()));
                    }
                    Some(Entry::End) => return Ok(Some(Input::End)),
                    Some(Entry::Interrupt) => return Ok(Some(Input::Interrupt)),
                    Some(Entry::ClearScreen) => self.draw("\x1b[2J\x1b[H".to_owned())?,
                    None => {}
                },
                Happening::Key(Some(Ok(event))) => {
                    self.entered.extend(self.editor.handle(&event));
                    self.draw(String::new())?;
                }
                Happening::Key(Some(Err(error))) => return Ok(Some(Input::Failed(error))),
                // The terminal is gone.
                Happening::Key(None) => return Ok(Some(Input::End)),
            }
        }
    }

    async fn next(
        &self,
        keys: &mut EventStream,
        feed: &mut Feed,
        writer: &Writer,
        batch: &mut Vec<u8>,
    ) -> Happening {
        let output = pin!(poll_fn(|cx| writer.poll_take(cx, batch)));
        if self.entered.is_empty() {
            match select(output, keys.next()).await {
                Either::Left((taken, _)) => Happening::Output(taken),
                Either::Right((event, _)) => Happening::Key(event),
            }
        } else {
            match select(output, pin!(poll_fn(|cx| feed.poll_ready(cx)))).await {
                Either::Left((taken, _)) => Happening::Output(taken),
                Either::Right((room, _)) => Happening::Room(room),
            }
        }
    }

    /// Prints whole lines above the prompt.
    fn print(&self, lines: &[u8]) -> io::Result<()> {
        let lines = String::from_utf8_lossy(lines).replace('\n', "\r\n");
        self.draw(format!("\r\x1b[K{lines}"))
    }

    fn enter(&self, line: &str) -> io::Result<()> {
        let mut out = String::new();
        Editor::draw_entered(line, &mut out);
        self.draw(out)
    }

    /// Shows the prompt behind what is shown already.
    fn draw(&self, mut shown: String) -> io::Result<()> {
        self.editor.draw(&mut shown);
        show(&shown)
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        // What comes next begins where the prompt was.
        let _ = show("\r\x1b[K");
        restore();
    }
}

fn show(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
