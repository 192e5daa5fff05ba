//! The server's side: certificates, what clients must show, and replacing them while running.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use super::backend::Backend;
use super::error::TlsError;
use super::identity::Identity;
use super::roots::Roots;
use super::session::Session;

/// Whether clients show a certificate.
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Ignore,
    /// They are asked; one that is shown must be vouched for by these roots.
    Optional(Roots),
    /// They must show one that these roots vouch for.
    Required(Roots),
}

/// A program's own say in which client certificates are accepted: it gets the client's certificate
/// in DER, after it was verified against the roots.
pub(crate) type Verifier = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// The settings of a TLS server.
#[derive(Clone, Default)]
#[must_use]
pub struct ServerTlsOptions {
    pub(crate) identities: Vec<Identity>,
    pub(crate) client_certificates: ClientCertificates,
    pub(crate) verifier: Option<Verifier>,
    pub(crate) alpn: Vec<Vec<u8>>,
    pub(crate) backend: Backend,
    #[cfg(feature = "openssl")]
    pub(crate) configure: Option<super::openssl::Configure>,
}

impl fmt::Debug for ServerTlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTlsOptions")
            .field("identities", &self.identities)
            .field("client_certificates", &self.client_certificates)
            .finish_non_exhaustive()
    }
}

impl ServerTlsOptions {
    /// With one certificate.
    pub fn new(identity: Identity) -> Self {
        Self {
            identities: vec![identity],
            alpn: vec![b"http/1.1".to_vec()],
            ..Self::default()
        }
    }

    /// Adds a certificate. A client gets the first one that fits the name it asks for (SNI); one
    /// that asks for no name, or an unknown one, gets the first of all.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Whether clients show certificates. By default they are not asked.
    pub fn client_certificates(mut self, client_certificates: ClientCertificates) -> Self {
        self.client_certificates = client_certificates;
        self
    }

    /// Asks `verifier` about each client certificate, in DER, that the roots vouch for; `false`
    /// ends the handshake.
    pub fn verifier(mut self, verifier: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.verifier = Some(Arc::new(verifier));
        self
    }

    /// The application protocols that are spoken, best first. The default is `http/1.1` alone,
    /// which is what WebSockets need.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Chooses OpenSSL and has its context completed by `configure`, after all other settings: for
    /// what only OpenSSL has. It is called for each certificate, and again with
    /// [`ServerTls::reload`].
    #[cfg(feature = "openssl")]
    pub fn configure_openssl<F>(mut self, configure: F) -> Self
    where
        F: Fn(&mut ::openssl::ssl::SslContextBuilder) -> Result<(), ::openssl::error::ErrorStack>
            + Send
            + Sync
            + 'static,
    {
        self.backend = Backend::OpenSsl;
        self.configure = Some(Arc::new(configure));
        self
    }

    /// Which library does the work.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }
}

/// Makes the sessions of a server.
pub(crate) trait Acceptor: fmt::Debug + Send + Sync {
    fn accept(&self) -> Result<Box<dyn Session>, TlsError>;
}

/// TLS for listeners. Clones share the settings, so that [`reload`](Self::reload) reaches every
/// listener and thread.
#[derive(Clone, Debug)]
pub struct ServerTls {
    current: Arc<RwLock<Arc<dyn Acceptor>>>,
}

impl ServerTls {
    /// Checks the settings and makes them usable.
    ///
    /// # Errors
    ///
    /// There is no certificate, a key does not fit its certificate, or a root is no certificate.
    pub fn new(options: ServerTlsOptions) -> Result<Self, TlsError> {
        let acceptor = Self::acceptor(options)?;
        Ok(Self {
            current: Arc::new(RwLock::new(acceptor)),
        })
    }

    /// Replaces the settings for connections that come from now on. Those that are open go on.
    ///
    /// # Errors
    ///
    /// The settings are no good; then the old ones stay.
    pub fn reload(&self, options: ServerTlsOptions) -> Result<(), TlsError> {
        let acceptor = Self::acceptor(options)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
        Ok(())
    }

    fn acceptor(options: ServerTlsOptions) -> Result<Arc<dyn Acceptor>, TlsError> {
        match options.backend {
            #[cfg(feature = "tls")]
            Backend::Rustls => Ok(Arc::new(super::rustls::server::RustlsAcceptor::new(
                options,
            )?)),
            #[cfg(feature = "openssl")]
            Backend::OpenSsl => Ok(Arc::new(super::openssl::server::OpenSslAcceptor::new(
                options,
            )?)),
            #[allow(
                unreachable_patterns,
                reason = "which are left depends on the features"
            )]
            backend => Err(backend.missing()),
        }
    }

    pub(crate) fn accept(&self) -> Result<Box<dyn Session>, TlsError> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .accept()
    }
}
