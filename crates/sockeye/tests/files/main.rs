//! The static files from outside: requests to a directory, and what they answer.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod condition;
mod escape;
mod plain;
mod precompressed;
mod range;
mod site;
mod special;
