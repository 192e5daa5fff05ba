//! An OpenSSL connection behind [`Session`].

use std::fmt;
use std::io::{self, IoSlice};

use ::openssl::ssl::{Error, ErrorCode, NameType, Ssl, SslStream, SslVersion};

use super::failure::{self, settings, translate};
use super::pipe::Pipe;
use crate::tls::error::TlsError;
use crate::tls::session::{Session, Stream, TlsInfo};

/// The plaintext of one record, at most (RFC 8446 §5.1).
const RECORD_LEN: usize = 16 * 1024;
/// Plaintext that waits for the handshake, and records that wait to be written, at most.
const BUFFER_LEN: usize = 64 * 1024;
/// Reads in a row that may bring nothing but handshake, till others have their turn.
const IDLE_READS: usize = 8;
/// Slices of plaintext that are made records of in one go.
const SLICES: usize = 32;

pub(super) struct OpenSslSession {
    stream: SslStream<Pipe>,
    established: bool,
    /// Plaintext that waits for the end of the handshake.
    early: Vec<u8>,
    /// What ends the stream behind the plaintext that was already handed over.
    ending: Option<Ending>,
}

#[derive(Debug)]
enum Ending {
    Announced,
    Failed(TlsError),
}

impl fmt::Debug for OpenSslSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSslSession")
            .field("established", &self.established)
            .finish_non_exhaustive()
    }
}

impl OpenSslSession {
    pub(super) fn server(mut ssl: Ssl) -> Result<Self, TlsError> {
        ssl.set_accept_state();
        failure::prepare(&mut ssl, "");
        Self::new(ssl)
    }

    pub(super) fn client(mut ssl: Ssl) -> Result<Self, TlsError> {
        ssl.set_connect_state();
        let mut session = Self::new(ssl)?;
        // So that there is something to write before there is something to read.
        session.shake_hands();
        Ok(session)
    }

    fn new(ssl: Ssl) -> Result<Self, TlsError> {
        Ok(Self {
            stream: SslStream::new(ssl, Pipe::default()).map_err(settings)?,
            established: false,
            early: Vec::new(),
            ending: None,
        })
    }

    fn pipe(&mut self) -> &mut Pipe {
        self.stream.get_mut()
    }

    /// Goes on with the handshake as far as what was received allows.
    fn shake_hands(&mut self) {
        match self.stream.do_handshake() {
            Ok(()) => {
                self.established = true;
                let early = std::mem::take(&mut self.early);
                if let Err(error) = self.encrypt(&early) {
                    self.fail(error);
                }
            }
            Err(error) => self.fail(error),
        }
    }

    /// Takes note of a failure, unless it is only that something has not come yet.
    fn fail(&mut self, error: Error) {
        self.ending = match error.code() {
            ErrorCode::WANT_READ | ErrorCode::WANT_WRITE => return,
            ErrorCode::ZERO_RETURN => Some(Ending::Announced),
            _ => Some(Ending::Failed(translate(self.stream.ssl(), error))),
        };
    }

    /// Decrypts what was received; 0 if no plaintext is in it.
    fn decrypt(&mut self, plaintext: &mut [u8]) -> usize {
        if !self.established {
            self.shake_hands();
        }
        let mut filled = 0;
        while self.established && self.ending.is_none() && filled < plaintext.len() {
            match self.stream.ssl_read(&mut plaintext[filled..]) {
                Ok(len) => filled += len,
                Err(error) => {
                    self.fail(error);
                    if !self.pipe().has_input() {
                        break;
                    }
                }
            }
        }
        filled
    }

    /// Makes records of plaintext.
    fn encrypt(&mut self, mut plaintext: &[u8]) -> Result<(), Error> {
        while !plaintext.is_empty() {
            let taken = self.stream.ssl_write(plaintext)?;
            plaintext = &plaintext[taken..];
        }
        Ok(())
    }

