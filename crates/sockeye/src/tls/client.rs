//! The client's side: whom to trust, and who to be.

use std::fmt;
use std::sync::Arc;

use super::backend::Backend;
use super::error::TlsError;
use super::identity::Identity;
use super::roots::Roots;
use super::session::Session;

/// Makes the sessions of a client.
pub(crate) trait Connector: fmt::Debug + Send + Sync {
    /// A session with the server of this name, or literal address.
    fn connect(&self, server: &str) -> Result<Box<dyn Session>, TlsError>;

    /// The same that also takes a server's own certificate if that is self-signed.
    fn accepting_self_signed(&self) -> Option<Arc<dyn Connector>> {
        None
    }
}

/// The settings of a TLS client.
#[derive(Clone)]
#[must_use]
pub struct ClientTlsOptions {
    pub(crate) roots: Roots,
    pub(crate) identity: Option<Identity>,
    pub(crate) verify: bool,
    pub(crate) backend: Backend,
    #[cfg(feature = "openssl")]
    pub(crate) configure: Option<super::openssl::Configure>,
}

impl fmt::Debug for ClientTlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTlsOptions")
            .field("roots", &self.roots)
            .field("identity", &self.identity)
            .field("verify", &self.verify)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl ClientTlsOptions {
    /// Trusts servers that these roots vouch for.
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            identity: None,
            verify: true,
            backend: Backend::default(),
            #[cfg(feature = "openssl")]
            configure: None,
        }
    }

    /// Shows this identity to servers that ask for one.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Trusts every server, whatever its certificate: for tests, and for self-signed devices on a
    /// wire of one's own. Anybody on the way can read and change everything.
    pub fn dangerous_without_verification(mut self) -> Self {
        self.verify = false;
        self
    }

    /// Chooses OpenSSL and has its context completed by `configure`, after all other settings: for
    /// what only OpenSSL has. The roots are in the context's own store.
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

/// TLS for outgoing connections: made once, shared by many. Sessions are resumed between them.
///
/// ```no_run
/// use sockeye::tls::{ClientTls, ClientTlsOptions, Roots};
///
/// let roots = Roots::none().with_pem_file("company-ca.pem")?;
/// let tls = ClientTls::new(ClientTlsOptions::new(roots))?;
/// # Ok::<(), sockeye::tls::TlsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientTls {
    connector: Arc<dyn Connector>,
}

impl ClientTls {
    /// Checks the settings and makes them usable.
    ///
    /// # Errors
    ///
    /// There is no usable root, the key does not fit the certificate, or the backend is not built
    /// in.
    pub fn new(options: ClientTlsOptions) -> Result<Self, TlsError> {
        Ok(Self {
            connector: Self::connector(options)?,
        })
    }

    /// The same settings, except that a server is trusted too whose own certificate is self-signed,
    /// under any name: for devices on a wire of one's own. It tells nobody apart from an impostor.
    ///
    /// # Errors
    ///
    /// The backend is not OpenSSL.
    pub fn dangerous_accept_self_signed(&self) -> Result<Self, TlsError> {
        match self.connector.accepting_self_signed() {
            Some(connector) => Ok(Self { connector }),
            None => {
                let problem = "only OpenSSL takes self-signed certificates for themselves";
                Err(TlsError::Settings(problem.to_owned()))
            }
        }
    }

    fn connector(options: ClientTlsOptions) -> Result<Arc<dyn Connector>, TlsError> {
        match options.backend {
            #[cfg(feature = "tls")]
            Backend::Rustls => Ok(Arc::new(super::rustls::client::RustlsConnector::new(
                options,
            )?)),
            #[cfg(feature = "openssl")]
            Backend::OpenSsl => Ok(Arc::new(super::openssl::client::OpenSslConnector::new(
                options,
            )?)),
            #[allow(
                unreachable_patterns,
                reason = "which are left depends on the features"
            )]
            backend => Err(backend.missing()),
        }
    }

    pub(crate) fn connect(&self, server: &str) -> Result<Box<dyn Session>, TlsError> {
        self.connector.connect(server)
    }
}
