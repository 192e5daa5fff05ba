//! Opens one connection: TCP, TLS if asked for, and the opening handshake (RFC 6455 §4.1).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
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
    /// Connections so far.
    opened: AtomicU32,
}

/// One address has some 28,000 ports for connections to the same server, and finding a free one
/// takes longer the fewer are left: this many addresses of the loopback network share them.
const SOURCES: u32 = 16;

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
            opened: AtomicU32::new(0),
        })
    }

    /// A socket that is connected; each step takes a while at most.
    fn connected(&self) -> std::io::Result<TcpStream> {
        let target = self.target.address;
        if !target.ip().is_loopback() || target.is_ipv6() {
            let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            stream.set_read_timeout(Some(PATIENCE))?;
            return Ok(stream);
        }
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let stream = TcpStream::from(socket_with(family, kind, SocketFlags::CLOEXEC, None)?);
        // Connecting heeds the first of these, too.
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        // The first address is that of everybody else.
        let last = u8::try_from(2 + number % SOURCES).unwrap_or(2);
        let source = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0);
        bind(&stream, &source)?;
        connect(&stream, &target)?;
        Ok(stream)
    }

    /// Opens a connection; the link blocks, for a while at most.
    pub(crate) fn open(&self, buffers: &mut Buffers) -> Result<Link, Failure> {
        let stream = self.connected().map_err(Failure::io("connect"))?;
        stream
            .set_nodelay(true)
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
