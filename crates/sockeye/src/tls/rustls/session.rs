//! A rustls connection behind [`Session`].

use std::fmt;
use std::io::{self, IoSlice, Read, Write};

use ::rustls::{Connection, IoState, ProtocolVersion};

use super::failure::translate;
use crate::tls::error::TlsError;
use crate::tls::session::{Session, Stream, TlsInfo};

/// Plaintext and records that wait in a session, at most.
const BUFFER_LEN: usize = 64 * 1024;
/// In a buffer of at least this size there is room for records and their plaintext side by side.
const SPLIT_LEN: usize = 64 * 1024;
/// Slices of plaintext that are made records of in one go.
const SLICES: usize = 32;

pub(super) struct RustlsSession {
    connection: Connection,
    /// Plaintext that rustls holds.
    plaintext_len: usize,
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
        }
    }

    /// Decrypts what was read. An alert that says what is wrong goes out as far as it can.
    fn process(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        match self.connection.process_new_packets() {
            Ok(state) => {
                self.note(&state);
                Ok(())
            }
            Err(error) => {
                drop(self.flush(stream));
                Err(translate(error).into_io())
            }
        }
    }

    fn note(&mut self, state: &IoState) {
        self.plaintext_len = state.plaintext_bytes_to_read();
    }

    /// Takes plaintext that is here.
    fn take(&mut self, plaintext: &mut [u8]) -> io::Result<usize> {
        match self.connection.reader().read(plaintext) {
            Ok(len) => {
                self.plaintext_len = self.plaintext_len.saturating_sub(len);
                Ok(len)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(TlsError::Truncated.into_io())
            }
            Err(error) => Err(error),
        }
    }

    /// Reads once from the stream into the back half of the buffer, and decrypts all of it into the
    /// front half: one system call for many records, and no memory that stays.
    fn read_split(&mut self, stream: &mut dyn Stream, buffer: &mut [u8]) -> io::Result<usize> {
        let (plaintext, records) = buffer.split_at_mut(buffer.len() / 2);
        let received = stream.read(records)?;
        let mut records = &records[..received];
        if received == 0 {
            // rustls notes the end, and tells whether it was announced.
            self.connection.read_tls(&mut records)?;
            return self.take(plaintext);
        }
        let mut filled = 0;
        while !records.is_empty() {
            self.connection.read_tls(&mut records)?;
            self.process(stream)?;
            match self.take(&mut plaintext[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        if filled == 0 {
            Err(io::ErrorKind::WouldBlock.into())
        } else {
            Ok(filled)
        }
    }
}

impl Session for RustlsSession {
    fn read(&mut self, stream: &mut dyn Stream, plaintext: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.take(plaintext) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
            let read = if plaintext.len() >= SPLIT_LEN {
                self.read_split(stream, plaintext)
            } else {
                self.connection.read_tls(&mut &mut *stream).and_then(|_| {
                    self.process(stream)?;
                    Err(io::ErrorKind::Interrupted.into())
                })
            };
            // What the handshake has to say goes out whether more came or not.
            match self.flush(stream) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            match read {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
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
        let count = plaintext.len().min(SLICES);
        slices[..count].copy_from_slice(&plaintext[..count]);
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
        self.connection.send_close_notify();
        self.flush(stream)
    }

    fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn has_plaintext(&self) -> bool {
        self.plaintext_len > 0
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
            cipher_suite: suite.map(|suite| format!("{:?}", suite.suite())),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
            server_name,
            peer_certificates: certificates.iter().map(|der| der.to_vec()).collect(),
        }
    }
}
