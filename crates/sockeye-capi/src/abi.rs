//! What C programs and this library agree on: types, numbers, layouts.
//!
//! Nothing here does anything. Enumerations are plain integers, because programs pass values that
//! are in none of them, such as flags that were or-ed in.

#![allow(non_camel_case_types, reason = "these are the names of C")]

use std::ffi::{c_char, c_int, c_uint, c_void};

/// `port` of a context that does not listen.
pub const CONTEXT_PORT_NO_LISTEN: c_int = 0;
/// Bytes before a buffer that programs leave writable; this library does not touch them.
pub const LWS_SEND_BUFFER_PRE_PADDING: usize = 14;
/// Bytes after a buffer that programs leave writable; this library does not touch them.
pub const LWS_SEND_BUFFER_POST_PADDING: usize = 1;

/// Clients send with a mask of zeros.
pub const LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK: c_uint = 1;
/// TLS clients must show a certificate that is verified.
pub const LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT: c_uint = 2;

/// `enum libwebsocket_callback_reasons`.
pub type Reason = c_int;
/// A server connection is open.
pub const LWS_CALLBACK_ESTABLISHED: Reason = 0;
/// A client connection is open.
pub const LWS_CALLBACK_CLIENT_ESTABLISHED: Reason = 1;
/// A connection that was open is over.
pub const LWS_CALLBACK_CLOSED: Reason = 2;
/// Data arrived on a server connection.
pub const LWS_CALLBACK_RECEIVE: Reason = 3;
/// Data arrived on a client connection.
pub const LWS_CALLBACK_CLIENT_RECEIVE: Reason = 4;
/// A pong arrived on a client connection.
pub const LWS_CALLBACK_CLIENT_RECEIVE_PONG: Reason = 5;
/// There is room to write, after it was asked for; on connections of either side.
pub const LWS_CALLBACK_CLIENT_WRITEABLE: Reason = 6;
/// A plain HTTP request.
pub const LWS_CALLBACK_HTTP: Reason = 7;
/// A broadcast for this connection.
pub const LWS_CALLBACK_BROADCAST: Reason = 8;
/// Whether to keep a connection that was just accepted.
pub const LWS_CALLBACK_FILTER_NETWORK_CONNECTION: Reason = 9;
/// Whether to answer a handshake.
pub const LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION: Reason = 10;
/// The `SSL_CTX` of clients can be added to.
pub const LWS_CALLBACK_OPENSSL_LOAD_EXTRA_CLIENT_VERIFY_CERTS: Reason = 11;
/// The `SSL_CTX` of the server can be added to.
pub const LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: Reason = 12;
/// Whether to accept a certificate of a client.
pub const LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION: Reason = 13;
/// A descriptor is to be polled from now on.
pub const LWS_CALLBACK_ADD_POLL_FD: Reason = 14;
/// A descriptor is not to be polled any more.
pub const LWS_CALLBACK_DEL_POLL_FD: Reason = 15;
/// Events to poll for on a descriptor besides those before.
pub const LWS_CALLBACK_SET_MODE_POLL_FD: Reason = 16;
/// Events not to poll for on a descriptor any more.
pub const LWS_CALLBACK_CLEAR_MODE_POLL_FD: Reason = 17;

/// `enum libwebsocket_write_protocol`: a kind in the low four bits, and flags.
pub type WriteProtocol = c_int;
/// A text message.
pub const LWS_WRITE_TEXT: WriteProtocol = 0;
/// A binary message.
pub const LWS_WRITE_BINARY: WriteProtocol = 1;
/// Bytes as they are.
pub const LWS_WRITE_HTTP: WriteProtocol = 2;
/// A Close.
pub const LWS_WRITE_CLOSE: WriteProtocol = 3;
/// A Ping.
pub const LWS_WRITE_PING: WriteProtocol = 4;
/// A Pong that nobody asked for.
pub const LWS_WRITE_PONG: WriteProtocol = 5;
/// Flag: the message goes on in the next write.
pub const LWS_WRITE_NO_FIN: WriteProtocol = 0x40;
/// Flag: a client masks with zeros.
pub const LWS_WRITE_CLIENT_IGNORE_XOR_MASK: WriteProtocol = 0x80;

