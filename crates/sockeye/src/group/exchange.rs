//! The engine's side of a group: what is passed to the others, and what they want done.
//!
//! Posts are put together during a turn and sent at its end; those of others are run in the phase
//! of the inbox. An engine that is pressed waits for nothing but its waker; that its own peers take
//! more again it looks up at short intervals, since the poller cannot be asked for that alone.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sockeye_proto::ws::Prepared;

use super::member::{Member, Post};
use super::presence::Slot;
use crate::core::Core;
use crate::engine::{Engine, EngineBuilder};
use crate::error::Error;
use crate::protocol::{Protocol, ProtocolKey};

/// How long an engine that is pressed rests: with work that must wait, and before it looks again
/// who takes more.
const REST: Duration = Duration::from_millis(1);

impl EngineBuilder {
    pub(crate) fn of_group(member: Member) -> Self {
        let mut builder = Engine::builder();
        builder.member = Some(Box::new(member));
        builder
    }
}

impl Core {
    /// Calls a protocol on every other engine of the [`Group`](crate::Group), once, in order with
    /// what this engine publishes. For what protocols of several engines keep in step. `len` is how
    /// many bytes the closure holds on to, which count against
    /// [`Limits::group_queue_len`](crate::Limits::group_queue_len). Without a group it does nothing.
    pub fn call_others<P: Protocol>(
        &mut self,
        key: ProtocolKey<P>,
        len: usize,
        call: impl Fn(&mut P, &mut Self) + Send + Sync + 'static,
    ) {
        self.share(len, None, || {
            Box::new(move |engine| {
                if let Some((protocol, core)) = engine.parts(key) {
                    call(protocol, core);
                }
            })
        });
    }

    /// Does on the other engines, or on those with members of a topic, what was done here.
    fn share(
        &mut self,
        len: usize,
        topic: Option<Slot>,
        run: impl FnOnce() -> Box<dyn Fn(&mut Engine) + Send + Sync>,
    ) {
        if let Some(member) = &mut self.group
            && member.reaches(topic)
        {
            let waiting = member.post(Post::new(len, run()), topic);
            self.pressed |= waiting >= self.limits.group_queue_len / 2;
        }
    }

    pub(crate) fn share_publish(&mut self, topic: &str, message: &Prepared) {
        if self.group.is_none() {
            return;
        }
        self.share(message.data().len(), Some(Slot::of(topic)), || {
            let (topic, message) = (Box::<str>::from(topic), message.clone());
            Box::new(move |engine| {
                engine.core.publish_here(&topic, &message);
            })
        });
    }

    /// Counts a connection that may come in, in the group if there is one.
    pub(crate) fn reserve(&mut self) -> bool {
        let limit = self.conns.max_len();
        self.group
            .as_mut()
            .is_none_or(|member| member.reserve(limit))
    }

    /// Takes back what [`reserve`](Self::reserve) counted.
    pub(crate) fn release(&mut self) {
        if let Some(member) = &mut self.group {
            member.release();
        }
    }
}

impl Engine {
    /// Tells all connections of a protocol, on this engine and the others.
    pub(crate) fn broadcast(&mut self, protocol: u16, message: &Prepared) {
        self.broadcast_here(protocol, message);
        self.core.share(message.data().len(), None, || {
            let message = message.clone();
            Box::new(move |engine| engine.broadcast_here(protocol, &message))
        });
    }

    fn broadcast_here(&mut self, protocol: u16, message: &Prepared) {
        if let Some(hosted) = self.protocols.get_mut(usize::from(protocol)) {
            hosted.broadcast(&mut self.core, message);
        }
    }

    /// Does what the others want done, as much as fits into a turn.
    pub(crate) fn run_posts(&mut self) {
        let bound = self.core.limits.group_queue_len;
        let mut left = self.core.limits.commands_per_turn;
        while left > 0
            && let Some(member) = &mut self.core.group
            && let Some((posts, range)) = member.next(left, bound)
        {
            left -= range.len();
            for post in posts.get(range).unwrap_or_default() {
                (post.run)(self);
            }
        }
    }

    /// Sends the others what this turn had to say to them.
    pub(crate) fn send_posts(&mut self) {
        let core = &mut self.core;
        if let Some(member) = &mut core.group {
            let bound = core.limits.group_queue_len;
            core.stats.unshared += member.send(bound);
            core.pressed = member.is_pressed(core.pressed, bound);
        }
    }

    /// Waits for the waker alone, and not for long: nothing is read until the others have caught
    /// up. What is due is served all the same, a little late.
    pub(crate) fn wait_for_others(&self) -> Result<(), Error> {
        let waker = self.core.inbox.waker().fd();
        let mut watched = [PollFd::from_borrowed_fd(waker, PollFlags::IN)];
        match poll(&mut watched, Timespec::try_from(REST).ok().as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(Error::io("wait for other engines", errno.into())),
        }
    }
}
