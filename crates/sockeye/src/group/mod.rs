//! Several engines on several threads as one server.
//!
//! A [`Group`] sets up one engine for each thread, by the same closure, and serves with all of
//! them. Connections are spread over the engines and stay where they came in; each engine has its
//! own loop, buffers, timers and compressors, and takes no lock for a message. What is published
//! or broadcast on one of them reaches the connections of all.
//!
//! This file starts the threads and ends them; what goes between engines is the
//! [`member`]'s business, what they listen on the [`listen`]ers'. It holds at all times: every
//! thread has been joined when the group is gone.

mod exchange;
pub(crate) mod listen;
pub(crate) mod member;
pub(crate) mod presence;

use std::any::TypeId;
use std::fmt;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sockeye_proto::ws::Message;

use self::member::{Member, Mesh};
use crate::engine::{Engine, EngineBuilder};
use crate::error::Error;
use crate::handle::{Handle, HandleError};
use crate::net::LocalAddr;
use crate::protocol::{Protocol, ProtocolKey};
use crate::shutdown::ShutdownReport;

/// Several engines that serve as one, each on a thread of its own.
///
/// ```no_run
/// use std::num::NonZeroUsize;
/// use sockeye::{Error, Group, on_message};
///
/// fn main() -> Result<(), Error> {
///     let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
///     let group = Group::start(threads, |builder, _| {
///         let mut engine = builder.build()?;
///         let echo = engine.host(on_message(|conn, message| {
///             conn.send(message);
///         }));
///         engine.listen(":7681")?.route("/echo", echo);
///         Ok::<_, Error>(engine)
///     })?;
///     group.run()?;
///     Ok(())
/// }
/// ```
///
/// # What is shared and what is not
/// - **Protocols and sessions** belong to one engine and need not be `Send`: the closure makes them
///   on their thread. All engines host the same types of protocols in the same order, so that a
///   [`ProtocolKey`] means the same on each of them.
/// - **Addresses**: engines that listen on equal addresses share them, port 0 included. TCP
///   connections are spread by the kernel, by a hash of their addresses (`SO_REUSEPORT`): even for
///   many, by chance for few. No other process can listen there, unless
///   [`EngineBuilder::reuse_port`] allows it. Engines share a Unix socket's one queue, and whoever
///   has time takes the next connection.
/// - **Messages**: [`publish`](crate::Core::publish) and [`broadcast`](crate::Core::broadcast),
///   also by way of a [`Handle`] or a [`bus`](crate::bus), reach the connections of all engines. The message is framed once,
///   and compressed once for all that agreed on the same.
///   [`publish_here`](crate::Core::publish_here) stays on its engine, as do
///   [`subscriber_count`](crate::Core::subscriber_count), the numbers that publishing returns, and
///   [`Stats`](crate::Stats). [`call_others`](crate::Core::call_others) keeps what protocols share
///   in step.
/// - **[`ConnId`](crate::ConnId)s** mean something to their own engine and nothing to the others.
///   Whoever keeps one for another thread keeps the [`Handle`] of its engine beside it.
/// - **Limits** are each engine's own, but for [`connections`](crate::Limits::connections) and
///   [`connections_per_address`](crate::Limits::connections_per_address), which accepted connections
///   of all engines keep together.
/// - **TLS**: clones of one [`ServerTls`](crate::tls::ServerTls) are reloaded together.
///
/// # Order and room
/// What one engine publishes arrives on each other engine in the order it was published, each
/// message once. What several engines publish has an order on each engine, but not the same on all.
///
/// What waits for another engine is bounded by
/// [`Limits::group_queue_len`](crate::Limits::group_queue_len). From half of that on the sender reads
/// nothing more and takes no commands of handles until the other has caught up: peers that publish
/// wait, and nothing is lost. Only callbacks that publish on without any of that, such as timers,
/// can fill it altogether; what they publish then does not reach that engine, and is counted in
/// [`Stats::unshared`](crate::Stats::unshared). An engine that is stuck in a callback of the program
/// stops the others so, sooner or later.
///
/// # Ending
/// [`GroupHandle::shutdown`] ends all engines in order. When one alone is
/// [shut down](Handle::shutdown), the others go on without it; the connections that waited for it to
/// be accepted are reset. When one fails or panics, the others are shut down, and given their
/// [`close_timeout`](crate::Limits::close_timeout).
pub struct Group {
    /// The engine of the thread that calls [`run`](Self::run).
    first: Engine,
    crew: Crew,
    handle: GroupHandle,
    addrs: Vec<LocalAddr>,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("engines", &self.handle.engines.len())
            .field("addrs", &self.addrs)
            .finish_non_exhaustive()
    }
}