/// `enum lws_token_indexes`: places in the array of [`lws_tokens`] that the protocol filter gets.
pub mod token {
    /// The request's target.
    pub const GET_URI: usize = 0;
    /// Host.
    pub const HOST: usize = 1;
    /// Connection.
    pub const CONNECTION: usize = 2;
    /// Sec-WebSocket-Key1.
    pub const KEY1: usize = 3;
    /// Sec-WebSocket-Key2.
    pub const KEY2: usize = 4;
    /// Sec-WebSocket-Protocol.
    pub const PROTOCOL: usize = 5;
    /// Upgrade.
    pub const UPGRADE: usize = 6;
    /// Origin.
    pub const ORIGIN: usize = 7;
    /// Sec-WebSocket-Draft.
    pub const DRAFT: usize = 8;
    /// The eight bytes behind the head of a hixie-76 request.
    pub const CHALLENGE: usize = 9;
    /// Sec-WebSocket-Key.
    pub const KEY: usize = 10;
    /// Sec-WebSocket-Version.
    pub const VERSION: usize = 11;
    /// Sec-WebSocket-Origin.
    pub const SWORIGIN: usize = 12;
    /// Sec-WebSocket-Extensions.
    pub const EXTENSIONS: usize = 13;
    /// Sec-WebSocket-Accept.
    pub const ACCEPT: usize = 14;
    /// Sec-WebSocket-Nonce.
    pub const NONCE: usize = 15;
    /// The status line of an answer.
    pub const HTTP: usize = 16;
    /// How many there are.
    pub const COUNT: usize = 17;
}

/// `enum lws_close_status`.
pub type CloseStatus = c_int;
/// No code.
pub const LWS_CLOSE_STATUS_NOSTATUS: CloseStatus = 0;
/// The purpose is fulfilled.
pub const LWS_CLOSE_STATUS_NORMAL: CloseStatus = 1000;
/// This end goes away.
pub const LWS_CLOSE_STATUS_GOINGAWAY: CloseStatus = 1001;
/// The peer broke the protocol.
pub const LWS_CLOSE_STATUS_PROTOCOL_ERR: CloseStatus = 1002;
/// The peer sent a kind of data that is not understood.
pub const LWS_CLOSE_STATUS_UNACCEPTABLE_OPCODE: CloseStatus = 1003;
/// The peer sent too much.
pub const LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE: CloseStatus = 1004;

/// `enum pending_timeout`.
pub type PendingTimeout = c_int;
/// Takes a timeout back.
pub const NO_PENDING_TIMEOUT: PendingTimeout = 0;
/// A proxy is to answer.
pub const PENDING_TIMEOUT_AWAITING_PROXY_RESPONSE: PendingTimeout = 1;
/// A connection is to come about.
pub const PENDING_TIMEOUT_ESTABLISH_WITH_SERVER: PendingTimeout = 2;
/// A server is to answer.
pub const PENDING_TIMEOUT_AWAITING_SERVER_RESPONSE: PendingTimeout = 3;
/// A ping is to be answered.
pub const PENDING_TIMEOUT_AWAITING_PING: PendingTimeout = 4;

/// A connection; never looked into, by nobody.
#[repr(C)]
#[derive(Debug)]
pub struct libwebsocket {
    opaque: [u8; 0],
}

/// A context; never looked into, by nobody.
#[repr(C)]
#[derive(Debug)]
pub struct libwebsocket_context {
    opaque: [u8; 0],
}

/// A callback of the program.
pub type Callback = unsafe extern "C" fn(
    context: *mut libwebsocket_context,
    wsi: *mut libwebsocket,
    reason: Reason,
    user: *mut c_void,
    data: *mut c_void,
    len: usize,
) -> c_int;

/// One protocol of the program. The array of them belongs to the program, ends with an entry
/// without a callback, and outlives the context.
#[repr(C)]
#[derive(Debug)]
pub struct libwebsocket_protocols {
    /// What clients call it; null serves those who call none.
    pub name: *const c_char,
    /// What is told of its connections.
    pub callback: Option<Callback>,
    /// Bytes of memory that each connection gets.
    pub per_session_data_size: usize,
    /// Written by this library.
    pub owning_server: *mut libwebsocket_context,
    /// Written by this library.
    pub broadcast_socket_port: c_int,
    /// Written by this library.
    pub broadcast_socket_user_fd: c_int,
    /// Written by this library.
    pub protocol_index: c_int,
}

/// One header of a handshake, or nothing if `token` is null.
#[repr(C)]
#[derive(Debug)]
pub struct lws_tokens {
    /// The value, with a NUL behind it.
    pub token: *mut c_char,
    /// Its length without the NUL.
    pub token_len: c_int,
}
