//! One context: an engine, the program's protocols, and the way in between for calls and callbacks.
//!
//! Calls of the program come in by [`Home::enter`], which keeps other threads out; callbacks go out
//! by [`Context::call`]. While the engine calls us, it lends its core, and calls of the program from
//! within its callbacks reach the core by that loan; otherwise they reach it through the engine. No
//! reference to engine or core is held while C code runs: each use is a short borrow that ends
//! before anything is called.
//!
//! What the program is to be told about descriptors waits in the watch list and is told before
//! anything else is, and before a call returns.

#![allow(unsafe_code, reason = "hands the engine to whoever has the lock")]

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::{BTreeSet, HashMap};
use std::ffi::{CString, c_int, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, ReentrantMutex, ReentrantMutexGuard};
use sockeye::bus::Sender;
use sockeye::poll::Token;
use sockeye::{ConnId, Core, Engine, ProtocolKey};

use crate::abi::{
    Callback, LWS_CALLBACK_ADD_POLL_FD, LWS_CALLBACK_CLEAR_MODE_POLL_FD, LWS_CALLBACK_DEL_POLL_FD,
    LWS_CALLBACK_SET_MODE_POLL_FD, Reason, libwebsocket_context, libwebsocket_protocols,
};
use crate::bridge::Bridge;
use crate::connect::HttpProxy;
use crate::handle::{Family, Handle, Registry};
use crate::memory::Padded;
use crate::process;
use crate::record::{CONNECTIONS, Record, Side, State};
use crate::tls::Tls;
use crate::watch::{Kind, News, WatchList};

/// All contexts of this process.
pub(crate) static CONTEXTS: Registry<Home> = Registry::new(Family::Context);

/// A context and its lock.
#[derive(Debug)]
pub(crate) struct Home {
    /// The process that serves it; 0: another one.
    process: AtomicU32,
    /// The way to the process that serves, for all others. Not below the context's lock, which
    /// another thread may have had when this process was forked off.
    sender: Mutex<Option<Arc<Sender>>>,
    /// The address of the program's array, and how many protocols are in it.
    array: (usize, usize),
    context: ReentrantMutex<Context>,
}

// SAFETY: a context is not `Send` for three reasons: it points to the program's protocols, which
// the program lets any thread use that calls; it shares its watch list with its engine by `Rc`; and
// the engine holds values without `Send`, all of which are of this crate. Nothing of the last two
// ever leaves the context, so whoever has the lock has all of it, and nothing is bound to a thread.
unsafe impl Send for Context {}

/// A call that is under way.
pub(crate) type Entered<'h> = ReentrantMutexGuard<'h, Context>;

impl Home {
    pub(crate) fn new(make: impl FnOnce() -> Context) -> Self {
        let context = make();
        Self {
            process: AtomicU32::new(process::id()),
            sender: Mutex::new(None),
            array: (context.array.addr(), context.protocols.len()),
            context: ReentrantMutex::new(context),
        }
    }

    /// Waits until no other thread is in. The same thread may be.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.context.lock()
    }

    /// Whether this is the process that serves the context.
    pub(crate) fn is_ours(&self) -> bool {
        self.process.load(Ordering::Relaxed) == process::id()
    }

    /// Makes this process the one that serves it.
    pub(crate) fn adopt(&self) {
        self.process.store(process::id(), Ordering::Relaxed);
    }

    /// Leaves the service to another process.
    pub(crate) fn leave(&self) {
        self.process.store(0, Ordering::Relaxed);
    }

    /// The way to the process that serves.
    pub(crate) fn sender(&self) -> Option<Arc<Sender>> {
        self.sender.lock().clone()
    }

    pub(crate) fn set_sender(&self, sender: Option<Sender>) {
        *self.sender.lock() = sender.map(Arc::new);
    }

    /// Where a protocol is in the program's array: for calls that name a protocol and nothing else.
    pub(crate) fn position_of(&self, protocol: *const libwebsocket_protocols) -> Option<usize> {
        let (start, count) = self.array;
        let size = size_of::<libwebsocket_protocols>();
        let offset = protocol.addr().checked_sub(start)?;
        let index = offset / size;
        (offset % size == 0 && index < count).then_some(index)
    }
}

/// One protocol of the program, as it was when the context was made.
#[derive(Debug)]
pub(crate) struct ProgramProtocol {
    pub(crate) name: Option<CString>,
    pub(crate) callback: Callback,
    pub(crate) session_len: usize,
}

