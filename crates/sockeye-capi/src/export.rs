//! The functions that C programs call. Each looks up what it is given, does its work in the module
//! that has the subject, and never lets a panic out: it returns what it returns in vain.
//!
//! What is not a live handle names nothing here, null included, and the function then does nothing.

#![allow(unsafe_code, reason = "names and pointers of C")]
#![allow(
    clippy::missing_safety_doc,
    reason = "the contract is that of C: strings end with NUL, buffers are as long as is said, arrays \
              of protocols end with an entry without a callback"
)]

use std::ffi::{CStr, c_char, c_int, c_uchar, c_uint};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;

use libc::pollfd;

use crate::abi::{
    CloseStatus, PendingTimeout, WriteProtocol, libwebsocket, libwebsocket_context,
    libwebsocket_protocols,
};
use crate::context::{CONTEXTS, Context, Home};
use crate::handle::Handle;
use crate::record::{CONNECTIONS, Record};
use crate::{broadcast, close, connect, create, fork, peer, service};

/// Runs a function of the API. Should it panic, which would be our fault, the program gets what
/// it gets in vain.
fn guarded<R>(in_vain: R, f: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(in_vain)
}

fn home_of(context: *const libwebsocket_context) -> Option<Arc<Home>> {
    CONTEXTS.get(Handle::of(context))
}

/// Does something with a connection; `in_vain` if there is none, or not in this process.
fn with_connection<R>(
    wsi: *const libwebsocket,
    in_vain: R,
    f: impl FnOnce(&Context, &Arc<Record>) -> R,
) -> R {
    let found = CONNECTIONS.get(Handle::of(wsi));
    let Some(record) = found else { return in_vain };
    let Some(home) = record.home.upgrade().filter(|home| home.is_ours()) else {
        return in_vain;
    };
    let context = home.enter();
    let result = f(&context, &record);
    context.settle();
    result
}

/// Does something with a context, if it is one.
fn with_context<R>(
    context: *const libwebsocket_context,
    in_vain: R,
    f: impl FnOnce(&Context) -> R,
) -> R {
    let Some(home) = home_of(context).filter(|home| home.is_ours()) else {
        return in_vain;
    };
    let context = home.enter();
    let result = f(&context);
    context.settle();
    result
}

/// The context of a program's protocol, and its place there.
///
/// # Safety
///
/// `protocol` is null or an entry of a program's array.
unsafe fn owner_of(protocol: *const libwebsocket_protocols) -> Option<(Arc<Home>, usize)> {
    if protocol.is_null() {
        return None;
    }
    // SAFETY: it is an entry of a program's array, and what it holds here is an address that is only
    // looked at as a number.
    let owner = unsafe { (*protocol).owning_server };
    let home = home_of(owner)?;
    let index = home.position_of(protocol)?;
    Some((home, index))
}

/// # Safety
///
/// `text` is null or ends with NUL, and stays as it is until the result is dropped.
unsafe fn text<'t>(text: *const c_char) -> Option<&'t CStr> {
    // SAFETY: as the caller says.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) })
}

/// As [`text`], for what goes into a request; `Err` if it is no UTF-8.
///
/// # Safety
///
/// As for [`text`].
unsafe fn string(text: *const c_char) -> Result<Option<String>, ()> {
    // SAFETY: as the caller says.
    let text = unsafe { self::text(text) };
    let text = text.map(|text| text.to_str().map(str::to_owned));
    text.transpose().map_err(|_| ())
}

/// # Safety
///
/// As for [`text`].
unsafe fn path(text: *const c_char) -> Option<PathBuf> {
    // SAFETY: as the caller says.
    let text = unsafe { self::text(text) }?;
    Some(std::ffi::OsStr::from_bytes(text.to_bytes()).into())
}

/// Makes a context: a listener on `port` (0: none) of all IPv4 addresses or of a network interface,
/// with TLS if there are both a certificate and a key, and the given protocols. Then becomes group
/// and user, unless they are -1. Null if any of it fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_create_context(
    port: c_int,
    interface: *const c_char,
    protocols: *mut libwebsocket_protocols,
    ssl_cert_filepath: *const c_char,
    ssl_private_key_filepath: *const c_char,
    gid: c_int,
    uid: c_int,
    options: c_uint,
) -> *mut libwebsocket_context {
    guarded(ptr::null_mut(), || {
        let Ok(port) = u16::try_from(port) else {
            return ptr::null_mut();
        };
        // SAFETY: the program's strings.
        let (interface, chain, key) = unsafe {
            let Ok(interface) = string(interface) else {
                return ptr::null_mut();
            };
            (
                interface,
                path(ssl_cert_filepath),
                path(ssl_private_key_filepath),
            )
        };
        let id = |id: c_int| (id != -1).then_some(id.cast_unsigned());
        let home = create::create(&create::Wanted {
            port: (port != 0).then_some(port),
            interface,
            protocols,
            files: chain.zip(key),
            gid: id(gid),
            uid: id(uid),
            options,
        });
        home.map_or(ptr::null_mut(), |home| home.enter().pointer())
    })
}

