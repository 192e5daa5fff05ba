//! A program of the time: protocols, a context, a callback that writes down what it is told and
//! does what the test wants.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::net::TcpListener;
use std::ptr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use websockets::abi::*;
use websockets::export::*;

pub(crate) type Wsi = *mut libwebsocket;
pub(crate) type Ctx = *mut libwebsocket_context;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Something that the program was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) protocol: usize,
    pub(crate) reason: Reason,
    pub(crate) context: Ctx,
    pub(crate) wsi: Wsi,
    pub(crate) user: *mut c_void,
    pub(crate) input: *mut c_void,
    pub(crate) data: Vec<u8>,
    pub(crate) len: usize,
}

impl Told {
    pub(crate) fn fd(&self) -> c_int {
        c_int::try_from(self.user.addr()).unwrap()
    }
}

type Hook = Rc<dyn Fn(&Told) -> c_int>;

#[derive(Default)]
struct World {
    told: Vec<Told>,
    hook: Option<Hook>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

unsafe extern "C" fn callback<const P: usize>(
    context: Ctx,
    wsi: Wsi,
    reason: Reason,
    user: *mut c_void,
    input: *mut c_void,
    len: usize,
) -> c_int {
    let data = if input.is_null() || reason == LWS_CALLBACK_OPENSSL_PERFORM_CLIENT_CERT_VERIFICATION
    {
        Vec::new()
    } else if reason == LWS_CALLBACK_HTTP {
        // SAFETY: the URI is a string.
        unsafe { CStr::from_ptr(input.cast()) }.to_bytes().to_vec()
    } else {
        // SAFETY: so many bytes are promised.
        unsafe { std::slice::from_raw_parts(input.cast::<u8>(), len) }.to_vec()
    };
    let told = Told {
        protocol: P,
        reason,
        context,
        wsi,
        user,
        input,
        data,
        len,
    };
    let hook = WORLD.with_borrow_mut(|world| {
        world.told.push(told.clone());
        world.hook.clone()
    });
    hook.map_or(0, |hook| hook(&told))
}

/// What is done at every callback from now on.
pub(crate) fn on_callback(hook: impl Fn(&Told) -> c_int + 'static) {
    WORLD.with_borrow_mut(|world| world.hook = Some(Rc::new(hook)));
}

/// Everything that was told so far.
pub(crate) fn told() -> Vec<Told> {
    WORLD.with_borrow(|world| world.told.clone())
}

/// What was told with one of these reasons.
pub(crate) fn told_of(reasons: &[Reason]) -> Vec<Told> {
    let mut told = told();
    told.retain(|told| reasons.contains(&told.reason));
    told
}

/// The reasons, as short words, of what was told about one connection.
pub(crate) fn story(wsi: Wsi) -> Vec<&'static str> {
    let told = told();
    let told = told.iter().filter(|told| told.wsi == wsi);
    told.map(|told| word(told.reason)).collect()
}

pub(crate) fn word(reason: Reason) -> &'static str {
    match reason {
        LWS_CALLBACK_ESTABLISHED => "established",
        LWS_CALLBACK_CLIENT_ESTABLISHED => "client established",
        LWS_CALLBACK_CLOSED => "closed",
        LWS_CALLBACK_RECEIVE => "receive",
        LWS_CALLBACK_CLIENT_RECEIVE => "client receive",
        LWS_CALLBACK_CLIENT_RECEIVE_PONG => "pong",
        LWS_CALLBACK_CLIENT_WRITEABLE => "writeable",
        LWS_CALLBACK_HTTP => "http",
        LWS_CALLBACK_BROADCAST => "broadcast",
        LWS_CALLBACK_FILTER_NETWORK_CONNECTION => "filter network",
        LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION => "filter protocol",
        LWS_CALLBACK_ADD_POLL_FD => "add",
        LWS_CALLBACK_DEL_POLL_FD => "del",
        LWS_CALLBACK_SET_MODE_POLL_FD => "set",
        LWS_CALLBACK_CLEAR_MODE_POLL_FD => "clear",
        _ => "other",
    }
}

