//! Sockets, names and the process: everything the engine asks of the operating system but
//! waiting.
//!
//! Nothing here knows of connections, protocols or the loop. Sockets never block; what may block
//! (name resolution, reverse lookups) says so and is kept off the loop by the
//! [`Resolver`](resolver::Resolver).

pub(crate) mod bind;
pub(crate) mod descriptor;
mod error;
pub(crate) mod listener;
mod name;
mod peer;
mod privilege;
#[cfg(test)]
mod process_test;
pub(crate) mod resolver;
pub(crate) mod socket;

pub use self::bind::{Bind, ParseBindError};
pub use self::descriptor::raise_descriptor_limit;
pub use self::error::{NetError, Operation};
pub use self::name::{canonical_hostname, peer_name};
pub use self::peer::{LocalAddr, PeerAddr};
pub use self::privilege::drop_privileges;
