//! The limit of the model: a bare `epoll` loop that turns each frame into its echo where it lies,
//! with one read and one write a wake-up. It checks nothing, and is no server.
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
    /// The beginning of a frame whose rest has not come.
    rest: Vec<u8>,
    /// What the socket did not take.
    waiting: Vec<u8>,
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
            let was_blocked = !client.waiting.is_empty();
            let served = if was_blocked {
                let waiting = std::mem::take(&mut client.waiting);
                send(client, &waiting).map(|()| true)
            } else {
                serve(client, &mut buffer)
            };
            if !matches!(served, Ok(true)) {
                clients[index] = None;
                continue;
            }
            let blocked = !client.waiting.is_empty();
            if blocked != was_blocked {
                let flags = if blocked {
                    EventFlags::OUT
                } else {
                    EventFlags::IN
                };
                epoll::modify(&poll, &client.stream, EventData::new_u64(token), flags)?;
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
            rest: Vec::new(),
            waiting: Vec::new(),
        });
    }
    Ok(())
}

/// Returns whether the connection goes on.
fn serve(client: &mut Client, buffer: &mut [u8]) -> io::Result<bool> {
    let kept = client.rest.len();
    buffer[..kept].copy_from_slice(&client.rest);
    client.rest.clear();
    let len = kept + client.stream.read(&mut buffer[kept..])?;
    if len == kept {
        return Ok(false);
    }
    if !client.is_open {
        if buffer[..len].ends_with(b"\r\n\r\n") {
            client.is_open = true;
            send(client, ANSWER)?;
            return Ok(true);
        }
        client.rest.extend_from_slice(&buffer[..len]);
        return Ok(true);
    }
    let (taken, made, closed) = echo(&mut buffer[..len]);
    client.rest.extend_from_slice(&buffer[taken..len]);
    send(client, &buffer[..made])?;
    Ok(!closed)
}

fn send(client: &mut Client, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let written = match client.stream.write(bytes) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        written => written?,
    };
    client.waiting.extend_from_slice(&bytes[written..]);
    Ok(())
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