/// How a context is made.
pub(crate) struct Plan {
    pub(crate) listens: bool,
    pub(crate) names: Vec<Option<&'static CStr>>,
    pub(crate) session_len: usize,
    pub(crate) options: u32,
    pub(crate) interface: Option<&'static CStr>,
    pub(crate) files: Option<(CString, CString)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            listens: true,
            names: vec![Some(c"http-only"), Some(c"one"), Some(c"two")],
            session_len: 40,
            options: 0,
            interface: Some(c"lo"),
            files: None,
        }
    }
}

/// A context and its surroundings. Ends with the test.
pub(crate) struct Program {
    pub(crate) context: Ctx,
    pub(crate) port: u16,
    pub(crate) protocols: *mut libwebsocket_protocols,
    count: usize,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self::with(Plan::default())
    }

    pub(crate) fn with(plan: Plan) -> Self {
        Self::try_with(&plan, 10).expect("a context")
    }

    /// `None` if the library refuses, so many times: a port may be taken meanwhile.
    pub(crate) fn try_with(plan: &Plan, attempts: usize) -> Option<Self> {
        WORLD.with_borrow_mut(|world| world.told.clear());
        let callbacks: [Callback; 4] = [callback::<0>, callback::<1>, callback::<2>, callback::<3>];
        let mut protocols: Vec<_> = plan
            .names
            .iter()
            .zip(callbacks)
            .map(|(name, callback)| libwebsocket_protocols {
                name: name.map_or(ptr::null(), CStr::as_ptr),
                callback: Some(callback),
                per_session_data_size: plan.session_len,
                owning_server: ptr::null_mut(),
                broadcast_socket_port: -1,
                broadcast_socket_user_fd: -1,
                protocol_index: -1,
            })
            .collect();
        protocols.push(libwebsocket_protocols {
            name: ptr::null(),
            callback: None,
            per_session_data_size: 0,
            owning_server: ptr::null_mut(),
            broadcast_socket_port: 0,
            broadcast_socket_user_fd: 0,
            protocol_index: 0,
        });
        let count = protocols.len();
        let protocols = Box::into_raw(protocols.into_boxed_slice()).cast();
        let file = |file: Option<&CString>| file.map_or(ptr::null(), |file| file.as_ptr());
        for _ in 0..attempts {
            let port = if plan.listens { free_port() } else { 0 };
            // SAFETY: strings and array live long enough.
            let context = unsafe {
                libwebsocket_create_context(
                    c_int::from(port),
                    plan.interface.map_or(ptr::null(), CStr::as_ptr),
                    protocols,
                    file(plan.files.as_ref().map(|files| &files.0)),
                    file(plan.files.as_ref().map(|files| &files.1)),
                    -1,
                    -1,
                    plan.options,
                )
            };
            if !context.is_null() {
                return Some(Self {
                    context,
                    port,
                    protocols,
                    count,
                });
            }
        }
        None
    }

    pub(crate) fn protocol(&self, index: usize) -> *mut libwebsocket_protocols {
        assert!(index < self.count);
        // SAFETY: within the array.
        unsafe { self.protocols.add(index) }
    }

    pub(crate) fn service(&self, timeout_ms: c_int) -> c_int {
        // SAFETY: the context is a handle.
        unsafe { libwebsocket_service(self.context, timeout_ms) }
    }

    /// Serves until something has happened.
    pub(crate) fn until(&self, what: &str, mut happened: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !happened() {
            assert!(
                Instant::now() < deadline,
                "{what} did not happen: {:#?}",
                summary()
            );
            assert_eq!(self.service(10), 0);
        }
    }

    /// Serves until this was told, and returns the first of it.
    pub(crate) fn until_told(&self, reason: Reason) -> Told {
        self.until(word(reason), || !told_of(&[reason]).is_empty());
        told_of(&[reason]).remove(0)
    }

    pub(crate) fn connect(&self, protocol: Option<&CStr>) -> Wsi {
        self.connect_with(0, protocol, -1)
    }

    pub(crate) fn connect_with(&self, tls: c_int, protocol: Option<&CStr>, version: c_int) -> Wsi {
        // SAFETY: strings live long enough.
        unsafe {
            libwebsocket_client_connect(
                self.context,
                c"127.0.0.1".as_ptr(),
                c_int::from(self.port),
                tls,
                c"/".as_ptr(),
                c"localhost".as_ptr(),
                c"http://localhost".as_ptr(),
                protocol.map_or(ptr::null(), CStr::as_ptr),
                version,
            )
        }
    }

    /// A connection of a client in the same context, open on both sides: the client, the server.
    pub(crate) fn pair(&self, protocol: &CStr) -> (Wsi, Wsi) {
        let before = told_of(&[LWS_CALLBACK_ESTABLISHED]).len();
        let client = self.connect(Some(protocol));
        assert!(!client.is_null());
        self.until("both sides open", || {
            let opened = told_of(&[LWS_CALLBACK_CLIENT_ESTABLISHED]);
            opened.iter().any(|told| told.wsi == client)
                && told_of(&[LWS_CALLBACK_ESTABLISHED]).len() > before
        });
        let server = told_of(&[LWS_CALLBACK_ESTABLISHED]).pop().unwrap().wsi;
        (client, server)
    }

    pub(crate) fn destroy(&self) {
        // SAFETY: the context is a handle, live or not.
        unsafe { libwebsocket_context_destroy(self.context) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.destroy();
        let slice = ptr::slice_from_raw_parts_mut(self.protocols, self.count);
        // SAFETY: made by `Box::into_raw`; the context is over.
        drop(unsafe { Box::from_raw(slice) });
        WORLD.with_borrow_mut(|world| world.hook = None);
    }
}

