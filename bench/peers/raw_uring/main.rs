//! The limit of the other model: a bare `io_uring` loop. Multishot accept and receive into buffers
//! that the kernel picks and fills one behind the other; what was received in a turn is answered by
//! one send for each connection, all submitted at once with the wait for the next turn. It checks
//! nothing, and is no server.
//!
//! Unsafe code is here and in `buffers`: whatever an operation refers to must stay where it is until
//! that operation has ended.
#![allow(unsafe_code)]

mod buffers;
mod frames;

use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use sockeye_bench::{announce, certificate, listen};

use crate::buffers::Buffers;
use crate::frames::Frames;

const ENTRIES: u32 = 4096;
/// The answer to the one key that the load generator sends.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// `MSG_WAITALL | MSG_NOSIGNAL`: what a socket does not take at once goes on by itself.
const SEND_FLAGS: i32 = 0x100 | 0x4000;
/// `SOCK_CLOEXEC`
const ACCEPT_FLAGS: i32 = 0o2_000_000;
const ENOBUFS: i32 = 105;

// What an operation was, in the lowest bits of its token; above them is the descriptor.
const ACCEPT: u64 = 0;
const RECEIVE: u64 = 1;
const SEND: u64 = 2;
const CLOSE: u64 = 3;

#[derive(Default)]
struct Client {
    is_open: bool,
    /// It asked for `/broadcast`.
    hears_all: bool,
    request: Vec<u8>,
    frames: Frames,
    /// What is being sent, which must not be touched, and from where on. Empty: nothing is.
    sending: Vec<u8>,
    sent: usize,
    /// What is to be sent next.
    next: Vec<u8>,
    /// It is among those that have something to send.
    is_listed: bool,
    /// No more will come.
    is_over: bool,
}

struct Server {
    ring: IoUring,
    buffers: Buffers,
    /// By descriptor. Boxed, since a turn moves the list when it grows.
    clients: Vec<Option<Box<Client>>>,
    all: Vec<RawFd>,
    /// Who has something to send at the end of the turn.
    listed: Vec<RawFd>,
    listener: RawFd,
}

fn main() -> io::Result<()> {
    if certificate()?.is_some() {
        return Err(io::Error::other("no TLS here"));
    }
    let listener = listen()?;
    // What is accepted inherits it: no system call for each.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    // The ring waits; a descriptor that must not block would only fail.
    listener.set_nonblocking(false)?;
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(4 * ENTRIES)
        .build(ENTRIES)?;
    let buffers = Buffers::new(&ring)?;
    announce(listener.local_addr()?.port(), "io_uring")?;
    let mut server = Server {
        ring,
        buffers,
        clients: Vec::new(),
        all: Vec::new(),
        listed: Vec::new(),
        listener: listener.as_raw_fd(),
    };
    server.accept()?;
    let mut turn: Vec<cqueue::Entry> = Vec::new();
    loop {
        server.ring.submit_and_wait(1)?;
        turn.extend(server.ring.completion());
        for entry in turn.drain(..) {
            server.complete(&entry)?;
        }
        server.send_all()?;
    }
}

impl Server {
    /// Queues an operation; its token says whose it is.
    fn push(&mut self, entry: squeue::Entry, fd: RawFd, what: u64) -> io::Result<()> {
        let entry = entry.user_data((fd as u64) << 2 | what);
        // SAFETY: operations refer to descriptors, to the ring of buffers, which lives as long as
        // this server, and to `Client::sending`, which is neither changed nor dropped before its
        // send has ended: see `send` and `complete`.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        let entry = opcode::AcceptMulti::new(types::Fd(self.listener)).flags(ACCEPT_FLAGS);
        self.push(entry.build(), 0, ACCEPT)
    }

    fn receive(&mut self, fd: RawFd) -> io::Result<()> {
        let entry = opcode::RecvMulti::new(types::Fd(fd), buffers::GROUP);
        self.push(entry.build(), fd, RECEIVE)
    }

