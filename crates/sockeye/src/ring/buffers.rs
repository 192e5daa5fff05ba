//! The provided buffers: memory that the kernel puts received bytes into, of its own accord.
//!
//! Knows nothing of sockets. What arrives is lent out as [`Lent`], a range that nobody else can
//! reach, and goes back to the kernel when that is dropped; [`Ledger`] keeps the accounts.

#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::Submitter;
use io_uring::types::BufRingEntry;

use super::ledger::Ledger;

/// The kernel's name for the buffers of a ring.
pub(super) const GROUP: u16 = 0;
/// A power of two, as the kernel wants it.
const COUNT: u16 = 16;
/// Large messages arrive in pieces of this size: a smaller one costs a completion more often, a
/// larger one cache.
const LEN: usize = 128 * 1024;
/// Of so many buffers, one is enough to begin with. The fewer take turns, the more of them stay in
/// the processor's cache; more come into use when these have run out.
const SHARE: u16 = 8;
/// After so many waits in which none ran out, one buffer less takes turns.
const CALM: u32 = 1024;
/// `IOU_PBUF_RING_INC`: a receive takes no more of a buffer than it fills. Without it (before
/// Linux 6.12) each receive takes a buffer, however short what it finds.
const INCREMENTAL: u16 = 2;
/// How much smaller buffers are, and how many more there are, where each receive takes one.
const SPLIT: u16 = 8;
/// What the kernel wants the table of buffers aligned to.
const PAGE: usize = 4096;

/// A piece of memory with one owner.
struct Memory {
    base: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn new(len: usize) -> Self {
        // Neither is zero, and the alignment is a power of two: the fallback is never taken.
        let layout = Layout::from_size_align(len, PAGE).unwrap_or(Layout::new::<u64>());
        // SAFETY: the layout's size is not zero.
        let base = unsafe { alloc_zeroed(layout) };
        let base = NonNull::new(base).unwrap_or_else(|| handle_alloc_error(layout));
        Self { base, layout }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: `base` was allocated with this layout, and is freed only here.
        unsafe { dealloc(self.base.as_ptr(), self.layout) }
    }
}

/// The buffers of a ring, and the table that tells the kernel which of them it may use.
pub(super) struct Buffers {
    bytes: Memory,
    table: Memory,
    ledger: RefCell<Ledger>,
    /// Buffers offered so far; the table's tail, which wraps.
    offered: Cell<u16>,
    /// Buffers that do not take turns at the moment.
    spare: RefCell<Vec<u16>>,
    /// How many should not.
    resting: Cell<u16>,
    /// Waits since buffers last ran out.
    calm: Cell<u32>,
    count: u16,
    len: usize,
}

impl fmt::Debug for Buffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffers")
            .field("ledger", &self.ledger)
            .finish_non_exhaustive()
    }
}

impl Buffers {
    /// Makes them and gives all to the kernel, which must be done with them before they are
    /// dropped: see [`Queue`](super::queue::Queue).
    ///
    /// # Errors
    ///
    /// The kernel knows no provided buffers (before Linux 5.19), or there is no memory.
    pub(super) fn register(submitter: &Submitter<'_>) -> io::Result<Rc<Self>> {
        let incremental = Self::new(COUNT, LEN);
        if incremental.announce(submitter, INCREMENTAL).is_ok() {
            return Ok(Rc::new(incremental));
        }
        let whole = Self::new(COUNT * SPLIT, LEN / usize::from(SPLIT));
        whole.announce(submitter, 0)?;
        Ok(Rc::new(whole))
    }

    fn new(count: u16, len: usize) -> Self {
        let buffers = Self {
            bytes: Memory::new(usize::from(count) * len),
            table: Memory::new(usize::from(count) * size_of::<BufRingEntry>()),
            ledger: RefCell::new(Ledger::new(count, len)),
            offered: Cell::new(0),
            spare: RefCell::new((0..count).collect()),
            resting: Cell::new(count),
            calm: Cell::new(0),
            count,
            len,
        };
        buffers.use_more(count.div_ceil(SHARE));
        buffers
    }

    fn announce(&self, submitter: &Submitter<'_>, flags: u16) -> io::Result<()> {
        let table = self.table.base.as_ptr() as u64;
        // SAFETY: the table is page-aligned, has room for `count` entries, each naming memory of
        // ours, and lives until the ring is closed: `Queue` sees to that.
        unsafe { submitter.register_buf_ring_with_flags(table, self.count, GROUP, flags) }
    }

    /// Where a buffer begins.
    fn start(&self, id: u16) -> NonNull<u8> {
        debug_assert!(id < self.count);
        // SAFETY: the ledger knows `count` buffers of `len` bytes, and `bytes` is as long as all
        // of them: the result lies within.
        unsafe { self.bytes.base.add(usize::from(id) * self.len) }
    }

    /// Puts a buffer at the end of those that the kernel takes from.
    fn offer(&self, id: u16) {
        let entries = self.table.base.cast::<BufRingEntry>();
        let at = self.offered.get() % self.count;
        // SAFETY: `at` is within the table. The kernel looks at no entry from the tail on, and
        // one round of the table cannot overtake it: there are as many entries as buffers. Fields
        // are set one by one, because the first entry holds the tail, too.
        unsafe {
            let entry = &mut *entries.add(usize::from(at)).as_ptr();
            entry.set_addr(self.start(id).as_ptr() as u64);
            entry.set_len(self.len as u32);
            entry.set_bid(id);
        }
        let tail = self.offered.get().wrapping_add(1);
        self.offered.set(tail);
        // SAFETY: the address is that of the first entry of a table that was zeroed and filled,
        // where the tail lies by the kernel's definition; the kernel only reads it, so that it
        // may be taken for an atomic of ours. `Release`: the entry is seen before the tail.
        unsafe {
            let place = BufRingEntry::tail(entries.as_ptr()).cast_mut();
            AtomicU16::from_ptr(place).store(tail, Ordering::Release);
        }
    }

