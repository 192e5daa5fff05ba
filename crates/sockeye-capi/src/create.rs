//! Contexts begin and end here.

#![allow(unsafe_code, reason = "the program's array of protocols")]

use std::ffi::{CStr, CString};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use sockeye::bus;
use sockeye::net::{Bind, canonical_hostname};
use sockeye::poll::Token;
use sockeye::{CloseCode, Engine, Limits, OriginPolicy};

use crate::abi::{
    LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK, LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT,
    libwebsocket_protocols,
};
use crate::bridge::Bridge;
use crate::broadcast;
use crate::connect::HttpProxy;
use crate::context::{CONTEXTS, Context, Home, ProgramProtocol, Settings};
use crate::log;
use crate::record::CONNECTIONS;
use crate::tls::{self, Tls};
use crate::watch::{Kind, SharedWatchList, WatchList};

/// What the program wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    /// `None`: no listener.
    pub(crate) port: Option<u16>,
    pub(crate) interface: Option<String>,
    pub(crate) protocols: *mut libwebsocket_protocols,
    pub(crate) files: Option<(std::path::PathBuf, std::path::PathBuf)>,
    pub(crate) gid: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) options: u32,
}

/// What the hidden set is called. No connection has this name, and no listener.
const HIDDEN: Token = Token(u64::MAX);

/// Makes a context; what it says about descriptors is told before this returns.
pub(crate) fn create(wanted: &Wanted) -> Option<Arc<Home>> {
    match try_create(wanted) {
        Ok(home) => Some(home),
        Err(why) => {
            log::refused("cannot make a context", why);
            None
        }
    }
}

fn try_create(wanted: &Wanted) -> Result<Arc<Home>, String> {
    // SAFETY: the array is the program's, and ends with an entry without a callback.
    let protocols = unsafe { read_protocols(wanted.protocols) };
    if protocols.is_empty() {
        return Err("there is no protocol".to_owned());
    }
    let hostname = CString::new(canonical_hostname()).unwrap_or_default();
    let settings = Settings {
        hostname,
        proxy: HttpProxy::from_environment()?,
    };
    let watch = WatchList::new(HIDDEN).map_err(|error| error.to_string())?;
    let array = wanted.protocols;
    let make = |handle| Home::new(|| Context::new(handle, array, protocols, watch, settings));
    let home = CONTEXTS.insert(make).ok_or("there are too many contexts")?;
    let context = home.enter();
    context.home.replace(Arc::downgrade(&home));
    match complete(&context, &Arc::downgrade(&home), wanted) {
        Ok(()) => {
            context.settle();
            drop(context);
            Ok(home)
        }
        Err(why) => {
            destroy(&context);
            Err(why)
        }
    }
}

/// # Safety
///
/// `first` is null or the first entry of an array that ends with one without a callback.
unsafe fn read_protocols(first: *const libwebsocket_protocols) -> Vec<ProgramProtocol> {
    let mut protocols = Vec::new();
    if first.is_null() {
        return protocols;
    }
    loop {
        // SAFETY: the entries before this one had callbacks, so this one is in the array.
        let entry = unsafe { &*first.add(protocols.len()) };
        let Some(callback) = entry.callback else {
            return protocols;
        };
        let name = (!entry.name.is_null())
            // SAFETY: the name is a string of the program.
            .then(|| unsafe { CStr::from_ptr(entry.name) }.to_owned());
        protocols.push(ProgramProtocol {
            name,
            callback,
            session_len: entry.per_session_data_size,
        });
    }
}

