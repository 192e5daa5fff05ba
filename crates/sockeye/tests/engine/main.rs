//! The engine on the simulator: everything it promises, in virtual time.

mod accepting;
mod callbacks;
mod pressure;
mod segments;
mod support;
mod timing;
