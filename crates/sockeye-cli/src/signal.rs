//! SIGINT and SIGTERM, and SIGHUP, as events on threads of their own.
//!
//! Knows nothing of what ends or is read anew: it counts, and calls.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// Calls `on_signal` for each SIGINT or SIGTERM from now on, with how many came before it.
pub(crate) fn watch(on_signal: impl FnMut(usize) + Send + 'static) -> Result<(), Failure> {
    watch_for(&[SIGINT, SIGTERM], on_signal)
}

/// Calls `on_signal` for each SIGHUP from now on. Some that come at once may count as one.
pub(crate) fn watch_hangup(mut on_signal: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    watch_for(&[SIGHUP], move |_| on_signal())
}

fn watch_for(
    signals: &[i32],
    mut on_signal: impl FnMut(usize) + Send + 'static,
) -> Result<(), Failure> {
    let failed = |error| Failure::io("watch for signals", error);
    let mut signals = Signals::new(signals).map_err(failed)?;
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
