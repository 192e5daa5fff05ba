//! Why a proxy does not let somebody through.

use std::fmt;

use http::StatusCode;

/// What a proxy said instead of connecting, or did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// An HTTP proxy refused. 407: it wants credentials, or others.
    Status(StatusCode),
    /// A SOCKS5 proxy refused.
    Reply(SocksReply),
    /// A SOCKS5 proxy does not take the user name and password (RFC 1929).
    Credentials,
    /// A SOCKS5 proxy accepts no way of authentication that is offered. Without credentials in the
    /// options: it wants some.
    NoMethod,
    /// It does not speak HTTP/1.x.
    NotHttp,
    /// It does not speak SOCKS5.
    NotSocks5,
    /// The head of its answer is longer than
    /// [`Limits::request_head_len`](crate::Limits::request_head_len), or has too many lines.
    HeadTooLong,
    /// It sent something in the server's name before the server was asked anything.
    EarlyData,
    /// It ended the stream before it answered.
    EndOfStream,
    /// SOCKS5 cannot carry a host name of more than 255 bytes.
    NameTooLong,
}

/// The reply codes of RFC 1928 §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocksReply {
    /// 1: something went wrong there.
    Failure,
    /// 2: its rules forbid the connection.
    NotAllowed,
    /// 3: it cannot reach the network.
    NetworkUnreachable,
    /// 4: it cannot reach the host, or cannot resolve its name.
    HostUnreachable,
    /// 5: nobody listens there.
    Refused,
    /// 6: a timeout on the way.
    TtlExpired,
    /// 7: it does not connect for others.
    CommandNotSupported,
    /// 8: it does not take names, or IPv6.
    AddressTypeNotSupported,
    /// A code that has no meaning.
    Unknown(u8),
}

impl SocksReply {
    pub(super) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Failure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::Refused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            code => Self::Unknown(code),
        }
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure => "it failed to connect",
            Self::NotAllowed => "its rules forbid this connection",
            Self::NetworkUnreachable => "it cannot reach the network",
            Self::HostUnreachable => "it cannot reach the host, or does not know its name",
            Self::Refused => "the host refused its connection",
            Self::TtlExpired => "its connection timed out on the way",
            Self::CommandNotSupported => "it does not connect for others",
            Self::AddressTypeNotSupported => "it does not take this kind of address",
            Self::Unknown(code) => return write!(f, "it refused with the unknown code {code}"),
        })
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status(status) => return status.fmt(f),
            Self::Reply(reply) => return reply.fmt(f),
            Self::Credentials => "it does not accept the user name and password",
            Self::NoMethod => "it accepts none of the ways to authenticate that were offered",
            Self::NotHttp => "it does not speak HTTP/1.1",
            Self::NotSocks5 => "it does not speak SOCKS5",
            Self::HeadTooLong => "its answer is too long",
            Self::EarlyData => "it sent data before the server was asked for any",
            Self::EndOfStream => "it closed the connection without an answer",
            Self::NameTooLong => "the host's name is longer than the 255 bytes that SOCKS5 takes",
        })
    }
}

impl std::error::Error for ProxyError {}
