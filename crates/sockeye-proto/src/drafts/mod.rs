//! The wire protocols from before RFC 6455: hixie-76 (hybi-00) and hybi-04 to 08, as they were
//! spoken in 2010 and 2011.
//!
//! Here are their names, keys and headers; the handshakes are in [`handshake`](crate::handshake),
//! and [`ws::WebSocket`](crate::ws::WebSocket) speaks them all with one state machine, the same
//! deadlines and the same limits. Nothing of this is used unless somebody asks for it: these
//! protocols have no masking worth the name, or none at all, and only old peers need them.
//!
//! | | hixie-76 | hybi-04 | hybi-05 | hybi-06 | hybi-07, 08 | RFC 6455 |
//! |---|---|---|---|---|---|---|
//! | `Sec-WebSocket-Version` | – | 4 | 5 | 6 | 7, 8 | 13 |
//! | messages | text | all | all | all | all | all |
//! | pings | no | yes | yes | yes | yes | yes |
//! | a client masks | nothing | header and payload, by SHA-1 | header and payload | header and payload | the payload | the payload |
//! | Close says | nothing | nothing | who sends it | code and reason | code and reason | code and reason |
//! | origin in | `Origin` | `Sec-WebSocket-Origin` | same | same | same | `Origin` |
//!
//! A Close that cannot say anything is reported as [`NO_STATUS`](crate::CloseCode::NO_STATUS).
//! Code 1004 of hybi-06 to 08 (too large) is [`TOO_BIG`](crate::CloseCode::TOO_BIG) to either side
//! of the machine.
#![warn(clippy::indexing_slicing)]

pub(crate) mod frame;
pub(crate) mod hybi04;
mod version;

pub use self::version::{Version, Wire};
