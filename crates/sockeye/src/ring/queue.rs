//! The two queues that are shared with the kernel: what is asked of it, and what it answers.
//!
//! Knows operations and their numbers, not whom they serve. All memory that an operation names is
//! here or in [`Buffers`]; both outlive what the kernel does with them (see [`Queue::drop`]).

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use rustix::net::sockopt;

use super::buffers::{Buffers, GROUP};

/// Operations that can be queued before they must be handed over.
const ENTRIES: u32 = 2048;
/// Answers that can wait; the kernel keeps more than these at a price.
const ANSWERS: u32 = 8192;
/// Bytes that wait to be sent, of all connections together.
const ARENA: usize = 1024 * 1024;
/// The kernel may take this many rounds to end what is under way when the ring is dropped.
const LAST_ROUNDS: usize = 64;

/// What an operation is, in the lowest bits of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Receive from a stream, again and again, into provided buffers.
    Receive,
    /// Send some bytes on a stream, at once or not at all.
    Send,
    /// Tell when a stream has something to read.
    News,
    /// Tell when a stream takes bytes again.
    Room,
    /// Tell when a watched descriptor is ready.
    Watch,
    /// Nobody waits for the answer.
    Forget,
}

impl Op {
    const BITS: u32 = 3;
    const ALL: [Self; 6] = [
        Self::Receive,
        Self::Send,
        Self::News,
        Self::Room,
        Self::Watch,
        Self::Forget,
    ];

    fn number(self, key: u32) -> u64 {
        u64::from(key) << Self::BITS | self as u64
    }

    fn of(number: u64) -> (Self, u32) {
        let op = Self::ALL.get((number & ((1 << Self::BITS) - 1)) as usize);
        (
            op.copied().unwrap_or(Self::Forget),
            (number >> Self::BITS) as u32,
        )
    }
}

/// What became of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    pub(super) op: Op,
    pub(super) key: u32,
    /// What the system call would have returned, a negative number being an error.
    pub(super) result: i32,
    flags: u32,
}

impl Answer {
    /// Whether the operation goes on.
    pub(super) fn goes_on(self) -> bool {
        cqueue::more(self.flags)
    }

    /// The buffer that was taken, and whether the kernel will write more to it.
    pub(super) fn buffer(self) -> Option<(u16, bool)> {
        Some((
            cqueue::buffer_select(self.flags)?,
            cqueue::buffer_more(self.flags),
        ))
    }
}

/// Which bytes of the arena an operation sends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parcel {
    start: u32,
    len: u32,
}

impl Parcel {
    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

pub(super) struct Queue {
    ring: IoUring,
    pub(super) buffers: Rc<Buffers>,
    /// Bytes of sends that are not answered. Never grows beyond what it was made with, so that its
    /// bytes do not move.
    arena: Vec<u8>,
    /// Sends that may still be answered.
    sends: usize,
    /// Sends are answered only if they did not send everything: see [`Queue::is_settled`].
    terse: bool,
    /// Operations on buffers or watches that are not over.
    begun: usize,
    /// Answers that had to be taken while the queue was filled.
    early: VecDeque<Answer>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("sends", &self.sends)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl Queue {
    /// # Errors
    ///
    /// The kernel is too old (before Linux 6.1), or does not allow it.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_cqsize(ANSWERS)
            .setup_submit_all()
            .dontfork()
            .build(ENTRIES)?;
        let params = ring.params();
        if !(params.is_feature_ext_arg() && params.is_feature_nodrop()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let buffers = Buffers::register(&ring.submitter())?;
        let mut queue = Self {
            ring,
            buffers,
            arena: Vec::with_capacity(ARENA),
            sends: 0,
            begun: 0,
            early: VecDeque::new(),
            terse: true,
        };
        queue.terse = queue.tells_short_sends()?;
        Ok(queue)
    }

    /// Whether this kernel answers a send that was told to be silent on success, but could send a
    /// part only, by the length of that part. All that are known do; but bytes would be lost
    /// where one does not.
    fn tells_short_sends(&mut self) -> io::Result<bool> {
        let (near, _far) = UnixStream::pair()?;
        sockopt::set_socket_send_buffer_size(&near, 1)?;
        let too_much = [0; 64 * 1024];
        let parcel = self.send(near.as_raw_fd(), 0, [&too_much[..]].into_iter())?;
        self.submit()?;
        let mut answers = Vec::new();
        self.answers(&mut answers);
        self.sends = 0;
        self.settle();
        Ok(matches!(&answers[..], [Answer { op: Op::Send, result, .. }]
            if (1..parcel.len).contains(&result.cast_unsigned())))
    }

    /// Receives on a stream until [`cancel`](Self::cancel), an error or the end.
    pub(super) fn receive(&mut self, fd: RawFd, key: u32) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(Fd(fd), GROUP).build();
        self.begun += 1;
        self.push(entry.user_data(Op::Receive.number(key)))
    }

