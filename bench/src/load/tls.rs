//! TLS as a client that trusts everybody: TLS 1.3, one cipher suite, one key exchange, no
//! resumption, so that every server does the same work.

use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::failure::Failure;

pub(crate) fn config() -> Result<Arc<ClientConfig>, Failure> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256];
    provider.kx_groups = vec![ring::kx_group::X25519];
    let schemes = provider
        .signature_verification_algorithms
        .supported_schemes();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| Failure::Io("set up TLS", io::Error::other(error)))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Everybody { schemes }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct Everybody {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// A stream behind TLS.
#[derive(Debug)]
pub(crate) struct TlsStream {
    pub(crate) stream: TcpStream,
    connection: ClientConnection,
}

impl TlsStream {
    /// Shakes hands; the stream must block.
    pub(crate) fn handshake(mut stream: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let mut connection =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        connection.set_buffer_limit(None);
        connection.complete_io(&mut stream)?;
        Ok(Self { stream, connection })
    }

    /// One read of the stream, many records; 0 is the end. What holds no plaintext is passed over.
    pub(crate) fn read(&mut self, plain: &mut [u8], cipher: &mut [u8]) -> io::Result<usize> {
        loop {
            let received = self.stream.read(cipher)?;
            if received == 0 {
                return Ok(0);
            }
            let mut records = &cipher[..received];
            let mut filled = 0;
            while !records.is_empty() {
                self.connection.read_tls(&mut records)?;
                let state = self
                    .connection
                    .process_new_packets()
                    .map_err(io::Error::other)?;
                let len = state.plaintext_bytes_to_read();
                self.connection
                    .reader()
                    .read_exact(&mut plain[filled..filled + len])?;
                filled += len;
            }
            if filled > 0 {
                return Ok(filled);
            }
        }
    }

    /// Takes everything, or nothing while records wait for the stream.
    pub(crate) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        let taken = self.connection.writer().write_vectored(slices)?;
        match self.flush() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write()
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}
