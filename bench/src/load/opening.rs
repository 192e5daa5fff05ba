//! Opens one connection: TCP, TLS if asked for, and the opening handshake (RFC 6455 §4.1).

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::deflate::Deflate;
use crate::failure::Failure;
use crate::link::{Buffers, Link};
use crate::target::Target;
use crate::tls::{self, TlsStream};

/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The key of RFC 6455 §1.3 and its answer.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// What is the same for all connections to a server.
#[derive(Debug)]
pub(crate) struct Opener {
    deflate: Deflate,
    target: Target,
    tls: Option<Arc<ClientConfig>>,
    request: String,
}

impl Opener {
    pub(crate) fn new(target: &Target, deflate: Deflate) -> Result<Self, Failure> {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
            target.path,
            target.host,
            deflate.offer()
        );
        Ok(Self {
            deflate,
            tls: target.tls.then(tls::config).transpose()?,
            target: target.clone(),
            request,
        })
    }

    /// Opens a connection; the link blocks, for a while at most.
    pub(crate) fn open(&self, buffers: &mut Buffers) -> Result<Link, Failure> {
        let stream = TcpStream::connect_timeout(&self.target.address, PATIENCE)
            .map_err(Failure::io("connect"))?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(PATIENCE)))
            .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
            .map_err(Failure::io("set up a socket"))?;
        let mut link = match &self.tls {
            None => Link::Plain(stream),
            Some(config) => {
                let tls = TlsStream::handshake(stream, config);
                Link::Tls(Box::new(tls.map_err(Failure::io("TLS handshake"))?))
            }
        };
        link.write_all(self.request.as_bytes())
            .map_err(Failure::io("send a request"))?;
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            let len = link.read(buffers).map_err(Failure::io("await an answer"))?;
            if len == 0 || answer.len() > 16 * 1024 {
                return Err(Failure::Server("did not answer a request".to_owned()));
            }
            answer.extend_from_slice(&buffers.plain[..len]);
        }
        let text = String::from_utf8_lossy(&answer);
        if !text.starts_with("HTTP/1.1 101 ") || !text.contains(ACCEPT) {
            let status = text.lines().next().unwrap_or_default();
            return Err(Failure::Server(format!("answered {status}")));
        }
        if !self.deflate.is_agreed(&text) {
            let line = text
                .lines()
                .find(|line| line.to_ascii_lowercase().starts_with("sec-websocket-ext"));
            let line = line.unwrap_or("no compression");
            return Err(Failure::Server(format!("agreed to {line}")));
        }
        if !text.ends_with("\r\n\r\n") {
            return Err(Failure::Server("sent something unasked".to_owned()));
        }
        Ok(link)
    }
}