    /// Whether so many bytes fit in between those that wait to be sent.
    pub(super) fn has_room(&self, len: usize) -> bool {
        self.arena.len() + len <= ARENA
    }

    /// Sends bytes, as many as the socket takes at once. For bytes that [have
    /// room](Self::has_room); others are cut off.
    pub(super) fn send<'b>(
        &mut self,
        fd: RawFd,
        key: u32,
        slices: impl Iterator<Item = &'b [u8]>,
    ) -> io::Result<Parcel> {
        let start = self.arena.len();
        for slice in slices {
            let room = ARENA - self.arena.len();
            self.arena
                .extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let bytes = &self.arena[start..];
        let parcel = Parcel {
            start: start as u32,
            len: bytes.len() as u32,
        };
        let mut flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        let mut when_sent = squeue::Flags::empty();
        if self.terse {
            // Without `MSG_WAITALL` a part would be as good as all.
            flags |= libc::MSG_WAITALL;
            when_sent = squeue::Flags::SKIP_SUCCESS;
        }
        let entry = opcode::Send::new(Fd(fd), bytes.as_ptr(), parcel.len)
            .flags(flags)
            .build()
            .flags(when_sent);
        self.sends += 1;
        self.push(entry.user_data(Op::Send.number(key)))?;
        Ok(parcel)
    }

    /// The bytes of a send that was answered, from `skip` on. To be asked while the answers are
    /// being taken.
    pub(super) fn unsent(&self, parcel: Parcel, skip: usize) -> &[u8] {
        let (start, len) = (parcel.start as usize, parcel.len as usize);
        self.arena
            .get(start..start + len)
            .and_then(|bytes| bytes.get(skip..))
            .unwrap_or_default()
    }

    /// Tells once when one of `events` of `poll(2)` happens.
    pub(super) fn poll(&mut self, fd: RawFd, op: Op, key: u32, events: i16) -> io::Result<()> {
        let entry = opcode::PollAdd::new(Fd(fd), events as u16 as u32).build();
        self.begun += 1;
        self.push(entry.user_data(op.number(key)))
    }

    /// Ends an operation, which is then answered, unless it is over.
    pub(super) fn cancel(&mut self, op: Op, key: u32) -> io::Result<()> {
        let entry = opcode::AsyncCancel::new(op.number(key)).build();
        self.push(forgotten(entry))
    }

    /// Closes a descriptor after everything that was asked before.
    pub(super) fn close(&mut self, fd: OwnedFd) -> io::Result<()> {
        let entry = opcode::Close::new(Fd(fd.into_raw_fd())).build();
        self.push(forgotten(entry))
    }

    /// Hands everything over that was asked, and waits for an answer; those of sends do not count,
    /// as they are there at once.
    ///
    /// # Errors
    ///
    /// What the system says; not that time is up, nor an interruption.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<()> {
        let want = if self.terse { 1 } else { 1 + self.sends };
        let timeout = match self.early.is_empty() {
            true => timeout,
            false => Some(Duration::ZERO),
        };
        let timespec = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        match self.ring.submitter().submit_with_args(want, &args) {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                // Too many answers wait: they are about to be taken.
                Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Hands everything over that was asked, and lets the kernel finish what is over with it: a
    /// stream that was closed lives on until then.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        while !self.ring.submission().is_empty() {
            self.wait(Some(Duration::ZERO))?;
            if !self.ring.submission().is_empty() {
                // Too many answers wait.
                self.take_early();
            }
        }
        Ok(())
    }

