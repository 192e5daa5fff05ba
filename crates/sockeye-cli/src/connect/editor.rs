//! A line being edited, and the lines before it: keys in, lines and pictures out. No I/O.
//!
//! The picture is always one row: a longer line scrolls sideways, so that whoever prints above it
//! need not know how it would have been broken.

use std::collections::VecDeque;

use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use tui_input::Input;
use tui_input::backend::crossterm::to_input_request;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::terminal;

const PROMPT: &str = "> ";
/// Lines that are remembered.
const HISTORY_LEN: usize = 1000;

/// What the user did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Line(String),
    /// Ctrl-D on an empty line.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-L.
    ClearScreen,
}

#[derive(Debug, Default)]
pub(super) struct Editor {
    line: Input,
    /// Oldest first.
    history: VecDeque<String>,
    /// Which line of the history is shown, counted from the newest; and the line that was being
    /// written before it.
    recalled: Option<(usize, String)>,
    width: usize,
}

impl Editor {
    /// For a terminal of so many columns.
    pub(super) fn new(width: u16) -> Self {
        Self {
            width: usize::from(width),
            ..Self::default()
        }
    }

    /// Takes an event, which may bring several entries if text was pasted.
    pub(super) fn handle(&mut self, event: &Event) -> Vec<Entry> {
        match event {
            Event::Paste(text) => return self.paste(text),
            Event::Resize(width, _) => self.width = usize::from(*width),
            Event::Key(key) if key.kind != KeyEventKind::Release => {
                let control = key.modifiers.contains(KeyModifiers::CONTROL);
                match key.code {
                    KeyCode::Char('c') if control => return vec![Entry::Interrupt],
                    KeyCode::Char('d') if control && self.line.value().is_empty() => {
                        return vec![Entry::End];
                    }
                    KeyCode::Char('d') if control => {
                        self.line.handle(tui_input::InputRequest::DeleteNextChar);
                    }
                    KeyCode::Char('l') if control => return vec![Entry::ClearScreen],
                    KeyCode::Char('j' | 'm') if control => return vec![self.submit()],
                    KeyCode::Enter => return vec![self.submit()],
                    KeyCode::Up => self.recall(1),
                    KeyCode::Char('p') if control => self.recall(1),
                    KeyCode::Down => self.recall(-1),
                    KeyCode::Char('n') if control => self.recall(-1),
                    KeyCode::Tab => {
                        self.line.handle(tui_input::InputRequest::InsertChar('\t'));
                    }
                    _ => {
                        if let Some(request) = to_input_request(event) {
                            self.line.handle(request);
                        }
                    }
                }
            }
            _ => {}
        }
        Vec::new()
    }

    /// The row with the prompt, from its first column; the cursor ends where it belongs.
    pub(super) fn draw(&self, out: &mut String) {
        // The last column stays free, so that the terminal never breaks the line.
        let room = self.width.saturating_sub(PROMPT.len() + 1);
        let line = self.line.value();
        let cursor = line.char_indices().nth(self.line.cursor());
        let (before, behind) = line.split_at(cursor.map_or(line.len(), |(index, _)| index));
        // Only what may be seen is looked at: a pasted line may be long, and comes key by key.
        let (_, near) = fit(behind.graphemes(true), room / 4);
        let (left, column) = fit(before.graphemes(true).rev(), room - near);
        let (right, _) = fit(behind.graphemes(true), room - column);
        let shown = [&before[before.len() - left..], &behind[..right]];
        let shown = shown.iter().flat_map(|part| part.chars());
        out.push_str("\r\x1b[K");
        out.push_str(PROMPT);
        out.extend(shown.filter(|c| !c.is_control()));
        out.push_str(&format!("\r\x1b[{}C", PROMPT.len() + column));
    }

    /// A line that was entered, as it stays on the screen.
    pub(super) fn draw_entered(line: &str, out: &mut String) {
        out.push_str(&format!("\r\x1b[K{PROMPT}{}\r\n", terminal::harmless(line)));
    }

    fn submit(&mut self) -> Entry {
        let line = self.line.value_and_reset();
        self.recalled = None;
        if !line.trim().is_empty() && self.history.back() != Some(&line) {
            self.history.push_back(line.clone());
            if self.history.len() > HISTORY_LEN {
                self.history.pop_front();
            }
        }
        Entry::Line(line)
    }

    fn paste(&mut self, text: &str) -> Vec<Entry> {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut entries = Vec::new();
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next() {
            self.insert(line);
            if lines.peek().is_some() {
                entries.push(self.submit());
            }
        }
        entries
    }

    fn insert(&mut self, text: &str) {
        let before: String = self.line.value().chars().take(self.line.cursor()).collect();
        let behind = &self.line.value()[before.len()..];
        let cursor = self.line.cursor() + text.chars().count();
        self.line = Input::new(format!("{before}{text}{behind}")).with_cursor(cursor);
    }

    /// Goes back or forth in the history.
    fn recall(&mut self, step: isize) {
        let now = self.recalled.as_ref().map_or(0, |(index, _)| index + 1);
        let Some(wanted) = now.checked_add_signed(step) else {
            return;
        };
        let line = match wanted {
            0 => self.recalled.take().map(|(_, draft)| draft),
            wanted => self.history.iter().rev().nth(wanted - 1).cloned(),
        };
        let Some(line) = line else { return };
        if wanted > 0 {
            let draft = match self.recalled.take() {
                Some((_, draft)) => draft,
                None => self.line.value().to_owned(),
            };
            self.recalled = Some((wanted - 1, draft));
        }
        self.line = Input::new(line);
    }
}

