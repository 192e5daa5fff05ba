//! The OpenSSL backend.
//!
//! Settings are those of the rustls backend: TLS 1.2 and 1.3, ciphers with forward secrecy and
//! authentication only, no renegotiation, no compression. A client makes a full handshake each
//! time: OpenSSL lets a client resume a session only through an interface that is not memory safe.

pub(super) mod client;
mod failure;
mod name;
mod pipe;
pub(super) mod server;
mod session;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ::openssl::error::ErrorStack;
use ::openssl::pkey::{PKey, Private};
use ::openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode, SslVersion,
};
use ::openssl::x509::store::{X509Store, X509StoreBuilder};
use ::openssl::x509::verify::X509VerifyFlags;
use ::openssl::x509::{X509, X509StoreContextRef, X509VerifyResult};

use self::failure::settings;
use super::error::TlsError;
use super::flaw::Flaw;
use super::identity::Identity;
use super::roots::Roots;
use super::server::Verifier;

/// The suites of TLS 1.2 that rustls speaks too; those of TLS 1.3 are all good.
const CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20";

/// What both sides have in common.
fn context() -> Result<SslContextBuilder, TlsError> {
    let mut context = SslContext::builder(SslMethod::tls()).map_err(settings)?;
    context
        .set_min_proto_version(Some(SslVersion::TLS1_2))
        .and_then(|()| context.set_cipher_list(CIPHERS))
        .map_err(settings)?;
    context.set_options(
        SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_COMPRESSION
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    context.set_mode(
        SslMode::RELEASE_BUFFERS | SslMode::ACCEPT_MOVING_WRITE_BUFFER | SslMode::NO_AUTO_CHAIN,
    );
    // Sessions are resumed by tickets alone: the server remembers nothing for a client.
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    Ok(context)
}

/// A program's own settings of a context.
pub(super) type Configure =
    Arc<dyn Fn(&mut SslContextBuilder) -> Result<(), ErrorStack> + Send + Sync>;

/// With the program's own settings, which come last.
fn configured(
    mut context: SslContextBuilder,
    configure: Option<&Configure>,
) -> Result<SslContextBuilder, TlsError> {
    if let Some(configure) = configure {
        configure(&mut context).map_err(settings)?;
    }
    Ok(context)
}

/// A certificate, those above it, and the key, checked to fit.
#[derive(Debug)]
struct Credentials {
    certificate: X509,
    above: Vec<X509>,
    key: PKey<Private>,
}

impl Credentials {
    fn new(identity: &Identity) -> Result<Self, TlsError> {
        let damaged = |_| TlsError::Settings("the certificate is damaged".to_owned());
        let mut chain = identity.chain.iter().map(|der| X509::from_der(der));
        let certificate = chain.next().ok_or(TlsError::NoIdentity)?.map_err(damaged)?;
        let above = chain.collect::<Result<_, _>>().map_err(damaged)?;
        let key = PKey::private_key_from_der(identity.key.secret_der()).map_err(settings)?;
        let public = certificate.public_key().map_err(settings)?;
        if !public.public_eq(&key) {
            let problem = "the private key does not fit the certificate".to_owned();
            return Err(TlsError::Settings(problem));
        }
        Ok(Self {
            certificate,
            above,
            key,
        })
    }

    fn put_into(&self, context: &mut SslContextBuilder) -> Result<(), TlsError> {
        context
            .set_certificate(&self.certificate)
            .and_then(|()| context.set_private_key(&self.key))
            .map_err(settings)?;
        for certificate in &self.above {
            context
                .add_extra_chain_cert(certificate.clone())
                .map_err(settings)?;
        }
        Ok(())
    }
}

/// The certificates to trust. Each is an anchor of its own, self-signed or not.
fn root_store(roots: &Roots) -> Result<X509Store, TlsError> {
    if !roots.system && !roots.mozilla && roots.extra.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let mut store = X509StoreBuilder::new().map_err(settings)?;
    store
        .set_flags(X509VerifyFlags::PARTIAL_CHAIN)
        .map_err(settings)?;
    if roots.system {
        store.set_default_paths().map_err(settings)?;
    }
    let mozilla = roots
        .mozilla
        .then_some(webpki_root_certs::TLS_SERVER_ROOT_CERTS);
    let mozilla = mozilla.unwrap_or_default().iter();
    for der in mozilla.chain(&roots.extra) {
        X509::from_der(der)
            .and_then(|certificate| store.add_cert(certificate))
            .map_err(settings)?;
    }
    Ok(store.build())
}

/// Has the last word on what OpenSSL found about a certificate of the peer, and notes the reason of
/// a refusal.
fn judge(accepted: bool, context: &mut X509StoreContextRef, verifier: Option<&Verifier>) -> bool {
    if !accepted {
        failure::note(context, None);
        return false;
    }
    // The peer's own certificate comes last, when all above it are verified.
    let (0, Some(verifier)) = (context.error_depth(), verifier) else {
        return true;
    };
    let certificate = context.current_cert().and_then(|found| found.to_der().ok());
    // A panic must not reach OpenSSL, which would end the process.
    let verdict = certificate.map(|der| catch_unwind(AssertUnwindSafe(|| verifier(&der))));
    if matches!(verdict, Some(Ok(true))) {
        return true;
    }
    context.set_error(X509VerifyResult::APPLICATION_VERIFICATION);
    failure::note(context, Some(Flaw::Refused));
    false
}
