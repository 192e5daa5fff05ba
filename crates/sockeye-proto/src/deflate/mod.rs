//! permessage-deflate (RFC 7692): what is wished and agreed on, and what keeps it cheap.
//!
//! The [`Settings`] say what an endpoint wishes for before the handshake, and what both sides
//! agreed on behind it. The machines do the rest: they compress what is worth it and inflate what
//! comes.
//!
//! # Memory
//! No connection owns a compressor (280 KB) or, between messages, a decompressor (48 KB): both are
//! leased from the pool in [`Shared`](crate::Shared), so that the same few serve everybody and
//! stay in the cache. Context takeover needs only the last bytes that a peer may refer to: they
//! are kept in a ring of the window's size, which begins empty and grows with the traffic, and
//! are given to the leased context. With windows of 12 bits this is 4 KiB a direction; a
//! [`Reservation`] counts it against the limits, and who gets none works without takeover.
//!
//! Because contexts are made anew for each message, a message that was compressed for many
//! receivers, one that is sent as it is, and one that is dropped on the way disturb nobody.
//!
//! # Bounds
//! Output is inflated in steps of at most 64 KiB, and counted after each of them.

mod budget;
mod codec;
mod history;
mod negotiation;
mod settings;

pub(crate) use budget::Budget;
pub use budget::Reservation;
pub(crate) use codec::{Inflater, Pool, STEP_LEN};
pub(crate) use history::History;
pub use negotiation::Agreed;
pub(crate) use negotiation::{Wrong, judge, offer, respond};
pub use settings::{Settings, WindowBits};
