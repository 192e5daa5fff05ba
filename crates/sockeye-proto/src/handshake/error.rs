//! Why an opening handshake failed, on either side.

use std::error::Error;
use std::fmt;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::http::{HttpError, ResponseHead};

/// An opening handshake failed.
///
/// The first group is what a server finds in a request, and answers with
/// [`response`](Self::response); the second what a client finds in an answer, after which it
/// closes the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Server: the method is not GET (405).
    Method,
    /// Server: the request does not ask for a WebSocket, or is HTTP/1.0 (426).
    NotUpgrade,
    /// Server: no Sec-WebSocket-Key, more than one, or not the base64 of 16 bytes (400).
    Key,
    /// Server: Sec-WebSocket-Version is not `13` (426).
    Version,
    /// Server that speaks old versions: Sec-WebSocket-Version is none that it speaks (426, with
    /// those that it does; RFC 6455 §4.4).
    #[cfg(feature = "drafts")]
    UnknownVersion,
    /// Server: the keys of hixie-76 are not two numbers that blanks divide (400).
    #[cfg(feature = "drafts")]
    Challenge,
    /// Server: a handshake of hixie-76 without one Origin (400).
    #[cfg(feature = "drafts")]
    OriginMissing,
    /// Server: the origin policy does not allow this Origin (403).
    Origin,
    /// Server: the request has a body (400).
    Body,

    /// Client: the answer is no HTTP.
    Malformed(HttpError),
    /// Client: the server answered with another status than 101.
    Refused(Box<Refusal>),
    /// Client: the 101 is not HTTP/1.1.
    AnswerVersion,
    /// Client: the 101 has no `Upgrade: websocket`.
    AnswerUpgrade,
    /// Client: the 101 has no `Connection: Upgrade`.
    AnswerConnection,
    /// Client: the 101 has no Sec-WebSocket-Accept.
    AcceptMissing,
    /// Client: Sec-WebSocket-Accept does not fit the key.
    AcceptWrong,
    /// Client: the answer to the challenge of hixie-76 is wrong.
    #[cfg(feature = "drafts")]
    ChallengeWrong,
    /// Client: the 101 of hybi-04 has no Sec-WebSocket-Nonce, or more than one.
    #[cfg(feature = "drafts")]
    NonceMissing,
    /// Client: the server chose a subprotocol that was not offered, or more than one.
    AnswerSubprotocol,
    /// Client: the server chose an extension that was not offered.
    AnswerExtension,
    /// Client: the server's parameters of permessage-deflate do not fit the offer (RFC 7692 §5.1).
    AnswerDeflate,
    /// Client: the stream ended before the answer was complete.
    EndOfStream,
    /// Client: no complete answer in time.
    TimedOut,
}

/// An answer other than 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status; 3xx has its Location in the headers.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to `Limits::refusal_body_len` bytes.
    pub body: Vec<u8>,
    /// Whether there was more of it, or should have been.
    pub truncated: bool,
}

