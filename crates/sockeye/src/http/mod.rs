//! Plain HTTP as the engine's users see it: the answer to a request, and what it carries.
//!
//! Knows statuses, header fields and bodies as values. Refuses to know connections, requests and
//! how a body is framed on the wire: `Content-Length`, `Transfer-Encoding` and `Date` are added by
//! whoever writes the response out.
//!
//! Invariant: nothing in here can put CR, LF or NUL into a response head.

mod body;
mod response;

pub use body::{Body, FileBody, FilePart};
pub use response::{HeaderError, Response};
