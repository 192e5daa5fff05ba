//! What can be wrong with HTTP: [`HttpError`] is the peer's fault and has a status, [`Misuse`] is
//! ours and never caused by input.
//!
//! Knows no bytes and no machine. Invariant: every [`HttpError`] has a status that may be sent.

use std::error::Error;
use std::fmt;

use ::http::{HeaderValue, StatusCode, header};

use super::response::ResponseHead;

/// The peer broke a rule of HTTP, or a limit. The connection closes once this is answered:
/// behind such a request nobody knows where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HttpError {
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    RequestLine,
    /// The status line is not `version SP status SP reason` (RFC 9112 §4).
    StatusLine,
    /// The target has a byte or a form that it must not have (RFC 9112 §3.2).
    Target,
    /// A line ends in a bare LF (RFC 9112 §2.2).
    BareLf,
    /// A CR that is not part of CRLF (RFC 9112 §2.2).
    BareCr,
    /// A control character in a header value (RFC 9110 §5.5).
    Control,
    /// A header name that is no token, or a line without a colon (RFC 9112 §5).
    FieldName,
    /// A blank between a header name and its colon (RFC 9112 §5.1).
    BlankBeforeColon,
    /// A header line that begins with a blank: obsolete folding (RFC 9112 §5.2).
    Fold,
    /// An HTTP/1.1 request without Host (RFC 9112 §3.2).
    HostMissing,
    /// More than one Host line (RFC 9112 §3.2).
    HostRepeated,
    /// Host is not `host [":" port]` (RFC 9110 §7.2).
    HostInvalid,
    /// Content-Length is not one decimal number, or two that differ (RFC 9112 §6.3).
    ContentLength,
    /// Content-Length beside Transfer-Encoding (RFC 9112 §6.3).
    LengthAndCoding,
    /// Transfer-Encoding that does not end in one `chunked`, or on HTTP/1.0 (RFC 9112 §6.1).
    TransferCoding,
    /// A transfer coding other than chunked (RFC 9112 §6.1).
    UnknownCoding,
    /// A chunk size that is no hexadecimal number, or too large (RFC 9112 §7.1).
    ChunkSize,
    /// Chunk data that does not end in CRLF (RFC 9112 §7.1).
    ChunkEnd,
    /// A chunk extension with a control character, or too many of them (RFC 9112 §7.1.1).
    ChunkExtension,
    /// A request to upgrade that has a body.
    UpgradeBody,
    /// The stream ended within a head or a body.
    EndOfStream,
    /// The head did not arrive in time (`Limits::handshake_timeout`).
    HeadTimeout,
    /// The body did not arrive in time.
    BodyTimeout,
    /// The body is longer than wanted.
    BodyTooLong,
    /// The target is longer than `Limits::request_target_len`.
    TargetTooLong,
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    Expectation,
    /// The head, or the trailer, is longer than `Limits::request_head_len`.
    HeadTooLong,
    /// More header lines than `Limits::header_count`.
    TooManyFields,
    /// A method that is not registered, or CONNECT (RFC 9110 §9.1).
    Method,
    /// A major version other than 1 (RFC 9110 §15.6.6).
    Version,
}

