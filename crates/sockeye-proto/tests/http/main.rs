//! The HTTP machine from outside: conversations at every cut, the syntax and smuggling tables,
//! each limit at its bound, deadlines in virtual time, arbitrary bytes.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answer;
mod arbitrary;
mod conversation;
mod deadline;
mod framing;
mod limit;
mod rig;
mod syntax;
