//! OpenSSL as a server: choosing certificates by name, and asking clients for theirs.

use std::fmt;
use std::sync::Arc;

use ::openssl::ssl::{AlpnError, NameType, Ssl, SslContext, SslContextBuilder, SslVerifyMode};
use ::openssl::stack::Stack;
use ::openssl::x509::X509;

use super::failure::settings;
use super::name::HostNames;
use super::session::OpenSslSession;
use super::{Credentials, configured, context, judge, root_store};
use crate::tls::error::TlsError;
use crate::tls::server::{Acceptor, ClientCertificates, ServerTlsOptions};
use crate::tls::session::Session;

/// Names under whose tickets sessions are resumed; any will do, but there must be one where
/// clients are verified.
const SESSION_CONTEXT: &[u8] = b"sockeye";

pub(in crate::tls) struct OpenSslAcceptor {
    context: SslContext,
}

impl fmt::Debug for OpenSslAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSslAcceptor").finish_non_exhaustive()
    }
}

impl OpenSslAcceptor {
    pub(in crate::tls) fn new(options: ServerTlsOptions) -> Result<Self, TlsError> {
        let (first, others) = options
            .identities
            .split_first()
            .ok_or(TlsError::NoIdentity)?;
        let options = &options;
        let first = Credentials::new(first)?;
        let first_names = HostNames::of(&first.certificate);
        let others = others
            .iter()
            .map(|identity| {
                let credentials = Credentials::new(identity)?;
                let names = HostNames::of(&credentials.certificate);
                Ok((names, server_context(&credentials, options)?.build()))
            })
            .collect::<Result<Vec<_>, TlsError>>()?;
        let mut context = server_context(&first, options)?;
        context.set_servername_callback(move |ssl, _| {
            let chosen = ssl
                .servername(NameType::HOST_NAME)
                .filter(|name| !first_names.include(name))
                .and_then(|name| others.iter().find(|(names, _)| names.include(name)));
            if let Some((_, context)) = chosen {
                // It fails only without memory; the handshake goes on with the first certificate.
                drop(ssl.set_ssl_context(context));
            }
            Ok(())
        });
        Ok(Self {
            context: context.build(),
        })
    }
}

impl Acceptor for OpenSslAcceptor {
    fn accept(&self) -> Result<Box<dyn Session>, TlsError> {
        let ssl = Ssl::new(&self.context).map_err(settings)?;
        Ok(Box::new(OpenSslSession::server(ssl)?))
    }
}

/// All but the choice of the certificate. OpenSSL looks into the chosen context for everything, so
/// each is complete.
fn server_context(
    credentials: &Credentials,
    options: &ServerTlsOptions,
) -> Result<SslContextBuilder, TlsError> {
    let mut context = context()?;
    credentials.put_into(&mut context)?;
    context
        .set_session_id_context(SESSION_CONTEXT)
        .map_err(settings)?;
    choose_protocol(&mut context, &options.alpn);
    let (roots, mode) = match &options.client_certificates {
        ClientCertificates::Ignore => return configured(context, options.configure.as_ref()),
        ClientCertificates::Optional(roots) => (roots, SslVerifyMode::PEER),
        ClientCertificates::Required(roots) => (
            roots,
            SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        ),
    };
    context
        .set_verify_cert_store(root_store(roots)?)
        .map_err(settings)?;
    // A hint which certificate to show. The machine's roots would be too many to tell.
    let mut hint = Stack::new().map_err(settings)?;
    for root in &roots.extra {
        X509::from_der(root)
            .and_then(|root| root.subject_name().to_owned())
            .and_then(|name| hint.push(name))
            .map_err(settings)?;
    }
    context.set_client_ca_list(hint);
    let verifier = options.verifier.clone();
    context.set_verify_callback(mode, move |accepted, found| {
        judge(accepted, found, verifier.as_ref())
    });
    configured(context, options.configure.as_ref())
}

/// Of the client's protocols takes the one that is best here; refuses a client that offers only
/// others (RFC 7301 §3.2).
fn choose_protocol(context: &mut SslContextBuilder, protocols: &[Vec<u8>]) {
    if protocols.is_empty() {
        return;
    }
    let protocols: Arc<[Vec<u8>]> = protocols.into();
    context.set_alpn_select_callback(move |_, offered| {
        protocols
            .iter()
            .find_map(|own| Offered(offered).find(|theirs| theirs == own))
            .ok_or(AlpnError::ALERT_FATAL)
    });
}

/// The names in a list of length-prefixed ones.
struct Offered<'o>(&'o [u8]);

impl<'o> Iterator for Offered<'o> {
    type Item = &'o [u8];

    fn next(&mut self) -> Option<&'o [u8]> {
        let (&len, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some(name)
    }
}