    /// Makes records of as much as may wait, full ones as far as possible. Returns how much.
    fn encrypt_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(first) = slices.first() else {
            return Ok(0);
        };
        if slices.len() == 1 || first.len() >= RECORD_LEN {
            let some = &first[..first.len().min(BUFFER_LEN)];
            return self.seal(some).map(|()| some.len());
        }
        let mut record = [0; RECORD_LEN];
        let mut filled = 0;
        for slice in slices {
            let some = &slice[..slice.len().min(RECORD_LEN - filled)];
            record[filled..filled + some.len()].copy_from_slice(some);
            filled += some.len();
        }
        self.seal(&record[..filled]).map(|()| filled)
    }

    fn seal(&mut self, plaintext: &[u8]) -> io::Result<()> {
        self.encrypt(plaintext)
            .map_err(|error| translate(self.stream.ssl(), error).into_io())
    }
}

impl Session for OpenSslSession {
    fn read(&mut self, stream: &mut dyn Stream, plaintext: &mut [u8]) -> io::Result<usize> {
        let mut reads = 0;
        loop {
            let len = self.decrypt(plaintext);
            // What the handshake has to say goes out whether more came or not.
            let flushed = self.pipe().flush(stream);
            self.pipe().release();
            if len > 0 {
                return Ok(len);
            }
            match self.ending.take() {
                Some(Ending::Announced) => return Ok(0),
                Some(Ending::Failed(error)) => return Err(error.into_io()),
                None => {}
            }
            match flushed {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            if reads == IDLE_READS {
                // Whoever sends without pause must not keep this loop from everybody else.
                return Err(io::ErrorKind::Interrupted.into());
            }
            reads += 1;
            self.pipe().fill(stream)?;
        }
    }

    fn write_vectored(
        &mut self,
        stream: &mut dyn Stream,
        plaintext: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        if !self.established {
            let mut taken = 0;
            for slice in plaintext {
                let room = BUFFER_LEN - self.early.len();
                let some = &slice[..slice.len().min(room)];
                self.early.extend_from_slice(some);
                taken += some.len();
            }
            return if taken == 0 {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(taken)
            };
        }
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
        while !rest.is_empty() {
            let taken = self.encrypt_slices(rest)?;
            written += taken;
            IoSlice::advance_slices(&mut rest, taken);
            if self.pipe().output_len() >= BUFFER_LEN && self.flush(stream).is_err() {
                // The next call reports why.
                return Ok(written);
            }
        }
        drop(self.flush(stream));
        Ok(written)
    }

    fn flush(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        self.pipe().flush(stream)
    }

    fn shutdown_write(&mut self, stream: &mut dyn Stream) -> io::Result<()> {
        if self.established {
            // It fails where the connection has failed before, and then there is nothing to say.
            drop(self.stream.shutdown());
        }
        self.flush(stream)
    }

    fn wants_write(&self) -> bool {
        self.stream.get_ref().output_len() > 0
    }

    fn has_plaintext(&self) -> bool {
        self.ending.is_some()
            || self.stream.ssl().pending() > 0
            || self.stream.get_ref().has_input()
    }

    fn is_handshaking(&self) -> bool {
        !self.established
    }

    fn info(&self) -> TlsInfo {
        let ssl = self.stream.ssl();
        let mut peer_certificates = Vec::new();
        // A server finds the client's own certificate apart from the chain, a client finds it in
        // both places.
        let own = ssl.peer_certificate();
        let chain = ssl.peer_cert_chain().into_iter().flatten();
        for certificate in own.iter().map(AsRef::as_ref).chain(chain) {
            if let Ok(der) = certificate.to_der()
                && peer_certificates.first() != Some(&der)
            {
                peer_certificates.push(der);
            }
        }
        TlsInfo {
            version: match ssl.version2() {
                Some(SslVersion::TLS1_2) => Some("TLSv1.2"),
                Some(SslVersion::TLS1_3) => Some("TLSv1.3"),
                _ => None,
            },
            cipher_suite: ssl
                .current_cipher()
                .and_then(|cipher| cipher.standard_name())
                .map(str::to_owned),
            alpn: ssl.selected_alpn_protocol().map(<[u8]>::to_vec),
            server_name: ssl
                .servername(NameType::HOST_NAME)
                .filter(|_| ssl.is_server())
                .map(str::to_owned),
            peer_certificates,
        }
    }
}
