//! rustls as a client.

use std::sync::Arc;

use ::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use ::rustls::client::{ClientConfig, ClientConnection, WebPkiServerVerifier, verify_server_name};
use ::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use ::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ::rustls::server::ParsedCertificate;
use ::rustls::{
    CertificateError, Connection, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

use super::failure::unusable;
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
            true => {
                let by_roots = WebPkiServerVerifier::builder_with_provider(
                    root_store(&options.roots)?,
                    Arc::clone(&provider),
                );
                let verifier = ByRoots {
                    by_roots: by_roots.build().map_err(settings)?,
                    own: options.roots.extra,
                };
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
            }
            false => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate { provider })),
        };
        let mut config = match options.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain, key)
                .map_err(unusable)?,
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

/// Verifies against the roots. A server's certificate that is itself one of the program's own roots
/// is accepted even if it says that it is a CA's, as self-signed ones mostly do.
#[derive(Debug)]
struct ByRoots {
    by_roots: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for ByRoots {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self
            .by_roots
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verdict {
            // The dates were looked at before; the name was not.
            Err(Error::InvalidCertificate(error)) if is_of_a_ca(&error) => {
                if !self.own.contains(certificate) {
                    return Err(CertificateError::UnknownIssuer.into());
                }
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_roots
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_roots
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_roots.supported_verify_schemes()
    }
}

fn is_of_a_ca(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(OtherError(error))
        if matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity)))
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
