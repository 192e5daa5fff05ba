//! The limit of the model: a bare `epoll` loop that turns each frame into its echo where it lies,
//! with one read and one write a wake-up; or writes it to everybody. It checks nothing, and is no
//! server.
#![forbid(unsafe_code)]

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::net::{SocketFlags, accept_with};
use sockeye_bench::{announce, certificate, listen};

const BUFFER_LEN: usize = 512 * 1024;
/// The answer to the one key that the load generator sends.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Client {
    stream: TcpStream,
    is_open: bool,
    /// It asked for `/broadcast`.
    hears_all: bool,
    /// The beginning of a frame whose rest has not come.
    rest: Vec<u8>,
    /// What the socket did not take.
    waiting: Vec<u8>,
}

/// What came of a read.
enum Read {
    /// So many bytes at the beginning of the buffer are to be sent, and it was the last of it.
    Frames(usize, bool),
    /// The client has asked to be upgraded.
    Request,
    End,
}

fn main() -> io::Result<()> {
    if certificate()?.is_some() {
        return Err(io::Error::other("no TLS here"));
    }
    let listener = listen()?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let listening = EventData::new_u64(u64::MAX);
    epoll::add(&poll, &listener, listening, EventFlags::IN)?;
    announce(listener.local_addr()?.port(), "epoll")?;
    // By descriptor.
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut all: Vec<usize> = Vec::new();
    let mut buffer = vec![0; BUFFER_LEN];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&poll, spare_capacity(&mut events), None)?;
        for event in &events {
            let token = event.data.u64();
            if token == u64::MAX {
                accept(&listener, &poll, &mut clients)?;
                continue;
            }
            let index = token as usize;
            let Some(Some(client)) = clients.get_mut(index) else {
                continue;
            };
            if !client.waiting.is_empty() {
                let waiting = std::mem::take(&mut client.waiting);
                let written = write(&client.stream, &waiting).unwrap_or(waiting.len());
                client.waiting = waiting[written..].to_vec();
                if client.waiting.is_empty() {
                    let data = EventData::new_u64(token);
                    epoll::modify(&poll, &client.stream, data, EventFlags::IN)?;
                }
                continue;
            }
            let read = read(client, &mut buffer).unwrap_or(Read::End);
            let is_over = match read {
                Read::Frames(len, is_over) if client.hears_all => {
                    for index in &all {
                        if let Some(client) = &mut clients[*index] {
                            send(client, *index, &buffer[..len], &poll)?;
                        }
                    }
                    is_over
                }
                Read::Frames(len, is_over) => {
                    send(client, index, &buffer[..len], &poll)?;
                    is_over
                }
                Read::Request => {
                    if client.hears_all {
                        all.push(index);
                    }
                    send(client, index, ANSWER, &poll)?;
                    false
                }
                Read::End => true,
            };
            if is_over && clients[index].take().is_some_and(|it| it.hears_all) {
                all.retain(|other| *other != index);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &OwnedFd,
    clients: &mut Vec<Option<Client>>,
) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    while let Ok(stream) = accept_with(listener, flags) {
        let stream = TcpStream::from(stream);
        stream.set_nodelay(true)?;
        let index = stream.as_raw_fd() as usize;
        let data = EventData::new_u64(index as u64);
        epoll::add(poll, &stream, data, EventFlags::IN)?;
        clients.resize_with(clients.len().max(index + 1), || None);
        clients[index] = Some(Client {
            stream,
            is_open: false,
            hears_all: false,
            rest: Vec::new(),
            waiting: Vec::new(),
        });
    }
    Ok(())
}

fn read(client: &mut Client, buffer: &mut [u8]) -> io::Result<Read> {
    let kept = client.rest.len();
    buffer[..kept].copy_from_slice(&client.rest);
    client.rest.clear();
    let len = kept + client.stream.read(&mut buffer[kept..])?;
    if len == kept {
        return Ok(Read::End);
    }
    let buffer = &mut buffer[..len];
    if !client.is_open {
        client.is_open = buffer.ends_with(b"\r\n\r\n");
        if client.is_open {
            client.hears_all = buffer.starts_with(b"GET /broadcast ");
            return Ok(Read::Request);
        }
        client.rest.extend_from_slice(buffer);
        return Ok(Read::Frames(0, false));
    }
    let (taken, made, is_over) = echo(buffer);
    client.rest.extend_from_slice(&buffer[taken..]);
    Ok(Read::Frames(made, is_over))
}

/// Writes behind what waits already, and asks to be told of room if there is none.
fn send(client: &mut Client, index: usize, bytes: &[u8], poll: &OwnedFd) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let was_blocked = !client.waiting.is_empty();
    let written = match was_blocked {
        true => 0,
        // Who has gone is noticed when it is read from.
        false => write(&client.stream, bytes).unwrap_or(bytes.len()),
    };
    client.waiting.extend_from_slice(&bytes[written..]);
    if !client.waiting.is_empty() && !was_blocked {
        let data = EventData::new_u64(index as u64);
        epoll::modify(poll, &client.stream, data, EventFlags::OUT)?;
    }
    Ok(())
}

fn write(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        written => written,
    }
}

/// Turns masked frames into plain ones at the beginning of the buffer. Returns how many bytes were
/// taken, how many were made, and whether one was a Close.
fn echo(buffer: &mut [u8]) -> (usize, usize, bool) {
    let (mut taken, mut made, mut closed) = (0, 0, false);
    loop {
        let frame = &buffer[taken..];
        if frame.len() < 2 {
            break;
        }
        let extra = match frame[1] & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if frame.len() < 2 + extra + 4 {
            break;
        }
        let payload_len = match extra {
            0 => usize::from(frame[1] & 127),
            _ => frame[2..2 + extra]
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte)),
        };
        let head = 2 + extra + 4;
        if frame.len() < head + payload_len {
            break;
        }
        closed |= frame[0] & 15 == 8;
        let mask = [2, 3, 4, 5].map(|index| frame[index + extra]);
        buffer[taken + 1] &= 127;
        buffer.copy_within(taken..taken + 2 + extra, made);
        made += 2 + extra;
        let start = taken + head;
        buffer.copy_within(start..start + payload_len, made);
        unmask(&mut buffer[made..made + payload_len], mask);
        made += payload_len;
        taken = start + payload_len;
    }
    (taken, made, closed)
}

fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u32::from_ne_bytes(mask);
    let (words, rest) = payload.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}
