//! The end that an engine reads: packets in, messages out.
//!
//! It believes nothing of what it reads. A process that has the sending end may be broken or taken
//! over; what it sends that is no message is discarded, and cannot make this one wait, fault or
//! grow beyond the bound.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{fcntl_get_seals, fstat};
use rustix::io::{Errno, ioctl_fionread, pread, retry_on_intr};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recv, recvmsg,
};

use super::packet::{Head, INLINE_LEN, PACKET_LEN};
use super::sender::SEALS;
use crate::{Kind, Message};

/// The receiving end of a channel, for [`Engine::attach`](crate::Engine::attach).
///
/// Only one engine can have it. A process that does not serve drops its copy after `fork()`: as
/// long as one is open anywhere, senders believe that somebody receives.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
    max_len: usize,
}

/// What the receiver found.
#[derive(Debug)]
pub(super) enum Received<'b> {
    Message(Message<'b>),
    /// Nothing now.
    Empty,
    /// A packet that is no message. It is gone.
    Rejected,
    /// What is there cannot be taken now for want of descriptors or memory. It stays there.
    Short,
    /// Nobody can send any more.
    Ended,
}

/// Room for what is received, used again and again.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    packet: Vec<u8>,
    payload: Vec<u8>,
}

impl Receiver {
    pub(super) fn new(socket: OwnedFd, max_len: usize) -> Self {
        Self { socket, max_len }
    }

    /// The next message. Never waits.
    ///
    /// A packet is looked at first and taken off the queue afterwards: should the process have no
    /// descriptor left for a long message's file, nothing is lost.
    pub(super) fn receive<'b>(&self, buffer: &'b mut Buffer) -> Received<'b> {
        buffer.packet.resize(PACKET_LEN, 0);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let looked = retry_on_intr(|| {
            let mut packet = [IoSliceMut::new(&mut buffer.packet)];
            recvmsg(&self.socket, &mut packet, &mut control, flags)
        });
        let looked = match looked {
            Ok(looked) => looked,
            Err(Errno::AGAIN) => return Received::Empty,
            Err(Errno::NOBUFS | Errno::NOMEM | Errno::MFILE | Errno::NFILE) => {
                return Received::Short;
            }
            Err(_) => return Received::Ended,
        };
        let file = control.drain().find_map(|message| match message {
            // All but the first are closed by being dropped.
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        if looked.bytes == 0 && self.has_ended() {
            return Received::Ended;
        }
        let packet = buffer.packet.get(..looked.bytes).unwrap_or_default();
        let head = match Head::decode(packet) {
            Some((head, _)) if !looked.flags.contains(ReturnFlags::TRUNC) => Some(head),
            _ => None,
        };
        if let Some(head) = head
            && head.rest_len() > 0
            && file.is_none()
            && looked.flags.contains(ReturnFlags::CTRUNC)
        {
            return Received::Short;
        }
        self.discard();
        match head.and_then(|head| self.payload(head, file, buffer)) {
            Some(message) => Received::Message(message),
            None => Received::Rejected,
        }
    }

    /// Whether a packet without bytes is the end, and not one that somebody sent.
    fn has_ended(&self) -> bool {
        let mut watched = [PollFd::new(&self.socket, PollFlags::empty())];
        let polled = retry_on_intr(|| poll(&mut watched, Some(&Timespec::default())));
        let is_hung_up = watched[0].revents().contains(PollFlags::HUP);
        // Without a sender nothing comes behind what is in the queue.
        polled.is_ok() && is_hung_up && ioctl_fionread(&self.socket).is_ok_and(|len| len == 0)
    }

    /// Takes the packet that was looked at off the queue.
    fn discard(&self) {
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        // It fails only if somebody else has taken it, against the rules.
        let _ = retry_on_intr(|| recv(&self.socket, &mut [0; Head::LEN][..], flags));
    }

    fn payload<'b>(
        &self,
        head: Head,
        file: Option<OwnedFd>,
        buffer: &'b mut Buffer,
    ) -> Option<Message<'b>> {
        let len = usize::try_from(head.len)
            .ok()
            .filter(|len| *len <= self.max_len)?;
        let payload = match head.rest_len() {
            0 => buffer.packet.get(Head::LEN..)?.get(..len)?,
            rest => {
                let file = file.filter(|file| is_sealed(file.as_fd(), rest))?;
                buffer.payload.clear();
                buffer.payload.resize(len, 0);
                let (inline, tail) = buffer.payload.split_at_mut_checked(INLINE_LEN)?;
                inline.copy_from_slice(buffer.packet.get(Head::LEN..)?.get(..INLINE_LEN)?);
                read_whole(file.as_fd(), tail)?;
                buffer.payload.as_slice()
            }
        };
        match head.kind {
            Kind::Text => std::str::from_utf8(payload).ok().map(Message::Text),
            Kind::Binary => Some(Message::Binary(payload)),
        }
    }
}

impl Buffer {
    /// Lets the room for a long message go.
    pub(super) fn shrink(&mut self) {
        self.payload = Vec::new();
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether this is a file in memory, which reading cannot wait for, and which stays as it is.
fn is_sealed(file: BorrowedFd<'_>, len: u64) -> bool {
    fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SEALS))
        && fstat(file).is_ok_and(|stat| u64::try_from(stat.st_size) == Ok(len))
}

/// Reads a file from its beginning; the position belongs to the sender's process too.
fn read_whole(file: BorrowedFd<'_>, mut out: &mut [u8]) -> Option<()> {
    let mut offset = 0;
    while !out.is_empty() {
        let len = retry_on_intr(|| pread(file, &mut *out, offset)).ok()?;
        if len == 0 {
            return None;
        }
        offset += len as u64;
        out = out.get_mut(len..)?;
    }
    Some(())
}
