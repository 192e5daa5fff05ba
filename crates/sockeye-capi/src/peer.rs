//! Who is at the other end of a descriptor. The one place that asks the name service about peers,
//! and only when the program does.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{BorrowedFd, RawFd};

use rustix::net::getpeername;
use sockeye::net::peer_name;

/// Name and address of a socket's peer; empty where there is none. **The name may take seconds.**
pub(crate) fn peer_of(fd: RawFd, with_name: bool) -> (String, String) {
    let Some(address) = address(fd) else {
        return <(String, String)>::default();
    };
    let name = with_name.then(|| peer_name(address)).flatten();
    (name.unwrap_or_default(), address.to_string())
}

#[allow(unsafe_code, reason = "a program knows descriptors by number")]
fn address(fd: RawFd) -> Option<IpAddr> {
    if fd < 0 {
        return None;
    }
    // SAFETY: used for one system call, which takes a number: EBADF if it is not open, ENOTSOCK if
    // it is no socket.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let peer = getpeername(borrowed).ok()??;
    let address = SocketAddr::try_from(peer).ok()?;
    Some(address.ip().to_canonical())
}
