//! What a response carries: nothing, bytes, a file in parts, or pieces that come later.
//!
//! Knows lengths and how to read a file piecewise. Refuses to know framing and sockets.
//!
//! Invariants: a file is never in memory as a whole; a body hands out exactly
//! [`len`](FileBody::len) bytes or fails; reading does not move the descriptor's own position.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The content of a [`Response`](super::Response).
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Body {
    /// Nothing; for the statuses that may have content this is a length of 0.
    #[default]
    Empty,
    /// Bytes of its own.
    Bytes(Vec<u8>),
    /// Bytes of the program.
    Static(&'static [u8]),
    /// Bytes that many responses share.
    Shared(Arc<[u8]>),
    /// A file, or parts of it, read while it is sent.
    File(FileBody),
    /// Pieces of unknown total length that are handed to the engine later.
    Stream,
}

impl Body {
    /// Length in bytes; `None` where only the end will tell.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::File(file) => Some(file.len()),
            Self::Stream => None,
            _ => self.bytes().map(|bytes| bytes.len() as u64),
        }
    }

    /// Whether there is certainly nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The whole content, where it is in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Empty => Some(&[]),
            Self::Bytes(bytes) => Some(bytes),
            Self::Static(bytes) => Some(bytes),
            Self::Shared(bytes) => Some(bytes),
            Self::File(_) | Self::Stream => None,
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Bytes(text.into_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Static(bytes)
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::Static(text.as_bytes())
    }
}

impl From<Arc<[u8]>> for Body {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Shared(bytes)
    }
}

impl From<FileBody> for Body {
    fn from(file: FileBody) -> Self {
        Self::File(file)
    }
}

/// A piece of a [`FileBody`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePart {
    /// Bytes that are not in the file, such as the head of a part of `multipart/byteranges`.
    Literal(Vec<u8>),
    /// `len` bytes of the file from `offset` on.
    Range {
        /// Position in the file of the first byte.
        offset: u64,
        /// Number of bytes.
        len: u64,
    },
}

/// An open regular file, to be sent whole or in parts.
///
/// ```
/// use std::io::Write;
/// use sockeye::{FileBody, Response};
///
/// let mut file = tempfile::tempfile()?;
/// file.write_all(b"salmon")?;
///
/// let mut body = FileBody::new(file)?;
/// assert_eq!(body.len(), 6);
/// let mut piece = Vec::new();
/// while body.read_piece(&mut piece, 4)? != 0 {}
/// assert_eq!(piece, b"salmon");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FileBody {
    file: File,
    parts: Vec<FilePart>,
    len: u64,
    remaining: u64,
    /// The part that the next byte comes from, and how much of it is done.
    index: usize,
    done: u64,
}

impl FileBody {
    /// The whole file, with the length that it has now.
    ///
    /// # Errors
    /// The file is not a regular one (`InvalidInput`), or its metadata cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        let len = metadata.len();
        Self::from_parts(file, vec![FilePart::Range { offset: 0, len }])
    }

    /// The given parts, one after the other. Ranges are not compared with the file here: one that
    /// the file does not have fails when it is read.
    ///
    /// # Errors
    /// A range's end or the total length does not fit into 64 bits (`InvalidInput`).
    pub fn from_parts(file: File, parts: Vec<FilePart>) -> io::Result<Self> {
        let mut total = Some(0_u64);
        for part in &parts {
            let fits = match part {
                FilePart::Literal(_) => true,
                FilePart::Range { offset, len } => offset.checked_add(*len).is_some(),
            };
            total = total
                .and_then(|sum| sum.checked_add(part.len()))
                .filter(|_| fits);
        }
        let len =
            total.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "length overflows"))?;
        Ok(Self {
            file,
            parts,
            len,
            remaining: len,
            index: 0,
            done: 0,
        })
    }

    /// Total length in bytes; stays the same while the body is read.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Appends the next bytes to `out`, at most `max`, and says how many; 0 means that all is
    /// read (or that `max` is 0). Fewer than `max` may come before the end.
    ///
    /// # Errors
    /// What the file system reports, and `UnexpectedEof` when the file has become shorter than
    /// what was announced: the connection can then only be closed. `out` is as it was.
    pub fn read_piece(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let start = out.len();
        let (index, done) = (self.index, self.done);
        match self.read_parts(out, max) {
            Ok(()) => {
                let count = out.len() - start;
                self.remaining = self.remaining.saturating_sub(count as u64);
                Ok(count)
            }
            Err(error) => {
                out.truncate(start);
                (self.index, self.done) = (index, done);
                Err(error)
            }
        }
    }

    fn read_parts(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<()> {
        let mut room = max;
        while let Some(part) = self.parts.get(self.index) {
            let left = part.len().saturating_sub(self.done);
            if left == 0 {
                self.index += 1;
                self.done = 0;
                continue;
            }
            if room == 0 {
                break;
            }
            let want = usize::try_from(left).map_or(room, |left| left.min(room));
            let count = match part {
                FilePart::Literal(bytes) => {
                    // `left` is not 0, so `done` lies within the literal.
                    let rest = usize::try_from(self.done)
                        .ok()
                        .and_then(|at| bytes.get(at..));
                    let piece = rest.and_then(|rest| rest.get(..want)).unwrap_or_default();
                    out.extend_from_slice(piece);
                    piece.len()
                }
                FilePart::Range { offset, .. } => {
                    read_at(&self.file, offset + self.done, want, out)?
                }
            };
            self.done += count as u64;
            room -= count;
        }
        Ok(())
    }
}

