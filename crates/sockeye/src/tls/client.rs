//! The client's side: whom to trust, and who to be.

use std::fmt;
use std::sync::Arc;

use super::error::TlsError;
use super::identity::Identity;
use super::roots::Roots;
use super::session::Session;

/// Makes the sessions of a client.
pub(crate) trait Connector: fmt::Debug + Send + Sync {
    /// A session with the server of this name, or literal address.
    fn connect(&self, server: &str) -> Result<Box<dyn Session>, TlsError>;
}

/// TLS for outgoing connections: made once, shared by many. Sessions are resumed between them.
///
/// ```no_run
/// use sockeye::tls::{ClientTls, Roots};
///
/// let tls = ClientTls::new(Roots::none().with_pem_file("company-ca.pem")?, None)?;
/// # Ok::<(), sockeye::tls::TlsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientTls {
    connector: Arc<dyn Connector>,
}

impl ClientTls {
    /// Trusts servers that these roots vouch for, and shows the identity to those that ask.
    ///
    /// # Errors
    ///
    /// There is no usable root, or the key does not fit the certificate.
    #[cfg(feature = "tls")]
    pub fn new(roots: Roots, identity: Option<Identity>) -> Result<Self, TlsError> {
        let connector = super::rustls::client::RustlsConnector::verifying(&roots, identity)?;
        Ok(Self { connector: Arc::new(connector) })
    }

    /// Trusts every server, whatever its certificate: for tests and self-signed devices on a wire
    /// of one's own. Anybody on the way can read and change everything.
    ///
    /// # Errors
    ///
    /// The key does not fit the certificate.
    #[cfg(feature = "tls")]
    pub fn dangerous_without_verification(identity: Option<Identity>) -> Result<Self, TlsError> {
        let connector = super::rustls::client::RustlsConnector::trusting(identity)?;
        Ok(Self { connector: Arc::new(connector) })
    }

    pub(crate) fn connect(&self, server: &str) -> Result<Box<dyn Session>, TlsError> {
        self.connector.connect(server)
    }
}
