//! What one engine of a group knows of the others, and the queues between them.
//!
//! Each engine has one queue that all others put into, without a lock, a turn's worth at a time:
//! the batch is made once and shared by all receivers. Knows engines only as what a post is run on.
//!
//! Who has no members of a topic gets nothing of it, unless something of the sender waits there that
//! may bring some: what one engine wants done keeps its order on every other one.
//!
//! Room: a [`Flow`] counts what one engine has put into the queue of another one. From half of the
//! bound on the sender counts as pressed, until all receivers are below a quarter; whoever makes
//! room wakes those who wait for it. Invariant: a sender that waits has said so before it looked at
//! the flow for the last time, and a receiver looks whether somebody waits after it has made room.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use super::listen::Registry;
use super::presence::{Audience, Presence, Slot};
use crate::census::Census;
use crate::engine::Engine;
use crate::net::listener::{ListenOptions, Listener};
use crate::net::{Bind, LocalAddr, NetError};
use crate::waker::Waker;

/// What a post counts beside the bytes of its message: its own size, and that of its closure.
const POST_LEN: usize = 256;

/// Something to do on the other engines.
pub(crate) struct Post {
    len: usize,
    pub(crate) run: Box<dyn Fn(&mut Engine) + Send + Sync>,
}

impl Post {
    /// `len`: the bytes of the message in it.
    pub(crate) fn new(len: usize, run: Box<dyn Fn(&mut Engine) + Send + Sync>) -> Self {
        let len = len.saturating_add(POST_LEN);
        Self { len, run }
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Post({})", self.len)
    }
}

/// What one engine had to say in a turn.
#[derive(Clone, Debug)]
struct Batch {
    from: usize,
    len: usize,
    posts: Arc<[Post]>,
}

/// What one engine has in the queue of another one.
#[derive(Debug, Default)]
struct Flow {
    /// Bytes.
    len: AtomicUsize,
    /// The sender wants to be woken when there is room.
    is_awaited: AtomicBool,
}

#[derive(Debug)]
struct Seat {
    waker: Waker,
    queue: Sender<Batch>,
    presence: Arc<Presence>,
    /// Nobody takes anything out of the queue any more.
    is_gone: AtomicBool,
}

/// What all engines of a group share.
#[derive(Debug)]
pub(crate) struct Mesh {
    seats: Box<[Seat]>,
    /// By sender and receiver: see [`Mesh::flow`].
    flows: Box<[Flow]>,
    /// Accepted connections of all engines.
    connections: AtomicUsize,
    census: Arc<Census>,
    registry: Mutex<Registry>,
}

impl Mesh {
    /// # Errors
    ///
    /// The system has no descriptors.
    pub(crate) fn new(count: usize) -> io::Result<(Arc<Self>, Vec<Member>)> {
        let mut seats = Vec::new();
        let mut queues = Vec::new();
        for _ in 0..count {
            let (queue, incoming) = mpsc::channel();
            seats.push(Seat {
                waker: Waker::new()?,
                queue,
                presence: Arc::default(),
                is_gone: AtomicBool::new(false),
            });
            queues.push(incoming);
        }
        let mesh = Arc::new(Self {
            seats: seats.into(),
            flows: (0..count * count).map(|_| Flow::default()).collect(),
            connections: AtomicUsize::new(0),
            census: Arc::default(),
            registry: Mutex::default(),
        });
        let member = |(index, incoming)| Member {
            mesh: Arc::clone(&mesh),
            index,
            incoming,
            current: None,
            outgoing: Vec::new(),
            outgoing_len: 0,
            audience: Audience::default(),
            fullest: 0,
            connection_count: 0,
        };
        let members = queues.into_iter().enumerate().map(member).collect();
        Ok((mesh, members))
    }

    /// What is listened on is known to all: gives up what was kept for further engines, and tells
    /// where.
    pub(crate) fn close_registry(&self) -> Vec<LocalAddr> {
        self.registry().close()
    }

    fn registry(&self) -> std::sync::MutexGuard<'_, Registry> {
        // It is whole between any two calls.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flow(&self, from: usize, to: usize) -> &Flow {
        &self.flows[from * self.seats.len() + to]
    }
}