impl Group {
    /// Sets up so many engines, one after the other, each on its thread; the first one is this
    /// thread's. The closure gets the builder that makes an engine of the group, and the number of
    /// the engine, from 0. Nothing is served before [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// What the closure returns; those made so far are gone then. The engines do not host the same
    /// protocols, one lives in a foreign loop or was not made by the builder, or the system has no
    /// thread or descriptor left.
    pub fn start<E, F>(threads: NonZeroUsize, set_up: F) -> Result<Self, E>
    where
        E: From<Error> + Send + 'static,
        F: Fn(EngineBuilder, usize) -> Result<Engine, E> + Send + Sync + 'static,
    {
        let (mesh, members) = Mesh::new(threads.get())
            .map_err(|error| Error::io("create the wakers of a group", error))?;
        let set_up = Arc::new(set_up);
        let mut members = members.into_iter();
        let Some(member) = members.next() else {
            return Err(Error::Config("a group needs an engine".to_owned()).into());
        };
        let first = make(member, &*set_up)?;
        let mut engines = vec![first.handle()];
        let mut crew = Crew::default();
        for member in members {
            let card = crew.hire(member, Arc::clone(&set_up))?;
            if card.hosts != hosts(&first) {
                return Err(Error::Config(
                    "the engines of a group must host the same protocols in the same order"
                        .to_owned(),
                )
                .into());
            }
            engines.push(card.handle);
        }
        Ok(Self {
            first,
            crew,
            handle: GroupHandle {
                engines: engines.into(),
            },
            addrs: mesh.close_registry(),
        })
    }

    /// Where the engines listen, in the order they began to.
    pub fn local_addrs(&self) -> &[LocalAddr] {
        &self.addrs
    }

    /// A way to reach the engines from other threads.
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }

    /// Gives up root's powers, on all threads: see [`Engine::drop_privileges`].
    ///
    /// # Errors
    ///
    /// The system refuses; a program should end then.
    pub fn drop_privileges(&mut self, uid: Option<u32>, gid: Option<u32>) -> Result<(), Error> {
        self.first.drop_privileges(uid, gid)
    }

    /// Serves, with one engine on this thread, until all engines have ended. The report counts the
    /// connections of all.
    ///
    /// # Errors
    ///
    /// The first engine that failed.
    ///
    /// # Panics
    ///
    /// If a callback did, on whichever thread; the others have been shut down then.
    pub fn run(self) -> Result<ShutdownReport, Error> {
        let Self {
            first,
            crew,
            handle,
            ..
        } = self;
        crew.begin(&handle);
        let mut outcome = serve(first, &handle);
        for ended in crew.join() {
            outcome = match (outcome, ended) {
                (Ok(sum), Ok(report)) => Ok(ShutdownReport {
                    closed: sum.closed + report.closed,
                    cut: sum.cut + report.cut,
                }),
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
        }
        outcome
    }
}

/// A group as other threads see it. Cloned freely; all calls return at once.
#[derive(Clone, Debug)]
pub struct GroupHandle {
    engines: Arc<[Handle]>,
}

impl GroupHandle {
    /// The handle of each engine, by its number.
    pub fn engines(&self) -> &[Handle] {
        &self.engines
    }

    /// Sends a message to every member of a topic, on all engines.
    ///
    /// # Errors
    ///
    /// The queue of the engine that passes it on is full, or all engines have ended.
    pub fn publish<'m>(
        &self,
        topic: &str,
        message: impl Into<Message<'m>>,
    ) -> Result<(), HandleError> {
        let message = message.into();
        self.by_first(|engine| engine.publish(topic, message))
    }

    /// Calls [`Protocol::on_broadcast`] for every open connection of a protocol, on all engines.
    ///
    /// # Errors
    ///
    /// The queue of the engine that passes it on is full, or all engines have ended.
    pub fn broadcast<'m, P: Protocol>(
        &self,
        key: ProtocolKey<P>,
        message: impl Into<Message<'m>>,
    ) -> Result<(), HandleError> {
        let message = message.into();
        self.by_first(|engine| engine.broadcast(key, message))
    }

    /// Ends all engines: see [`Engine::shutdown`].
    ///
    /// # Errors
    ///
    /// All engines have ended already.
    pub fn shutdown(&self, limit: Duration) -> Result<(), HandleError> {
        let mut outcome = Err(HandleError::Gone);
        for engine in &*self.engines {
            outcome = engine.shutdown(limit).or(outcome);
        }
        outcome
    }

    /// By the first engine that is there: always the same one, so that there is an order.
    fn by_first(
        &self,
        mut call: impl FnMut(&Handle) -> Result<(), HandleError>,
    ) -> Result<(), HandleError> {
        let mut outcomes = self.engines.iter().map(&mut call);
        outcomes
            .find(|outcome| *outcome != Err(HandleError::Gone))
            .unwrap_or(Err(HandleError::Gone))
    }
}

