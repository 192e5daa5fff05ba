//! The protocol core of sockeye: RFC 6455 and HTTP/1.1 as values. Bytes in, events out, bytes
//! out, one deadline.
//!
//! Nothing here reads a socket or a clock. Received bytes are handed to a machine as a cursor, what
//! it has to say is appended to [`Cx::output`], the time is [`Cx::now`]. An engine, a blocking
//! program and a test drive the same code.
//!
//! - [`http::Server`]: requests in, answers out.
//! - [`handshake`]: from a request to a WebSocket, on either side.
//! - [`ws::WebSocket`]: messages, pings, closing, of either role.
//! - `drafts`, with the feature of that name: what was spoken before RFC 6455.
//! - [`Limits`]: every bound, with its default.
//!
//! A whole conversation, from the first byte:
//!
//! ```
//! # #![allow(clippy::disallowed_methods)]
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! use sockeye_proto::handshake::{Accept, OriginPolicy};
//! use sockeye_proto::http::{self, Server};
//! use sockeye_proto::ws::{self, Role, WebSocket};
//! use sockeye_proto::{Cx, Shared};
//!
//! let now = Instant::now();
//! let config = Arc::new(ws::Config::default());
//! let mut shared = Shared::from_seed([0; 32]); // from the operating system, in earnest
//! let mut output = Vec::new();
//! let mut cx = Cx { now, output: &mut output, shared: &mut shared, blocked: false };
//!
//! // A request, and a message right behind it.
//! let mut bytes = *b"GET /echo HTTP/1.1\r\nHost: a.example\r\n\
//!     Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
//!     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x82\0\0\0\0hi";
//! let mut input = &mut bytes[..];
//!
//! let mut server = Server::new(Arc::clone(&config), now);
//! let Some(http::Event::Request(request)) = server.receive(&mut input, &mut cx)? else {
//!     panic!("the head is complete");
//! };
//! assert_eq!(request.path(), "/echo");
//! let accept = Accept::new(&request, &OriginPolicy::Same)?;
//! accept.respond(None, &Default::default(), &mut cx)?;
//!
//! let mut socket = WebSocket::new(Role::Server, config, now);
//! while let Some(event) = socket.receive(&mut input, &mut cx)? {
//!     if let ws::Event::Text(text) = event {
//!         socket.send((&text).into(), &mut cx)?;
//!     }
//! }
//! assert!(output.starts_with(b"HTTP/1.1 101 "));
//! assert!(output.ends_with(b"\r\n\r\n\x81\x02hi"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod bytes;
pub mod close;
pub mod cx;
#[cfg(feature = "deflate")]
pub mod deflate;
#[cfg(feature = "drafts")]
pub mod drafts;
#[cfg(feature = "deflate")]
mod extension;
pub mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
pub mod http;
pub mod limits;
pub mod mask;
pub mod utf8;
pub mod violation;
pub mod ws;

pub use self::bytes::{Bytes, Text};
pub use self::close::{CloseCode, CloseFrame};
pub use self::cx::{Cx, Shared};
#[cfg(feature = "drafts")]
pub use self::drafts::Version;
pub use self::frame::{FrameHeader, Opcode};
pub use self::limits::{Limits, LimitsError};
pub use self::mask::Mask;
pub use self::violation::{Misuse, Violation};