impl HttpError {
    /// The status that tells the peer.
    pub fn status(self) -> StatusCode {
        match self {
            Self::RequestLine
            | Self::StatusLine
            | Self::Target
            | Self::BareLf
            | Self::BareCr
            | Self::Control
            | Self::FieldName
            | Self::BlankBeforeColon
            | Self::Fold
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::ContentLength
            | Self::LengthAndCoding
            | Self::TransferCoding
            | Self::ChunkSize
            | Self::ChunkEnd
            | Self::ChunkExtension
            | Self::UpgradeBody
            | Self::EndOfStream => StatusCode::BAD_REQUEST,
            Self::HeadTimeout | Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLong | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Method | Self::UnknownCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    /// A response head with that status and a plain-text content type; the text that goes with
    /// it is this error's `Display`.
    pub fn response(self) -> ResponseHead {
        ResponseHead::new(self.status()).header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        )
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RequestLine => "malformed request line (RFC 9112 section 3)",
            Self::StatusLine => "malformed status line (RFC 9112 section 4)",
            Self::Target => "invalid request target (RFC 9112 section 3.2)",
            Self::BareLf => "line ends in LF without CR (RFC 9112 section 2.2)",
            Self::BareCr => "CR without LF (RFC 9112 section 2.2)",
            Self::Control => "control character in a header value (RFC 9110 section 5.5)",
            Self::FieldName => "invalid header name (RFC 9112 section 5)",
            Self::BlankBeforeColon => "blank before the colon of a header (RFC 9112 section 5.1)",
            Self::Fold => "folded header line (RFC 9112 section 5.2)",
            Self::HostMissing => "no Host header (RFC 9112 section 3.2)",
            Self::HostRepeated => "more than one Host header (RFC 9112 section 3.2)",
            Self::HostInvalid => "invalid Host (RFC 9110 section 7.2)",
            Self::ContentLength => "invalid Content-Length (RFC 9112 section 6.3)",
            Self::LengthAndCoding => {
                "Content-Length and Transfer-Encoding together (RFC 9112 section 6.3)"
            }
            Self::TransferCoding => {
                "Transfer-Encoding without final chunked (RFC 9112 section 6.1)"
            }
            Self::UnknownCoding => "unknown transfer coding (RFC 9112 section 6.1)",
            Self::ChunkSize => "invalid chunk size (RFC 9112 section 7.1)",
            Self::ChunkEnd => "chunk data without CRLF at its end (RFC 9112 section 7.1)",
            Self::ChunkExtension => "invalid or too long chunk extension (RFC 9112 section 7.1.1)",
            Self::UpgradeBody => "a request to upgrade cannot have a body",
            Self::EndOfStream => "the stream ended too early",
            Self::HeadTimeout => "the request head did not arrive in time",
            Self::BodyTimeout => "the request body did not arrive in time",
            Self::BodyTooLong => "the request body is too long",
            Self::TargetTooLong => "the request target is too long",
            Self::Expectation => "unknown expectation (RFC 9110 section 10.1.1)",
            Self::HeadTooLong => "the head is too long",
            Self::TooManyFields => "too many header lines",
            Self::Method => "method not implemented (RFC 9110 section 9.1)",
            Self::Version => "HTTP version not supported (RFC 9110 section 15.6.6)",
        })
    }
}

impl Error for HttpError {}

/// An HTTP machine was called wrongly. Nothing was written; no input can cause this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// There is no request to answer, or its answer is already finished.
    NoRequest,
    /// The response head was already written.
    HeadWritten,
    /// A body without a response head before it.
    NoHead,
    /// More body than announced.
    BodyTooLong,
    /// Less body than announced; the connection closes, for the peer must notice.
    BodyTooShort,
    /// Status 101 goes through `handshake::Accept`.
    SwitchingProtocols,
    /// The subprotocol is not one that the client offered.
    SubprotocolNotOffered,
    /// The machine writes this header itself, so the caller must not give it.
    ReservedHeader,
    /// The host is not `host [":" port]`.
    InvalidHost,
    /// The target does not begin with `/`, or has a byte that it must not have.
    InvalidTarget,
    /// The origin has a byte that it must not have.
    InvalidOrigin,
    /// A subprotocol that is no token, or given twice.
    InvalidSubprotocol,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRequest => "there is no request to answer",
            Self::HeadWritten => "the response head was already written",
            Self::NoHead => "a response body needs a response head before it",
            Self::BodyTooLong => "more response body than announced",
            Self::BodyTooShort => "less response body than announced",
            Self::SwitchingProtocols => "status 101 is written by `handshake::Accept` only",
            Self::SubprotocolNotOffered => "the client did not offer this subprotocol",
            Self::ReservedHeader => "this header is written by the handshake itself",
            Self::InvalidHost => "the host is not `host` or `host:port`",
            Self::InvalidTarget => {
                "the target must begin with `/` and be printable ASCII without blanks and `#`"
            }
            Self::InvalidOrigin => "the origin must be printable ASCII without blanks",
            Self::InvalidSubprotocol => "each subprotocol must be a token, and none given twice",
        })
    }
}

impl Error for Misuse {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_small_and_their_answers_tell_why() {
        assert_eq!(size_of::<HttpError>(), 1);
        assert_eq!(size_of::<Misuse>(), 1);
        let response = HttpError::HostMissing.response();
        assert_eq!(response.status, StatusCode::BAD_REQUEST);
        assert!(response.headers.contains_key(header::CONTENT_TYPE));
        assert!(HttpError::HostMissing.to_string().contains("RFC 9112"));
    }
}
