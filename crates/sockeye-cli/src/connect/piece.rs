//! From chunks of input to what goes out: lines as text, or the chunks themselves as binary.
//!
//! Pure; holds one chunk and the line in progress. A line longer than [`PIECE_LEN`] goes out in
//! fragments, so that a line may be longer than memory.

use std::mem;

/// A longer line goes out in fragments of about this many bytes.
const PIECE_LEN: usize = 1024 * 1024;

/// Something to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Binary(Vec<u8>),
    /// A whole line, or with `last` unset the beginning or middle of one.
    Text {
        text: String,
        last: bool,
    },
}

impl Piece {
    /// Whether it ends its message.
    pub(super) fn is_last(&self) -> bool {
        !matches!(self, Self::Text { last: false, .. })
    }
}

/// The line cannot be sent as text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotText {
    /// Its number, from 1.
    pub(super) line: u64,
}

/// Cuts input into pieces.
#[derive(Debug)]
pub(super) struct Cutter {
    binary: bool,
    chunk: Vec<u8>,
    /// Bytes of the chunk that are done with.
    read: usize,
    /// The line in progress, as far as earlier chunks had it.
    line: Vec<u8>,
    /// The line in progress is partly sent.
    begun: bool,
    line_number: u64,
}

impl Cutter {
    pub(super) fn new(binary: bool) -> Self {
        Self {
            binary,
            chunk: Vec::new(),
            read: 0,
            line: Vec::new(),
            begun: false,
            line_number: 1,
        }
    }

    /// Takes the next chunk, once [`next`](Self::next) has nothing more to give.
    pub(super) fn feed(&mut self, chunk: Vec<u8>) {
        debug_assert_eq!(self.read, self.chunk.len(), "a chunk was not used up");
        self.chunk = chunk;
        self.read = 0;
    }

    /// The next piece; `None` if more input is needed.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, NotText> {
        let rest = self.chunk.get(self.read..).unwrap_or_default();
        if self.binary {
            self.read = 0;
            let chunk = mem::take(&mut self.chunk);
            return Ok((!chunk.is_empty()).then_some(Piece::Binary(chunk)));
        }
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(len) => {
                self.line.extend_from_slice(&rest[..len]);
                self.read += len + 1;
                self.end_line().map(Some)
            }
            None => {
                self.line.extend_from_slice(rest);
                self.read = self.chunk.len();
                match self.line.len() >= PIECE_LEN {
                    true => self.cut_line(),
                    false => Ok(None),
                }
            }
        }
    }

    /// The last piece, at the end of input: a line that nothing ended.
    pub(super) fn finish(&mut self) -> Result<Option<Piece>, NotText> {
        match self.begun || !self.line.is_empty() {
            true => self.end_line().map(Some),
            false => Ok(None),
        }
    }

    fn end_line(&mut self) -> Result<Piece, NotText> {
        let line = mem::take(&mut self.line);
        let text = String::from_utf8(line).map_err(|_| self.not_text())?;
        self.begun = false;
        self.line_number += 1;
        Ok(Piece::Text { text, last: true })
    }

    /// Takes what there is of the line, but for a character that is not complete.
    fn cut_line(&mut self) -> Result<Option<Piece>, NotText> {
        let line = mem::take(&mut self.line);
        let text = match String::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let whole = error.utf8_error();
                if whole.error_len().is_some() {
                    return Err(self.not_text());
                }
                let mut line = error.into_bytes();
                self.line = line.split_off(whole.valid_up_to());
                String::from_utf8(line).map_err(|_| self.not_text())?
            }
        };
        self.begun = true;
        Ok(Some(Piece::Text { text, last: false }))
    }

    fn not_text(&self) -> NotText {
        NotText {
            line: self.line_number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]], binary: bool) -> Result<Vec<Piece>, NotText> {
        let mut cutter = Cutter::new(binary);
        let mut pieces = Vec::new();
        for chunk in chunks {
            cutter.feed(chunk.to_vec());
            while let Some(piece) = cutter.next()? {
                pieces.push(piece);
            }
        }
        pieces.extend(cutter.finish()?);
        Ok(pieces)
    }

    fn line(text: &str) -> Piece {
        let text = text.to_owned();
        Piece::Text { text, last: true }
    }

    #[test]
    fn lines_do_not_depend_on_how_the_input_is_cut() {
        let input = "first\n\nthïrd\r\nlast".as_bytes();
        let expected = || vec![line("first"), line(""), line("thïrd\r"), line("last")];
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(cut(&[head, tail], false), Ok(expected()), "{at}");
        }
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(cut(&bytes, false), Ok(expected()));
        assert_eq!(cut(&[], false), Ok(vec![]));
        assert_eq!(cut(&[b"one\n"], false), Ok(vec![line("one")]));
    }

    #[test]
    fn what_is_no_text_is_named_by_its_line() {
        assert_eq!(cut(&[b"a\nb\xff\nc\n"], false), Err(NotText { line: 2 }));
        assert_eq!(cut(&[b"a\n\xc3"], false), Err(NotText { line: 2 }));
        let mut long = vec![b'a'; PIECE_LEN];
        long[0] = 0xff;
        assert_eq!(cut(&[&long], false), Err(NotText { line: 1 }));
    }

    #[test]
    fn a_long_line_goes_out_in_fragments_between_characters() {
        let text = "ä".repeat(PIECE_LEN * 2 + 1);
        let chunks: Vec<&[u8]> = text.as_bytes().chunks(PIECE_LEN / 3 * 2 + 1).collect();
        let mut whole = String::new();
        let pieces = cut(&chunks, false).unwrap();
        assert!(pieces.len() > 2, "{}", pieces.len());
        let count = pieces.len();
        for (index, piece) in pieces.into_iter().enumerate() {
            match piece {
                Piece::Text { text, last } => {
                    whole.push_str(&text);
                    assert_eq!(last, index + 1 == count);
                }
                Piece::Binary(_) => panic!("binary"),
            }
        }
        assert_eq!(whole, text);
        // An end of line right behind a fragment still ends the message.
        let exact = vec![b'a'; PIECE_LEN];
        let pieces = cut(&[&exact, b"\nb"], false).unwrap();
        assert_eq!(pieces[1..], [line(""), line("b")]);
        let pieces = cut(&[&exact], false).unwrap();
        assert_eq!(pieces[1..], [line("")]);
    }

    #[test]
    fn binary_input_goes_out_as_it_comes() {
        let pieces = cut(&[b"a\n\xff", b"", b"b"], true).unwrap();
        let expected = [b"a\n\xff".to_vec(), b"b".to_vec()].map(Piece::Binary);
        assert_eq!(pieces, expected);
    }
}
