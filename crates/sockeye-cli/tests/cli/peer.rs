//! A WebSocket peer written out by hand, as client or server, that does nothing it is not told.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::process::PATIENCE;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A stream that an upgrade has made a WebSocket.
#[derive(Debug)]
pub(crate) struct Peer<S> {
    pub(crate) stream: S,
    masks: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) last: bool,
    pub(crate) data: Vec<u8>,
}

impl Frame {
    pub(crate) fn new(opcode: u8, data: impl AsRef<[u8]>) -> Self {
        Self {
            opcode,
            last: true,
            data: data.as_ref().to_vec(),
        }
    }

    /// The code of a Close frame; 1005 if it has none.
    pub(crate) fn close_code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        match self.data.first_chunk() {
            Some(code) => u16::from_be_bytes(*code),
            None => 1005,
        }
    }
}

/// The payload of a Close frame.
pub(crate) fn close(code: u16, reason: &str) -> Vec<u8> {
    let mut data = code.to_be_bytes().to_vec();
    data.extend_from_slice(reason.as_bytes());
    data
}

/// Reads a head, without a byte of what follows it.
pub(crate) fn read_head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).unwrap() {
            0 => panic!("end of stream in {:?}", String::from_utf8_lossy(&head)),
            _ => head.push(byte[0]),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Asks for a WebSocket; returns the answer's head too.
pub(crate) fn ask<S: Read + Write>(mut stream: S, path: &str, headers: &str) -> (Peer<S>, String) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream);
    let peer = Peer {
        stream,
        masks: true,
    };
    (peer, head)
}

/// A WebSocket to this path of a server.
pub(crate) fn open<S: Read + Write>(stream: S, path: &str) -> Peer<S> {
    let (peer, head) = ask(stream, path, "");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    peer
}

/// A server for one client.
pub(crate) struct Host {
    listener: TcpListener,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").unwrap(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/path?query", self.listener.local_addr().unwrap())
    }

    pub(crate) fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Accepts a WebSocket; returns the request's head too.
    pub(crate) fn accept_with(&self, headers: &str) -> (Peer<TcpStream>, String) {
        let mut stream = self.accept();
        let head = read_head(&mut stream);
        let key = field(&head, "sec-websocket-key").unwrap();
        let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\n{headers}\r\n",
            STANDARD.encode(digest)
        );
        stream.write_all(answer.as_bytes()).unwrap();
        let peer = Peer {
            stream,
            masks: false,
        };
        (peer, head)
    }

    pub(crate) fn accept_socket(&self) -> Peer<TcpStream> {
        self.accept_with("").0
    }
}

/// The value of a header field.
pub(crate) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

impl<S: Read + Write> Peer<S> {
    /// The client's end of a WebSocket that is open already.
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            masks: true,
        }
    }

    pub(crate) fn send(&mut self, opcode: u8, data: impl AsRef<[u8]>) {
        self.try_send(opcode, data).unwrap();
    }

    pub(crate) fn try_send(&mut self, opcode: u8, data: impl AsRef<[u8]>) -> io::Result<()> {
        let data = data.as_ref();
        let mask = if self.masks { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match data.len() {
            len @ 0..=125 => frame.push(mask | len as u8),
            len @ 126..=0xffff => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
            len => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        if self.masks {
            let key = [1, 2, 3, 4];
            frame.extend_from_slice(&key);
            frame.extend(data.iter().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
        } else {
            frame.extend_from_slice(data);
        }
        self.stream.write_all(&frame)
    }

    /// The next frame; `None` if the stream ends before it, or is reset.
    pub(crate) fn receive(&mut self) -> Option<Frame> {
        match self.try_receive() {
            Ok(frame) => Some(frame),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                ) =>
            {
                None
            }
            Err(error) => panic!("{error}"),
        }
    }

    fn try_receive(&mut self) -> io::Result<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        let len = match head[1] & 0x7f {
            126 => {
                let mut len = [0; 2];
                self.stream.read_exact(&mut len)?;
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.stream.read_exact(&mut len)?;
                u64::from_be_bytes(len) as usize
            }
            len => usize::from(len),
        };
        let masked = head[1] & 0x80 != 0;
        assert_eq!(masked, !self.masks, "the wrong side masks");
        let mut key = [0; 4];
        if masked {
            self.stream.read_exact(&mut key)?;
        }
        let mut data = vec![0; len];
        self.stream.read_exact(&mut data)?;
        for (byte, key) in data.iter_mut().zip(key.iter().cycle()) {
            *byte ^= key;
        }
        Ok(Frame {
            opcode: head[0] & 0xf,
            last: head[0] & 0x80 != 0,
            data,
        })
    }

    /// The next frame, which must be this one.
    pub(crate) fn expect(&mut self, opcode: u8, data: impl AsRef<[u8]>) {
        assert_eq!(self.receive(), Some(Frame::new(opcode, data)));
    }

    /// Waits for the Close; what comes before it is passed over.
    pub(crate) fn receive_close(&mut self) -> u16 {
        loop {
            let frame = self.receive().expect("end of stream without a Close");
            if frame.opcode == CLOSE {
                return frame.close_code();
            }
        }
    }
}
