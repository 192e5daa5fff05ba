//! What the ring knows of one stream: what has arrived and was not taken, what waits to be sent,
//! and which operations are under way.
//!
//! Pure bookkeeping; [`Streams`](super::streams::Streams) drives it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Instant;

use rustix::io::Errno;

use super::buffers::Lent;
use super::queue::Parcel;
use crate::net::socket::Socket;
use crate::poll::{Interest, Token};

/// Received bytes: where the kernel has put them, or where they had to wait.
#[derive(Debug)]
pub(crate) enum Received {
    Lent(Lent),
    Kept(Vec<u8>),
}

impl Received {
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        match self {
            Self::Lent(lent) => lent.bytes(),
            Self::Kept(bytes) => bytes,
        }
    }
}

/// Small facts about a stream.
#[derive(Clone, Copy, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, no hidden state machine"
)]
pub(super) struct Flags {
    /// The kernel receives for it.
    pub(super) receiving: bool,
    /// It was asked to stop that.
    pub(super) stopping: bool,
    /// So much comes at a time that it is read when it is there, and not received before.
    pub(super) large: bool,
    /// The kernel tells when there is something to read.
    pub(super) awaiting_news: bool,
    /// There is, and the kernel has it.
    pub(super) readable: bool,
    /// A send is not answered.
    pub(super) sending: bool,
    /// The kernel tells when there is room to write.
    pub(super) awaiting_room: bool,
    /// There was, and nobody was told yet.
    pub(super) has_room: bool,
    /// The peer sends no more.
    pub(super) eof: bool,
    /// Both directions are shut, or an error is pending.
    pub(super) hangup: bool,
    /// To be shut down for writing when all is sent.
    pub(super) shut: bool,
    /// In the list of those with something to tell.
    pub(super) listed: bool,
    /// The connection has let go of it.
    pub(super) closing: bool,
    /// The kernel was asked to close the socket.
    pub(super) closed: bool,
}

/// What few streams have.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Bytes that arrived while nobody read.
    pub(super) kept: VecDeque<u8>,
    /// What arrived after [`Stream::first`].
    pub(super) more: VecDeque<Lent>,
    /// What a send could not send.
    pub(super) rest: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) token: Token,
    /// Open while the stream is; the link owns it, at the end `socket` does.
    pub(super) fd: RawFd,
    pub(super) interest: Interest,
    pub(super) flags: Flags,
    pub(super) error: Option<Errno>,
    /// Reads in a row that were small ones after all.
    pub(super) small_reads: u8,
    /// The piece that arrived first: mostly the only one.
    pub(super) first: Option<Lent>,
    pub(super) parcel: Parcel,
    pub(super) backlog: Option<Box<Backlog>>,
    /// The socket of one that is closing.
    pub(super) socket: Option<Socket>,
    /// When one that is closing is given up, sent or not.
    pub(super) give_up_at: Option<Instant>,
}

impl Stream {
    pub(super) fn new(fd: RawFd) -> Self {
        Self {
            token: Token(0),
            fd,
            interest: Interest::NONE,
            flags: Flags::default(),
            error: None,
            small_reads: 0,
            first: None,
            parcel: Parcel::default(),
            backlog: None,
            socket: None,
            give_up_at: None,
        }
    }

    /// Whether a read would find something, if only the end.
    pub(super) fn has_news(&self) -> bool {
        self.has_more() || self.flags.readable || self.flags.eof || self.error.is_some()
    }

    /// Whether something was received that nobody has taken.
    pub(super) fn has_more(&self) -> bool {
        self.first.is_some() || self.kept() > 0
    }

    /// Whether the peer can send no more, or nobody would get it.
    pub(super) fn is_over(&self) -> bool {
        self.flags.eof || self.error.is_some() || self.flags.closing
    }

    /// Bytes that wait here instead of in the provided buffers.
    pub(super) fn kept(&self) -> usize {
        self.backlog
            .as_ref()
            .map_or(0, |backlog| backlog.kept.len())
    }

    /// Bytes that were taken for sent and are not.
    pub(super) fn rest(&self) -> usize {
        self.backlog
            .as_ref()
            .map_or(0, |backlog| backlog.rest.len())
    }

    pub(super) fn has_rest(&self) -> bool {
        self.rest() > 0
    }

    pub(super) fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_default()
    }

    /// Takes in what has arrived. The provided buffers are everybody's: nothing stays there while
    /// nobody reads.
    pub(super) fn arrived(&mut self, lent: Lent) {
        if !self.interest.readable || self.kept() > 0 {
            self.keep(lent);
        } else if self.first.is_none() {
            self.first = Some(lent);
        } else {
            self.backlog().more.push_back(lent);
        }
    }

    fn keep(&mut self, mut lent: Lent) {
        let bytes = lent.bytes();
        self.backlog().kept.extend(&*bytes);
    }

    /// Empties the provided buffers of what was not taken in time.
    pub(super) fn keep_all(&mut self) {
        let Some(first) = self.first.take() else {
            return;
        };
        self.keep(first);
        while let Some(lent) = self.backlog().more.pop_front() {
            self.keep(lent);
        }
    }

    /// The next received bytes; `None` at the end.
    pub(super) fn take(&mut self) -> io::Result<Option<Received>> {
        if self.kept() > 0 {
            let kept = std::mem::take(&mut self.backlog().kept);
            self.tidy();
            return Ok(Some(Received::Kept(kept.into())));
        }
        if let Some(first) = self.first.take() {
            self.first = self
                .backlog
                .as_mut()
                .and_then(|backlog| backlog.more.pop_front());
            self.tidy();
            return Ok(Some(Received::Lent(first)));
        }
        match self.error {
            Some(errno) => Err(errno.into()),
            None if self.flags.eof => Ok(None),
            None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// As [`take`](Self::take), into a buffer; 0 at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.kept() > 0 {
            let len = io::Read::read(&mut self.backlog().kept, buffer)?;
            self.tidy();
            return Ok(len);
        }
        let Some(first) = &mut self.first else {
            return match self.take() {
                Err(error) => Err(error),
                Ok(_) => Ok(0),
            };
        };
        let bytes = first.bytes();
        let len = bytes.len().min(buffer.len());
        buffer[..len].copy_from_slice(&bytes[..len]);
        if len == bytes.len() {
            drop(self.take());
        } else {
            first.skip(len);
        }
        Ok(len)
    }

    /// Gives memory back that nothing is in.
    pub(super) fn tidy(&mut self) {
        let is_empty = self.backlog.as_ref().is_some_and(|backlog| {
            backlog.kept.is_empty() && backlog.more.is_empty() && backlog.rest.is_empty()
        });
        if is_empty {
            self.backlog = None;
        }
    }

    /// Whether the kernel will answer something yet.
    pub(super) fn is_busy(&self) -> bool {
        self.flags.receiving
            || self.flags.sending
            || self.flags.awaiting_news
            || self.flags.awaiting_room
    }
}
