//! How messages and events look: raw in a pipe, harmless on a terminal, with colours at a prompt.

use std::fmt::{self, Write as _};

use anstyle::Style;
use sockeye::Message;

use super::output::Output;
use crate::terminal;

/// Bytes of a binary message that are shown at a prompt.
const PREVIEW_LEN: usize = 32;

/// How things are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Messages as they are, with nothing between them.
    Raw,
    /// Each message a line, as it is.
    Lines,
    /// Each message a line on a terminal.
    Terminal,
    /// Above a prompt, with events among the messages.
    Prompt { colours: bool },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Show {
    pub(super) look: Look,
    /// Events go to standard error if there is no prompt.
    pub(super) verbose: bool,
}

impl Show {
    /// Appends a message to the output.
    pub(super) fn message(self, message: Message<'_>, out: &mut Vec<u8>) {
        match (self.look, message) {
            (Look::Raw, message) => out.extend_from_slice(message.data()),
            (Look::Lines, message) | (Look::Terminal, message @ Message::Binary(_)) => {
                match self.look {
                    Look::Terminal => {
                        let text = String::from_utf8_lossy(message.data());
                        out.extend_from_slice(terminal::harmless(&text).as_bytes());
                    }
                    _ => out.extend_from_slice(message.data()),
                }
                out.push(b'\n');
            }
            (Look::Terminal, Message::Text(text)) => {
                out.extend_from_slice(terminal::harmless(text).as_bytes());
                out.push(b'\n');
            }
            (Look::Prompt { colours }, Message::Text(text)) => {
                // The lines of one message stand under each other.
                let text = terminal::harmless(text).replace('\n', "\n  ");
                line(colours, terminal::INCOMING, format_args!("< {text}"), out);
            }
            (Look::Prompt { colours }, Message::Binary(data)) => {
                let text = preview(data);
                line(colours, terminal::INCOMING, format_args!("< {text}"), out);
            }
        }
    }

    pub(super) fn is_prompt(self) -> bool {
        matches!(self.look, Look::Prompt { .. })
    }

    /// Tells of an event, if anybody watches.
    pub(super) fn note(self, output: &Output, style: Style, note: impl fmt::Display) {
        if self.verbose || self.is_prompt() {
            self.tell(output, style, note);
        }
    }

    /// Tells of an event in any case.
    pub(super) fn tell(self, output: &Output, style: Style, note: impl fmt::Display) {
        let note = terminal::harmless(&note.to_string()).replace('\n', " ");
        self.print(output, style, format_args!("* {note}"));
    }

    /// A line for people: above the prompt once there is one, or on standard error.
    pub(super) fn print(self, output: &Output, style: Style, text: impl fmt::Display) {
        match self.look {
            Look::Prompt { colours } if output.has_begun() => {
                output.push(|out| line(colours, style, format_args!("{text}"), out));
            }
            _ => terminal::note(style, text),
        }
    }
}

fn line(colours: bool, style: Style, text: fmt::Arguments<'_>, out: &mut Vec<u8>) {
    let line = match colours {
        true => format!("{style}{text}{style:#}\n"),
        false => format!("{text}\n"),
    };
    out.extend_from_slice(line.as_bytes());
}

fn preview(data: &[u8]) -> String {
    let mut text = format!("[{} bytes]", data.len());
    for byte in data.iter().take(PREVIEW_LEN) {
        // Writing to a string cannot fail.
        let _ = write!(text, " {byte:02x}");
    }
    if data.len() > PREVIEW_LEN {
        text.push_str(" ...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(look: Look, message: Message<'_>) -> String {
        let mut out = Vec::new();
        let show = Show {
            look,
            verbose: false,
        };
        show.message(message, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn messages_look_as_their_reader_needs_them() {
        let text = Message::Text("a\x1b[2J\nb");
        let data = Message::Binary(b"a\x1b\n");
        assert_eq!(shown(Look::Raw, text), "a\x1b[2J\nb");
        assert_eq!(shown(Look::Lines, text), "a\x1b[2J\nb\n");
        assert_eq!(shown(Look::Lines, data), "a\x1b\n\n");
        assert_eq!(shown(Look::Terminal, text), "a\\u{1b}[2J\nb\n");
        assert_eq!(shown(Look::Terminal, data), "a\\u{1b}\n\n");
        let prompt = Look::Prompt { colours: false };
        assert_eq!(shown(prompt, text), "< a\\u{1b}[2J\n  b\n");
        assert_eq!(shown(prompt, data), "< [3 bytes] 61 1b 0a\n");
        let long = [7; 40];
        assert!(shown(prompt, Message::Binary(&long)).ends_with(" 07 ...\n"));
        let coloured = shown(Look::Prompt { colours: true }, Message::Text("hi"));
        assert_eq!(coloured, "\x1b[36m< hi\x1b[0m\n");
    }
}
