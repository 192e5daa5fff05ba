//! Reaching an engine from other threads: a bounded queue of commands and a waker.
//!
//! The queue knows nothing of sockets; commands are values or closures that the loop runs between
//! callbacks.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sockeye_proto::CloseCode;
use sockeye_proto::ws::{Message, Prepared};

use crate::core::Core;
use crate::engine::Engine;
use crate::id::ConnId;
use crate::protocol::{Protocol, ProtocolKey};
use crate::waker::Waker;

/// Something for the loop to do.
pub(crate) enum Command {
    Run(Box<dyn FnOnce(&mut Engine) + Send>),
    Shutdown(Duration),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(_) => f.write_str("Run"),
            Self::Shutdown(limit) => write!(f, "Shutdown({limit:?})"),
        }
    }
}

#[derive(Debug)]
struct Queue {
    commands: VecDeque<Command>,
    closed: bool,
}

/// The engine's side of its handles.
#[derive(Debug)]
pub(crate) struct Inbox {
    queue: Mutex<Queue>,
    capacity: usize,
    waker: Waker,
}

impl Inbox {
    pub(crate) fn new(capacity: usize, waker: Waker) -> Self {
        let queue = Mutex::new(Queue {
            commands: VecDeque::new(),
            closed: false,
        });
        Self {
            queue,
            capacity,
            waker,
        }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Queues a command that must not be lost, such as the answer to something the loop itself
    /// asked for. Their number is bounded by who asks.
    pub(crate) fn push_answer(&self, command: Command) {
        let mut queue = self.lock();
        if !queue.closed {
            queue.commands.push_back(command);
            drop(queue);
            self.waker.wake();
        }
    }

    fn push(&self, command: Command) -> Result<(), HandleError> {
        let mut queue = self.lock();
        if queue.closed {
            return Err(HandleError::Gone);
        }
        if queue.commands.len() >= self.capacity {
            return Err(HandleError::Full);
        }
        queue.commands.push_back(command);
        drop(queue);
        self.waker.wake();
        Ok(())
    }

    /// Takes up to `count` commands; says whether there are more.
    pub(crate) fn take(&self, count: usize, out: &mut Vec<Command>) -> bool {
        let mut queue = self.lock();
        let count = count.min(queue.commands.len());
        out.extend(queue.commands.drain(..count));
        !queue.commands.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().commands.is_empty()
    }

    /// From now on every handle is told that the engine is gone.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        let commands = std::mem::take(&mut queue.commands);
        drop(queue);
        // A command may own a handle, and dropping that must find the queue unlocked.
        drop(commands);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        // A queue of whole commands is consistent whoever panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a [`Handle`] could not pass something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandleError {
    /// [`Limits::command_queue_len`](crate::Limits::command_queue_len) commands wait already: try
    /// again when the loop had time.
    Full,
    /// The engine has ended.
    Gone,
}

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the engine's command queue is full: try again later",
            Self::Gone => "the engine has ended",
        })
    }
}

impl std::error::Error for HandleError {}

/// An engine as other threads see it. Cloned freely; all calls return at once.
///
/// Commands are executed in order, in the loop's next turn. A command for a connection that is gone
/// by then is counted in [`Stats::stale`](crate::Stats::stale) and does nothing.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let mut engine = sockeye::Engine::new()?;
/// let handle = engine.handle();
/// let other = std::thread::spawn(move || handle.shutdown(Duration::from_secs(1)));
/// engine.run()?;
/// other.join().unwrap()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    inbox: Arc<Inbox>,
}

impl Handle {
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// Runs a closure on the loop's thread, with the protocol and the core. The protocol itself
    /// need not be `Send`.
    ///
    /// # Errors
    ///
    /// The queue is full, or the engine has ended.
    pub fn call<P: Protocol>(
        &self,
        key: ProtocolKey<P>,
        call: impl FnOnce(&mut P, &mut Core) + Send + 'static,
    ) -> Result<(), HandleError> {
        self.inbox.push(Command::Run(Box::new(move |engine| {
            if let Some((protocol, core)) = engine.parts(key) {
                call(protocol, core);
            }
        })))
    }

    /// Runs a closure on the loop's thread, with the core.
    ///
    /// # Errors
    ///
    /// The queue is full, or the engine has ended.
    pub fn with_core(
        &self,
        call: impl FnOnce(&mut Core) + Send + 'static,
    ) -> Result<(), HandleError> {
        self.inbox
            .push(Command::Run(Box::new(move |engine| call(engine.core()))))
    }

    /// Sends a message to one connection.
    ///
    /// # Errors
    ///
    /// The queue is full, or the engine has ended.
    pub fn send<'m>(&self, id: ConnId, message: impl Into<Message<'m>>) -> Result<(), HandleError> {
        let message = Prepared::new(message.into());
        self.with_core(move |core| {
            core.send_prepared(id, &message);
        })
    }

    /// Sends a message to every member of a topic, on all engines of a [`Group`](crate::Group).
    ///
    /// # Errors
    ///
    /// The queue is full, or the engine has ended.
    pub fn publish<'m>(
        &self,
        topic: &str,
        message: impl Into<Message<'m>>,
    ) -> Result<(), HandleError> {
        let (topic, message) = (topic.to_owned(), Prepared::new(message.into()));
        self.with_core(move |core| {
            core.publish(&topic, &message);
        })
    }

    /// Calls [`Protocol::on_broadcast`] for every open connection of a protocol, on all engines of a
    /// [`Group`](crate::Group).
    ///
    /// # Errors
    ///
    /// The queue is full, or the engine has ended.
    pub fn broadcast<'m, P: Protocol>(
        &self,
        key: ProtocolKey<P>,
        message: impl Into<Message<'m>>,
    ) -> Result<(), HandleError> {
        let message = Prepared::new(message.into());
        self.with_core(move |core| core.broadcast(key, message))
    }

    /// Begins the closing handshake of one connection.
    ///
    /// # Errors
    ///
    /// The queue is full, or the engine has ended.
    pub fn close(&self, id: ConnId, code: CloseCode, reason: &str) -> Result<(), HandleError> {
        let reason = reason.to_owned();
        self.with_core(move |core| {
            core.close(id, code, &reason);
        })
    }

    /// Ends the engine: see [`Engine::shutdown`].
    ///
    /// # Errors
    ///
    /// The engine has ended already.
    pub fn shutdown(&self, limit: Duration) -> Result<(), HandleError> {
        if self.inbox.lock().closed {
            return Err(HandleError::Gone);
        }
        self.inbox.push_answer(Command::Shutdown(limit));
        Ok(())
    }
}
