//! What a peer written in Rust shares with the runner: how it is started and what it says.
//!
//! A peer is a program `PEER [--tls CHAIN KEY] [--deflate pooled|takeover] [--driver NAME]` that echoes WebSocket
//! messages on a port of 127.0.0.1 which the kernel picks; what comes at the path `/broadcast` it
//! sends to all that are there. It prints one line, `listening PORT VERSION...`, and serves until
//! it is killed. Peers in other languages do the same; nothing else is asked of them, and which of
//! these one does is told in `src/run/peer.rs`.

pub mod tokio_peer;

use std::env;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto};

/// Where peers listen: the port is the kernel's choice.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Files for a server that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// PEM, the server's own certificate first.
    pub chain: PathBuf,
    /// PEM, not encrypted.
    pub key: PathBuf,
}

/// How a peer is to compress (permessage-deflate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deflate {
    /// Each message by itself.
    Pooled,
    /// Messages may refer to earlier ones, both ways.
    Takeover,
}

/// What the runner asks of a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// To speak TLS.
    pub certificate: Option<Certificate>,
    /// To compress.
    pub deflate: Option<Deflate>,
    /// To wait by this means, where a peer has several.
    pub driver: Option<String>,
}

/// Reads the command line of a peer.
///
/// # Errors
///
/// It asks for something that is not known.
pub fn options() -> io::Result<Options> {
    let words: Vec<_> = env::args_os().skip(1).collect();
    let mut options = Options::default();
    let mut rest = &words[..];
    loop {
        rest = match rest {
            [] => return Ok(options),
            [flag, chain, key, rest @ ..] if flag == "--tls" => {
                options.certificate = Some(Certificate {
                    chain: chain.into(),
                    key: key.into(),
                });
                rest
            }
            [flag, mode, rest @ ..] if flag == "--deflate" && mode == "pooled" => {
                options.deflate = Some(Deflate::Pooled);
                rest
            }
            [flag, mode, rest @ ..] if flag == "--deflate" && mode == "takeover" => {
                options.deflate = Some(Deflate::Takeover);
                rest
            }
            [flag, name, rest @ ..] if flag == "--driver" => {
                options.driver = Some(name.to_string_lossy().into_owned());
                rest
            }
            _ => {
                let usage =
                    "usage: PEER [--tls CHAIN KEY] [--deflate pooled|takeover] [--driver NAME]";
                return Err(io::Error::other(usage));
            }
        };
    }
}

/// The same for a peer that does not compress.
///
/// # Errors
///
/// It asks for more than TLS.
pub fn certificate() -> io::Result<Option<Certificate>> {
    match options()? {
        Options {
            certificate,
            deflate: None,
            driver: None,
        } => Ok(certificate),
        _ => Err(io::Error::other(
            "no compression and no choice of drivers here",
        )),
    }
}

/// Listens for a peer.
///
/// # Errors
///
/// The system's.
pub fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(ANY_PORT)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Tells the runner that the peer is ready, and what exactly it is.
///
/// # Errors
///
/// Nobody listens any more.
pub fn announce(port: u16, version: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening {port} {version}")?;
    stdout.flush()
}

/// Settings of a rustls server: the same cryptography as our own server's, so that what differs is
/// what is around it.
///
/// # Errors
///
/// A file cannot be read, or key and certificate do not fit.
pub fn rustls_server(certificate: &Certificate) -> io::Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(&certificate.chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key).map_err(io::Error::other)?;
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

/// The version of a crate that this was built with, after its name: `tokio 1.2.3`.
#[must_use]
pub fn locked(name: &str) -> String {
    locked_in(include_str!("../../Cargo.lock"), name)
}

/// The same out of another lock file, for a peer that is a workspace of its own.
#[must_use]
pub fn locked_in(lock: &str, name: &str) -> String {
    format!("{name} {}", version_in(lock, name).unwrap_or("?"))
}

fn version_in<'l>(lock: &'l str, name: &str) -> Option<&'l str> {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let start = lock.find(&entry)? + entry.len();
    lock[start..].split('"').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_the_lock_file() {
        let lock = "[[package]]\nname = \"ab\"\nversion = \"1.0.0\"\n\n\
                    [[package]]\nname = \"b\"\nversion = \"2.3.4\"\n";
        assert_eq!(version_in(lock, "b"), Some("2.3.4"));
        assert_eq!(version_in(lock, "c"), None);
        assert!(!locked("rustls").ends_with('?'));
    }
}