/// Ends all connections of a context, with 1001, and the context. None of its names means anything
/// any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_context_destroy(context: *mut libwebsocket_context) {
    guarded((), || {
        if let Some(home) = home_of(context) {
            match home.is_ours() {
                true => create::destroy(&home.enter()),
                false => fork::forget(&home),
            }
        }
    });
}

/// Forks a process that serves from now on; the caller goes on with 0. Negative if that fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_fork_service_loop(
    context: *mut libwebsocket_context,
) -> c_int {
    guarded(-1, || {
        home_of(context).map_or(-1, |home| fork::fork_service_loop(&home))
    })
}

/// Waits at most `timeout_ms` milliseconds (negative: without end) and serves what is ready. 0, or
/// 1 if a signal or an error came between.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_service(
    context: *mut libwebsocket_context,
    timeout_ms: c_int,
) -> c_int {
    guarded(1, || {
        home_of(context).map_or(1, |home| service::service(&home, timeout_ms))
    })
}

/// Serves the descriptor of an entry that the program's own `poll` reported. 0, or 1 if it is none
/// of the context's or its connection is over now. Null: only what is due by time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_service_fd(
    context: *mut libwebsocket_context,
    pollfd: *mut pollfd,
) -> c_int {
    guarded(1, || {
        let Some(home) = home_of(context).filter(|home| home.is_ours()) else {
            return 1;
        };
        // SAFETY: null or the program's entry, which nothing moves before the first callback.
        let found = (!pollfd.is_null()).then(|| unsafe { pollfd.read() });
        service::service_fd(&home, found, &mut |events| {
            // SAFETY: as above: no callback has been made yet.
            unsafe { (*pollfd).events = events }
        })
    })
}

/// Sends `len` bytes in the way that `protocol` says. 0, or -1 if they will not be sent. `buf` is
/// not written to, nor is what is around it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_write(
    wsi: *mut libwebsocket,
    buf: *mut c_uchar,
    len: usize,
    protocol: WriteProtocol,
) -> c_int {
    guarded(-1, || {
        let data = match (buf.is_null(), len) {
            (_, 0) => &[][..],
            (true, _) => return -1,
            _ if isize::try_from(len).is_err() => return -1,
            // SAFETY: the program's buffer of `len` bytes. No callback is made while it is borrowed.
            _ => unsafe { std::slice::from_raw_parts(buf, len) },
        };
        let queued = with_connection(wsi, false, |context, record| {
            context.write(record, data, protocol)
        });
        if queued { 0 } else { -1 }
    })
}

/// Answers a request with a file. 0, or -1 if it cannot be opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_serve_http_file(
    wsi: *mut libwebsocket,
    file: *const c_char,
    content_type: *const c_char,
) -> c_int {
    guarded(-1, || {
        // SAFETY: the program's strings.
        let (file, content_type) = unsafe { (path(file), text(content_type)) };
        let content_type = content_type.map_or(&b""[..], CStr::to_bytes);
        with_connection(wsi, -1, |context, record| {
            context.serve_file(record, file.as_deref(), content_type)
        })
    })
}

/// Calls `LWS_CALLBACK_BROADCAST` for every established server connection of a protocol. 0, or -1
/// if that is not possible from here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_broadcast(
    protocol: *const libwebsocket_protocols,
    buf: *mut c_uchar,
    len: usize,
) -> c_int {
    guarded(-1, || {
        if buf.is_null() && len > 0 {
            return -1;
        }
        // SAFETY: an entry of the program's array.
        let Some((home, index)) = (unsafe { owner_of(protocol) }) else {
            return -1;
        };
        broadcast::broadcast(&home, index, buf.cast(), len)
    })
}

/// The protocol of a connection: the program's first one before a server's handshake, null before
/// a client's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_get_protocol(
    wsi: *mut libwebsocket,
) -> *const libwebsocket_protocols {
    guarded(ptr::null(), || {
        with_connection(wsi, ptr::null(), |context, record| {
            let index = record.protocol.get();
            index.map_or(ptr::null(), |index| context.entry(index))
        })
    })
}

/// Asks for one `LWS_CALLBACK_CLIENT_WRITEABLE`, when there is room. 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_callback_on_writable(
    _context: *mut libwebsocket_context,
    wsi: *mut libwebsocket,
) -> c_int {
    guarded(1, || {
        with_connection(wsi, 1, |context, record| {
            context.want_room(record);
            1
        })
    })
}

/// Asks for that on every established connection of a protocol. 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_callback_on_writable_all_protocol(
    protocol: *const libwebsocket_protocols,
) -> c_int {
    guarded(0, || {
        // SAFETY: an entry of the program's array.
        let Some((home, index)) = (unsafe { owner_of(protocol) }) else {
            return 0;
        };
        if home.is_ours() {
            let context = home.enter();
            context.want_room_on_all(index);
            context.settle();
        }
        0
    })
}

