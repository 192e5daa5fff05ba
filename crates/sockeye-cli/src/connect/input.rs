//! Standard input on a thread of its own: raw chunks, or the lines of an editor with a prompt.
//!
//! A few chunks wait at most: the thread reads on only as they are taken.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use super::output::Sink;
use crate::failure::Failure;

/// Bytes read at once.
const CHUNK_LEN: usize = 64 * 1024;
/// Chunks that may wait.
const CHUNK_COUNT: usize = 4;
const PROMPT: &str = "> ";

/// What came from the input.
#[derive(Debug)]
pub(super) enum Input {
    Chunk(Vec<u8>),
    /// Nothing follows.
    End,
    /// Ctrl-C, which the editor reads as a key.
    Interrupt,
    Failed(io::Error),
}

/// Where input comes from.
pub(super) enum Source {
    Stdin,
    Editor(Box<DefaultEditor>),
}

impl Source {
    /// An editor and the way to print above its prompt; `None` if the terminal cannot.
    pub(super) fn editor() -> Option<(Self, Sink)> {
        let config = Config::builder().auto_add_history(true).build();
        let mut editor = DefaultEditor::with_config(config).ok()?;
        let printer = editor.create_external_printer().ok()?;
        let sink = Sink::Prompt(Box::new(printer));
        Some((Self::Editor(Box::new(editor)), sink))
    }

    /// Begins to read; `notify` is called on the reading thread when something can be taken.
    pub(super) fn start(
        self,
        notify: impl Fn() + Send + 'static,
    ) -> Result<Receiver<Input>, Failure> {
        let (sender, receiver) = sync_channel(CHUNK_COUNT);
        let feed = Feed { sender, notify };
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || match self {
                Self::Stdin => read_chunks(&feed),
                Self::Editor(editor) => read_lines(*editor, &feed),
            })
            .map_err(|error| Failure::io("start a thread", error))?;
        Ok(receiver)
    }
}

struct Feed<F> {
    sender: SyncSender<Input>,
    notify: F,
}

impl<F: Fn()> Feed<F> {
    /// Passes something on; waits for room. Returns whether anybody takes it.
    fn push(&self, input: Input) -> bool {
        let taken = self.sender.send(input).is_ok();
        (self.notify)();
        taken
    }
}

fn read_chunks(feed: &Feed<impl Fn()>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = vec![0; CHUNK_LEN];
    loop {
        let input = match stdin.read(&mut buffer) {
            Ok(0) => Input::End,
            Ok(len) => Input::Chunk(buffer[..len].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Input::Failed(error),
        };
        let more = matches!(input, Input::Chunk(_));
        if !feed.push(input) || !more {
            return;
        }
    }
}

fn read_lines(mut editor: DefaultEditor, feed: &Feed<impl Fn()>) {
    let last = loop {
        match editor.readline(PROMPT) {
            Ok(mut line) => {
                line.push('\n');
                if !feed.push(Input::Chunk(line.into_bytes())) {
                    return;
                }
            }
            Err(ReadlineError::Eof) => break Input::End,
            Err(ReadlineError::Interrupted) => break Input::Interrupt,
            Err(ReadlineError::Io(error)) => break Input::Failed(error),
            Err(error) => break Input::Failed(io::Error::other(error)),
        }
    };
    // What comes from now on is printed without a prompt.
    drop(editor);
    feed.push(last);
}
