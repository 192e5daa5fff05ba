//! The driver over Linux' `io_uring(7)`: operations are handed to the kernel together, once a turn,
//! and their outcomes come back the same way.
//!
//! For the engine it is a poller like the others: it reports readiness, level-triggered. But the
//! bytes of a [`RingStream`] are there already when they are reported, in buffers that the kernel
//! chose, and what is written is sent with the next wait. Knows nothing of connections.
//!
//! One thread: the ring belongs to the thread that made it, and is of no use in a forked child.

mod buffers;
mod ledger;
mod link;
mod queue;
mod slots;
mod stream;
mod streams;
#[cfg(test)]
mod tests;
mod watch;

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

pub(crate) use self::link::RingStream;
pub(crate) use self::stream::Received;

use self::queue::{Answer, Op, Queue};
use self::streams::Streams;
use self::watch::Watches;
use crate::poll::{Interest, Poller, Ready, Registrar, Token};

/// A ring, its streams and what it watches.
#[derive(Debug)]
pub(crate) struct Ring {
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    streams: Streams,
    watches: Watches,
    answers: Vec<Answer>,
    /// What failed where nobody could be told.
    failure: Option<io::Error>,
}

impl Ring {
    /// # Errors
    ///
    /// The kernel is too old (before Linux 6.1), or does not allow it: `io_uring` may be turned
    /// off, or forbidden by a sandbox.
    pub(crate) fn new() -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            state: RefCell::new(State {
                queue: Queue::new()?,
                streams: Streams::default(),
                watches: Watches::default(),
                answers: Vec::new(),
                failure: None,
            }),
        }))
    }

    /// Does something to the streams; what fails is told by the next wait.
    fn with<T>(&self, act: impl FnOnce(&mut Streams, &mut Queue) -> io::Result<T>) -> Option<T> {
        let state = &mut *self.state.borrow_mut();
        match act(&mut state.streams, &mut state.queue) {
            Ok(value) => Some(value),
            Err(error) => {
                state.failure = Some(error);
                None
            }
        }
    }
}

impl State {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let has_news = self.streams.prepare(&mut self.queue)?;
        let give_up_in = self.streams.expire(&mut self.queue)?;
        self.watches.arm(&mut self.queue)?;
        let timeout = match has_news {
            true => Some(Duration::ZERO),
            false => [timeout, give_up_in].into_iter().flatten().min(),
        };
        self.queue.wait(timeout)?;
        let mut answers = std::mem::take(&mut self.answers);
        self.queue.answers(&mut answers);
        let queue = &mut self.queue;
        let streams = &mut self.streams;
        for answer in answers.drain(..) {
            match answer.op {
                Op::Receive => streams.received(queue, answer)?,
                Op::Send => streams.sent(queue, answer)?,
                Op::News => streams.has_news(answer),
                Op::Room => streams.has_room(queue, answer)?,
                Op::Watch => self.watches.answered(answer, ready),
                Op::Forget => {}
            }
        }
        self.answers = answers;
        if self.queue.is_settled() {
            self.streams.sent_all(&mut self.queue)?;
        }
        self.queue.settle();
        self.streams.report(ready);
        Ok(())
    }
}

impl Registrar for Rc<Ring> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.state.borrow_mut().watches.add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        state.watches.modify(&mut state.queue, fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let state = &mut *self.state.borrow_mut();
        state.watches.remove(&mut state.queue, fd)
    }
}

impl Poller for Rc<Ring> {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        ready.clear();
        let mut state = self.state.borrow_mut();
        loop {
            let waited = state.wait(ready, timeout);
            if waited.is_err() {
                ready.clear();
            }
            // What was answered may be nobody's business but the ring's.
            if waited.is_err() || !ready.is_empty() || timeout.is_some() {
                return waited;
            }
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        self.state.borrow_mut().queue.submit()
    }
}