    fn use_more(&self, count: u16) {
        let resting = self.resting.get().saturating_sub(count);
        self.resting.set(resting);
        let mut spare = self.spare.borrow_mut();
        while spare.len() > usize::from(resting)
            && let Some(id) = spare.pop()
        {
            self.offer(id);
        }
    }

    /// The kernel had no buffer left for something that arrived.
    pub(super) fn ran_out(&self) {
        self.calm.set(0);
        self.use_more(self.count - self.resting.get());
    }

    /// One more wait is over.
    pub(super) fn waited(&self) {
        let calm = self.calm.get() + 1;
        self.calm.set(calm % CALM);
        let least = self.count.div_ceil(SHARE);
        if calm == CALM && self.count - self.resting.get() > least {
            self.resting.set(self.resting.get() + 1);
        }
    }

    fn give_back(&self, id: u16) {
        if !self.ledger.borrow_mut().give_back(id) {
            return;
        }
        let mut spare = self.spare.borrow_mut();
        if spare.len() < usize::from(self.resting.get()) {
            spare.push(id);
        } else {
            self.offer(id);
        }
    }

    /// The kernel says that it has written to a buffer: those bytes, for the one who asked.
    /// `None` for what it cannot have written.
    pub(super) fn received(self: &Rc<Self>, id: u16, len: usize, more: bool) -> Option<Lent> {
        let range = self.ledger.borrow_mut().received(id, len, more)?;
        Some(Lent {
            buffers: Rc::clone(self),
            id,
            start: range.start as u32,
            len: range.len() as u32,
        })
    }
}

/// Received bytes, where the kernel has put them.
pub(crate) struct Lent {
    buffers: Rc<Buffers>,
    id: u16,
    start: u32,
    len: u32,
}

impl Lent {
    /// The bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: the range was lent to this value alone, which cannot be cloned, and lies within
        // its buffer, both by the ledger; the memory is initialized from the start, and the kernel
        // is not offered it again before this is dropped. `&mut self` lends it to one at a time.
        unsafe {
            let start = self.buffers.start(self.id).add(self.start as usize);
            std::slice::from_raw_parts_mut(start.as_ptr(), self.len as usize)
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    /// Leaves out the first bytes, which somebody has copied.
    pub(super) fn skip(&mut self, len: usize) {
        let len = (len as u32).min(self.len);
        self.start += len;
        self.len -= len;
    }
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.buffers.give_back(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel's part, as far as memory goes.
    fn write(buffers: &Buffers, id: u16, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= buffers.len);
        // SAFETY: within the buffer, and no `Lent` of this range exists yet.
        unsafe {
            let place = buffers.start(id).add(at);
            place.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len());
        }
    }

    #[test]
    fn each_gets_its_own_bytes() {
        let buffers = Rc::new(Buffers::new(2, 64));
        write(&buffers, 0, 0, b"hello");
        let mut first = buffers.received(0, 5, true).unwrap();
        write(&buffers, 0, 5, b"world");
        let mut second = buffers.received(0, 5, false).unwrap();
        first.bytes().make_ascii_uppercase();
        assert_eq!(second.bytes(), b"world");
        assert_eq!(first.bytes(), b"HELLO");
        first.skip(3);
        assert_eq!(first.bytes(), b"LO");
        let offered = buffers.offered.get();
        drop(second);
        assert_eq!(buffers.offered.get(), offered, "the first is still lent");
        drop(first);
        assert_eq!(buffers.offered.get(), offered + 1);
    }

    #[test]
    fn more_take_turns_when_they_run_out_and_fewer_when_they_do_not() {
        let buffers = Rc::new(Buffers::new(16, 64));
        let in_use = |buffers: &Buffers| 16 - buffers.spare.borrow().len();
        assert_eq!(in_use(&buffers), 2);
        for expected in [4, 8, 16, 16] {
            buffers.ran_out();
            assert_eq!(in_use(&buffers), expected);
        }
        let offered = buffers.offered.get();
        for _ in 0..CALM * 20 {
            buffers.waited();
        }
        // Each rests when it comes back, but for two.
        let all: Vec<_> = (0..16)
            .map(|id| buffers.received(id, 64, false).unwrap())
            .collect();
        drop(all);
        assert_eq!(in_use(&buffers), 2);
        assert_eq!(buffers.offered.get(), offered + 2);
    }

    #[test]
    fn what_is_lent_outlives_the_rest() {
        let buffers = Rc::new(Buffers::new(1, 16));
        write(&buffers, 0, 0, b"x");
        let mut lent = buffers.received(0, 1, false).unwrap();
        drop(buffers);
        assert_eq!(lent.bytes(), b"x");
    }

    #[test]
    fn the_table_wraps() {
        let buffers = Rc::new(Buffers::new(2, 16));
        buffers.ran_out();
        for round in 0..u32::from(u16::MAX) + 2 {
            let id = (round % 2) as u16;
            drop(buffers.received(id, 1, false).unwrap());
        }
        assert_eq!(buffers.offered.get(), 2u16.wrapping_add(1));
    }
}