/// One engine's part in a group.
#[derive(Debug)]
pub(crate) struct Member {
    mesh: Arc<Mesh>,
    index: usize,
    incoming: Receiver<Batch>,
    /// The batch that is being worked on, and how many of its posts are done.
    current: Option<(Batch, usize)>,
    /// What this turn has to say to the others.
    outgoing: Vec<Post>,
    outgoing_len: usize,
    /// Whom that concerns.
    audience: Audience,
    /// What waited for the engine that has most to do, when it was looked at last.
    fullest: usize,
    /// What this engine adds to the connections of the group.
    connection_count: usize,
}

impl Member {
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Where the generations of this engine's connections begin, so that an id that strays to
    /// another engine finds nothing there: slots are used again some, not millions of times.
    pub(crate) fn first_generation(&self) -> u32 {
        const DISTANCE: u32 = 1 << 22;
        (self.index as u32).wrapping_mul(DISTANCE)
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.mesh.seats[self.index].waker
    }

    pub(crate) fn census(&self) -> &Arc<Census> {
        &self.mesh.census
    }

    /// Listens, together with the engines that listen on the same.
    pub(crate) fn listen(
        &self,
        bind: &Bind,
        options: &ListenOptions,
    ) -> Result<Listener, NetError> {
        match self.mesh.seats.len() {
            1 => self.mesh.registry().listen_alone(bind, options),
            _ => self.mesh.registry().listen(bind, options, self.index),
        }
    }

    fn others(&self) -> impl Iterator<Item = (usize, &Seat)> {
        let seats = self.mesh.seats.iter().enumerate();
        seats.filter(|(index, seat)| *index != self.index && !seat.is_gone.load(SeqCst))
    }

