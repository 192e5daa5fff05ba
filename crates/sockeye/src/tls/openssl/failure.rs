//! What OpenSSL says, in the words of [`TlsError`].
//!
//! Reasons are told by number: the texts of OpenSSL differ from version to version.

use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::openssl::asn1::{Asn1Time, Asn1TimeRef};
use ::openssl::error::ErrorStack;
use ::openssl::ex_data::Index;
use ::openssl::ssl::{Error, ErrorCode, Ssl, SslRef};
use ::openssl::x509::{X509StoreContext, X509StoreContextRef};

use super::name;
use crate::tls::alert;
use crate::tls::error::TlsError;
use crate::tls::flaw::Flaw;

/// `X509_V_ERR_*` of `openssl/x509_vfy.h`.
mod verdict {
    pub(super) const UNABLE_TO_GET_ISSUER: i32 = 2;
    pub(super) const SIGNATURE_FAILURE: i32 = 7;
    pub(super) const NOT_YET_VALID: i32 = 9;
    pub(super) const EXPIRED: i32 = 10;
    pub(super) const SELF_SIGNED: i32 = 18;
    pub(super) const SELF_SIGNED_IN_CHAIN: i32 = 19;
    pub(super) const UNABLE_TO_GET_ISSUER_LOCALLY: i32 = 20;
    pub(super) const UNABLE_TO_VERIFY_LEAF: i32 = 21;
    pub(super) const REVOKED: i32 = 23;
    pub(super) const INVALID_CA: i32 = 24;
    pub(super) const INVALID_PURPOSE: i32 = 26;
    pub(super) const UNTRUSTED: i32 = 27;
    pub(super) const OTHER_NAME: i32 = 62;
    pub(super) const OTHER_ADDRESS: i32 = 64;
}

/// `SSL_R_*` of `openssl/sslerr.h`.
mod reason {
    pub(super) const HTTPS_PROXY_REQUEST: i32 = 155;
    pub(super) const HTTP_REQUEST: i32 = 156;
    pub(super) const PEER_SHOWED_NO_CERTIFICATE: i32 = 199;
    pub(super) const NO_APPLICATION_PROTOCOL: i32 = 235;
    pub(super) const UNSUPPORTED_PROTOCOL: i32 = 258;
    pub(super) const WRONG_VERSION_NUMBER: i32 = 267;
    pub(super) const UNEXPECTED_EOF: i32 = 294;
    /// Alerts of the peer are reported as this and their number.
    pub(super) const ALERT: i32 = 1000;
}

/// What a connection is to remember while it verifies: whose certificate is expected, and what was
/// wrong with the one that came.
#[derive(Debug)]
pub(super) struct Verification {
    /// The name of the server; empty where clients are verified.
    expected: String,
    flaw: OnceLock<Flaw>,
}

static VERIFICATION: LazyLock<Option<Index<Ssl, Verification>>> =
    LazyLock::new(|| Ssl::new_ex_index().ok());

/// Gives a connection a place to note why a certificate is not accepted.
pub(super) fn prepare(ssl: &mut SslRef, expected: &str) {
    if let Some(index) = *VERIFICATION {
        ssl.set_ex_data(
            index,
            Verification {
                expected: expected.to_owned(),
                flaw: OnceLock::new(),
            },
        );
    }
}

fn verification(ssl: &SslRef) -> Option<&Verification> {
    ssl.ex_data((*VERIFICATION)?)
}

/// Notes what is wrong with a certificate, for whoever reports the failed handshake.
pub(super) fn note(context: &X509StoreContextRef, flaw: Option<Flaw>) {
    let ssl = X509StoreContext::ssl_idx()
        .ok()
        .and_then(|index| context.ex_data(index));
    let Some(verification) = ssl.and_then(verification) else {
        return;
    };
    let flaw = flaw.unwrap_or_else(|| found(context, &verification.expected));
    // The first is the one that ends the handshake.
    let _ = verification.flaw.set(flaw);
}

