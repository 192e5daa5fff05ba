//! Serving in another process than the one that uses the context.
//!
//! The process that serves is a grandchild: its parent ends at once, so that the program has no child
//! to wait for, and none that it does not know of. It ends when the program's process ends, however
//! that comes about, or when nobody is left who could broadcast.
//!
//! A process that does not serve has copies of all descriptors after a fork. Nothing here writes to
//! them, or takes them out of what the processes share: it closes them.

#![allow(unsafe_code, reason = "fork, and an end without handlers")]

use std::ffi::c_int;
use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use sockeye::poll::{Interest, Registrar, Token};

use crate::context::{CONTEXTS, Context, Home};
use crate::record::CONNECTIONS;
use crate::watch::{Kind, SharedWatchList};
use crate::{create, log, service};

/// What the program's process is called where the one that serves waits. The engine has nothing of
/// this name.
const APPLICATION: Token = Token(u64::MAX - 1);

/// Pause after a wait that failed, in nanoseconds: it may fail again at once.
const PAUSE: i64 = 1_000_000;

/// Forks a process that serves. 0 in the caller's; -1 if nobody serves but the caller.
pub(crate) fn fork_service_loop(home: &Home) -> c_int {
    let context = home.enter();
    let is_idle = !context.is_over.get() && !context.is_turning() && context.depth.get() == 0;
    if !home.is_ours() || !is_idle {
        return -1;
    }
    // Made before the fork, it is of this process for sure. An old system has none; then the end of
    // those who can broadcast is what there is to go by.
    let application = pidfd_open(getpid(), PidfdFlags::empty()).ok();
    match fork_twice() {
        Ok(Side::Application) => {
            leave(home, &context);
            context.name_sender();
            0
        }
        Ok(Side::Service(told)) => {
            drop(context);
            let served = || serve(home, application.as_ref(), told);
            let code = c_int::from(catch_unwind(AssertUnwindSafe(served)).is_err());
            flush_streams();
            end(code)
        }
        Err(error) => {
            log::refused("cannot fork a process that serves", error);
            -1
        }
    }
}

/// Gives this process's part in a context up that another one serves.
pub(crate) fn forget(home: &Home) {
    let context = home.enter();
    // What this process takes out of a set that it shares would be missing in the other.
    if !context.is_over.get()
        && context.watch.borrow_mut().renew().is_err()
        && let Some(engine) = context.evict()
    {
        std::mem::forget(engine);
    }
    leave(home, &context);
    CONTEXTS.remove(context.handle);
    home.set_sender(None);
}

/// Closes this process's copies of everything; the program is told nothing.
fn leave(home: &Home, context: &Context) {
    home.leave();
    context.is_over.set(true);
    context.is_mute.set(true);
    for record in context.all_records() {
        context.retire(&record);
    }
    for (_, record) in context.fixtures.take() {
        CONNECTIONS.remove(record.handle);
    }
    drop(context.evict());
    context.watch.borrow_mut().forget_news();
}

/// The life of the process that serves.
fn serve(home: &Home, application: Option<&OwnedFd>, mut told: PipeWriter) {
    let begun = begin(home, application);
    let errno = begun.map_or_else(|error| error.raw_os_error().unwrap_or(libc::EIO), |()| 0);
    let is_told = told.write_all(&errno.to_ne_bytes()).is_ok();
    drop(told);
    if errno != 0 || !is_told {
        return;
    }
    while !is_over(home, application) {
        if service::service(home, -1) != service::SERVED {
            has_ended(application, PAUSE);
        }
    }
    create::destroy(&home.enter());
}

fn begin(home: &Home, application: Option<&OwnedFd>) -> io::Result<()> {
    let context = home.enter();
    home.adopt();
    home.set_sender(None);
    // The thread that waited, if one did, is not in this process.
    context.is_waiting.set(false);
    context.watch.borrow_mut().renew()?;
    if let Some(application) = application {
        context.watch.borrow_mut().adding = Kind::Internal;
        let mut list = SharedWatchList(context.watch.clone());
        let added = list.add(application.as_fd(), APPLICATION, Interest::READ);
        context.watch.borrow_mut().adding = Kind::Connection;
        added?;
    }
    Ok(())
}

fn is_over(home: &Home, application: Option<&OwnedFd>) -> bool {
    let context = home.enter();
    context.is_over.get() || context.is_deserted.get() || has_ended(application, 0)
}

/// Whether the program's process has ended, which is waited for so many nanoseconds.
fn has_ended(application: Option<&OwnedFd>, nanoseconds: i64) -> bool {
    let mut watched = Vec::new();
    watched.extend(application.map(|process| PollFd::new(process, PollFlags::IN)));
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: nanoseconds,
    };
    // A signal cuts it short.
    let polled = poll(&mut watched, Some(&timeout));
    polled.is_ok_and(|ready| ready > 0)
}

/// Which process one is in after a fork.
enum Side {
    Application,
    /// With a way to say how the beginning went.
    Service(PipeWriter),
}

/// Returns in both processes; in the program's once the other has begun to serve.
fn fork_twice() -> io::Result<Side> {
    let (mut outcome, told) = io::pipe()?;
    // Or both processes would print what waits in the streams now.
    flush_streams();
    let between = {
        // A lock that another thread has would never be free in the child.
        let _contexts = CONTEXTS.hold();
        let _connections = CONNECTIONS.hold();
        // SAFETY: the child goes on with what this thread has, and takes no lock of this library that
        // others could have had. It is up to a program with threads whether its callbacks do.
        unsafe { libc::fork() }
    };
    match between {
        -1 => return Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: as above, and there is but one thread here.
            match unsafe { libc::fork() } {
                0 => return Ok(Side::Service(told)),
                -1 => {
                    let errno = io::Error::last_os_error().raw_os_error();
                    let errno = errno.unwrap_or(libc::EAGAIN).to_ne_bytes();
                    // If it cannot be written, the pipe's end says as much.
                    drop((&told).write_all(&errno));
                    end(1)
                }
                _ => end(0),
            }
        }
        _ => {}
    }
    drop(told);
    let mut errno = [0; 4];
    let read = outcome.read_exact(&mut errno);
    wait_for(between);
    read?;
    match c_int::from_ne_bytes(errno) {
        0 => Ok(Side::Application),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Lets a child go that has ended, or is about to.
fn wait_for(child: c_int) {
    // SAFETY: asks for no status.
    while unsafe { libc::waitpid(child, ptr::null_mut(), 0) } == -1 {
        // A program that ignores or collects its children has done so with this one.
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

fn flush_streams() {
    // SAFETY: null means all streams that are written to.
    unsafe { libc::fflush(ptr::null_mut()) };
}

/// Ends this process without the handlers of the program that it is a copy of.
fn end(code: c_int) -> ! {
    // SAFETY: takes no pointer, and does not return.
    unsafe { libc::_exit(code) }
}