    /// The topics of this engine, as the others see them.
    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.mesh.seats[self.index].presence
    }

    /// Whether a post would reach anybody: all, or members of a topic.
    pub(crate) fn reaches(&self, topic: Option<Slot>) -> bool {
        let may_bring_some = self.audience.is_all();
        self.others().any(|(index, seat)| {
            topic.is_none_or(|slot| {
                may_bring_some
                    || self.mesh.flow(self.index, index).len.load(SeqCst) > 0
                    || seat.presence.has(slot)
            })
        })
    }

    /// Something for the others, or for those with members of a topic, to be sent at the end of the
    /// turn. Returns what waits for the fullest of them, this included.
    pub(crate) fn post(&mut self, post: Post, topic: Option<Slot>) -> usize {
        self.audience.add(topic);
        self.outgoing_len = self.outgoing_len.saturating_add(post.len);
        self.outgoing.push(post);
        self.fullest.saturating_add(self.outgoing_len)
    }

    /// Sends what this turn had to say, and wakes the receivers. One that has more than half of
    /// `bound` to do, and would have more than all of it then, gets nothing. Returns how many posts
    /// were not sent.
    pub(crate) fn send(&mut self, bound: usize) -> u64 {
        if self.outgoing.is_empty() {
            return 0;
        }
        let batch = Batch {
            from: self.index,
            len: std::mem::take(&mut self.outgoing_len),
            posts: std::mem::take(&mut self.outgoing).into(),
        };
        let audience = std::mem::take(&mut self.audience);
        let mut unsent = 0;
        for (index, seat) in self.others() {
            let flow = self.mesh.flow(self.index, index);
            let len = flow.len.load(SeqCst);
            if len == 0 && !audience.meets(&seat.presence) {
                continue;
            }
            if len >= bound / 2 && len.saturating_add(batch.len) > bound {
                unsent += batch.posts.len() as u64;
                continue;
            }
            flow.len.fetch_add(batch.len, SeqCst);
            // It fails when the other has just ended, and then nobody is there to miss it.
            if seat.queue.send(batch.clone()).is_ok() {
                seat.waker.wake();
            }
        }
        unsent
    }

    /// Whether to wait until others have caught up; they wake this engine then.
    pub(crate) fn is_pressed(&mut self, was_pressed: bool, bound: usize) -> bool {
        let low = bound / 4;
        let mark = if was_pressed { low } else { bound / 2 };
        let fullest = self.others().map(|(index, _)| {
            let flow = self.mesh.flow(self.index, index);
            let len = flow.len.load(SeqCst);
            if len < mark {
                return len;
            }
            flow.is_awaited.store(true, SeqCst);
            flow.len.load(SeqCst)
        });
        self.fullest = fullest.max().unwrap_or(0);
        self.fullest.saturating_add(self.outgoing_len) >= mark.max(1)
    }

    /// Up to `count` things that another engine wants done, in order: a batch, and where in it.
    pub(crate) fn next(
        &mut self,
        count: usize,
        bound: usize,
    ) -> Option<(Arc<[Post]>, Range<usize>)> {
        loop {
            if self.current.is_none() {
                self.current = self.incoming.try_recv().ok().map(|batch| (batch, 0));
            }
            let (batch, done) = self.current.as_mut()?;
            let begin = *done;
            if begin < batch.posts.len() {
                *done = batch.posts.len().min(begin.saturating_add(count));
                return Some((Arc::clone(&batch.posts), begin..*done));
            }
            let flow = self.mesh.flow(batch.from, self.index);
            let left = flow.len.fetch_sub(batch.len, SeqCst) - batch.len;
            if left < (bound / 4).max(1) && flow.is_awaited.swap(false, SeqCst) {
                self.mesh.seats[batch.from].waker.wake();
            }
            self.current = None;
        }
    }

    /// Whether there is something to do that nobody will wake for.
    pub(crate) fn has_work(&self) -> bool {
        self.current.is_some() || !self.outgoing.is_empty()
    }

    /// Counts a connection that may come in, unless there are `limit` already.
    pub(crate) fn reserve(&mut self, limit: usize) -> bool {
        let more = |count: usize| (count < limit).then_some(count + 1);
        let is_reserved = self
            .mesh
            .connections
            .fetch_update(SeqCst, SeqCst, more)
            .is_ok();
        self.connection_count += usize::from(is_reserved);
        is_reserved
    }

    /// A connection that was counted is over, or did not come in.
    pub(crate) fn release(&mut self) {
        self.connection_count -= 1;
        self.mesh.connections.fetch_sub(1, SeqCst);
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.mesh
            .connections
            .fetch_sub(self.connection_count, SeqCst);
        self.mesh.seats[self.index].is_gone.store(true, SeqCst);
        // Whoever waits for this one waits for nothing.
        for (_, seat) in self.others() {
            seat.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: usize = 1 << 20;

    fn pair() -> (Member, Member) {
        let (_, members) = Mesh::new(2).unwrap();
        let mut members = members.into_iter();
        (members.next().unwrap(), members.next().unwrap())
    }

    fn post(member: &mut Member, topic: Option<&str>) {
        member.post(Post::new(0, Box::new(|_| {})), topic.map(Slot::of));
        assert_eq!(member.send(BOUND), 0);
    }

    /// How many posts wait; they are taken.
    fn take(member: &mut Member) -> usize {
        let mut taken = 0;
        while let Some((_, range)) = member.next(usize::MAX, BOUND) {
            taken += range.len();
        }
        taken
    }

    #[test]
    fn a_post_goes_to_those_with_members_of_its_topic() {
        let (mut sender, mut receiver) = pair();
        assert!(!sender.reaches(Some(Slot::of("a"))) && sender.reaches(None));
        post(&mut sender, Some("a"));
        assert_eq!(take(&mut receiver), 0);
        receiver.presence().enter("a");
        assert!(sender.reaches(Some(Slot::of("a"))));
        post(&mut sender, Some("a"));
        assert_eq!(take(&mut receiver), 1);
        receiver.presence().leave("a");
        assert!(!sender.reaches(Some(Slot::of("a"))));
        post(&mut sender, Some("a"));
        assert_eq!(take(&mut receiver), 0);
        post(&mut sender, None);
        assert_eq!(take(&mut receiver), 1);
    }

    #[test]
    fn what_waits_before_it_may_bring_members() {
        let (mut sender, mut receiver) = pair();
        // In one turn, and in one after another.
        sender.post(Post::new(0, Box::new(|_| {})), None);
        assert!(sender.reaches(Some(Slot::of("a"))));
        post(&mut sender, Some("a"));
        assert!(sender.reaches(Some(Slot::of("a"))));
        post(&mut sender, Some("a"));
        assert_eq!(take(&mut receiver), 3);
        post(&mut sender, Some("a"));
        assert_eq!(take(&mut receiver), 0);
    }
}
