//! The engine on the simulator: everything it promises, in virtual time.

mod accepting;
mod callbacks;
mod ending;
mod outgoing;
mod pressure;
mod segments;
mod support;
mod timing;
mod web;
