//! The certificates that are trusted to vouch for others.

use std::fs;
use std::path::Path;

use rustls_pki_types::CertificateDer;

use super::error::TlsError;
use super::identity::certificates;

/// A set of root certificates.
///
/// ```no_run
/// use sockeye::tls::Roots;
///
/// let ours_too = Roots::system().with_pem_file("company-ca.pem")?;
/// let only_ours = Roots::none().with_pem_file("company-ca.pem")?;
/// # Ok::<(), sockeye::tls::TlsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Roots {
    /// Those of the machine.
    pub(crate) system: bool,
    /// Mozilla's, as they were when this was built.
    pub(crate) mozilla: bool,
    pub(crate) extra: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// None yet.
    pub fn none() -> Self {
        Self {
            system: false,
            mozilla: false,
            extra: Vec::new(),
        }
    }

    /// The machine's roots, as its administrator set them up.
    pub fn system() -> Self {
        Self {
            system: true,
            ..Self::none()
        }
    }

    /// Mozilla's roots as of the build, for machines without any of their own.
    pub fn mozilla() -> Self {
        Self {
            mozilla: true,
            ..Self::none()
        }
    }

    /// Adds all certificates of a PEM file.
    ///
    /// # Errors
    ///
    /// It cannot be read, or has no certificate in it.
    pub fn with_pem_file(mut self, path: impl AsRef<Path>) -> Result<Self, TlsError> {
        let path = path.as_ref();
        let pem = fs::read(path).map_err(|source| TlsError::read(path, source))?;
        self.extra.extend(certificates(&pem, path.display())?);
        Ok(self)
    }

    /// Adds all certificates of PEM text.
    ///
    /// # Errors
    ///
    /// There is no certificate in it.
    pub fn with_pem(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.extra.extend(certificates(pem, "root certificates")?);
        Ok(self)
    }
}
