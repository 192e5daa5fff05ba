//! What waits to be shown: one buffer between the loop and the thread that writes.
//!
//! While a [`Writer`] writes one batch, the next one gathers. Above [`FULL`] the sender is told to
//! stop; when all is written, [`Report::Drained`] says to go on. So what waits is bounded by twice
//! that mark and a message. A reader of ours that pauses does not stop the loop.

use std::fmt;
use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use futures_util::task::AtomicWaker;

use crate::failure::Failure;

/// Bytes that may wait before the sender is told to stop.
const FULL: usize = 1024 * 1024;

/// What the sender is told, on the writing thread.
#[derive(Debug)]
pub(super) enum Report {
    /// All that waited is written: go on.
    Drained,
    /// Nothing can be written any more.
    Broken(io::Error),
}

/// The sender's end.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    shared: Arc<Shared>,
}

/// The writing thread's end; there is one.
pub(super) struct Writer {
    shared: Arc<Shared>,
    report: Box<dyn Fn(Report) + Send>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Who waits in [`Writer::poll_take`].
    task: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The sender was told to stop.
    stopped: bool,
    /// The writer is about to write.
    begun: bool,
    /// Nothing more will be pushed.
    finished: bool,
    /// There is a writer.
    written: bool,
    broken: bool,
}

impl Output {
    /// The other end; `report` is called on the thread that writes.
    pub(super) fn writer(&self, report: impl Fn(Report) + Send + 'static) -> Writer {
        self.shared.lock().written = true;
        Writer {
            shared: Arc::clone(&self.shared),
            report: Box::new(report),
        }
    }

    /// What is pushed is written from now on.
    pub(super) fn begin(&self) {
        self.shared.lock().begun = true;
    }

    /// Whether what is pushed is written soon.
    pub(super) fn has_begun(&self) -> bool {
        self.shared.lock().begun
    }

    /// Appends something. Returns whether the sender may go on; otherwise [`Report::Drained`]
    /// follows.
    pub(super) fn push(&self, append: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut state = self.shared.lock();
        if state.broken {
            return true;
        }
        append(&mut state.waiting);
        state.stopped |= state.waiting.len() > FULL;
        let go_on = !state.stopped;
        drop(state);
        self.shared.wake();
        go_on
    }

    /// Whether the sender has been told to stop, and not yet to go on.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.lock().stopped
    }

    /// Nothing follows: waits until all is written, if there is a writer.
    pub(super) fn finish(&self) {
        let mut state = self.shared.lock();
        state.finished = true;
        drop(state);
        self.shared.wake();
        state = self.shared.lock();
        while state.written {
            state = self.shared.wait(state);
        }
    }
}

impl Writer {
    /// Waits for the next batch; `false` when there is none any more.
    pub(super) fn take(&self, batch: &mut Vec<u8>) -> bool {
        let mut state = self.shared.lock();
        loop {
            if let Some(taken) = self.try_take(&mut state, batch) {
                return taken;
            }
            if mem::take(&mut state.stopped) {
                drop(state);
                (self.report)(Report::Drained);
                state = self.shared.lock();
            } else {
                state = self.shared.wait(state);
            }
        }
    }

    /// As [`take`](Self::take), for who waits for something else too.
    pub(super) fn poll_take(&self, cx: &Context<'_>, batch: &mut Vec<u8>) -> Poll<bool> {
        self.shared.task.register(cx.waker());
        let mut state = self.shared.lock();
        let taken = self.try_take(&mut state, batch);
        if taken.is_none() && mem::take(&mut state.stopped) {
            drop(state);
            (self.report)(Report::Drained);
        }
        taken.map_or(Poll::Pending, Poll::Ready)
    }

    fn try_take(&self, state: &mut State, batch: &mut Vec<u8>) -> Option<bool> {
        batch.clear();
        if !state.waiting.is_empty() {
            mem::swap(batch, &mut state.waiting);
            return Some(true);
        }
        state.finished.then_some(false)
    }

    /// Writing failed: what waits is dropped, and so is all that follows.
    pub(super) fn give_up(self, error: io::Error) {
        let mut state = self.shared.lock();
        state.broken = true;
        state.stopped = false;
        state.waiting = Vec::new();
        drop(state);
        (self.report)(Report::Broken(error));
    }

    /// Writes to standard output, on a thread of its own.
    pub(super) fn start(self) -> Result<(), Failure> {
        thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || self.write_all())
            .map_err(|error| Failure::io("start a thread", error))?;
        Ok(())
    }

    /// Writes to standard output, to the end.
    pub(super) fn write_all(self) {
        let mut out = io::stdout();
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            if let Err(error) = out.write_all(&batch).and_then(|()| out.flush()) {
                return self.give_up(error);
            }
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().written = false;
        self.shared.wake();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values: whole whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.changed.notify_all();
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn start() -> (Output, Writer, mpsc::Receiver<Report>) {
        let (report, reports) = mpsc::channel();
        let output = Output::default();
        let writer = output.writer(move |it| drop(report.send(it)));
        (output, writer, reports)
    }

    #[test]
    fn a_sender_is_stopped_and_told_to_go_on() {
        let (output, writer, reports) = start();
        let line = vec![b'a'; FULL / 4];
        let push = || output.push(|out| out.extend_from_slice(&line));
        for _ in 0..4 {
            assert!(push());
        }
        assert!(!push());
        assert!(output.is_stopped());
        let taker = thread::spawn(move || {
            let mut batch = Vec::new();
            let mut len = 0;
            while writer.take(&mut batch) {
                len += batch.len();
            }
            len
        });
        assert!(matches!(reports.recv().unwrap(), Report::Drained));
        assert!(!output.is_stopped());
        assert!(push());
        output.finish();
        assert_eq!(taker.join().unwrap(), 6 * line.len());
    }

    #[test]
    fn whoever_polls_is_woken() {
        let (output, writer, reports) = start();
        output.push(|out| out.resize(FULL + 1, b'a'));
        let taker = thread::spawn(move || {
            let mut batch = Vec::new();
            let mut len = 0;
            let mut take = || {
                let poll = |cx: &mut Context<'_>| writer.poll_take(cx, &mut batch);
                let taken = futures_executor::block_on(std::future::poll_fn(poll));
                taken.then_some(batch.len())
            };
            while let Some(taken) = take() {
                len += taken;
            }
            len
        });
        assert!(matches!(reports.recv().unwrap(), Report::Drained));
        output.push(|out| out.push(b'b'));
        output.finish();
        assert_eq!(taker.join().unwrap(), FULL + 2);
    }

    #[test]
    fn a_broken_output_takes_everything_and_keeps_nothing() {
        let (output, writer, reports) = start();
        output.push(|out| out.push(b'a'));
        writer.give_up(io::ErrorKind::BrokenPipe.into());
        assert!(matches!(reports.recv().unwrap(), Report::Broken(_)));
        for _ in 0..4 {
            assert!(output.push(|out| out.extend_from_slice(&[b'a'; FULL])));
        }
        assert!(output.shared.lock().waiting.is_empty());
        output.finish();
    }

    #[test]
    fn without_a_writer_there_is_nothing_to_wait_for() {
        Output::default().finish();
    }
}