/// Everything of a context.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) home: RefCell<Weak<Home>>,
    /// The program's array.
    pub(crate) array: *mut libwebsocket_protocols,
    pub(crate) protocols: Vec<ProgramProtocol>,
    pub(crate) hostname: CString,
    pub(crate) proxy: Option<HttpProxy>,
    pub(crate) tls: RefCell<Tls>,
    engine: UnsafeCell<Option<Engine>>,
    key: Cell<Option<ProtocolKey<Bridge>>>,
    /// The core, while the engine lends it.
    lent: Cell<*mut Core>,
    /// The engine is at work.
    turning: Cell<bool>,
    /// Callbacks of the program that are under way.
    pub(crate) depth: Cell<u32>,
    pub(crate) watch: Rc<RefCell<WatchList>>,
    records: RefCell<HashMap<ConnId, Arc<Record>>>,
    /// What stands for listener and hidden set in callbacks.
    pub(crate) fixtures: RefCell<Vec<(Token, Arc<Record>)>>,
    pub(crate) timeouts: RefCell<BTreeSet<(Instant, Handle)>>,
    /// Connections that receive again and have pieces waiting.
    pub(crate) resumed: RefCell<Vec<Arc<Record>>>,
    /// Buffers for messages, not in use.
    scratch: RefCell<Vec<Padded>>,
    /// Clients mask with zeros.
    pub(crate) unmasked: Cell<bool>,
    /// The program waits by itself.
    pub(crate) is_external: Cell<bool>,
    /// A thread waits here, without the lock.
    pub(crate) is_waiting: Cell<bool>,
    /// When the hidden set will be readable at the latest.
    pub(crate) timer: Cell<Option<Instant>>,
    /// Nobody can broadcast any more from another process.
    pub(crate) is_deserted: Cell<bool>,
    /// Nothing begins any more.
    pub(crate) is_over: Cell<bool>,
    /// The program is told nothing any more.
    pub(crate) is_mute: Cell<bool>,
}

impl Context {
    pub(crate) fn new(
        handle: Handle,
        array: *mut libwebsocket_protocols,
        protocols: Vec<ProgramProtocol>,
        watch: WatchList,
        settings: Settings,
    ) -> Self {
        Self {
            handle,
            home: RefCell::default(),
            array,
            protocols,
            hostname: settings.hostname,
            proxy: settings.proxy,
            tls: RefCell::default(),
            engine: UnsafeCell::new(None),
            key: Cell::new(None),
            lent: Cell::new(ptr::null_mut()),
            turning: Cell::new(false),
            depth: Cell::new(0),
            watch: Rc::new(RefCell::new(watch)),
            records: RefCell::default(),
            fixtures: RefCell::default(),
            timeouts: RefCell::default(),
            resumed: RefCell::default(),
            scratch: RefCell::default(),
            unmasked: Cell::new(false),
            is_external: Cell::new(true),
            is_waiting: Cell::new(false),
            timer: Cell::new(None),
            is_deserted: Cell::new(false),
            is_over: Cell::new(false),
            is_mute: Cell::new(false),
        }
    }

    /// Moves the engine in.
    pub(crate) fn house(&self, engine: Engine, key: ProtocolKey<Bridge>) {
        self.key.set(Some(key));
        // SAFETY: we have the lock, and no engine was there that somebody could be using.
        unsafe { *self.engine.get() = Some(engine) };
    }

    pub(crate) fn key(&self) -> Option<ProtocolKey<Bridge>> {
        self.key.get()
    }

    /// The engine, unless it is at work. `f` must not call the program but by callbacks that lend
    /// the core.
    pub(crate) fn with_engine<R>(&self, f: impl FnOnce(&mut Engine) -> R) -> Option<R> {
        let turn = Turn::begin(&self.turning)?;
        // SAFETY: we have the lock, and `turning` was false: nobody else has the engine, and nobody
        // gets it before `turn` ends. The core is reached only by what is lent meanwhile, which is
        // a part of this very borrow.
        let engine = unsafe { (*self.engine.get()).as_mut() };
        let result = engine.map(f);
        drop(turn);
        result
    }

    /// The core, as lent by the engine or through it; `None` while the engine is at work and lends
    /// nothing. `f` must not call the program at all.
    pub(crate) fn with_core<R>(&self, f: impl FnOnce(&mut Core) -> R) -> Option<R> {
        let lent = self.lent.get();
        if lent.is_null() {
            return self.with_engine(|engine| f(engine.core()));
        }
        // Whoever is called by `f`, a registrar for instance, gets nothing.
        let loan = Loan::begin(&self.lent, ptr::null_mut());
        // SAFETY: the pointer was made of the reference in `lend`, which is still running, on this
        // thread, and uses that reference for nothing else. `loan` sees to it that this is the only
        // one made of it at a time.
        let result = f(unsafe { &mut *lent });
        drop(loan);
        Some(result)
    }

