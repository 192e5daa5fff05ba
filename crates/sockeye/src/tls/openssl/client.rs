//! OpenSSL as a client.

use std::ffi::c_int;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ::openssl::ssl::{Ssl, SslContext, SslVerifyMode};
use ::openssl::x509::verify::X509CheckFlags;
use ::openssl::x509::{X509StoreContextRef, X509VerifyResult};

use super::failure::{self, settings};
use super::session::OpenSslSession;
use super::{Credentials, configured, context, judge, root_store};
use crate::tls::client::{ClientTlsOptions, Connector};
use crate::tls::error::TlsError;
use crate::tls::session::Session;

pub(in crate::tls) struct OpenSslConnector {
    context: SslContext,
    verify: bool,
    /// A self-signed certificate of the server's own is good enough.
    self_signed: bool,
}

impl fmt::Debug for OpenSslConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSslConnector")
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

impl OpenSslConnector {
    pub(in crate::tls) fn new(options: ClientTlsOptions) -> Result<Self, TlsError> {
        let mut context = context()?;
        if options.verify {
            context.set_cert_store(root_store(&options.roots)?);
            context.set_verify_callback(SslVerifyMode::PEER, |accepted, found| {
                judge(accepted, found, None)
            });
        } else {
            context.set_verify(SslVerifyMode::NONE);
        }
        if let Some(identity) = &options.identity {
            Credentials::new(identity)?.put_into(&mut context)?;
        }
        // A WebSocket needs HTTP/1.1, whatever else the server speaks.
        context.set_alpn_protos(b"\x08http/1.1").map_err(settings)?;
        Ok(Self {
            context: configured(context, options.configure.as_ref())?.build(),
            verify: options.verify,
            self_signed: false,
        })
    }
}

impl Connector for OpenSslConnector {
    fn connect(&self, server: &str) -> Result<Box<dyn Session>, TlsError> {
        let literal = server
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let server = literal.unwrap_or(server);
        let mut ssl = Ssl::new(&self.context).map_err(settings)?;
        failure::prepare(&mut ssl, server);
        let address: Option<IpAddr> = server.parse().ok();
        if address.is_none() {
            // RFC 6066 §3: literal addresses are not sent.
            ssl.set_hostname(server).map_err(settings)?;
        }
        if self.verify {
            let expected = ssl.param_mut();
            expected.set_hostflags(
                X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT,
            );
            match address {
                Some(address) => expected.set_ip(address),
                None => expected.set_host(server),
            }
            .map_err(settings)?;
        }
        if self.verify && self.self_signed {
            ssl.set_verify_callback(SslVerifyMode::PEER, |accepted, found| {
                accepted || is_self_signed(found) || judge(false, found, None)
            });
        }
        Ok(Box::new(OpenSslSession::client(ssl)?))
    }

    fn accepting_self_signed(&self) -> Option<Arc<dyn Connector>> {
        Some(Arc::new(Self {
            context: self.context.clone(),
            verify: self.verify,
            self_signed: true,
        }))
    }
}

/// Whether all that is wrong with a certificate follows from its being the peer's own word: nobody
/// vouches for it, so its names mean nothing either.
fn is_self_signed(found: &X509StoreContextRef) -> bool {
    const SELF_SIGNED: c_int = 18;
    const OTHER_NAME: c_int = 62;
    const OTHER_ADDRESS: c_int = 64;
    let verdict = found.error().as_raw();
    if found.error_depth() != 0 || ![SELF_SIGNED, OTHER_NAME, OTHER_ADDRESS].contains(&verdict) {
        return false;
    }
    found.current_cert().is_some_and(|certificate| {
        certificate.issued(certificate) == X509VerifyResult::OK
            && certificate
                .public_key()
                .and_then(|key| certificate.verify(&key))
                .unwrap_or(false)
    })
}