    fn complete(&mut self, entry: &cqueue::Entry) -> io::Result<()> {
        let fd = (entry.user_data() >> 2) as RawFd;
        let (result, more) = (entry.result(), cqueue::more(entry.flags()));
        match entry.user_data() & 3 {
            ACCEPT => {
                if result >= 0 {
                    let index = result as usize;
                    let len = self.clients.len().max(index + 1);
                    self.clients.resize_with(len, || None);
                    self.clients[index] = Some(Box::default());
                    self.receive(result)?;
                }
                if !more {
                    self.accept()?;
                }
            }
            RECEIVE => {
                if let Some(bid) = cqueue::buffer_select(entry.flags()) {
                    let is_whole = !cqueue::buffer_more(entry.flags());
                    self.received(fd, bid, result.max(0) as usize);
                    self.buffers.release(bid, result.max(0) as usize, is_whole);
                }
                if !more && (result > 0 || result == -ENOBUFS) {
                    self.receive(fd)?;
                } else if !more {
                    self.end(fd)?;
                }
            }
            SEND => {
                let Some(Some(client)) = self.clients.get_mut(fd as usize) else {
                    return Ok(());
                };
                client.sent += result.max(0) as usize;
                if result >= 0 && client.sent < client.sending.len() {
                    return self.send(fd);
                }
                client.sending.clear();
                if client.is_over {
                    return self.end(fd);
                }
                if !client.next.is_empty() {
                    list(&mut self.listed, client, fd);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn received(&mut self, fd: RawFd, bid: u16, len: usize) {
        let Some(Some(client)) = self.clients.get_mut(fd as usize) else {
            return;
        };
        let bytes = self.buffers.filled(bid, len);
        if !client.is_open {
            client.request.extend_from_slice(bytes);
            if client.request.ends_with(b"\r\n\r\n") {
                client.is_open = true;
                client.hears_all = client.request.starts_with(b"GET /broadcast ");
                client.request = Vec::new();
                client.next.extend_from_slice(ANSWER);
                list(&mut self.listed, client, fd);
                if client.hears_all {
                    self.all.push(fd);
                }
            }
            return;
        }
        if !client.hears_all {
            if client.frames.echo(bytes, &mut client.next) {
                list(&mut self.listed, client, fd);
            }
            return;
        }
        let mut frames = std::mem::take(&mut client.frames);
        let mut made = Vec::new();
        if frames.echo(bytes, &mut made) {
            for &fd in &self.all {
                if let Some(client) = &mut self.clients[fd as usize] {
                    client.next.extend_from_slice(&made);
                    list(&mut self.listed, client, fd);
                }
            }
        }
        if let Some(client) = &mut self.clients[fd as usize] {
            client.frames = frames;
        }
    }

    fn send_all(&mut self) -> io::Result<()> {
        let listed = std::mem::take(&mut self.listed);
        for &fd in &listed {
            let Some(client) = &mut self.clients[fd as usize] else {
                continue;
            };
            client.is_listed = false;
            // A send that is under way comes back here.
            if client.sending.is_empty() {
                std::mem::swap(&mut client.sending, &mut client.next);
                client.sent = 0;
                self.send(fd)?;
            }
        }
        self.listed = listed;
        self.listed.clear();
        Ok(())
    }

    fn send(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(Some(client)) = self.clients.get(fd as usize) else {
            return Ok(());
        };
        // From here on until it is complete, `sending` is not touched.
        let bytes = &client.sending[client.sent..];
        let send = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), bytes.len() as u32);
        self.push(send.flags(SEND_FLAGS).build(), fd, SEND)
    }

    /// Closes a connection that nothing will come from, once nothing is being sent either.
    fn end(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(Some(client)) = self.clients.get_mut(fd as usize) else {
            return Ok(());
        };
        if client.hears_all {
            self.all.retain(|other| *other != fd);
            client.hears_all = false;
        }
        client.is_over = true;
        if client.sending.is_empty() {
            self.clients[fd as usize] = None;
            let entry = opcode::Close::new(types::Fd(fd)).build();
            self.push(entry, fd, CLOSE)?;
        }
        Ok(())
    }
}

fn list(listed: &mut Vec<RawFd>, client: &mut Client, fd: RawFd) {
    if !client.is_listed {
        client.is_listed = true;
        listed.push(fd);
    }
}