    /// Lends the core to calls of the program that come from within `f`.
    pub(crate) fn lend<R>(&self, core: &mut Core, f: impl FnOnce() -> R) -> R {
        let _loan = Loan::begin(&self.lent, core);
        f()
    }

    /// Whether the engine is at work.
    pub(crate) fn is_turning(&self) -> bool {
        self.turning.get()
    }

    /// Takes the engine out, to be dropped; `None` while it is at work.
    pub(crate) fn evict(&self) -> Option<Engine> {
        if self.turning.get() {
            return None;
        }
        // SAFETY: we have the lock, and the engine is not at work, so nobody has it.
        unsafe { (*self.engine.get()).take() }
    }

    /// Calls the program. What is said about descriptors goes first.
    pub(crate) fn call(
        &self,
        protocol: usize,
        record: Option<&Record>,
        reason: Reason,
        user: *mut c_void,
        data: *mut c_void,
        len: usize,
    ) -> c_int {
        self.tell_news();
        self.call_now(protocol, record, reason, user, data, len)
    }

    fn call_now(
        &self,
        protocol: usize,
        record: Option<&Record>,
        reason: Reason,
        user: *mut c_void,
        data: *mut c_void,
        len: usize,
    ) -> c_int {
        let Some(entry) = self.protocols.get(protocol) else {
            return 0;
        };
        let wsi = record.map_or(ptr::null_mut(), |record| record.handle.pointer());
        let _depth = Depth::begin(&self.depth);
        // SAFETY: the program gave this function for this purpose, with this signature. The
        // arguments are what the API says for the reason. No reference to engine, core or cells is
        // held here.
        unsafe { (entry.callback)(self.pointer(), wsi, reason, user, data, len) }
    }

    /// As [`call`](Self::call), without a context and a connection.
    #[cfg(feature = "openssl")]
    pub(crate) fn call_blind(
        &self,
        reason: Reason,
        user: *mut c_void,
        data: *mut c_void,
        len: usize,
    ) -> c_int {
        let Some(entry) = self.protocols.first() else {
            return 0;
        };
        let _depth = Depth::begin(&self.depth);
        // SAFETY: as in `call_now`; for these reasons context and connection are null.
        unsafe { (entry.callback)(ptr::null_mut(), ptr::null_mut(), reason, user, data, len) }
    }

    /// Tells a connection's protocol something, with its session.
    pub(crate) fn tell(
        &self,
        record: &Record,
        reason: Reason,
        data: *mut c_void,
        len: usize,
    ) -> c_int {
        let protocol = record.protocol.get().unwrap_or(0);
        self.call(protocol, Some(record), reason, record.user(), data, len)
    }

    /// Tells the program what is to be polled.
    pub(crate) fn tell_news(&self) {
        while !self.is_mute.get() {
            let news = self.watch.borrow_mut().next_news();
            let Some(news) = news else { return };
            match news {
                News::Add {
                    fd,
                    token,
                    kind,
                    events,
                } => {
                    let record = self.record_for(token, kind);
                    if let Some(record) = &record {
                        record.fd.set(fd);
                    }
                    self.tell_poll(LWS_CALLBACK_ADD_POLL_FD, record.as_deref(), fd, events);
                }
                News::Delete { fd, token } => {
                    let record = self.record_at(token);
                    self.tell_poll(LWS_CALLBACK_DEL_POLL_FD, record.as_deref(), fd, 0);
                    // One that was never established has nothing more to be told.
                    if let Some(record) = record
                        && record.state.get() == State::Opening
                    {
                        self.retire(&record);
                    }
                }
                News::Set { fd, token, events } => {
                    let record = self.record_at(token);
                    self.tell_poll(LWS_CALLBACK_SET_MODE_POLL_FD, record.as_deref(), fd, events);
                }
                News::Clear { fd, token, events } => {
                    let record = self.record_at(token);
                    let reason = LWS_CALLBACK_CLEAR_MODE_POLL_FD;
                    self.tell_poll(reason, record.as_deref(), fd, events);
                }
            }
        }
    }

    fn tell_poll(&self, reason: Reason, record: Option<&Record>, fd: RawFd, events: i16) {
        let user = ptr::without_provenance_mut(usize::try_from(fd).unwrap_or_default());
        let events = usize::from(events.cast_unsigned());
        self.call_now(0, record, reason, user, ptr::null_mut(), events);
    }

