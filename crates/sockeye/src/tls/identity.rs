//! A certificate chain and its private key.

use std::fmt;
use std::fs;
use std::path::Path;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;

/// Who this side is: a certificate chain, own certificate first, and the private key.
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a chain and a key from PEM files. They may be the same file.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or has no certificate or no unencrypted key (PKCS #8, PKCS #1 or
    /// SEC 1) in it.
    pub fn from_pem_files(
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, TlsError> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let read = |path: &Path| fs::read(path).map_err(|source| TlsError::read(path, source));
        Ok(Self {
            chain: certificates(&read(chain)?, chain.display())?,
            key: private_key(&read(key)?, key.display())?,
        })
    }

    /// Takes a chain and a key from PEM text.
    ///
    /// # Errors
    ///
    /// There is no certificate or no unencrypted key in it.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self {
            chain: certificates(chain, "certificate chain")?,
            key: private_key(key, "private key")?,
        })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key stays out of logs.
        f.debug_struct("Identity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// All certificates in PEM text, at least one.
pub(super) fn certificates(
    pem: &[u8],
    subject: impl fmt::Display,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(certificates) if certificates.is_empty() => Err(TlsError::pem(
            subject,
            "there is no certificate (BEGIN CERTIFICATE) in it",
        )),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(TlsError::pem(subject, error)),
    }
}

fn private_key(pem: &[u8], subject: impl fmt::Display) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => {
            TlsError::pem(subject, "there is no unencrypted private key in it")
        }
        error => TlsError::pem(subject, error),
    })
}