/// The bytes and columns of as many clusters as fit into so many columns.
fn fit<'t>(clusters: impl Iterator<Item = &'t str>, room: usize) -> (usize, usize) {
    let (mut len, mut columns) = (0, 0);
    for cluster in clusters {
        let width = columns + shown_width(cluster);
        if width > room {
            break;
        }
        len += cluster.len();
        columns = width;
    }
    (len, columns)
}

/// Columns that a cluster takes, without its control characters.
fn shown_width(cluster: &str) -> usize {
    match cluster.chars().all(char::is_control) {
        true => 0,
        false => cluster.width(),
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyEvent;

    use super::*;

    fn key(code: KeyCode) -> Event {
        Event::Key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    fn control(c: char) -> Event {
        Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
    }

    fn write(editor: &mut Editor, text: &str) {
        for c in text.chars() {
            assert_eq!(editor.handle(&key(KeyCode::Char(c))), []);
        }
    }

    fn enter(editor: &mut Editor, text: &str) {
        write(editor, text);
        let expected = [Entry::Line(text.to_owned())];
        assert_eq!(editor.handle(&key(KeyCode::Enter)), expected);
    }

    fn picture(editor: &Editor) -> String {
        let mut out = String::new();
        editor.draw(&mut out);
        out
    }

    #[test]
    fn lines_are_edited_and_entered() {
        let mut editor = Editor::new(80);
        write(&mut editor, "helo");
        editor.handle(&key(KeyCode::Left));
        write(&mut editor, "l");
        assert_eq!(picture(&editor), "\r\x1b[K> hello\r\x1b[6C");
        let line = [Entry::Line("hello".to_owned())];
        assert_eq!(editor.handle(&control('m')), line);
        assert_eq!(picture(&editor), "\r\x1b[K> \r\x1b[2C");
    }

    #[test]
    fn control_keys_mean_what_they_do_in_shells() {
        let mut editor = Editor::new(80);
        assert_eq!(editor.handle(&control('d')), [Entry::End]);
        assert_eq!(editor.handle(&control('c')), [Entry::Interrupt]);
        assert_eq!(editor.handle(&control('l')), [Entry::ClearScreen]);
        write(&mut editor, "abc");
        editor.handle(&control('a'));
        assert_eq!(editor.handle(&control('d')), []);
        assert_eq!(editor.line.value(), "bc");
    }

    #[test]
    fn the_history_keeps_what_was_being_written() {
        let mut editor = Editor::new(80);
        editor.handle(&key(KeyCode::Up));
        for line in ["one", "two", "two", " ", "three"] {
            enter(&mut editor, line);
        }
        write(&mut editor, "draft");
        let (up, down) = (key(KeyCode::Up), key(KeyCode::Down));
        for (event, line) in [
            (&down, "draft"),
            (&up, "three"),
            (&up, "two"),
            (&up, "one"),
            (&up, "one"),
            (&down, "two"),
            (&down, "three"),
            (&down, "draft"),
            (&down, "draft"),
        ] {
            editor.handle(event);
            assert_eq!(editor.line.value(), line);
        }
    }

    #[test]
    fn pasted_lines_are_entered_one_by_one() {
        let mut editor = Editor::new(80);
        write(&mut editor, "<>");
        editor.handle(&key(KeyCode::Left));
        let entries = editor.handle(&Event::Paste("ä\r\nb\rc".to_owned()));
        let expected = ["<ä>", "b"].map(|line| Entry::Line(line.to_owned()));
        assert_eq!(entries, expected);
        assert_eq!(editor.line.value(), "c");
        assert_eq!(editor.line.cursor(), 1);
    }

    #[test]
    fn a_long_line_scrolls_in_its_row() {
        let mut editor = Editor::new(11);
        write(&mut editor, "0123456789");
        assert_eq!(picture(&editor), "\r\x1b[K> 23456789\r\x1b[10C");
        // A little of what is behind the cursor stays in sight.
        editor.handle(&key(KeyCode::Left));
        assert_eq!(picture(&editor), "\r\x1b[K> 23456789\r\x1b[9C");
        for _ in 0..3 {
            editor.handle(&key(KeyCode::Left));
        }
        assert_eq!(picture(&editor), "\r\x1b[K> 01234567\r\x1b[8C");
        editor.handle(&control('a'));
        assert_eq!(picture(&editor), "\r\x1b[K> 01234567\r\x1b[2C");
        // Wide characters take two columns, and are never cut in half.
        let mut editor = Editor::new(10);
        write(&mut editor, "漢字漢字漢");
        assert_eq!(picture(&editor), "\r\x1b[K> 漢字漢\r\x1b[8C");
        // What would steer the terminal is not shown.
        let mut editor = Editor::new(80);
        editor.handle(&Event::Paste("a\x1b[2J\tb".to_owned()));
        assert_eq!(picture(&editor), "\r\x1b[K> a[2Jb\r\x1b[7C");
        for width in 0..9 {
            editor.handle(&Event::Resize(width, 5));
            picture(&editor);
        }
    }
}