/// The descriptor of a connection; -1 if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_get_socket_fd(wsi: *mut libwebsocket) -> c_int {
    guarded(-1, || with_connection(wsi, -1, |_, record| record.fd.get()))
}

/// Stops receiving (`enable` 0) or goes on. 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_rx_flow_control(
    wsi: *mut libwebsocket,
    enable: c_int,
) -> c_int {
    guarded(0, || {
        with_connection(wsi, 0, |context, record| {
            context.control_flow(record, enable != 0);
            0
        })
    })
}

/// Bytes of the present frame behind those that were handed over last.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_remaining_packet_payload(wsi: *mut libwebsocket) -> usize {
    guarded(0, || {
        with_connection(wsi, 0, |_, record| {
            usize::try_from(record.remaining.get()).unwrap_or(usize::MAX)
        })
    })
}

/// Connects to a server. Waits for the connection, not for the handshake; null if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_client_connect(
    context: *mut libwebsocket_context,
    address: *const c_char,
    port: c_int,
    ssl_connection: c_int,
    path: *const c_char,
    host: *const c_char,
    origin: *const c_char,
    protocol: *const c_char,
    ietf_version_or_minus_one: c_int,
) -> *mut libwebsocket {
    guarded(ptr::null_mut(), || {
        // SAFETY: the program's strings.
        let texts = unsafe {
            (
                string(address),
                string(path),
                string(host),
                string(origin),
                string(protocol),
            )
        };
        let (Ok(Some(address)), Ok(Some(path)), Ok(host), Ok(origin), Ok(protocols)) = texts else {
            return ptr::null_mut();
        };
        let Some(port) = u16::try_from(port).ok().filter(|port| *port != 0) else {
            return ptr::null_mut();
        };
        let wanted = connect::Wanted {
            address,
            port,
            tls: ssl_connection,
            path,
            host,
            origin,
            protocols,
            version: ietf_version_or_minus_one,
        };
        with_context(context, ptr::null_mut(), |context| {
            let record = context.connect(&wanted);
            record.map_or(ptr::null_mut(), |record| record.handle.pointer())
        })
    })
}

/// The full name of this machine, for as long as the context lives; empty if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_canonical_hostname(
    context: *mut libwebsocket_context,
) -> *const c_char {
    guarded(c"".as_ptr(), || match home_of(context) {
        Some(home) => home.enter().hostname.as_ptr(),
        None => c"".as_ptr(),
    })
}

/// Writes the name and the address of a socket's peer, cut to the room there is. Waits for the name
/// service if there is room for a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_get_peer_addresses(
    fd: c_int,
    name: *mut c_char,
    name_len: c_int,
    rip: *mut c_char,
    rip_len: c_int,
) {
    let room = |buffer: *mut c_char, len: c_int| match buffer.is_null() {
        true => 0,
        false => usize::try_from(len).unwrap_or(0),
    };
    let (name_room, rip_room) = (room(name, name_len), room(rip, rip_len));
    guarded((), || {
        // SAFETY: the program's buffers, as long as it says.
        unsafe {
            put(name, name_room, "");
            put(rip, rip_room, "");
        }
        let (found_name, found_address) = peer::peer_of(fd, name_room > 1);
        // SAFETY: as above.
        unsafe {
            put(name, name_room, &found_name);
            put(rip, rip_room, &found_address);
        }
    });
}

/// Writes a text and a NUL, or as much of it as fits.
///
/// # Safety
///
/// `buffer` has room for `room` bytes.
unsafe fn put(buffer: *mut c_char, room: usize, text: &str) {
    let Some(len) = room.checked_sub(1) else {
        return;
    };
    let len = len.min(text.len());
    // SAFETY: `len` is less than `room`, and at most what there is of the text.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr().cast(), buffer, len);
        buffer.add(len).write(0);
    }
}

/// Ends the connection that has this descriptor, if there is one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsockets_hangup_on_client(
    context: *mut libwebsocket_context,
    fd: c_int,
) {
    guarded((), || {
        with_context(context, (), |context| context.hang_up_on(fd));
    });
}

/// Ends a connection with a Close that has this code, or none. What there is to be told is told
/// before this returns, and then the connection has no name any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_close_and_free_session(
    _context: *mut libwebsocket_context,
    wsi: *mut libwebsocket,
    status: CloseStatus,
) {
    guarded((), || {
        with_connection(wsi, (), |context, record| {
            context.end(record, close::close_code(status));
        });
    });
}

/// Ends a connection so many seconds from now, unless that is taken back (reason 0) or set anew.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn libwebsocket_set_timeout(
    wsi: *mut libwebsocket,
    reason: PendingTimeout,
    secs: c_int,
) {
    guarded((), || {
        with_connection(wsi, (), |context, record| {
            context.set_timeout(record, reason, secs);
        });
    });
}
