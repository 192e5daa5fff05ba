//! Serving in another process than the one that uses the context.

use std::ffi::{c_int, c_void};

use crate::context::Home;

/// Forks a process that serves.
pub(crate) fn fork_service_loop(_home: &Home) -> c_int {
    -1
}

/// A broadcast from a process that does not serve. It has copies of the sockets, but must not write
/// to them: two processes' frames would get mixed up.
pub(crate) fn broadcast_elsewhere(
    _home: &Home,
    _protocol: usize,
    _data: *mut c_void,
    _len: usize,
) -> c_int {
    -1
}