impl FilePart {
    fn len(&self) -> u64 {
        match self {
            Self::Literal(bytes) => bytes.len() as u64,
            Self::Range { len, .. } => *len,
        }
    }
}

fn read_at(file: &File, offset: u64, want: usize, out: &mut Vec<u8>) -> io::Result<usize> {
    let start = out.len();
    out.resize(start + want, 0);
    let count = loop {
        match file.read_at(&mut out[start..], offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    out.truncate(start + count);
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    fn range(offset: u64, len: u64) -> FilePart {
        FilePart::Range { offset, len }
    }

    fn drain(body: &mut FileBody, max: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let before = all.len();
            let count = body.read_piece(&mut all, max).unwrap();
            assert_eq!(all.len(), before + count);
            assert!(count <= max);
            assert_eq!(body.remaining(), body.len() - all.len() as u64);
            if count == 0 {
                return all;
            }
        }
    }

    #[test]
    fn parts_come_in_order_at_every_piece_size() {
        for max in 1..40 {
            let parts = vec![
                FilePart::Literal(b"<".to_vec()),
                range(2, 3),
                FilePart::Literal(Vec::new()),
                range(9, 0),
                FilePart::Literal(b"><".to_vec()),
                range(0, 10),
                FilePart::Literal(b">".to_vec()),
            ];
            let mut body = FileBody::from_parts(file(b"0123456789"), parts).unwrap();
            assert_eq!(body.len(), 17);
            assert_eq!(drain(&mut body, max), b"<234><0123456789>", "max {max}");
            assert_eq!(body.len(), 17);
        }
    }

    #[test]
    fn a_piece_is_filled_across_parts() {
        let parts = vec![FilePart::Literal(b"ab".to_vec()), range(0, 4)];
        let mut body = FileBody::from_parts(file(b"cdef"), parts).unwrap();
        let mut out = b"kept".to_vec();
        assert_eq!(body.read_piece(&mut out, 100).unwrap(), 6);
        assert_eq!(out, b"keptabcdef");
        assert_eq!(body.read_piece(&mut out, 100).unwrap(), 0);
    }

    #[test]
    fn no_room_reads_nothing_and_loses_nothing() {
        let mut body = FileBody::new(file(b"ab")).unwrap();
        assert_eq!(body.read_piece(&mut Vec::new(), 0).unwrap(), 0);
        assert_eq!(body.remaining(), 2);
        assert_eq!(drain(&mut body, 8), b"ab");
    }

    #[test]
    fn an_empty_file_is_an_empty_body() {
        let mut body = FileBody::new(file(b"")).unwrap();
        assert!(body.is_empty());
        assert_eq!(drain(&mut body, 8), b"");
        assert!(Body::from(body).is_empty());
    }

    #[test]
    fn the_position_of_the_descriptor_does_not_matter() {
        let mut file = file(b"abc");
        file.seek(SeekFrom::Start(2)).unwrap();
        assert_eq!(drain(&mut FileBody::new(file).unwrap(), 2), b"abc");
    }

    #[test]
    fn a_file_that_shrank_is_an_error_and_one_that_grew_is_cut() {
        let mut file = file(b"0123456789");
        let mut shrunk = FileBody::new(file.try_clone().unwrap()).unwrap();
        let mut grown = FileBody::new(file.try_clone().unwrap()).unwrap();
        file.write_all(b"more").unwrap();
        assert_eq!(drain(&mut grown, 64), b"0123456789");

        let mut out = Vec::new();
        assert_eq!(shrunk.read_piece(&mut out, 4).unwrap(), 4);
        file.set_len(6).unwrap();
        // What is there is still handed out or refused with the rest: never padded.
        let error = loop {
            match shrunk.read_piece(&mut out, 4) {
                Ok(count) => assert_ne!(count, 0),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(b"012345".starts_with(&out[..]), "{out:?}");
        let again = shrunk.read_piece(&mut out, 4).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_regular_files_and_lengths_that_exist() {
        let directory = File::open(".").unwrap();
        let error = FileBody::new(directory).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        for parts in [
            vec![range(u64::MAX, 1)],
            vec![range(0, u64::MAX), range(0, 1)],
        ] {
            let error = FileBody::from_parts(file(b""), parts).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
        let mut beyond = FileBody::from_parts(file(b"abc"), vec![range(u64::MAX - 1, 1)]).unwrap();
        assert!(beyond.read_piece(&mut Vec::new(), 8).is_err());
    }

    #[test]
    fn lengths_are_known_except_of_a_stream() {
        for (body, len) in [
            (Body::Empty, Some(0)),
            (Body::from(vec![1, 2]), Some(2)),
            (Body::from("abc"), Some(3)),
            (Body::from(Arc::<[u8]>::from(&b"abcd"[..])), Some(4)),
            (Body::from(FileBody::new(file(b"abcde")).unwrap()), Some(5)),
            (Body::Stream, None),
        ] {
            assert_eq!(body.len(), len, "{body:?}");
        }
    }
}
