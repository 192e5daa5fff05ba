//! The server's side: judges an upgrade request (RFC 6455 §4.2.1), writes the 101 (§4.2.2).
//!
//! Knows one request. Which subprotocol to take is the caller's choice; that it was offered is
//! seen to here. Extensions other than permessage-deflate are not agreed on.

use ::http::{HeaderMap, HeaderName, header};

use super::draft::Draft;
use super::error::HandshakeError;
use super::key::{AcceptKey, accept_key, is_key};
use super::origin::OriginPolicy;
use crate::Cx;
use crate::http::{Misuse, Request, Version, write_field};
#[cfg(feature = "deflate")]
use crate::{Limits, Shared};

/// An upgrade request that may be accepted.
///
/// ```
/// # use std::time::Instant;
/// use http::HeaderMap;
/// use sockeye_proto::handshake::{Accept, OriginPolicy};
/// use sockeye_proto::{Cx, Limits, Shared, http::Request};
///
/// # fn example(now: Instant) {
/// let head = b"GET /chat HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\n\
///     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat.v2, chat.v1\r\n\r\n";
/// let (request, _) = Request::parse(head, &Limits::default()).unwrap().unwrap();
/// let accept = Accept::new(&request, &OriginPolicy::Same).unwrap();
/// let subprotocol = accept.negotiate(["chat.v1"]);
/// let (mut output, mut shared) = (Vec::new(), Shared::from_seed([0; 32]));
/// let mut cx = Cx { now, output: &mut output, shared: &mut shared, blocked: false };
/// accept.respond(subprotocol, &HeaderMap::new(), &mut cx).unwrap();
/// assert!(output.starts_with(b"HTTP/1.1 101 "));
/// # }
/// ```
#[derive(Debug)]
pub struct Accept<'r> {
    request: &'r Request<'r>,
    accept_key: AcceptKey,
    /// The value of Sec-WebSocket-Extensions.
    extension: Option<String>,
    #[cfg_attr(
        not(feature = "drafts"),
        expect(dead_code, reason = "there is nothing in it")
    )]
    pub(super) draft: Draft,
}

impl<'r> Accept<'r> {
    /// Judges a request.
    ///
    /// # Errors
    /// What is wrong with it; [`HandshakeError::response`] is what to answer.
    pub fn new(request: &'r Request<'_>, policy: &OriginPolicy) -> Result<Self, HandshakeError> {
        if request.method() != "GET" {
            return Err(HandshakeError::Method);
        }
        if request.version() < Version::Http11 || !request.is_upgrade() {
            return Err(HandshakeError::NotUpgrade);
        }
        // RFC 6455 §4.4: the version decides what the rest means, so it comes first.
        if single(request, "sec-websocket-version") != Some(b"13") {
            return Err(HandshakeError::Version);
        }
        Self::with_key(request, policy)
    }

    /// Judges what all versions with a Sec-WebSocket-Key have in common.
    pub(super) fn with_key(
        request: &'r Request<'_>,
        policy: &OriginPolicy,
    ) -> Result<Self, HandshakeError> {
        let key = single(request, "sec-websocket-key")
            .filter(|key| is_key(key))
            .ok_or(HandshakeError::Key)?;
        Self::judged(request, policy, accept_key(key))
    }

    /// Judges what all versions have in common.
    pub(super) fn judged(
        request: &'r Request<'_>,
        policy: &OriginPolicy,
        accept_key: AcceptKey,
    ) -> Result<Self, HandshakeError> {
        if !request.body().is_empty() {
            return Err(HandshakeError::Body);
        }
        if !policy.allows(request) {
            return Err(HandshakeError::Origin);
        }
        Ok(Self {
            request,
            accept_key,
            extension: None,
            draft: Draft::NONE,
        })
    }

    #[cfg(feature = "drafts")]
    pub(super) fn request(&self) -> &Request<'_> {
        self.request
    }

    pub(super) fn accept_key(&self) -> &[u8] {
        &self.accept_key
    }

    /// Agrees on compression, if the client offers it in a way that can be honoured: the first such
    /// offer counts, broken ones are passed over (RFC 7692 §5). The answer says so, and the
    /// [`WebSocket`](crate::ws::WebSocket) gets what was agreed on in its
    /// [`Config`](crate::ws::Config). Context takeover is agreed on only within
    /// [`takeover_count`](Limits::takeover_count) and [`takeover_len`](Limits::takeover_len).
    #[cfg(feature = "deflate")]
    pub fn deflate(
        &mut self,
        wish: &crate::deflate::Settings,
        limits: &Limits,
        shared: &Shared,
    ) -> Option<crate::deflate::Agreed> {
        if !self.may_deflate() {
            return None;
        }
        let offers = self.request.values("sec-websocket-extensions");
        let (agreed, value) = crate::deflate::respond(offers, wish, limits, &shared.budget)?;
        self.extension = Some(value);
        Some(agreed)
    }

    /// The first of the client's subprotocols, in its order of preference, that is among these.
    pub fn negotiate<S: AsRef<str>>(
        &self,
        supported: impl IntoIterator<Item = S>,
    ) -> Option<&'r str> {
        let supported: Vec<S> = supported.into_iter().collect();
        self.request.subprotocols().find(|offered| {
            supported
                .iter()
                .any(|supported| supported.as_ref() == *offered)
        })
    }

    /// Writes the 101. From then on the connection speaks WebSocket: drop the HTTP machine and
    /// give what is left of the input to a [`WebSocket`](crate::ws::WebSocket).
    ///
    /// # Errors
    /// [`Misuse::SubprotocolNotOffered`]; [`Misuse::ReservedHeader`] when `extra` has a header
    /// that the handshake writes itself, or one that frames a body. Nothing is written then.
    pub fn respond(
        &self,
        subprotocol: Option<&str>,
        extra: &HeaderMap,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        const RESERVED: [HeaderName; 7] = [
            header::UPGRADE,
            header::CONNECTION,
            header::SEC_WEBSOCKET_ACCEPT,
            header::SEC_WEBSOCKET_PROTOCOL,
            header::SEC_WEBSOCKET_EXTENSIONS,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ];
        let is_reserved = || RESERVED.iter().any(|name| extra.contains_key(name));
        if !extra.is_empty() && (is_reserved() || Self::has_draft_header(extra)) {
            return Err(Misuse::ReservedHeader);
        }
        if subprotocol
            .is_some_and(|chosen| !self.request.subprotocols().any(|offered| offered == chosen))
        {
            return Err(Misuse::SubprotocolNotOffered);
        }
        let output = &mut *cx.output;
        self.write_begin(output);
        if let Some(subprotocol) = subprotocol {
            write_field(
                &header::SEC_WEBSOCKET_PROTOCOL,
                subprotocol.as_bytes(),
                output,
            );
        }
        if let Some(extension) = &self.extension {
            write_field(
                &header::SEC_WEBSOCKET_EXTENSIONS,
                extension.as_bytes(),
                output,
            );
        }
        for (name, value) in extra {
            write_field(name, value.as_bytes(), output);
        }
        output.extend_from_slice(b"\r\n");
        self.write_end(cx);
        Ok(())
    }
}

/// The beginning of a 101.
pub(super) fn write_switch(accept_key: &[u8], output: &mut Vec<u8>) {
    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    output.extend_from_slice(HEAD);
    output.extend_from_slice(accept_key);
    output.extend_from_slice(b"\r\n");
}

/// The value of a header that must be given once.
pub(super) fn single<'r>(request: &'r Request<'_>, name: &str) -> Option<&'r [u8]> {
    let mut values = request.values(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}