    /// Takes the answers that have come. [`settle`](Self::settle) must follow.
    pub(super) fn answers(&mut self, into: &mut Vec<Answer>) {
        self.buffers.waited();
        into.extend(self.early.drain(..));
        for entry in self.ring.completion() {
            into.push(answer(&entry));
        }
        for answer in &*into {
            match answer.op {
                Op::Send => self.sends = self.sends.saturating_sub(1),
                Op::Receive | Op::News | Op::Room | Op::Watch if !answer.goes_on() => {
                    self.begun = self.begun.saturating_sub(1);
                }
                _ => {}
            }
        }
    }

    /// Has every send answered, as on a kernel that cannot do otherwise.
    #[cfg(test)]
    pub(super) fn speak(&mut self) {
        self.terse = false;
    }

    /// Whether sends that sent everything are not answered.
    pub(super) fn is_terse(&self) -> bool {
        self.terse
    }

    /// Whether every send that was asked for before the last wait was made, and every answer there
    /// is was among those taken since: a send without an answer has sent everything. The kernel
    /// sends while it takes the operations over, or not at all.
    pub(super) fn is_settled(&mut self) -> bool {
        let mut submission = self.ring.submission();
        submission.sync();
        self.terse && submission.is_empty() && !submission.cq_overflow() && self.early.is_empty()
    }

    /// The answers were dealt with: nobody needs the bytes of the sends that were made.
    pub(super) fn settle(&mut self) {
        if self.is_settled() {
            self.sends = 0;
        }
        if self.sends == 0 {
            self.arena.clear();
        }
    }

    fn take_early(&mut self) {
        for entry in self.ring.completion() {
            self.early.push_back(answer(&entry));
        }
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: what an entry points to lives on until it is answered: the bytes of a send
            // lie in the arena, which neither moves nor is cleared before (or is leaked by
            // `drop`); all others name no memory. Descriptors need not be open by the kernel's
            // rules; that they are those which were meant is the business of `close`, which the
            // kernel reads after all that was pushed before.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.submit()?;
        }
    }
}

impl Drop for Queue {
    /// Ends everything that is under way before its memory goes.
    fn drop(&mut self) {
        let mut quiet = self.submit().is_ok();
        if quiet && self.terse {
            self.sends = 0;
        }
        let mut answers = Vec::new();
        for _ in 0..LAST_ROUNDS {
            if !quiet || (self.begun == 0 && self.sends == 0) {
                break;
            }
            // It fails where there is nothing to cancel.
            let submitter = self.ring.submitter();
            drop(submitter.register_sync_cancel(None, CancelBuilder::any()));
            quiet = self.wait(Some(Duration::from_millis(10))).is_ok();
            answers.clear();
            self.answers(&mut answers);
        }
        if self.begun > 0 || self.sends > 0 {
            // Better lost than written to by the kernel when it is somebody else's.
            std::mem::forget(Rc::clone(&self.buffers));
            std::mem::forget(std::mem::take(&mut self.arena));
        }
    }
}

/// Without an answer, unless it fails; then nobody cares.
fn forgotten(entry: squeue::Entry) -> squeue::Entry {
    entry
        .user_data(Op::Forget.number(0))
        .flags(squeue::Flags::SKIP_SUCCESS)
}

fn answer(entry: &cqueue::Entry) -> Answer {
    let (op, key) = Op::of(entry.user_data());
    Answer {
        op,
        key,
        result: entry.result(),
        flags: entry.flags(),
    }
}
