//! What comes in for the loop: a short queue, and the thread that fills it from standard input.
//!
//! A few pieces wait at most: whoever fills the queue goes on only as they are taken.

use std::future::poll_fn;
use std::io::{self, Read};
use std::task::{Context, Poll};
use std::thread;

use futures_channel::mpsc::{self, Receiver, Sender};

use crate::failure::Failure;

/// Bytes read at once.
const CHUNK_LEN: usize = 64 * 1024;
/// Pieces that may wait.
const QUEUE_LEN: usize = 4;

/// What came.
#[derive(Debug)]
pub(super) enum Input {
    Chunk(Vec<u8>),
    /// Nothing follows.
    End,
    /// Ctrl-C, read as a key.
    Interrupt,
    Failed(io::Error),
}

/// The end of the queue that is filled.
pub(super) struct Feed {
    sender: Sender<Input>,
    notify: Box<dyn Fn() + Send>,
}

/// A queue; `notify` is called on the filling thread when something can be taken.
pub(super) fn queue(notify: impl Fn() + Send + 'static) -> (Feed, Receiver<Input>) {
    let (sender, receiver) = mpsc::channel(QUEUE_LEN);
    let feed = Feed {
        sender,
        notify: Box::new(notify),
    };
    (feed, receiver)
}

impl Feed {
    /// Whether there is room; `false` if nobody takes anything any more.
    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        self.sender.poll_ready(cx).map(|ready| ready.is_ok())
    }

    /// Puts something into a queue that has room. Returns whether anybody takes it.
    pub(super) fn put(&mut self, input: Input) -> bool {
        let taken = self.sender.start_send(input).is_ok();
        (self.notify)();
        taken
    }

    /// Reads standard input to its end, on a thread of its own.
    pub(super) fn start(self) -> Result<(), Failure> {
        thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || self.read_all())
            .map_err(|error| Failure::io("start a thread", error))?;
        Ok(())
    }

    fn read_all(mut self) {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; CHUNK_LEN];
        while futures_executor::block_on(poll_fn(|cx| self.poll_ready(cx))) {
            let input = match stdin.read(&mut buffer) {
                Ok(0) => Input::End,
                Ok(len) => Input::Chunk(buffer[..len].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Input::Failed(error),
            };
            let more = matches!(input, Input::Chunk(_));
            if !self.put(input) || !more {
                return;
            }
        }
    }
}
