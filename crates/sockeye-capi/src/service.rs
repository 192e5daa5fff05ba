//! Serving: a bounded wait and a turn, or a turn for a descriptor that the program's own loop found
//! ready.

use std::os::fd::RawFd;
use std::ptr;
use std::time::{Duration, Instant};

use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, pollfd};
use parking_lot::ReentrantMutexGuard;
use sockeye::poll::{Ready, Token};

use crate::abi::LWS_CALLBACK_CLIENT_WRITEABLE;
use crate::context::{Context, Entered, Home};
use crate::record::Record;
use crate::watch;

/// What became of a call.
pub(crate) const SERVED: i32 = 0;
/// There was nothing to serve, or it is over now; as 2011 programs know it.
const NOT_SERVED: i32 = 1;

/// Waits at most this long, in milliseconds, without end if it is negative, and serves what is
/// ready then.
pub(crate) fn service(home: &Home, timeout_ms: i32) -> i32 {
    let mut context = home.enter();
    if context.is_turning() || context.is_over.get() {
        return NOT_SERVED;
    }
    if !home.is_ours() {
        // The program forked and left the service to the child.
        if context.watch.borrow_mut().renew().is_err() {
            return NOT_SERVED;
        }
        home.adopt();
    }
    context.is_external.set(false);
    context.settle();
    let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
    let due = context.next_deadline();
    let due = due.map(|due| due.saturating_duration_since(Instant::now()));
    let timeout = [timeout, due].into_iter().flatten().min();
    let open = context.watch.borrow().open_set();
    let mut events = Vec::new();
    // Other threads could not even end the context otherwise.
    context.is_waiting.set(true);
    let waited = unlocked(&mut context, || watch::wait(&open, timeout, &mut events));
    context.is_waiting.set(false);
    if context.watch.borrow().acknowledge_timer(&events) {
        context.timer.set(None);
    }
    if waited.is_err() || context.is_over.get() {
        return NOT_SERVED;
    }
    let mut ready = Vec::with_capacity(events.len());
    context.watch.borrow().reports(&events, &mut ready);
    context.turn(&ready);
    SERVED
}

fn unlocked<R>(context: &mut Entered<'_>, f: impl FnOnce() -> R) -> R {
    // A call from within a callback keeps what the calls around it hold.
    ReentrantMutexGuard::unlocked(context, f)
}

/// Serves one descriptor of a program that waits by itself; `events`, which is the program's entry
/// for it, is brought up to date before anything is called. `None`: only what is due by time.
pub(crate) fn service_fd(home: &Home, found: Option<pollfd>, events: &mut dyn FnMut(i16)) -> i32 {
    let context = home.enter();
    if context.is_turning() || context.is_over.get() {
        return NOT_SERVED;
    }
    let Some(found) = found else {
        context.turn(&[]);
        return SERVED;
    };
    context.is_external.set(true);
    if found.fd == context.watch.borrow().hidden_fd() {
        let mut ready = Vec::new();
        context.watch.borrow().hidden_ready(&mut ready);
        // Whatever the timer was set to has come, or is set anew.
        context.timer.set(None);
        context.turn(&ready);
        return SERVED;
    }
    let shown = context.watch.borrow().shown(found.fd);
    let Some((token, _)) = shown else {
        return NOT_SERVED;
    };
    if found.revents & POLLOUT != 0 && !context.watch.borrow().engine_wants_room(token) {
        events(found.events & !POLLOUT);
    }
    context.turn(&[Ready {
        token,
        readable: found.revents & POLLIN != 0,
        writable: found.revents & POLLOUT != 0,
        hangup: found.revents & (POLLHUP | POLLERR) != 0,
    }]);
    match context.is_still_shown(found.fd, token) {
        true => SERVED,
        false => NOT_SERVED,
    }
}

impl Context {
    /// One turn: what waited for room, what waited for the program, what the engine has to do, what
    /// is due.
    pub(crate) fn turn(&self, ready: &[Ready]) {
        self.tell_news();
        for report in ready.iter().filter(|report| report.writable) {
            self.writable(report.token);
        }
        self.pump_resumed();
        self.with_engine(|engine| engine.service(ready, Instant::now()));
        self.expire(Instant::now());
        self.settle();
    }

    /// There is room on a connection.
    fn writable(&self, token: Token) {
        let Some(record) = self.record_of(token.into()) else {
            return;
        };
        if !record.wants_room.get() {
            return;
        }
        if !record.is_established() {
            // It is remembered, and asked for again once there is something to write to.
            self.watch.borrow_mut().has_room(token);
            self.tell_news();
            return;
        }
        let waiting = record
            .conn
            .get()
            .and_then(|id| self.with_core(|core| core.backlog(id)));
        if waiting != Some(0) {
            // The engine writes what waits first, and the poller reports room again.
            return;
        }
        record.wants_room.set(false);
        self.watch.borrow_mut().has_room(token);
        self.tell(&record, LWS_CALLBACK_CLIENT_WRITEABLE, ptr::null_mut(), 0);
    }

    /// The program asks to be told when there is room.
    pub(crate) fn want_room(&self, record: &Record) {
        if let Some(id) = record.conn.get().filter(|_| !record.is_over()) {
            record.wants_room.set(true);
            self.watch.borrow_mut().want_room(id.into());
            self.tell_news();
        }
    }

    fn is_still_shown(&self, fd: RawFd, token: Token) -> bool {
        let shown = self.watch.borrow().shown(fd);
        shown.is_some_and(|(now, _)| now == token)
    }

    /// When there is something to do, ready or not.
    fn next_deadline(&self) -> Option<Instant> {
        if !self.resumed.borrow().is_empty() {
            return Some(Instant::now());
        }
        let engine = self.with_engine(|engine| engine.next_deadline()).flatten();
        let timeout = self
            .timeouts
            .borrow()
            .first()
            .map(|(deadline, _)| *deadline);
        [engine, timeout].into_iter().flatten().min()
    }

    /// Sees to it that whoever waits, the program by itself or another thread here, comes back in
    /// time.
    pub(crate) fn set_timer(&self) {
        let is_needed = self.is_external.get() || self.is_waiting.get();
        if !is_needed || self.is_over.get() {
            return;
        }
        let Some(due) = self.next_deadline() else {
            return;
        };
        // One that is set too early costs a look; one more system call would cost more.
        if self.timer.get().is_some_and(|set| set <= due) {
            return;
        }
        self.timer.set(Some(due));
        let after = due.saturating_duration_since(Instant::now());
        self.watch.borrow().set_timer(Some(after));
    }
}
