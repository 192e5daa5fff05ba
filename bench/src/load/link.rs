//! The byte stream to a server, with or without TLS.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;

use crate::tls::TlsStream;

/// What is read into: one for all connections of a thread.
#[derive(Debug)]
pub(crate) struct Buffers {
    /// What the server sent, once [`Link::read`] has returned.
    pub(crate) plain: Vec<u8>,
    cipher: Vec<u8>,
}

impl Buffers {
    pub(crate) fn new(len: usize) -> Self {
        Self {
            plain: vec![0; len],
            cipher: vec![0; len],
        }
    }
}

#[derive(Debug)]
pub(crate) enum Link {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Link {
    /// Reads once into `buffers.plain`; 0 is the end.
    pub(crate) fn read(&mut self, buffers: &mut Buffers) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(&mut buffers.plain),
            Self::Tls(tls) => tls.read(&mut buffers.plain, &mut buffers.cipher),
        }
    }

    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write_vectored(slices),
            Self::Tls(tls) => tls.write(slices),
        }
    }

    /// For a link that blocks.
    pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write(&[IoSlice::new(bytes)])? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                len => bytes = &bytes[len..],
            }
        }
        Ok(())
    }

    /// Whether records wait for room in the stream.
    pub(crate) fn wants_write(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.wants_write())
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.stream,
        }
    }
}
