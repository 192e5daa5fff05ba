//! Memory that programs write into: what belongs to a session, and what a message is handed over in.
//!
//! Both are reached by raw pointers for as long as their owner here lives; nothing here keeps a
//! reference to the content.

#![allow(unsafe_code, reason = "memory that C writes into")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::ptr::{self, NonNull};

/// Fits every type that C has.
const ALIGN: usize = 16;
/// At least `LWS_SEND_BUFFER_PRE_PADDING`, and so that the data are aligned.
const BEFORE: usize = 16;
/// At least the terminator and `LWS_SEND_BUFFER_POST_PADDING`.
const BEHIND: usize = 16;

/// A block of zeros for the program.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// `None` if there is no such memory.
    pub(crate) fn new(len: usize) -> Option<Self> {
        let layout = Layout::from_size_align(len.max(1), ALIGN).ok()?;
        // SAFETY: the layout is not of size zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start)?;
        Some(Self { start, layout })
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.start.as_ptr().cast()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout, and this owner is the only one.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A block with room for data and for what programs write around them.
#[derive(Debug)]
pub(crate) struct Padded {
    block: Block,
    room: usize,
}

impl Padded {
    pub(crate) fn new(room: usize) -> Option<Self> {
        let len = room.checked_add(BEFORE + BEHIND)?;
        Some(Self {
            block: Block::new(len)?,
            room,
        })
    }

    /// Puts data in, with a NUL behind them, and says where they are. What does not fit is cut.
    pub(crate) fn fill(&mut self, data: &[u8]) -> *mut c_void {
        let len = data.len().min(self.room);
        // SAFETY: `BEFORE + room + BEHIND` bytes were allocated and `len` is at most `room`; the
        // data are of somebody else, since nobody makes slices of this block.
        unsafe {
            let start = self.block.start.as_ptr().add(BEFORE);
            ptr::copy_nonoverlapping(data.as_ptr(), start, len);
            start.add(len).write(0);
            start.cast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{LWS_SEND_BUFFER_POST_PADDING, LWS_SEND_BUFFER_PRE_PADDING};

    #[test]
    fn blocks_are_zero_and_aligned() {
        for len in [0, 1, 15, 16, 4097] {
            let block = Block::new(len).unwrap();
            assert_eq!(block.pointer().addr() % ALIGN, 0);
            // SAFETY: `len` bytes were just allocated, as zeros, and nobody writes them.
            let bytes = unsafe { std::slice::from_raw_parts(block.pointer().cast::<u8>(), len) };
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
        assert!(Block::new(usize::MAX).is_none());
        assert!(Padded::new(usize::MAX).is_none());
    }

    #[test]
    fn padding_is_writable_and_the_end_is_marked() {
        const _: () = assert!(BEFORE >= LWS_SEND_BUFFER_PRE_PADDING);
        const _: () = assert!(BEHIND > LWS_SEND_BUFFER_POST_PADDING);
        let mut padded = Padded::new(4).unwrap();
        for data in [&b"abcd"[..], b"", b"x", b"abcdefgh"] {
            let len = data.len().min(4);
            let start = padded.fill(data).cast::<u8>();
            assert_eq!(start.addr() % ALIGN, 0);
            // SAFETY: this is what `fill` promises room for, and nobody else uses it meanwhile.
            let seen = unsafe { std::slice::from_raw_parts(start, len + 1) };
            assert_eq!((&seen[..len], seen[len]), (&data[..len], 0));
            // SAFETY: as above.
            unsafe {
                ptr::write_bytes(start.sub(LWS_SEND_BUFFER_PRE_PADDING), 0xff, 14);
                start.add(len).write(0xff);
            }
        }
    }
}
