//! OpenSSL as a client.

use std::fmt;
use std::net::IpAddr;

use ::openssl::ssl::{Ssl, SslContext, SslVerifyMode};
use ::openssl::x509::verify::X509CheckFlags;

use super::failure::{self, settings};
use super::session::OpenSslSession;
use super::{Credentials, context, judge, root_store};
use crate::tls::client::{ClientTlsOptions, Connector};
use crate::tls::error::TlsError;
use crate::tls::session::Session;

pub(in crate::tls) struct OpenSslConnector {
    context: SslContext,
    verify: bool,
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
            context: context.build(),
            verify: options.verify,
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
        Ok(Box::new(OpenSslSession::client(ssl)?))
    }
}