    /// The record behind a token that is registered just now.
    fn record_for(&self, token: Token, kind: Kind) -> Option<Arc<Record>> {
        if let Some(record) = self.record_at(token) {
            return Some(record);
        }
        if kind != Kind::Connection {
            let record = Record::create(&self.home.borrow(), Side::None)?;
            let fixture = (token, Arc::clone(&record));
            self.fixtures.borrow_mut().push(fixture);
            return Some(record);
        }
        let record = Record::create(&self.home.borrow(), Side::Server)?;
        self.enrol(&record, ConnId::from(token));
        Some(record)
    }

    fn record_at(&self, token: Token) -> Option<Arc<Record>> {
        let fixtures = self.fixtures.borrow();
        let fixture = fixtures.iter().find(|(known, _)| *known == token);
        match fixture {
            Some((_, record)) => Some(Arc::clone(record)),
            None => self.record_of(ConnId::from(token)),
        }
    }

    /// The record of a connection.
    pub(crate) fn record_of(&self, id: ConnId) -> Option<Arc<Record>> {
        self.records.borrow().get(&id).cloned()
    }

    /// Names a connection in the engine as the one of a record.
    pub(crate) fn enrol(&self, record: &Arc<Record>, id: ConnId) {
        record.conn.set(Some(id));
        self.records.borrow_mut().insert(id, Arc::clone(record));
    }

    /// All records of connections, as of now.
    pub(crate) fn all_records(&self) -> Vec<Arc<Record>> {
        self.records.borrow().values().cloned().collect()
    }

    /// Forgets a connection: its handle names nothing from here on.
    pub(crate) fn retire(&self, record: &Arc<Record>) {
        record.state.set(State::Over);
        self.set_deadline(record, None);
        CONNECTIONS.remove(record.handle);
        if let Some(id) = record.conn.get() {
            self.records.borrow_mut().remove(&id);
        }
    }

    /// When the program wants a connection ended.
    pub(crate) fn set_deadline(&self, record: &Record, deadline: Option<Instant>) {
        let mut timeouts = self.timeouts.borrow_mut();
        if let Some(before) = record.deadline.replace(deadline) {
            timeouts.remove(&(before, record.handle));
        }
        if let Some(deadline) = deadline {
            timeouts.insert((deadline, record.handle));
        }
    }

    /// Lends a buffer for a piece of a message.
    pub(crate) fn with_scratch<R>(
        &self,
        room: usize,
        f: impl FnOnce(&mut Padded) -> R,
    ) -> Option<R> {
        let kept = self.scratch.borrow_mut().pop();
        let mut buffer = match kept {
            Some(buffer) => buffer,
            None => Padded::new(room)?,
        };
        let result = f(&mut buffer);
        self.scratch.borrow_mut().push(buffer);
        Some(result)
    }

    pub(crate) fn pointer(&self) -> *mut libwebsocket_context {
        self.handle.pointer()
    }

    /// The end of a call of the program: what was sent goes out, what is to be told is told, and a
    /// program that waits by itself is woken in time.
    pub(crate) fn settle(&self) {
        if self.depth.get() == 0 {
            self.with_engine(|engine| engine.flush(Instant::now()));
        }
        self.tell_news();
        if self.depth.get() == 0 {
            self.set_timer();
        }
    }
}

/// What a context is told by its surroundings.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) hostname: CString,
    pub(crate) proxy: Option<HttpProxy>,
}

/// The engine's time at work.
struct Turn<'c>(&'c Cell<bool>);

impl<'c> Turn<'c> {
    fn begin(turning: &'c Cell<bool>) -> Option<Self> {
        // Made only if it was not at work: one that is dropped says that it is at work no more.
        (!turning.replace(true)).then(|| Self(turning))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The time for which a core is lent.
struct Loan<'c> {
    lent: &'c Cell<*mut Core>,
    before: *mut Core,
}

impl<'c> Loan<'c> {
    fn begin(lent: &'c Cell<*mut Core>, core: *mut Core) -> Self {
        let before = lent.replace(core);
        Self { lent, before }
    }
}

impl Drop for Loan<'_> {
    fn drop(&mut self) {
        self.lent.set(self.before);
    }
}

/// The time of a callback.
struct Depth<'c>(&'c Cell<u32>);

impl<'c> Depth<'c> {
    fn begin(depth: &'c Cell<u32>) -> Self {
        depth.set(depth.get() + 1);
        Self(depth)
    }
}

impl Drop for Depth<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
