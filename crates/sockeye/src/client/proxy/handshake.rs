//! Asking a proxy for a connection, whichever kind it is. No I/O, no time.

use super::http_connect::HttpConnect;
use super::socks5::Socks5;
use super::{Proxy, ProxyError, ProxyKind};
use sockeye_proto::Limits;

/// A conversation with a proxy, from the first byte until the tunnel is open.
#[derive(Debug)]
pub(crate) enum ProxyHandshake {
    Http(HttpConnect),
    Socks5(Socks5),
}

impl ProxyHandshake {
    /// Begins: what is to be written first is appended to `output`. `host` is as in a URL, or an
    /// address that it was resolved to.
    pub(crate) fn new(
        proxy: &Proxy,
        host: &str,
        port: u16,
        limits: &Limits,
        output: &mut Vec<u8>,
    ) -> Result<Self, ProxyError> {
        let credentials = proxy.credentials.as_ref();
        match proxy.kind {
            ProxyKind::Http => {
                HttpConnect::new(host, port, credentials, limits, output).map(Self::Http)
            }
            ProxyKind::Socks5 | ProxyKind::Socks5Names => {
                Socks5::new(host, port, credentials, output).map(Self::Socks5)
            }
        }
    }

    /// Takes all of the input. Returns whether the tunnel is open: what is written from now on goes
    /// to the server.
    pub(crate) fn receive(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<bool, ProxyError> {
        match self {
            Self::Http(machine) => machine.receive(input),
            Self::Socks5(machine) => machine.receive(input, output),
        }
    }
}
