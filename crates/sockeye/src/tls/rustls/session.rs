//! A rustls connection behind [`Session`].
//!
//! By its buffered API. The other one would spare a copy of what is read, and make one more of what is
//! written; and it does not tell which name a client asked for.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};

use ::rustls::{Connection, ProtocolVersion};

use super::failure::translate;
use crate::tls::error::TlsError;
use crate::tls::session::{Session, Stream, TlsInfo};

/// Plaintext and records that wait in a session, at most.
const BUFFER_LEN: usize = 64 * 1024;
/// In a buffer of at least this size there is room for records and their plaintext side by side.
const SPLIT_LEN: usize = 64 * 1024;
/// What rustls may still hold of a record that is not all there (RFC 5246 §6.2.3 allows the
/// longest): the plaintext of one read can be longer than what was read by this much.
const RECORD_LEN: usize = 16 * 1024 + 2048 + 5;
/// Reads in a row that may bring nothing but handshake, till others have their turn.
const IDLE_READS: usize = 8;
/// rustls reads in pieces of this size, and keeps a buffer no smaller.
const PIECE_LEN: usize = 4096;
/// Slices of plaintext that are made records of in one go.
const SLICES: usize = 32;

pub(super) struct RustlsSession {
    connection: Connection,
    /// Plaintext that rustls holds.
    plaintext_len: usize,
    /// What ends the stream behind the plaintext that was already handed over.
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Ending {
    Announced,
    Failed(TlsError),
}

impl fmt::Debug for RustlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsSession")
            .field("handshaking", &self.connection.is_handshaking())
            .finish_non_exhaustive()
    }
}

impl RustlsSession {
    pub(super) fn new(mut connection: Connection) -> Self {
        connection.set_buffer_limit(Some(BUFFER_LEN));
        Self {
            connection,
            plaintext_len: 0,
            ending: None,
        }
    }

    /// Decrypts what was read. What is wrong with it ends the stream, behind the plaintext that came
    /// before; an alert that says so goes out as far as it can.
    fn process(&mut self, stream: &mut dyn Stream) {
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.plaintext_len = state.plaintext_bytes_to_read();
                if state.peer_has_closed() {
                    self.ending = Some(Ending::Announced);
                }
            }
            Err(error) => {
                drop(self.flush(stream));
                self.ending = Some(Ending::Failed(translate(error)));
            }
        }
    }

    /// Takes plaintext that is here; `None` if there is none.
    fn take(&mut self, plaintext: &mut [u8]) -> io::Result<Option<usize>> {
        match self.connection.reader().read(plaintext) {
            Ok(len) => {
                self.plaintext_len = self.plaintext_len.saturating_sub(len);
                Ok(Some(len))
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock => Ok(None),
                io::ErrorKind::UnexpectedEof => Err(TlsError::Truncated.into_io()),
                _ => Err(error),
            },
        }
    }

    /// Reads once from the stream and decrypts that; `None` if no plaintext came of it.
    fn read_some(
        &mut self,
        stream: &mut dyn Stream,
        plaintext: &mut [u8],
    ) -> io::Result<Option<usize>> {
        if plaintext.len() >= SPLIT_LEN {
            return self.read_split(stream, plaintext);
        }
        self.connection.read_tls(&mut &mut *stream)?;
        self.process(stream);
        self.take(plaintext)
    }

    /// Reads into the back part of the buffer, and decrypts all of it into the front part: one
    /// system call for many records, and no memory that stays.
    fn read_split(
        &mut self,
        stream: &mut dyn Stream,
        buffer: &mut [u8],
    ) -> io::Result<Option<usize>> {
        let (plaintext, records) = buffer.split_at_mut((buffer.len() + RECORD_LEN) / 2);
        let received = stream.read(records)?;
        let mut records = &records[..received];
        if received == 0 {
            // rustls notes the end, and tells whether it was announced.
            self.connection.read_tls(&mut records)?;
            return self.take(plaintext);
        }
        let mut filled = 0;
        while !records.is_empty() && self.ending.is_none() {
            self.connection.read_tls(&mut records)?;
            self.process(stream);
            filled += self.take(&mut plaintext[filled..])?.unwrap_or(0);
        }
        if received > PIECE_LEN {
            // rustls shrinks its buffer only when it reads, and this session may long be idle.
            drop(self.connection.read_tls(&mut Nothing));
        }
        Ok((filled > 0).then_some(filled))
    }
}

/// A stream from which nothing comes now.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Session for RustlsSession {
    fn read(&mut self, stream: &mut dyn Stream, plaintext: &mut [u8]) -> io::Result<usize> {
        match self.take(plaintext)? {
            Some(len) if len > 0 || self.ending.is_none() => return Ok(len),
            _ => {}
        }
        let mut reads = 0;
        loop {
            match self.ending.take() {
                Some(Ending::Announced) => return Ok(0),
                Some(Ending::Failed(error)) => return Err(error.into_io()),
                None => {}
            }
            if reads == IDLE_READS {
                // Whoever sends without pause must not keep this loop from everybody else.
                return Err(io::ErrorKind::Interrupted.into());
            }
            reads += 1;
            let read = self.read_some(stream, plaintext);
            // What the handshake has to say goes out whether more came or not.
            let flushed = self.flush(stream);
            match read? {
                Some(len) if len > 0 || self.ending.is_none() => return Ok(len),
                _ => {}
            }
            match flushed {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    fn write_vectored(
        &mut self,
        stream: &mut dyn Stream,
        plaintext: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        self.flush(stream)?;
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        let offered = plaintext.iter().filter(|slice| !slice.is_empty());
        for (place, slice) in slices.iter_mut().zip(offered) {
            *place = *slice;
            count += 1;
        }
        let mut rest = &mut slices[..count];
        let mut written = 0;
        loop {
            let taken = self.connection.writer().write_vectored(rest)?;
            written += taken;
            IoSlice::advance_slices(&mut rest, taken);
            let flushed = self.flush(stream);
            if taken == 0 || rest.is_empty() || flushed.is_err() {
                break;
            }
        }
        if written == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(written)
        }
    }

    fn flush(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut &mut *stream)?;
        }
        Ok(())
    }

    fn shutdown_write(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        if !self.connection.is_handshaking() {
            self.connection.send_close_notify();
        }
        self.flush(stream)
    }

    fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn has_plaintext(&self) -> bool {
        self.plaintext_len > 0 || self.ending.is_some()
    }

    fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    fn info(&self) -> TlsInfo {
        let connection = &self.connection;
        let server_name = match connection {
            Connection::Server(server) => server.server_name().map(str::to_owned),
            Connection::Client(_) => None,
        };
        let suite = connection.negotiated_cipher_suite();
        let certificates = connection.peer_certificates().unwrap_or_default();
        TlsInfo {
            version: connection
                .protocol_version()
                .and_then(|version| match version {
                    ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
                    ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
                    _ => None,
                }),
            cipher_suite: suite.map(|suite| standard_name(&format!("{:?}", suite.suite()))),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            peer_certificates: certificates.iter().map(|der| der.to_vec()).collect(),
        }
    }
}

/// The IANA name of a suite that rustls calls `TLS13_…`.
fn standard_name(suite: &str) -> String {
    suite.replacen("TLS13_", "TLS_", 1)
}