/// What a thread tells of its engine.
struct Card {
    handle: Handle,
    hosts: Vec<TypeId>,
}

fn hosts(engine: &Engine) -> Vec<TypeId> {
    let hosted = engine.protocols.iter();
    hosted.map(|protocol| protocol.kind()).collect()
}

fn make<E: From<Error>>(
    member: Member,
    set_up: &dyn Fn(EngineBuilder, usize) -> Result<Engine, E>,
) -> Result<Engine, E> {
    let index = member.index();
    let engine = set_up(EngineBuilder::of_group(member), index)?;
    let is_ours = engine.core.group.as_ref().map(|member| member.index()) == Some(index);
    if !is_ours {
        let problem = "an engine of a group must be made by the builder that is given";
        return Err(Error::Config(problem.to_owned()).into());
    }
    if !engine.core.driver.is_own() {
        return Err(Error::ForeignLoop.into());
    }
    Ok(engine)
}

/// Serves to the end. However it ends but in order, the others are shut down.
fn serve(mut engine: Engine, group: &GroupHandle) -> Result<ShutdownReport, Error> {
    struct Alarm<'g>(Option<&'g GroupHandle>, Duration);

    impl Drop for Alarm<'_> {
        fn drop(&mut self) {
            if let Some(group) = self.0 {
                // It fails if all have ended, which is what is wanted.
                let _ = group.shutdown(self.1);
            }
        }
    }

    let mut alarm = Alarm(Some(group), engine.core.limits.close_timeout);
    let report = engine.run()?;
    alarm.0 = None;
    Ok(report)
}

/// The threads beside the first one. They end when they are not begun with.
#[derive(Default)]
struct Crew {
    threads: Vec<Thread>,
}

struct Thread {
    begin: Sender<GroupHandle>,
    thread: JoinHandle<Result<ShutdownReport, Error>>,
}

impl Crew {
    /// Starts a thread and waits until its engine is set up.
    fn hire<E, F>(&mut self, member: Member, set_up: Arc<F>) -> Result<Card, E>
    where
        E: From<Error> + Send + 'static,
        F: Fn(EngineBuilder, usize) -> Result<Engine, E> + Send + Sync + 'static,
    {
        let (begin, begun) = mpsc::channel();
        let (ready, made) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("engine-{}", member.index()))
            .spawn(move || live(member, &*set_up, &ready, &begun))
            .map_err(|error| Error::io("start a thread", error))?;
        match made.recv() {
            Ok(Ok(card)) => {
                self.threads.push(Thread { begin, thread });
                Ok(card)
            }
            Ok(Err(error)) => {
                drop(thread.join());
                Err(error)
            }
            Err(_) => match thread.join() {
                Err(panic) => resume_unwind(panic),
                Ok(_) => Err(Error::Config("an engine ended before it began".to_owned()).into()),
            },
        }
    }

    fn begin(&self, handle: &GroupHandle) {
        for Thread { begin, .. } in &self.threads {
            // A thread that is not there any more is found by `join`.
            drop(begin.send(handle.clone()));
        }
    }

    /// How each thread ended, once all have. The first panic goes on here.
    fn join(mut self) -> Vec<Result<ShutdownReport, Error>> {
        let (ended, panics): (Vec<_>, Vec<_>) = self
            .threads
            .drain(..)
            .map(|Thread { thread, .. }| thread.join())
            .partition(Result::is_ok);
        if let Some(panic) = panics.into_iter().find_map(Result::err) {
            resume_unwind(panic);
        }
        ended.into_iter().filter_map(Result::ok).collect()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for Thread { begin, thread } in self.threads.drain(..) {
            drop(begin);
            // Whoever drops a group does not ask how its threads ended.
            drop(thread.join());
        }
    }
}

/// The life of a thread.
fn live<E: From<Error>>(
    member: Member,
    set_up: &dyn Fn(EngineBuilder, usize) -> Result<Engine, E>,
    ready: &Sender<Result<Card, E>>,
    begun: &Receiver<GroupHandle>,
) -> Result<ShutdownReport, Error> {
    let (engine, card) = match make(member, set_up) {
        Ok(engine) => {
            let (handle, hosts) = (engine.handle(), hosts(&engine));
            (Some(engine), Ok(Card { handle, hosts }))
        }
        Err(error) => (None, Err(error)),
    };
    // Whoever started this waits for it.
    drop(ready.send(card));
    // Without an engine there is nothing to begin with.
    match engine.map(|engine| (engine, begun.recv())) {
        Some((engine, Ok(group))) => serve(engine, &group),
        _ => Ok(ShutdownReport::default()),
    }
}
