//! Asking for a password, on the terminal that the process belongs to, whatever standard input is.

use std::fs::File;
use std::io;
use std::process;
use std::thread;

use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;
use crate::terminal;

/// Asks for a user's password at a server. Ctrl-C ends the process, and so do signals; the terminal
/// is given back then.
pub(crate) fn ask(user: &str, url: &str) -> Result<String, Failure> {
    let failed = |error| {
        Failure::Password(format!(
            "--user {user}: there is no terminal to ask for the password on ({error}); write \
             --user {user}:PASSWORD"
        ))
    };
    let tty = File::open("/dev/tty").map_err(failed)?;
    let settings = tcgetattr(&tty).map_err(|error| failed(error.into()))?;
    let mut signals =
        Signals::new([SIGINT, SIGTERM]).map_err(|error| Failure::io("watch for signals", error))?;
    let watch = signals.handle();
    let watcher = thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // A terminal that is gone needs nothing any more.
            let _ = tcsetattr(&tty, OptionalActions::Now, &settings);
            terminal::complain(&Failure::Interrupted);
            process::exit(128 + signal);
        }
    });
    let question = terminal::harmless(&format!("Password of {user} for {url}: "));
    match rpassword::prompt_password(question) {
        Ok(password) => {
            watch.close();
            Ok(password)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            // Ctrl-C has become a signal already.
            drop(watcher.join());
            Err(Failure::Interrupted)
        }
        Err(error) => {
            watch.close();
            Err(failed(error))
        }
    }
}