impl HandshakeError {
    /// The status that tells it: to the client that caused it, or, for the client's own group,
    /// to somebody on whose behalf it connected (502, 504, or the refusal's status).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotUpgrade | Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::Key | Self::Body => StatusCode::BAD_REQUEST,
            #[cfg(feature = "drafts")]
            Self::UnknownVersion => StatusCode::UPGRADE_REQUIRED,
            #[cfg(feature = "drafts")]
            Self::Challenge | Self::OriginMissing => StatusCode::BAD_REQUEST,
            #[cfg(feature = "drafts")]
            Self::ChallengeWrong | Self::NonceMissing => StatusCode::BAD_GATEWAY,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Refused(refusal) => refusal.status,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Malformed(_)
            | Self::AnswerVersion
            | Self::AnswerUpgrade
            | Self::AnswerConnection
            | Self::AcceptMissing
            | Self::AcceptWrong
            | Self::AnswerSubprotocol
            | Self::AnswerExtension
            | Self::AnswerDeflate
            | Self::EndOfStream => StatusCode::BAD_GATEWAY,
        }
    }

    /// The server's answer: [`status`](Self::status) with the headers that belong to it. The
    /// text that goes with it is this error's `Display`.
    pub fn response(&self) -> ResponseHead {
        let value = HeaderValue::from_static;
        let head = ResponseHead::new(self.status())
            .header(header::CONTENT_TYPE, value("text/plain; charset=utf-8"));
        match self {
            Self::Method => head.header(header::ALLOW, value("GET")),
            // RFC 9110 §15.5.22 and RFC 6455 §4.2.2, item 4.
            Self::NotUpgrade | Self::Version => head
                .header(header::UPGRADE, value("websocket"))
                .header(header::CONNECTION, value("Upgrade"))
                .header(header::SEC_WEBSOCKET_VERSION, value("13")),
            #[cfg(feature = "drafts")]
            Self::UnknownVersion => head
                .header(header::UPGRADE, value("websocket"))
                .header(header::CONNECTION, value("Upgrade"))
                .header(header::SEC_WEBSOCKET_VERSION, value("13, 8, 7, 6, 5, 4")),
            _ => head,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "a WebSocket handshake must be a GET (RFC 6455 section 4.1)",
            Self::NotUpgrade => {
                "this resource is a WebSocket: connect with HTTP/1.1, `Upgrade: websocket` and \
                 `Connection: Upgrade` (RFC 6455 section 4.1)"
            }
            Self::Key => {
                "there must be one Sec-WebSocket-Key with the base64 of 16 bytes \
                 (RFC 6455 section 4.2.1)"
            }
            Self::Version => "Sec-WebSocket-Version must be 13 (RFC 6455 section 4.4)",
            #[cfg(feature = "drafts")]
            Self::UnknownVersion => {
                "Sec-WebSocket-Version must be one of 13, 8, 7, 6, 5, 4 (RFC 6455 section 4.4)"
            }
            #[cfg(feature = "drafts")]
            Self::Challenge => {
                "Sec-WebSocket-Key1 and -Key2 must be numbers that their blanks divide (hixie-76)"
            }
            #[cfg(feature = "drafts")]
            Self::OriginMissing => "a handshake of hixie-76 must have one Origin",
            Self::Origin => "pages of this origin may not connect (RFC 6455 section 10.2)",
            Self::Body => "a WebSocket handshake cannot have a body",
            Self::Malformed(error) => {
                return write!(f, "the server does not speak HTTP/1.1: {error}");
            }
            Self::Refused(refusal) => {
                write!(f, "the server answered {}", refusal.status)?;
                if let Some(location) = refusal
                    .headers
                    .get(header::LOCATION)
                    .and_then(|value| value.to_str().ok())
                {
                    write!(f, " to {location}")?;
                }
                return f.write_str(match refusal.status.as_u16() {
                    200..=299 => ": there is no WebSocket at this path",
                    300..=399 => ": connect to that address instead, if you trust it",
                    401 | 407 => ": it wants credentials",
                    403 => ": it forbids this, perhaps for the origin",
                    404 => ": check the path",
                    426 => ": it wants another version of the protocol, or an upgrade",
                    _ => " instead of 101",
                });
            }
            Self::AnswerVersion => "the server's 101 is not HTTP/1.1: it is no WebSocket server",
            Self::AnswerUpgrade => {
                "the server's 101 has no `Upgrade: websocket`: it is no WebSocket server, or a \
                 proxy removed it"
            }
            Self::AnswerConnection => {
                "the server's 101 has no `Connection: Upgrade`: it is no WebSocket server, or a \
                 proxy removed it"
            }
            Self::AcceptMissing => "the server's 101 has no Sec-WebSocket-Accept",
            Self::AcceptWrong => {
                "the server's Sec-WebSocket-Accept does not fit our key: it is no WebSocket \
                 server, or a cache answered"
            }
            #[cfg(feature = "drafts")]
            Self::ChallengeWrong => {
                "the server's answer to the challenge is wrong: it does not speak hixie-76"
            }
            #[cfg(feature = "drafts")]
            Self::NonceMissing => {
                "the server's 101 has no Sec-WebSocket-Nonce: it does not speak hybi-04"
            }
            Self::AnswerSubprotocol => {
                "the server chose a subprotocol that was not offered: offer the one it speaks"
            }
            Self::AnswerExtension => "the server chose an extension that was not offered",
            Self::AnswerDeflate => {
                "the server's parameters of permessage-deflate do not fit the offer: connect \
                 without compression"
            }
            Self::EndOfStream => "the server closed the connection before it answered",
            Self::TimedOut => "the server did not answer in time",
        })
    }
}

impl Error for HandshakeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            _ => None,
        }
    }
}
