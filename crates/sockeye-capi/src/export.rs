//! The functions that C programs call.

#![allow(unsafe_code, reason = "names and pointers of C")]
#![allow(
    clippy::missing_safety_doc,
    reason = "their contract is that of the header"
)]

use std::ffi::{c_char, c_int, c_uchar, c_uint};
use std::ptr;

use libc::pollfd;

use crate::abi::{
    CloseStatus, PendingTimeout, WriteProtocol, libwebsocket, libwebsocket_context,
    libwebsocket_protocols,
};

/// Makes a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_create_context(
    _port: c_int,
    _interface: *const c_char,
    _protocols: *mut libwebsocket_protocols,
    _ssl_cert_filepath: *const c_char,
    _ssl_private_key_filepath: *const c_char,
    _gid: c_int,
    _uid: c_int,
    _options: c_uint,
) -> *mut libwebsocket_context {
    ptr::null_mut()
}

/// Ends a context and all its connections.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_context_destroy(_context: *mut libwebsocket_context) {}

/// Lets another process serve.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_fork_service_loop(
    _context: *mut libwebsocket_context,
) -> c_int {
    -1
}

/// Waits, and serves what is ready.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_service(
    _context: *mut libwebsocket_context,
    _timeout_ms: c_int,
) -> c_int {
    1
}

/// Serves one descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_service_fd(
    _context: *mut libwebsocket_context,
    _pollfd: *mut pollfd,
) -> c_int {
    1
}

/// Sends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_write(
    _wsi: *mut libwebsocket,
    _buf: *mut c_uchar,
    _len: usize,
    _protocol: WriteProtocol,
) -> c_int {
    -1
}

/// Answers with a file.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_serve_http_file(
    _wsi: *mut libwebsocket,
    _file: *const c_char,
    _content_type: *const c_char,
) -> c_int {
    -1
}

/// Tells every server connection of a protocol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_broadcast(
    _protocol: *const libwebsocket_protocols,
    _buf: *mut c_uchar,
    _len: usize,
) -> c_int {
    -1
}

/// The protocol of a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_get_protocol(
    _wsi: *mut libwebsocket,
) -> *const libwebsocket_protocols {
    ptr::null()
}

/// Asks for one callback when there is room to write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_callback_on_writable(
    _context: *mut libwebsocket_context,
    _wsi: *mut libwebsocket,
) -> c_int {
    1
}

/// The same for every connection of a protocol.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_callback_on_writable_all_protocol(
    _protocol: *const libwebsocket_protocols,
) -> c_int {
    0
}

/// The descriptor of a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_get_socket_fd(_wsi: *mut libwebsocket) -> c_int {
    -1
}

/// Stops or resumes receiving.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_rx_flow_control(
    _wsi: *mut libwebsocket,
    _enable: c_int,
) -> c_int {
    0
}

/// Bytes of the frame that are still to come.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_remaining_packet_payload(_wsi: *mut libwebsocket) -> usize {
    0
}

/// Connects as a client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_client_connect(
    _context: *mut libwebsocket_context,
    _address: *const c_char,
    _port: c_int,
    _ssl_connection: c_int,
    _path: *const c_char,
    _host: *const c_char,
    _origin: *const c_char,
    _protocol: *const c_char,
    _ietf_version_or_minus_one: c_int,
) -> *mut libwebsocket {
    ptr::null_mut()
}

/// The name of this machine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_canonical_hostname(
    _context: *mut libwebsocket_context,
) -> *const c_char {
    c"".as_ptr()
}

/// Name and address of the peer of a socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_get_peer_addresses(
    _fd: c_int,
    _name: *mut c_char,
    _name_len: c_int,
    _rip: *mut c_char,
    _rip_len: c_int,
) {
}

/// Ends the connection with this descriptor.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_hangup_on_client(
    _context: *mut libwebsocket_context,
    _fd: c_int,
) {
}

/// Ends a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_close_and_free_session(
    _context: *mut libwebsocket_context,
    _wsi: *mut libwebsocket,
    _status: CloseStatus,
) {
}

/// Ends a connection some seconds from now, unless taken back.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_set_timeout(
    _wsi: *mut libwebsocket,
    _reason: PendingTimeout,
    _secs: c_int,
) {
}