/// What OpenSSL found.
fn found(context: &X509StoreContextRef, expected: &str) -> Flaw {
    let certificate = context.current_cert();
    let error = context.error();
    match error.as_raw() {
        verdict::EXPIRED => Flaw::Expired {
            ago: certificate
                .zip(now())
                .and_then(|(found, now)| span(found.not_after(), &now)),
        },
        verdict::NOT_YET_VALID => Flaw::NotYetValid {
            wait: certificate
                .zip(now())
                .and_then(|(found, now)| span(&now, found.not_before())),
        },
        verdict::OTHER_NAME | verdict::OTHER_ADDRESS => Flaw::Name {
            presented: certificate.map(name::of).unwrap_or_default(),
            expected: expected.to_owned(),
        },
        verdict::UNABLE_TO_GET_ISSUER
        | verdict::UNABLE_TO_GET_ISSUER_LOCALLY
        | verdict::UNABLE_TO_VERIFY_LEAF
        | verdict::SELF_SIGNED
        | verdict::SELF_SIGNED_IN_CHAIN
        | verdict::INVALID_CA
        | verdict::UNTRUSTED => Flaw::Untrusted,
        verdict::INVALID_PURPOSE => Flaw::Purpose,
        verdict::REVOKED => Flaw::Revoked,
        verdict::SIGNATURE_FAILURE => Flaw::Signature,
        _ => Flaw::Other(error.error_string().to_owned()),
    }
}

fn now() -> Option<Asn1Time> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Asn1Time::from_unix(since.as_secs().try_into().ok()?).ok()
}

fn span(from: &Asn1TimeRef, to: &Asn1TimeRef) -> Option<Duration> {
    let difference = from.diff(to).ok()?;
    let seconds = i64::from(difference.days) * 86_400 + i64::from(difference.secs);
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// Why a call on a connection failed for good.
pub(super) fn translate(ssl: &SslRef, error: Error) -> TlsError {
    if let Some(flaw) = verification(ssl).and_then(|verification| verification.flaw.get()) {
        return flaw.into();
    }
    let stack = match error.ssl_error() {
        Some(stack) => stack,
        // So ends a stream without announcement before OpenSSL 3.
        None if error.code() == ErrorCode::SYSCALL => return TlsError::Truncated,
        None => return TlsError::Protocol(error.to_string()),
    };
    let reason = stack
        .errors()
        .first()
        .map_or(0, |error| error.reason_code());
    match reason {
        reason::HTTP_REQUEST | reason::HTTPS_PROXY_REQUEST | reason::WRONG_VERSION_NUMBER => {
            TlsError::NotTls
        }
        reason::UNEXPECTED_EOF => TlsError::Truncated,
        reason::PEER_SHOWED_NO_CERTIFICATE => (&Flaw::Missing).into(),
        reason::UNSUPPORTED_PROTOCOL => {
            TlsError::Protocol("the peer speaks neither TLS 1.2 nor TLS 1.3".to_owned())
        }
        reason::NO_APPLICATION_PROTOCOL => {
            TlsError::Protocol("there is no common application protocol".to_owned())
        }
        _ => match u8::try_from(reason - reason::ALERT) {
            Ok(code) => TlsError::Alert(alert::meaning(code).into_owned()),
            Err(_) => TlsError::Protocol(said(stack)),
        },
    }
}

/// What OpenSSL does not take.
pub(super) fn settings(stack: ErrorStack) -> TlsError {
    TlsError::Settings(said(&stack))
}

/// The reasons, without the codes and places in OpenSSL's source.
fn said(stack: &ErrorStack) -> String {
    let reasons: Vec<_> = stack
        .errors()
        .iter()
        .filter_map(|error| error.reason())
        .collect();
    if reasons.is_empty() {
        "OpenSSL gave no reason".to_owned()
    } else {
        reasons.join(", ")
    }
}
