//! The functions of the API as a program sees them: what they return, what they cause to be told,
//! in what order.

#![allow(unsafe_code, reason = "calls the functions as C does")]
#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

mod external;
mod flow;
mod lifecycle;
mod nested;
mod program;
mod threads;
mod wire;
