//! rustls as a client.

use std::sync::Arc;

use ::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use ::rustls::client::{ClientConfig, ClientConnection};
use ::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use ::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ::rustls::{Connection, DigitallySignedStruct, Error, SignatureScheme};

use super::session::RustlsSession;
use super::{provider, root_store, settings};
use crate::tls::client::{ClientTlsOptions, Connector};
use crate::tls::error::TlsError;
use crate::tls::identity::Identity;
use crate::tls::session::Session;

#[derive(Debug)]
pub(in crate::tls) struct RustlsConnector {
    config: Arc<ClientConfig>,
}

impl RustlsConnector {
    pub(in crate::tls) fn new(options: ClientTlsOptions) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(settings)?;
        let builder = match options.verify {
            true => builder.with_root_certificates(root_store(&options.roots)?),
            false => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        };
        let mut config = match options.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain, key)
                .map_err(settings)?,
        };
        // A WebSocket needs HTTP/1.1, whatever else the server speaks.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

impl Connector for RustlsConnector {
    fn connect(&self, server: &str) -> Result<Box<dyn Session>, TlsError> {
        let literal = server
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let name = ServerName::try_from(literal.unwrap_or(server).to_owned()).map_err(settings)?;
        let connection = ClientConnection::new(Arc::clone(&self.config), name).map_err(settings)?;
        Ok(Box::new(RustlsSession::new(Connection::Client(connection))))
    }
}

/// Takes every certificate; signatures are still checked, so that the peer at least holds the key of
/// the certificate it shows.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
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
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
