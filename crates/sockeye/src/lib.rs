//! sockeye: a WebSocket and HTTP engine, server and client on one event loop, its own or yours.
//!
//! An [`Engine`] carries any number of listeners, connections and [`Protocol`]s on one thread. A
//! protocol is one value with a method for each thing that happens; each connection has a session.
//! Nothing in a callback blocks or nests: it appends, and the loop writes.
//!
//! ```no_run
//! use sockeye::{Engine, on_message};
//!
//! fn main() -> Result<(), sockeye::Error> {
//!     let mut engine = Engine::new()?;
//!     let echo = engine.host(on_message(|conn, message| {
//!         conn.send(message);
//!     }));
//!     engine.listen("127.0.0.1:7681")?.route("/echo", echo);
//!     engine.run()?;
//!     Ok(())
//! }
//! ```
//!
//! # Where to look
//! - [`Protocol`], [`Conn`], [`Exchange`]: what a program writes and is given.
//! - [`Engine::listen`], [`ListenerMut`], [`Files`]: what is served where.
//! - [`Engine::connect`], [`ConnectOptions`]: connections as a client, on the same loop.
//! - [`Handle`]: reaching the loop from other threads.
//! - [`bus`]: reaching it from other processes.
//! - [`Group`]: several engines on several threads as one server.
//! - [`poll`], [`EngineBuilder::registrar`], [`Engine::service`]: living in somebody else's loop.
//! - [`PollerKind`]: what waits for the sockets; with the feature `uring`, `io_uring(7)` too.
//! - [`EngineBuilder::deflate`], [`ListenerMut::deflate`], [`ConnectOptions::deflate`]: compression.
//! - `ListenerMut::drafts`, `ConnectOptions::version`, with the feature `drafts`: what was spoken
//!   before RFC 6455.
//! - [`Limits`]: every bound on what a peer can make the engine spend, with its default.
//! - [`blocking`]: calls that wait, without an engine, for programs with a thread to spare.
//! - [`sim`]: tests of a program's own protocols, over a simulated network, in virtual time.
//! - [`proto`]: the protocol machines without any I/O.

mod accept;
pub mod blocking;
pub mod bus;
mod by_hand;
mod census;
mod chunk;
mod client;
mod clock;
#[cfg(feature = "deflate")]
mod compression;
#[cfg(not(feature = "deflate"))]
#[path = "uncompressed.rs"]
mod compression;
mod conn;
mod core;
#[cfg(feature = "drafts")]
mod draft;
#[cfg(not(feature = "drafts"))]
#[path = "undrafted.rs"]
mod draft;
mod driver;
mod engine;
mod entry;
mod error;
mod exchange;
mod files;
mod group;
mod handle;
mod hosted;
mod http;
mod id;
mod intake;
mod link;
mod listener;
pub mod net;
mod outbox;
pub mod poll;
mod protocol;
#[cfg(feature = "uring")]
mod ring;
mod route;
mod send;
mod shutdown;
pub mod sim;
mod slab;
mod stage;
mod timer;
#[cfg_attr(
    not(any(feature = "tls", feature = "openssl")),
    allow(dead_code, reason = "there is no backend to use it")
)]
pub mod tls;
mod topic;
mod trace;
mod turn;
mod uplink;
mod waker;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
pub use sockeye_proto as proto;
#[cfg(feature = "drafts")]
pub use sockeye_proto::Version;
#[cfg(feature = "deflate")]
pub use sockeye_proto::deflate;
pub use sockeye_proto::handshake::{HandshakeError, OriginPolicy, Refusal as ServerRefusal};
pub use sockeye_proto::http::Request;
pub use sockeye_proto::ws::{Chunk, Delivery, Kind, Lost, Message, Prepared};
pub use sockeye_proto::{Bytes, CloseCode, Limits, Misuse, Text, Violation};

pub use self::client::{
    Attempt, Backoff, ConnectCause, ConnectError, ConnectOptions, Proxy, ProxyChoice, ProxyError,
    RedirectError, SocksReply, Step, UplinkId, UplinkQueue,
};
pub use self::conn::{Conn, Refusal, Sent};
pub use self::core::{Core, Stats};
pub use self::engine::{Engine, EngineBuilder, PollerKind};
pub use self::error::Error;
pub use self::exchange::Exchange;
pub use self::files::{FileRequest, Files, FilesError};
pub use self::group::{Group, GroupHandle};
pub use self::handle::{Handle, HandleError};
pub use self::http::{Body, FileBody, FilePart, HeaderError, Response};
pub use self::id::ConnId;
pub use self::link::{Acceptor, Connector, Transport};
pub use self::listener::{Arrival, ListenerMut};
pub use self::protocol::{
    Accepted, CloseCause, CloseInfo, OnMessage, Overflow, Peer, Protocol, ProtocolKey, Reject,
    on_message,
};
pub use self::shutdown::ShutdownReport;
pub use self::trace::Trace;

/// The program of the README is compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
