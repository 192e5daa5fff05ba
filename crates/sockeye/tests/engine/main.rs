//! The engine on the simulator: everything it promises, in virtual time.

mod accepting;
mod support;
