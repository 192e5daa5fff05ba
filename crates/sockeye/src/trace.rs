//! Watching an outgoing connection: the bytes that go either way, decrypted, as they go.
//!
//! [`Traced`] decorates a link and tells; it changes nothing, and knows nothing of what the bytes
//! mean. A connection that nobody watches has no such decorator.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::link::Link;
use crate::net::PeerAddr;
use crate::tls::TlsInfo;

/// Something that happens to an outgoing connection: see
/// [`ConnectOptions::trace`](crate::ConnectOptions::trace).
///
/// In order: `Connected`; the conversation with a proxy, if there is one; `Opening`; `Secured`, if
/// there is TLS; then a request, its answer and WebSocket frames (RFC 6455). After a redirect it
/// begins again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trace<'t> {
    /// A socket is connected, to the proxy if there is one.
    Connected(PeerAddr),
    /// What is sent and received from now on is for the server and from it.
    Opening,
    /// The TLS handshake with the server is over.
    Secured(&'t TlsInfo),
    /// These bytes went out, before TLS if there is any.
    Sent(&'t [u8]),
    /// These bytes came in, after TLS if there is any.
    Received(&'t [u8]),
}

/// Whom to tell.
#[derive(Clone)]
pub(crate) struct Tracer(Arc<dyn Fn(Trace<'_>) + Send + Sync>);

impl Tracer {
    pub(crate) fn new(tell: impl Fn(Trace<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, trace: Trace<'_>) {
        (self.0)(trace);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}

/// A link that tells what goes over it.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) link: Link,
    tracer: Tracer,
    /// A TLS handshake is under way, or was when last looked at.
    securing: bool,
    /// What was taken before the handshake is over, and did not go out yet.
    held: Vec<u8>,
}

impl Traced {
    pub(crate) fn new(link: Link, tracer: Tracer) -> Self {
        Self {
            link,
            tracer,
            securing: false,
            held: Vec::new(),
        }
    }

    /// Puts what is below behind TLS, or whatever else.
    pub(crate) fn map(mut self, change: impl FnOnce(Link) -> Link) -> Self {
        self.link = change(self.link);
        self.securing = self.link.is_handshaking();
        self
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let outcome = self.link.read(buffer);
        self.look();
        if let Ok(len) = outcome
            && len > 0
        {
            self.tracer.tell(Trace::Received(&buffer[..len]));
        }
        outcome
    }

    pub(crate) fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let outcome = self.link.write_vectored(slices);
        self.look();
        let mut left = *outcome.as_ref().unwrap_or(&0);
        for slice in slices {
            let sent = &slice[..left.min(slice.len())];
            left -= sent.len();
            match sent {
                [] => break,
                sent if self.securing => self.held.extend_from_slice(sent),
                sent => self.tracer.tell(Trace::Sent(sent)),
            }
        }
        outcome
    }

    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        let outcome = self.link.flush();
        self.look();
        outcome
    }

    /// Tells if the TLS handshake is over by now.
    fn look(&mut self) {
        if !self.securing || self.link.is_handshaking() {
            return;
        }
        self.securing = false;
        if let Some(info) = self.link.tls_info() {
            self.tracer.tell(Trace::Secured(&info));
        }
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.tracer.tell(Trace::Sent(&held));
        }
    }
}
