//! OpenSSL: contexts that the program completes, and certificates that it has a say in.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Weak;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslVerifyMode};
use openssl::x509::{X509StoreContext, X509StoreContextRef};
use sockeye::ConnectOptions;
use sockeye::tls::{ClientTls, ClientTlsOptions, Identity, Roots, ServerTls, ServerTlsOptions};

use super::Wanted;
use crate::abi::{
    LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS,
    LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS,
    LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION, Reason,
};
use crate::context::Home;

/// What clients of a context trust.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    strict: Option<ClientTls>,
    /// Also takes what is self-signed.
    lenient: Option<ClientTls>,
}

impl Tls {
    /// TLS for the clients of a context, and for its listener if there are files for it. The
    /// program is called for both.
    ///
    /// # Errors
    ///
    /// The files are no good, or OpenSSL refuses.
    pub(crate) fn new(
        home: &Weak<Home>,
        wanted: &Wanted,
    ) -> Result<(Self, Option<ServerTls>), String> {
        let told = |error: sockeye::tls::TlsError| error.to_string();
        let server = match &wanted.files {
            None => None,
            Some((chain, key)) => {
                let identity = Identity::from_pem_files(chain, key).map_err(told)?;
                Some(server(home, identity, wanted.verify_clients).map_err(told)?)
            }
        };
        let options = {
            let home = Weak::clone(home);
            ClientTlsOptions::new(Roots::system()).configure_openssl(move |builder| {
                load_extra(
                    &home,
                    LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS,
                    builder,
                );
                Ok(())
            })
        };
        let strict = ClientTls::new(options).map_err(told)?;
        let lenient = strict.dangerous_accept_self_signed().map_err(told)?;
        let tls = Self {
            strict: Some(strict),
            lenient: Some(lenient),
        };
        Ok((tls, server))
    }

    /// Completes a client's options as `ssl_connection` says.
    ///
    /// # Errors
    ///
    /// The context has no TLS.
    pub(crate) fn secure(
        &self,
        options: ConnectOptions,
        tls: i32,
    ) -> Result<ConnectOptions, String> {
        let chosen = match tls {
            0 => return Ok(options),
            2 => &self.lenient,
            _ => &self.strict,
        };
        match chosen {
            Some(tls) => Ok(options.tls(tls.clone())),
            None => Err("the context has no TLS".to_owned()),
        }
    }
}

fn server(
    home: &Weak<Home>,
    identity: Identity,
    verify_clients: bool,
) -> Result<ServerTls, sockeye::tls::TlsError> {
    let home = Weak::clone(home);
    let options = ServerTlsOptions::new(identity).configure_openssl(move |builder| {
        if verify_clients {
            demand_certificate(&home, builder)?;
        }
        Ok(())
    });
    ServerTls::new(options)
}

/// Clients must show a certificate that both OpenSSL and the program accept. Whom to trust for it
/// is the program's to say.
fn demand_certificate(
    home: &Weak<Home>,
    builder: &mut SslContextBuilder,
) -> Result<(), ErrorStack> {
    builder.set_session_id_context(b"libwebsockets")?;
    let judge = Weak::clone(home);
    builder.set_verify_callback(
        SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
        move |accepted, found| {
            // A panic must not reach OpenSSL, which would end the process.
            let verdict = catch_unwind(AssertUnwindSafe(|| ask(&judge, accepted, found)));
            accepted && verdict.unwrap_or(false)
        },
    );
    load_extra(
        home,
        LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS,
        builder,
    );
    Ok(())
}

fn load_extra(home: &Weak<Home>, reason: Reason, builder: &SslContextBuilder) {
    let Some(home) = home.upgrade() else { return };
    let context = home.enter();
    context.call(0, None, reason, builder.as_ptr().cast(), ptr::null_mut(), 0);
}

/// Whether the program accepts a certificate.
fn ask(home: &Weak<Home>, accepted: bool, found: &X509StoreContextRef) -> bool {
    let Some(home) = home.upgrade() else {
        return false;
    };
    let context = home.enter();
    let ssl = X509StoreContext::ssl_idx()
        .ok()
        .and_then(|index| found.ex_data(index))
        .map_or(ptr::null_mut(), |ssl| {
            foreign_types::ForeignTypeRef::as_ptr(ssl).cast()
        });
    let store = foreign_types::ForeignTypeRef::as_ptr(found).cast();
    let reason = LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION;
    context.tell_news();
    context.call_blind(reason, store, ssl, usize::from(accepted)) == 0
}
