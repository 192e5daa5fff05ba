//! Asking for a password, on the terminal that the process belongs to, whatever standard input is.

use std::fs::File;
use std::process;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::terminal::{self, Settings};

/// Asks for a user's password at a server.
pub(crate) fn ask(user: &str, url: &str) -> Result<String, Failure> {
    let failed = |error| {
        Failure::Password(format!(
            "--user {user}: there is no terminal to ask for the password on ({error}); write \
             --user {user}:PASSWORD"
        ))
    };
    let terminal = File::open("/dev/tty").map_err(failed)?;
    let settings = Settings::save_of(&terminal);
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|error| Failure::io("watch for signals", error))?;
    let watch = signals.handle();
    // Whoever is interrupted while nothing is shown would else leave the terminal like that.
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            settings.restore_to(&terminal);
            process::exit(128 + signal);
        }
    });
    let question = terminal::harmless(&format!("Password of {user} for {url}: "));
    let answer = rpassword::prompt_password(question).map_err(failed);
    watch.close();
    answer
}
