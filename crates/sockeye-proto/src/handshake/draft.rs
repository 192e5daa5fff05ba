//! The server's side of the handshakes from before RFC 6455.
//!
//! Knows how a request of each version is judged and its 101 written. What comes behind a
//! handshake is the [`Wire`] that it agreed on.

use ::http::{HeaderMap, HeaderName, header};

use super::accept::{Accept, single, write_switch};
use super::challenge;
use super::error::HandshakeError;
use super::key::{encode_key, hybi04_key};
use super::origin::OriginPolicy;
use crate::drafts::{Version, Wire};
use crate::http::{Request, write_field};
use crate::{Cx, Shared};

pub(super) const NONCE: HeaderName = HeaderName::from_static("sec-websocket-nonce");
pub(super) const ORIGIN: HeaderName = HeaderName::from_static("sec-websocket-origin");
const LOCATION: HeaderName = HeaderName::from_static("sec-websocket-location");

const KEY1: HeaderName = HeaderName::from_static("sec-websocket-key1");
const KEY2: HeaderName = HeaderName::from_static("sec-websocket-key2");

/// The headers of handshakes that RFC 6455 does not have.
pub(super) const HEADERS: [HeaderName; 5] = [NONCE, ORIGIN, LOCATION, KEY1, KEY2];

/// What a version adds to the answer.
#[derive(Debug)]
pub(super) struct Draft {
    wire: Wire,
    proof: Proof,
}

impl Draft {
    /// What RFC 6455 adds.
    pub(super) const NONE: Self = Self {
        wire: Wire::plain(Version::Rfc6455),
        proof: Proof::AcceptKey,
    };
}

#[derive(Debug)]
enum Proof {
    AcceptKey,
    /// hybi-04: our part of the masking key.
    Nonce(String),
    /// hixie-76, and whether the link is secure.
    Challenge(challenge::Answer, bool),
}

impl<'r> Accept<'r> {
    /// As [`new`](Self::new), for all [versions](Version): the request says which. An origin is
    /// looked for where the version has it. The [`Server`](crate::http::Server) must have been told
    /// [`set_drafts`](crate::http::Server::set_drafts). `secure` tells whether the client used TLS
    /// to come here: hixie-76 says `wss` or `ws` in its answer.
    ///
    /// # Errors
    /// As for [`new`](Self::new); [`HandshakeError::UnknownVersion`] for other versions, and
    /// [`HandshakeError::Challenge`] for keys of hixie-76 that are none.
    pub fn with_drafts(
        request: &'r Request<'_>,
        policy: &OriginPolicy,
        secure: bool,
        shared: &mut Shared,
    ) -> Result<Self, HandshakeError> {
        if request.method() != "GET" {
            return Err(HandshakeError::Method);
        }
        if !request.is_upgrade() {
            return Err(HandshakeError::NotUpgrade);
        }
        let version = request
            .websocket_version()
            .ok_or(HandshakeError::UnknownVersion)?;
        let mut accept = match version {
            Version::Rfc6455 => return Self::new(request, policy),
            Version::Hixie76 => Self::judged(request, policy, [0; 28])?,
            _ => Self::with_key(request, policy)?,
        };
        if version != Version::Hixie76 && !policy.allows_in(ORIGIN.as_str(), request) {
            return Err(HandshakeError::Origin);
        }
        accept.draft.wire = Wire::plain(version);
        match version {
            Version::Hixie76 => {
                accept.draft.proof = Proof::Challenge(answer(request)?, secure);
            }
            Version::Hybi04 => {
                let nonce = encode_key(shared.nonce());
                let key = single(request, "sec-websocket-key").unwrap_or_default();
                accept.draft.wire = Wire::new(Version::Hybi04, hybi04_key(key, nonce.as_bytes()));
                accept.draft.proof = Proof::Nonce(nonce);
            }
            _ => {}
        }
        Ok(accept)
    }

    /// What is spoken behind the answer: for [`WebSocket`](crate::ws::WebSocket::with_wire).
    pub fn wire(&self) -> Wire {
        self.draft.wire
    }

    /// Whether permessage-deflate can be agreed on. It was made for RFC 6455.
    #[cfg(feature = "deflate")]
    pub(super) fn may_deflate(&self) -> bool {
        self.draft.wire.version() == Version::Rfc6455
    }

    /// Whether a header of a 101 is not the caller's.
    pub(super) fn has_draft_header(extra: &HeaderMap) -> bool {
        HEADERS.iter().any(|name| extra.contains_key(name))
    }

    /// The beginning of the 101: what comes before the subprotocol.
    pub(super) fn write_begin(&self, output: &mut Vec<u8>) {
        if let Proof::Challenge(_, secure) = self.draft.proof {
            return self.write_hixie(secure, output);
        }
        if !matches!(
            self.draft.wire.version(),
            Version::Hybi04 | Version::Hybi05 | Version::Hybi06
        ) {
            return write_switch(self.accept_key(), output);
        }
        output.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\n");
        write_field(&header::UPGRADE, b"WebSocket", output);
        write_field(&header::CONNECTION, b"Upgrade", output);
        write_field(&header::SEC_WEBSOCKET_ACCEPT, self.accept_key(), output);
        if let Proof::Nonce(nonce) = &self.draft.proof {
            write_field(&NONCE, nonce.as_bytes(), output);
        }
    }

    fn write_hixie(&self, secure: bool, output: &mut Vec<u8>) {
        let request = self.request();
        output.extend_from_slice(b"HTTP/1.1 101 WebSocket Protocol Handshake\r\n");
        write_field(&header::UPGRADE, b"WebSocket", output);
        write_field(&header::CONNECTION, b"Upgrade", output);
        let origin = request.header("origin").unwrap_or_default();
        write_field(&ORIGIN, origin, output);
        let scheme = if secure { "wss" } else { "ws" };
        let mut location = format!("{scheme}://{}{}", request.host(), request.path());
        if let Some(query) = request.query() {
            location.push('?');
            location.push_str(query);
        }
        write_field(&LOCATION, location.as_bytes(), output);
    }

    /// What comes behind the head of the 101.
    pub(super) fn write_end(&self, cx: &mut Cx<'_>) {
        if let Proof::Challenge(answer, _) = &self.draft.proof {
            cx.output.extend_from_slice(answer);
        }
    }
}

/// The answer to the challenge of a hixie-76 request.
fn answer(request: &Request<'_>) -> Result<challenge::Answer, HandshakeError> {
    let number = |name| request.value_to_line_end(name).and_then(challenge::number);
    if single(request, "origin").is_none() {
        return Err(HandshakeError::OriginMissing);
    }
    match (
        number(KEY1.as_str()),
        number(KEY2.as_str()),
        request.challenge(),
    ) {
        (Some(first), Some(second), Some(challenge)) => {
            Ok(challenge::answer([first, second], *challenge))
        }
        _ => Err(HandshakeError::Challenge),
    }
}
