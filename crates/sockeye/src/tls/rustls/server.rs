//! rustls as a server: choosing certificates by name, and asking clients for theirs.

use std::fmt;
use std::sync::Arc;

use ::rustls::client::danger::HandshakeSignatureValid;
use ::rustls::client::verify_server_name;
use ::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use ::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use ::rustls::server::{
    ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
};
use ::rustls::sign::CertifiedKey;
use ::rustls::{
    CertificateError, Connection, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    ServerConnection, SignatureScheme,
};

use super::failure::unusable;
use super::session::RustlsSession;
use super::{provider, root_store, settings};
use crate::tls::error::TlsError;
use crate::tls::identity::Identity;
use crate::tls::server::{Acceptor, ClientCertificates, ServerTlsOptions, Verifier};
use crate::tls::session::Session;

#[derive(Debug)]
pub(in crate::tls) struct RustlsAcceptor {
    config: Arc<ServerConfig>,
}

impl RustlsAcceptor {
    pub(in crate::tls) fn new(options: ServerTlsOptions) -> Result<Self, TlsError> {
        let provider = provider();
        let keys = options
            .identities
            .iter()
            .map(certified_key)
            .collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Err(TlsError::NoIdentity);
        }
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(settings)?
            .with_client_cert_verifier(client_verifier(&options)?)
            .with_cert_resolver(Arc::new(ByName { keys }));
        config.ticketer = ::rustls::crypto::ring::Ticketer::new().map_err(settings)?;
        config.alpn_protocols = options.alpn;
        // Sessions are resumed by tickets alone: the server remembers nothing for a client.
        config.session_storage = Arc::new(::rustls::server::NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
        })
    }
}

impl Acceptor for RustlsAcceptor {
    fn accept(&self) -> Result<Box<dyn Session>, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).map_err(settings)?;
        Ok(Box::new(RustlsSession::new(Connection::Server(connection))))
    }
}

fn certified_key(identity: &Identity) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = identity.chain.clone();
    let key = CertifiedKey::from_der(chain, identity.key.clone_key(), &provider());
    key.map(Arc::new).map_err(unusable)
}

/// Chooses the first certificate that fits the name and the signatures which a client asks for.
#[derive(Debug)]
struct ByName {
    keys: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable =
            |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let name = hello
            .server_name()
            .and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| {
            self.keys
                .iter()
                .filter(usable)
                .find(|key| is_for(key, &name))
        });
        // Without any that is usable rustls says best itself what is not in common.
        named
            .or_else(|| self.keys.iter().find(usable))
            .or_else(|| self.keys.first())
            .cloned()
    }
}

fn is_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let certificate = key.cert.first().map(ParsedCertificate::try_from);
    matches!(certificate, Some(Ok(certificate)) if verify_server_name(&certificate, name).is_ok())
}

fn client_verifier(options: &ServerTlsOptions) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (roots, optional) = match &options.client_certificates {
        ClientCertificates::Ignore => return Ok(Arc::new(NoClientAuth)),
        ClientCertificates::Optional(roots) => (roots, true),
        ClientCertificates::Required(roots) => (roots, false),
    };
    let builder = WebPkiClientVerifier::builder_with_provider(root_store(roots)?, provider());
    let builder = if optional {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    let by_roots = builder.build().map_err(settings)?;
    Ok(match options.verifier.clone() {
        None => by_roots,
        Some(asked) => Arc::new(AndAsked { by_roots, asked }),
    })
}

/// Verifies against the roots, then asks the program.
struct AndAsked {
    by_roots: Arc<dyn ClientCertVerifier>,
    asked: Verifier,
}

impl fmt::Debug for AndAsked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AndAsked")
            .field("by_roots", &self.by_roots)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AndAsked {
    fn offer_client_auth(&self) -> bool {
        self.by_roots.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.by_roots.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.by_roots.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .by_roots
            .verify_client_cert(end_entity, intermediates, now)?;
        if (self.asked)(end_entity) {
            Ok(verified)
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
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
