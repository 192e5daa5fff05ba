//! Which process this is, without asking the system at every call.

#![allow(unsafe_code, reason = "a hook that runs in forked processes")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// The process's number; 0: not known yet, or not any more.
static ID: AtomicU32 = AtomicU32::new(0);

/// The number of this process.
pub(crate) fn id() -> u32 {
    match ID.load(Ordering::Relaxed) {
        0 => ask(),
        id => id,
    }
}

#[cold]
fn ask() -> u32 {
    static HOOKED: OnceLock<bool> = OnceLock::new();
    let hooked = HOOKED.get_or_init(|| {
        // SAFETY: the hook does one atomic store, which is fit for a process that was just forked
        // off, and it stays where it is as long as this library does.
        unsafe { libc::pthread_atfork(None, None, Some(forget)) == 0 }
    });
    let id = std::process::id();
    if *hooked {
        ID.store(id, Ordering::Relaxed);
    }
    id
}

unsafe extern "C" fn forget() {
    ID.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_system_says() {
        assert_eq!(id(), std::process::id());
        assert_eq!(id(), std::process::id());
    }
}
