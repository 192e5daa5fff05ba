//! Standard output on a thread of its own, so that a reader that pauses does not stop the loop.
//!
//! What is to be written gathers in one buffer while the one before it is being written. Above
//! [`FULL`] the sender is told to stop; when all is written, a callback says to go on. So what
//! waits is bounded by that mark and one message.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use rustyline::ExternalPrinter;

use crate::failure::Failure;

/// Bytes that may wait before the sender is told to stop.
const FULL: usize = 1024 * 1024;

/// Where output goes.
pub(super) enum Sink {
    Stdout,
    /// Above the prompt of an editor. What goes there is UTF-8.
    Prompt(Box<dyn ExternalPrinter + Send>),
}

/// What the sender is told, from the output's thread.
#[derive(Debug)]
pub(super) enum Report {
    /// All that waited is written: go on.
    Drained,
    /// Nothing can be written any more.
    Broken(io::Error),
}

/// The way to the output.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    shared: Arc<Shared>,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// The sender was told to stop.
    stopped: bool,
    broken: bool,
    finished: bool,
}

impl Output {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Begins to write; `report` is called on the writing thread.
    pub(super) fn start(
        &self,
        sink: Sink,
        report: impl Fn(Report) + Send + 'static,
    ) -> Result<Writer, Failure> {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || shared.run(sink, report))
            .map_err(|error| Failure::io("start a thread", error))?;
        let shared = Arc::clone(&self.shared);
        Ok(Writer { shared, thread })
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
        self.shared.changed.notify_one();
        !state.stopped
    }

    /// Whether the sender has been told to stop, and not yet to go on.
    pub(super) fn is_stopped(&self) -> bool {
        self.shared.lock().stopped
    }
}

impl Writer {
    /// Waits until all is written.
    pub(super) fn finish(self) {
        self.shared.lock().finished = true;
        self.shared.changed.notify_one();
        // It does not panic, and if it did there would be nothing left to write.
        drop(self.thread.join());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values: whole whoever panicked.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, mut sink: Sink, report: impl Fn(Report)) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            while state.waiting.is_empty() && !state.finished {
                if mem::take(&mut state.stopped) {
                    drop(state);
                    report(Report::Drained);
                    state = self.lock();
                } else {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
            if state.waiting.is_empty() {
                break;
            }
            batch.clear();
            mem::swap(&mut batch, &mut state.waiting);
            drop(state);
            if let Err(error) = sink.write(&batch) {
                let mut state = self.lock();
                state.broken = true;
                state.stopped = false;
                state.waiting.clear();
                drop(state);
                return report(Report::Broken(error));
            }
        }
        sink.settle();
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()
            }
            Self::Prompt(printer) => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                printer.print(text).map_err(io::Error::other)
            }
        }
    }

    /// Waits until what was written is seen.
    fn settle(&mut self) {
        let Self::Prompt(printer) = self else { return };
        // The editor prints on its own thread, and takes the next text only when it has printed
        // the one before it, of which one fits into its queue. So when the second of two is taken
        // in, everything before them is on the screen. They go up a line and down again.
        for _ in 0..2 {
            if printer.print("\x1b[A\n".to_owned()).is_err() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[derive(Debug)]
    struct Stuck {
        go: mpsc::Receiver<()>,
        seen: Arc<Mutex<String>>,
    }

    impl ExternalPrinter for Stuck {
        fn print(&mut self, text: String) -> rustyline::Result<()> {
            match self.go.recv() {
                Ok(()) => {
                    self.seen.lock().unwrap().push_str(&text);
                    Ok(())
                }
                Err(_) => Err(io::Error::from(io::ErrorKind::BrokenPipe).into()),
            }
        }
    }

    struct Rig {
        output: Output,
        writer: Writer,
        go: mpsc::Sender<()>,
        seen: Arc<Mutex<String>>,
        reports: mpsc::Receiver<Report>,
    }

    fn start() -> Rig {
        let (go, wait) = mpsc::channel();
        let seen = Arc::new(Mutex::new(String::new()));
        let stuck = Stuck {
            go: wait,
            seen: Arc::clone(&seen),
        };
        let (report, reports) = mpsc::channel();
        let output = Output::new();
        let sink = Sink::Prompt(Box::new(stuck));
        let writer = output
            .start(sink, move |it| report.send(it).unwrap())
            .unwrap();
        Rig {
            output,
            writer,
            go,
            seen,
            reports,
        }
    }

    #[test]
    fn a_sender_is_stopped_and_told_to_go_on() {
        let Rig {
            output,
            writer,
            go,
            seen,
            reports,
        } = start();
        let line = vec![b'a'; FULL / 4];
        let mut pushed = 0;
        while output.push(|out| out.extend_from_slice(&line)) {
            pushed += 1;
            // One batch may be on its way while another one gathers.
            assert!(pushed < 10);
        }
        assert!(output.is_stopped());
        for _ in 0..10 {
            go.send(()).unwrap();
        }
        assert!(matches!(reports.recv().unwrap(), Report::Drained));
        assert!(!output.is_stopped());
        writer.finish();
        let expected = line.len() * (pushed + 1);
        assert_eq!(seen.lock().unwrap().matches('a').count(), expected);
    }

    #[test]
    fn a_broken_output_takes_everything_and_keeps_nothing() {
        let Rig {
            output,
            writer,
            go,
            reports,
            ..
        } = start();
        drop(go);
        output.push(|out| out.push(b'a'));
        assert!(matches!(reports.recv().unwrap(), Report::Broken(_)));
        for _ in 0..4 {
            assert!(output.push(|out| out.extend_from_slice(&[b'a'; FULL])));
        }
        writer.finish();
    }
}
