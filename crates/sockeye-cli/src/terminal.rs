//! What the command says to people: styles, the line of a failure, output that may have nobody
//! left to read it, and text from strangers made harmless.
//!
//! Colours go out only to terminals, and not when `NO_COLOR` is set.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use crate::failure::Failure;

/// A message that came.
pub(crate) const INCOMING: Style = AnsiColor::Cyan.on_default();
/// Pings and pongs.
pub(crate) const PULSE: Style = AnsiColor::Magenta.on_default().dimmed();
/// What went out, byte for byte or summed up.
pub(crate) const SENT: Style = AnsiColor::Green.on_default();
/// The same of what came in.
pub(crate) const RECEIVED: Style = AnsiColor::Blue.on_default();
/// Opening and closing.
pub(crate) const STATE: Style = AnsiColor::Yellow.on_default();
const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Tells a failure in one line on standard error.
pub(crate) fn complain(failure: &Failure) {
    // A line it is, whatever strange names or answers are quoted in it.
    let text = harmless(&failure.to_string()).replace('\n', " ");
    let line = format!("{ERROR}sockeye:{ERROR:#} {text}\n");
    // Without a standard error there is nobody to tell.
    let _ = anstream::stderr().write_all(line.as_bytes());
}

/// A line on standard error for people who watch; only its absence would hurt nobody.
pub(crate) fn note(style: Style, text: impl fmt::Display) {
    let _ = anstream::stderr().write_all(format!("{style}{text}{style:#}\n").as_bytes());
}

/// Writes to standard output at once. A reader who has gone is no failure.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| Failure::io("write to standard output", error)),
    }
}

/// The text with its control characters spelled out: what comes from strangers must not steer the
/// terminal. Tabs and line ends stay.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_steer_the_terminal() {
        assert_eq!(harmless("a\tb\nü"), "a\tb\nü");
        assert_eq!(harmless("\x1b[2J\r\u{9b}"), "\\u{1b}[2J\\r\\u{9b}");
    }
}
