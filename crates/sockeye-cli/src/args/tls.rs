//! The options about TLS, of servers and of clients.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use sockeye::tls::Backend;

use crate::failure::Failure;

/// The certificates of `serve`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct ServeTlsArgs {
    /// Certificate chain in PEM, its own first: every TCP listener speaks TLS then (Unix sockets
    /// stay plain). May be given several times: a client gets the one for the name it asks for
    /// (SNI), or the first. SIGHUP reads all files anew; if one is bad, the old ones stay
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Vec<PathBuf>,

    /// Private key in PEM, one for each --tls-cert, in the same order [default: it is in the
    /// certificate's file]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Vec<PathBuf>,

    /// Certificates that vouch for clients, in PEM. May be given several times
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) client_ca: Vec<PathBuf>,

    /// Whether clients must show a certificate [default: required]
    #[arg(long, value_enum, value_name = "HOW", requires = "client_ca")]
    pub(crate) client_cert: Option<ClientCert>,

    /// Which library does TLS [default: rustls]
    #[arg(long, value_enum, value_name = "LIBRARY", requires = "tls_cert")]
    pub(crate) tls_backend: Option<TlsBackend>,
}

/// A value of `--client-cert`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClientCert {
    /// A client without one may come in, one with a bad one may not
    Optional,
    /// Nobody comes in without one
    Required,
}

/// A value of `--tls-backend`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsBackend {
    Rustls,
    /// The machine's own; only if this command was built with it
    Openssl,
}

impl TlsBackend {
    /// The engine's name for it, if it is built in.
    pub(crate) fn backend(self) -> Result<Backend, Failure> {
        match self {
            Self::Rustls if cfg!(feature = "tls") => Ok(Backend::Rustls),
            Self::Openssl if cfg!(feature = "openssl") => Ok(Backend::OpenSsl),
            Self::Rustls => Err(Failure::Options(
                "--tls-backend rustls: this command was built without the feature `tls`",
            )),
            Self::Openssl => Err(Failure::Options(
                "--tls-backend openssl: this command was built without the feature `openssl`",
            )),
        }
    }
}

/// Whom `connect`, `ping` and `bench` trust, and who they are.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "TLS, for wss:// URLs")]
pub(crate) struct ClientTlsArgs {
    /// Certificates to trust instead of the system's, in PEM: authorities, or the server's own if
    /// it signed that itself. May be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,

    /// Certificate chain to show to servers that ask for one, in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<PathBuf>,

    /// Its private key in PEM [default: it is in the certificate's file]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Trust any server. Whoever is on the way can then read and change everything, passwords
    /// included: only for tests on a network of your own
    #[arg(long, conflicts_with = "ca")]
    pub(crate) insecure: bool,

    /// Which library does TLS [default: rustls]
    #[arg(long, value_enum, value_name = "LIBRARY")]
    pub(crate) tls_backend: Option<TlsBackend>,
}
