//! The buffers that the kernel receives into: it fills each one piece by piece, and goes on with the
//! next one when it is full.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

pub(crate) const GROUP: u16 = 0;
const COUNT: u16 = 8;
const LEN: usize = 512 * 1024;
const PAGE: usize = 4096;
/// `IOU_PBUF_RING_INC`
const PIECE_BY_PIECE: u16 = 2;

/// Lives as long as the process: what the kernel may write to is never freed.
pub(crate) struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: NonNull<u8>,
    /// How far each buffer is filled.
    filled: [usize; COUNT as usize],
    tail: u16,
}

impl Buffers {
    pub(crate) fn new(ring: &IoUring) -> io::Result<Self> {
        let entries = allocate(usize::from(COUNT) * size_of::<BufRingEntry>())?.cast();
        let memory = allocate(usize::from(COUNT) * LEN)?;
        // SAFETY: the memory is of that size and alignment, and is never freed.
        unsafe {
            let address = entries.as_ptr() as u64;
            let submitter = ring.submitter();
            submitter.register_buf_ring_with_flags(address, COUNT, GROUP, PIECE_BY_PIECE)?;
        }
        let mut buffers = Self {
            ring: entries,
            memory,
            filled: [0; COUNT as usize],
            tail: 0,
        };
        for bid in 0..COUNT {
            buffers.give(bid);
        }
        Ok(buffers)
    }

    /// What was received next in a buffer.
    pub(crate) fn filled(&self, bid: u16, len: usize) -> &[u8] {
        let start = self.filled[usize::from(bid)];
        assert!(start + len <= LEN, "the kernel fills no more than there is");
        // SAFETY: it is within the buffer, as was just checked; the kernel has filled these bytes
        // (they were zeroed before) and writes to them again only after `give`, which needs `self`
        // for itself.
        unsafe { slice::from_raw_parts(self.start(bid).add(start), len) }
    }

    /// Passes over what was received; a buffer that is used up is given back.
    pub(crate) fn release(&mut self, bid: u16, len: usize, is_whole: bool) {
        self.filled[usize::from(bid)] += len;
        if is_whole {
            self.filled[usize::from(bid)] = 0;
            self.give(bid);
        }
    }

    fn start(&self, bid: u16) -> *mut u8 {
        assert!(bid < COUNT, "the kernel knows no other buffer");
        // SAFETY: `memory` has `COUNT` times `LEN` bytes.
        unsafe { self.memory.as_ptr().add(usize::from(bid) * LEN) }
    }

    fn give(&mut self, bid: u16) {
        let start = self.start(bid);
        let index = usize::from(self.tail % COUNT);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the ring has `COUNT` entries, of which this one is ours until the tail says
        // otherwise: there are no more buffers than entries. The tail lies in the first entry, where
        // nothing else is written, and the kernel reads it as an atomic.
        unsafe {
            let entry = &mut *self.ring.as_ptr().add(index);
            entry.set_addr(start as u64);
            entry.set_len(LEN as u32);
            entry.set_bid(bid);
            let tail = BufRingEntry::tail(self.ring.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

fn allocate(len: usize) -> io::Result<NonNull<u8>> {
    let layout = Layout::from_size_align(len, PAGE).map_err(io::Error::other)?;
    // SAFETY: the size is not zero.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
    Ok(memory.unwrap_or_else(|| handle_alloc_error(layout)))
}
