//! The server that is loaded, out of a URL.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use url::{Position, Url};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    /// Path and query.
    pub(crate) path: String,
    /// As the Host header says it.
    pub(crate) host: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let tls = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(format!("{other}: not ws or wss")),
        };
        let name = url.host_str().ok_or("no host")?;
        let port = url.port_or_known_default().ok_or("no port")?;
        let address = (name.trim_matches(['[', ']']), port)
            .to_socket_addrs()
            .map_err(|error| format!("{name}: {error}"))?
            .next();
        Ok(Self {
            address: address.ok_or_else(|| format!("{name}: no address"))?,
            tls,
            path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
            host: url[Position::BeforeHost..Position::AfterPort].to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_becomes_an_address_and_a_request() {
        let target: Target = "wss://127.0.0.1:9001/echo?x=1".parse().unwrap();
        assert_eq!(target.address, "127.0.0.1:9001".parse().unwrap());
        assert!(target.tls);
        assert_eq!(target.path, "/echo?x=1");
        assert_eq!(target.host, "127.0.0.1:9001");
        let target: Target = "ws://[::1]".parse().unwrap();
        assert_eq!(target.address, "[::1]:80".parse().unwrap());
        assert_eq!((target.path.as_str(), target.host.as_str()), ("/", "[::1]"));
        "http://127.0.0.1/".parse::<Target>().unwrap_err();
    }
}
