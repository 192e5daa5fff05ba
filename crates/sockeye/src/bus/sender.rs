//! The end that any process can send into.
//!
//! It takes no lock and no memory: in the child of a process with threads, both may be held for
//! ever by a thread that is not there any more.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::error::SendError;
use super::packet::{Head, INLINE_LEN};
use crate::Message;

/// Sends broadcasts to the engine that has the [`Receiver`](super::Receiver), from any process that
/// inherited it by `fork()`; see the [module](super).
///
/// It can be shared between threads. All copies, in all processes, send into the same channel.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    max_len: usize,
}

impl Sender {
    pub(super) fn new(socket: OwnedFd, max_len: usize) -> Self {
        Self { socket, max_len }
    }

    /// Sends a message, waiting while the channel is full.
    ///
    /// # Errors
    ///
    /// Nobody receives, the message is too long, or the system refuses.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.pass(message.into(), SendFlags::empty())
    }

    /// Sends a message if the channel has room.
    ///
    /// # Errors
    ///
    /// There is no room, nobody receives, the message is too long, or the system refuses.
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), SendError> {
        self.pass(message.into(), SendFlags::DONTWAIT)
    }

    /// The longest message it takes, in bytes.
    pub fn max_len(&self) -> usize {
        self.max_len
    }

    /// Another sender into the same channel, with a descriptor of its own.
    ///
    /// # Errors
    ///
    /// The process has no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            max_len: self.max_len,
        })
    }

    fn pass(&self, message: Message<'_>, flags: SendFlags) -> Result<(), SendError> {
        let data = message.data();
        if data.len() > self.max_len {
            return Err(SendError::TooLong {
                len: data.len(),
                max: self.max_len,
            });
        }
        let head = Head::of(message).encode();
        let (inline, rest) = data.split_at(data.len().min(INLINE_LEN));
        let parts = [IoSlice::new(&head), IoSlice::new(inline)];
        let file = match rest {
            [] => None,
            rest => Some(sealed_file(rest).map_err(|error| SendError::Io(error.into()))?),
        };
        let descriptors = file.as_ref().map(|file| [file.as_fd()]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(descriptors) = &descriptors {
            let pushed = control.push(SendAncillaryMessage::ScmRights(descriptors));
            debug_assert!(pushed, "the space is for one descriptor");
        }
        let flags = flags | SendFlags::NOSIGNAL;
        loop {
            // A packet goes whole or not at all.
            let sent = retry_on_intr(|| sendmsg(&self.socket, &parts, &mut control, flags));
            return match sent {
                Ok(_) => Ok(()),
                Err(Errno::AGAIN) if flags.contains(SendFlags::DONTWAIT) => Err(SendError::Full),
                // Somebody has made the socket non-blocking, for all processes.
                Err(Errno::AGAIN) => {
                    self.wait().map_err(|error| SendError::Io(error.into()))?;
                    continue;
                }
                Err(Errno::PIPE | Errno::CONNRESET) => Err(SendError::Gone),
                Err(error) => Err(SendError::Io(error.into())),
            };
        }
    }

    fn wait(&self) -> rustix::io::Result<()> {
        let mut watched = [PollFd::new(&self.socket, PollFlags::OUT)];
        retry_on_intr(|| poll(&mut watched, None)).map(drop)
    }
}

/// The channel's descriptor: it is writable while there is much room, and hung up when nobody
/// receives. For waiting only; what is written to it directly is no message.
impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A file in memory with these bytes, which nobody can change or cut any more.
fn sealed_file(mut data: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create(c"sockeye-bus", flags)?;
    while !data.is_empty() {
        match retry_on_intr(|| rustix::io::write(&file, data))? {
            0 => return Err(Errno::NOSPC),
            len => data = data.get(len..).unwrap_or_default(),
        }
    }
    fcntl_add_seals(&file, SEALS)?;
    Ok(file)
}

/// What must be impossible with a file that is passed on.
pub(super) const SEALS: SealFlags = SealFlags::SEAL
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE);
