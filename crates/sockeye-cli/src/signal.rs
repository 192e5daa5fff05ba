//! SIGINT and SIGTERM, as events on a thread of their own.
//!
//! Knows nothing of what ends: it counts, and calls.

use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// Calls `on_signal` for each SIGINT or SIGTERM from now on, with how many came before it.
pub(crate) fn watch(mut on_signal: impl FnMut(usize) + Send + 'static) -> Result<(), Failure> {
    let failed = |error| Failure::io("watch for signals", error);
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let watch = move || {
        for (count, _) in signals.forever().enumerate() {
            on_signal(count);
        }
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(watch)
        .map_err(failed)?;
    Ok(())
}
