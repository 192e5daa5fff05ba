//! What is at a name below the root.
//!
//! Knows how to open without leaving the root, without waiting and without side effects on what
//! is no file. Refuses to know requests.
//!
//! Invariants: resolution is the kernel's (`openat2` with `RESOLVE_BENEATH`, through `cap-std`,
//! which walks by hand where that is missing), so a component swapped for a symlink meanwhile
//! cannot lead out; kind, length and times come from the descriptor that is sent, so they belong
//! to it whatever happens to the name.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use ::http::StatusCode;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;
use rustix::io::Errno;

#[derive(Debug)]
pub(super) enum Node {
    Directory,
    File(RegularFile),
    /// FIFO or device.
    Special,
}

#[derive(Debug)]
pub(super) struct RegularFile {
    pub(super) file: File,
    pub(super) len: u64,
    pub(super) inode: u64,
    /// Time of the last change of the content, relative to 1970.
    pub(super) modified: (i64, i64),
}

impl Node {
    /// The error is the status to answer with.
    pub(super) fn open(root: &Dir, name: &str) -> Result<Self, StatusCode> {
        open(root, name).map_err(|error| status(&error))
    }
}

fn open(root: &Dir, name: &str) -> io::Result<Node> {
    // Opening a FIFO waits for a writer unless told not to; a terminal must not become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let file = root.open_with(name, &options)?.into_std();
    let metadata = file.metadata()?;
    Ok(if metadata.is_dir() {
        Node::Directory
    } else if metadata.is_file() {
        Node::File(RegularFile {
            len: metadata.len(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            file,
        })
    } else {
        Node::Special
    })
}

fn status(error: &io::Error) -> StatusCode {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        // No system call says so: `cap-std` found that the path leads out of the root, or that it
        // cannot be a name at all. To the peer nothing is there.
        return StatusCode::NOT_FOUND;
    };
    match errno {
        Errno::ACCESS | Errno::PERM => StatusCode::FORBIDDEN,
        // NXIO is what opening a socket says.
        Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG => StatusCode::NOT_FOUND,
        Errno::NXIO | Errno::NODEV | Errno::INVAL | Errno::XDEV => StatusCode::NOT_FOUND,
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_status() {
        for (errno, expected) in [
            (Errno::NOENT, 404),
            (Errno::NOTDIR, 404),
            (Errno::LOOP, 404),
            (Errno::NAMETOOLONG, 404),
            (Errno::NXIO, 404),
            (Errno::ACCESS, 403),
            (Errno::MFILE, 503),
            (Errno::NFILE, 503),
            (Errno::NOMEM, 503),
            (Errno::IO, 500),
        ] {
            assert_eq!(status(&errno.into()), expected, "{errno:?}");
        }
        let escape = io::Error::new(io::ErrorKind::PermissionDenied, "leads out");
        assert_eq!(status(&escape), 404);
    }
}
