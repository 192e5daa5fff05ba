//! A peer that speaks bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::program::{PATIENCE, Program};

/// A socket to a program's listener, and the program that is served while this waits.
pub(crate) struct Peer<'p> {
    program: &'p Program,
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl<'p> Peer<'p> {
    pub(crate) fn new(program: &'p Program) -> Self {
        Self::over(
            program,
            TcpStream::connect(("127.0.0.1", program.port)).unwrap(),
        )
    }

    pub(crate) fn over(program: &'p Program, stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            program,
            stream,
            received: Vec::new(),
        }
    }

    /// One that has shaken hands.
    pub(crate) fn open(program: &'p Program, protocol: Option<&str>) -> Self {
        let mut peer = Self::new(program);
        peer.send(upgrade(protocol).as_bytes());
        let head = peer.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }

    pub(crate) fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(len) => bytes = &bytes[len..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.program.service(1);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a frame, masked.
    pub(crate) fn frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload));
    }

    fn fill(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 65_536];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(len) => {
                    self.received.extend_from_slice(&buffer[..len]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nothing came");
                    self.program.service(1);
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub(crate) fn take(&mut self, len: usize) -> Vec<u8> {
        while self.received.len() < len {
            assert!(self.fill(), "the stream ended: {:x?}", self.received);
        }
        self.received.drain(..len).collect()
    }

    /// Up to the empty line.
    pub(crate) fn head(&mut self) -> String {
        loop {
            let end = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                return String::from_utf8(self.take(end + 4)).unwrap();
            }
            assert!(self.fill(), "the stream ended");
        }
    }

    /// All up to the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.received)
    }
}

/// A handshake.
pub(crate) fn upgrade(protocol: Option<&str>) -> String {
    let protocol = protocol.map_or(String::new(), |name| {
        format!("Sec-WebSocket-Protocol: {name}\r\n")
    });
    format!(
        "GET /chat?a=b HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, \
         Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         {protocol}\r\n"
    )
}

/// A frame of a client.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask);
    frame.extend(
        payload
            .iter()
            .enumerate()
            .map(|(index, byte)| byte ^ mask[index % 4]),
    );
    frame
}