fn summary() -> Vec<String> {
    let told = told();
    told.iter()
        .map(|told| {
            format!(
                "{}: {} {:?} {}",
                told.protocol,
                word(told.reason),
                told.wsi,
                told.len
            )
        })
        .collect()
}

/// A port that was free just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Sends, as programs do: with room around the data.
pub(crate) fn write(wsi: Wsi, data: &[u8], how: WriteProtocol) -> c_int {
    let mut buffer = vec![0xaa_u8; LWS_SEND_BUFFER_PRE_PADDING];
    buffer.extend_from_slice(data);
    buffer.resize(buffer.len() + LWS_SEND_BUFFER_POST_PADDING, 0xaa);
    let before = buffer.clone();
    // SAFETY: the buffer has the data and the room.
    let result = unsafe {
        let start = buffer.as_mut_ptr().add(LWS_SEND_BUFFER_PRE_PADDING);
        libwebsocket_write(wsi, start, data.len(), how)
    };
    assert_eq!(buffer, before, "a buffer stays as it was");
    result
}

/// The descriptor of a connection.
pub(crate) fn fd_of(wsi: Wsi) -> c_int {
    // SAFETY: a handle, live or not.
    unsafe { libwebsocket_get_socket_fd(wsi) }
}

/// The protocol of a connection.
pub(crate) fn protocol_of(wsi: Wsi) -> *const libwebsocket_protocols {
    // SAFETY: a handle, live or not.
    unsafe { libwebsockets_get_protocol(wsi) }
}

/// Asks for room.
pub(crate) fn want_room(wsi: Wsi) -> c_int {
    // SAFETY: a handle, live or not; the context is not looked at.
    unsafe { libwebsocket_callback_on_writable(ptr::null_mut(), wsi) }
}

/// Stops receiving, or goes on.
pub(crate) fn flow(wsi: Wsi, enable: bool) -> c_int {
    // SAFETY: a handle, live or not.
    unsafe { libwebsocket_rx_flow_control(wsi, c_int::from(enable)) }
}

/// Bytes of the frame that are still to come.
pub(crate) fn remaining(wsi: Wsi) -> usize {
    // SAFETY: a handle, live or not.
    unsafe { libwebsockets_remaining_packet_payload(wsi) }
}

/// Sets a timeout.
pub(crate) fn set_timeout(wsi: Wsi, reason: PendingTimeout, secs: c_int) {
    // SAFETY: a handle, live or not.
    unsafe { libwebsocket_set_timeout(wsi, reason, secs) }
}

/// Ends a connection.
pub(crate) fn close(wsi: Wsi, status: CloseStatus) {
    // SAFETY: a handle, live or not; the context is not looked at.
    unsafe { libwebsocket_close_and_free_session(ptr::null_mut(), wsi, status) }
}

/// A string of C.
pub(crate) fn text(pointer: *const c_char) -> String {
    // SAFETY: the callers give strings.
    unsafe { CStr::from_ptr(pointer) }
        .to_str()
        .unwrap()
        .to_owned()
}
