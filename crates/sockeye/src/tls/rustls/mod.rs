//! The rustls backend.
//!
//! The crypto provider is always named, so that a program which brings other providers along
//! changes nothing here and nothing panics about an ambiguous one.

pub(super) mod client;
mod failure;
pub(super) mod server;
mod session;

use std::sync::Arc;

use ::rustls::RootCertStore;
use ::rustls::crypto::{CryptoProvider, ring};

use super::error::TlsError;
use super::roots::Roots;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn settings(error: impl std::fmt::Display) -> TlsError {
    TlsError::Settings(error.to_string())
}

fn root_store(roots: &Roots) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    if roots.system {
        // Broken entries of the machine's store are its administrator's business; that none is left
        // is told below.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.mozilla {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for certificate in &roots.extra {
        store.add(certificate.clone()).map_err(settings)?;
    }
    if store.is_empty() {
        Err(TlsError::NoRoots)
    } else {
        Ok(Arc::new(store))
    }
}
