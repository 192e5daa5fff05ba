//! A simulated network in virtual time, for tests of an engine and its protocols.
//!
//! No descriptors, no threads, no clock: connections are buffers in memory, time passes when a test
//! says so, and everything that is left to chance follows from a seed. So a test that waits 30
//! seconds takes no time, and one that fails fails again.
//!
//! A [`Network`] has [`Listener`]s for the engine to listen on; a test connects to them and holds
//! the other ends: [`Remote`] for raw bytes, [`WebSocket`] for messages. Connections that the engine
//! itself opens lead to a [`Server`] in the test's hands, or to a listener of the same engine.
//! [`Faults`] makes connections bad: short reads and writes, small windows, delays, resets.
//!
//! ```
//! use std::time::Duration;
//! use sockeye::sim::{Network, Received};
//! use sockeye::{CloseCode, on_message};
//!
//! let network = Network::new(7);
//! let mut engine = network.engine().build()?;
//! let echo = engine.host(on_message(|conn, message| {
//!     conn.send(message);
//! }));
//! let listener = network.listener();
//! engine.listen_on(listener.acceptor())?.route("/echo", echo);
//!
//! let client = network.connect(&listener).websocket("/echo");
//! client.send("hello").unwrap();
//! network.run_until_idle(&mut engine);
//! assert_eq!(
//!     client.received(),
//!     [Received::Open(None), Received::Text("hello".into())],
//! );
//!
//! // Keepalive: after half a minute of silence the engine asks whether anybody is there.
//! network.advance(&mut engine, Duration::from_secs(31));
//! assert_eq!(client.received(), [Received::Ping(vec![])]);
//!
//! client.close(CloseCode::NORMAL, "").unwrap();
//! network.run_until_idle(&mut engine);
//! assert_eq!(engine.core().connection_count(), 0);
//! # Ok::<(), sockeye::Error>(())
//! ```
//!
//! One network carries one engine. The Date headers of HTTP answers still show the real time.

mod network;
mod pipe;
mod remote;
mod state;
mod transport;
mod websocket;

pub use self::network::{Listener, Network, Server};
pub use self::remote::Remote;
pub use self::state::Faults;
pub use self::websocket::{Received, WebSocket};