fn complete(context: &Context, home: &Weak<Home>, wanted: &Wanted) -> Result<(), String> {
    let asks = |option| wanted.options & option != 0;
    let (tls, server_tls) = Tls::new(
        home,
        &tls::Wanted {
            files: wanted.files.clone().filter(|_| wanted.port.is_some()),
            verify_clients: asks(LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT),
        },
    )?;
    context.tls.replace(tls);
    let told = |error: sockeye::Error| error.to_string();
    let registrar = SharedWatchList(context.watch.clone());
    let mut engine = Engine::builder()
        .limits(limits())
        .registrar(registrar)
        .build()
        .map_err(told)?;
    let key = engine.host(Bridge::new(Weak::clone(home)));
    let (sender, receiver) =
        bus::channel(engine.core().limits()).map_err(|error| error.to_string())?;
    engine.attach(key, receiver).map_err(told)?;
    if let Some(home) = home.upgrade() {
        home.set_sender(Some(sender));
    }
    context
        .unmasked
        .set(asks(LWS_SERVER_OPTION_DEFEAT_CLIENT_MASK));
    if let Some(port) = wanted.port {
        let bind = match &wanted.interface {
            Some(name) => Bind::Interface {
                name: name.clone(),
                port,
            },
            None => Bind::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        };
        context.watch.borrow_mut().adding = Kind::Listener;
        let gate = Weak::clone(home);
        let listener = engine
            .listen(bind)
            .map_err(told)?
            .route("*", key)
            .origin(OriginPolicy::Any)
            .drafts(true)
            .gate(move |core, arrival| {
                let Some(home) = gate.upgrade() else {
                    return false;
                };
                let context = home.enter();
                !context.is_over.get() && context.lend(core, || context.filter_network(arrival.fd))
            });
        if let Some(tls) = server_tls {
            listener.tls(tls);
        }
    }
    context.watch.borrow_mut().adding = Kind::Connection;
    context.house(engine, key);
    context.tell_news();
    if wanted.uid.is_some() || wanted.gid.is_some() {
        let dropped = context.with_engine(|engine| engine.drop_privileges(wanted.uid, wanted.gid));
        match dropped {
            Some(Ok(())) => {}
            Some(Err(error)) => return Err(told(error)),
            None => return Err("called from within itself".to_owned()),
        }
    }
    context.name_protocols();
    context.watch.borrow_mut().show_hidden();
    context.tell_news();
    Ok(())
}

/// Those of 2011, where they were any, and the engine's.
fn limits() -> Limits {
    Limits {
        // Programs of the time do not expect pongs to pings that they never sent, and the peers of
        // the time do not understand empty frames.
        ping_interval: None,
        // A piece of a message is 4096 bytes; what is read beyond must be kept if it is not wanted.
        read_per_turn: 64 * 1024,
        bus_message_len: broadcast::MESSAGE_LEN,
        ..Limits::default()
    }
}

impl Context {
    /// Writes into the program's array what belongs to the library there.
    fn name_protocols(&self) {
        for index in 0..self.protocols.len() {
            // SAFETY: as many entries were there when the context was made, and the array lives and
            // is writable as long as the context. One field is written at a time, so that nothing
            // is borrowed.
            unsafe {
                let entry = self.array.add(index);
                (*entry).owning_server = self.pointer();
                (*entry).protocol_index = i32::try_from(index).unwrap_or(i32::MAX);
                (*entry).broadcast_socket_port = 0;
                (*entry).broadcast_socket_user_fd = 0;
            }
        }
    }

    /// Tells the program by which descriptor its broadcasts go to the process that serves.
    pub(crate) fn name_sender(&self) {
        let home = self.home.borrow().upgrade();
        let Some(sender) = home.and_then(|home| home.sender()) else {
            return;
        };
        let fd = sender.as_fd().as_raw_fd();
        for index in 0..self.protocols.len() {
            // SAFETY: as in `name_protocols`.
            unsafe { (*self.array.add(index)).broadcast_socket_user_fd = fd };
        }
    }

    /// The program's entry of a protocol.
    pub(crate) fn entry(&self, index: usize) -> *const libwebsocket_protocols {
        self.array.wrapping_add(index)
    }
}

/// Ends a context: all its connections, its listener, and its name.
pub(crate) fn destroy(context: &Context) {
    if context.is_over.replace(true) {
        return;
    }
    for record in context.all_records() {
        context.end(&record, Some(CloseCode::GOING_AWAY));
    }
    context.with_engine(|engine| engine.flush(Instant::now()));
    context.watch.borrow_mut().hide_fixtures();
    context.tell_news();
    context.is_mute.set(true);
    for (_, record) in context.fixtures.take() {
        CONNECTIONS.remove(record.handle);
    }
    CONTEXTS.remove(context.handle);
    if context.is_waiting.get() {
        context.watch.borrow().set_timer(Some(Duration::ZERO));
    }
    // While it is at work it goes with the context, when whoever is in has left.
    drop(context.evict());
    context.watch.borrow_mut().forget_news();
}
