//! One TLS connection, as the engine and the blocking face see it: what a backend must provide.
//!
//! A session owns no socket. It is lent one for each call, and reports
//! [`WouldBlock`](std::io::ErrorKind::WouldBlock) as the stream does.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};

/// What a session reads and writes records with.
pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// The state of one TLS connection.
pub(crate) trait Session: fmt::Debug + Send {
    /// Reads plaintext, driving the handshake as far as it goes. `Ok(0)` is the end that the peer
    /// announced; an end without announcement is [`TlsError::Truncated`](super::TlsError).
    /// [`Interrupted`](io::ErrorKind::Interrupted): much came, but no plaintext yet; read again.
    fn read(&mut self, stream: &mut dyn Stream, plaintext: &mut [u8]) -> io::Result<usize>;

    /// Takes plaintext and writes records. What was taken counts as written, though records may
    /// still wait for the stream ([`wants_write`](Self::wants_write)).
    fn write_vectored(
        &mut self,
        stream: &mut dyn Stream,
        plaintext: &[IoSlice<'_>],
    ) -> io::Result<usize>;

    /// Writes records that wait.
    fn flush(&mut self, stream: &mut dyn Stream) -> io::Result<()>;

    /// Announces the end of what is written, if the handshake is over.
    fn shutdown_write(&mut self, stream: &mut dyn Stream) -> io::Result<()>;

    /// Whether records wait for the stream.
    fn wants_write(&self) -> bool;

    /// Whether plaintext or the end of it is already here, which no readiness of the stream will
    /// report.
    fn has_plaintext(&self) -> bool;

    fn is_handshaking(&self) -> bool;

    /// What was agreed on; complete once the handshake is over.
    fn info(&self) -> TlsInfo;
}

/// What a TLS handshake agreed on, and who the peer proved to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// For example `TLSv1.3`.
    pub version: Option<&'static str>,
    /// The cipher suite by its IANA name.
    pub cipher_suite: Option<String>,
    /// The application protocol, by ALPN (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The name that the client asked for, by SNI (RFC 6066 §3).
    pub server_name: Option<String>,
    /// The peer's certificate chain in DER, its own first; empty if it gave none. It was verified
    /// unless verification was switched off.
    pub peer_certificates: Vec<Vec<u8>>,
}
