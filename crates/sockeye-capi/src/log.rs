//! What a program's author should know and the API has no way to say: why something is NULL.
//!
//! One line on the standard error for what the program itself asked for in vain; never for what
//! peers do.

use std::fmt;
use std::io::Write;

/// Tells why a call failed.
pub(crate) fn refused(what: &str, why: impl fmt::Display) {
    // Whoever closed it does not want to know.
    drop(writeln!(std::io::stderr(), "libwebsockets: {what}: {why}"));
}
