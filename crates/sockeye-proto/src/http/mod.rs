//! HTTP/1.1, the server's side of one connection and the heads of both sides.
//!
//! [`Server`] takes bytes and gives [`Event`]s; [`Request`] is a parsed head; [`ResponseHead`]
//! is what we answer. The module knows RFC 9110 and 9112 as far as a server of files and
//! WebSockets needs them; it does not know what a WebSocket says, what a file is, or what time
//! it is.
//!
//! Invariants: the syntax is strict, and the same everywhere (CRLF only, no folding, one reading
//! for every length); after the first doubt about where a request ends nothing more of that
//! connection is run; results do not depend on how the bytes were cut into reads.

#![warn(clippy::indexing_slicing)]

mod answer;
mod body;
mod by_hand;
#[cfg(feature = "drafts")]
mod challenge;
mod error;
mod method;
mod reply;
mod request;
mod response;
mod scan;
mod server;
mod target;
mod token;

pub use body::BodyLength;
pub use error::{HttpError, Misuse};
pub use request::{Request, Version};
pub use response::{BodyPlan, ResponseHead};
pub use server::{Event, Server, Timeout};

pub(crate) use body::{BodyReader, Piece, take_front};
pub(crate) use reply::{Reply, ReplyBody};
pub(crate) use response::write_field;
pub(crate) use scan::Scanner;
pub(crate) use target::{is_authority, split_authority};
#[cfg(feature = "deflate")]
pub(crate) use token::is_tchar;
pub(crate) use token::is_token;
