//! Two byte streams in memory, one each way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

/// What fits into a direction before it blocks.
const CAPACITY: usize = 50_000;

#[derive(Debug, Default)]
struct Direction {
    bytes: VecDeque<u8>,
    ended: bool,
    calls: usize,
}

/// One end of a wire.
#[derive(Debug)]
pub(super) struct End {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
    /// No call passes on more than this.
    step: usize,
}

/// Both ends of a wire.
pub(super) fn pair(step: usize) -> (End, End) {
    let (here, there) = (Arc::default(), Arc::default());
    let end = |incoming: &Arc<_>, outgoing: &Arc<_>| End {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        step,
    };
    (end(&here, &there), end(&there, &here))
}

impl End {
    pub(super) fn is_readable(&self) -> bool {
        let incoming = self.incoming.lock().unwrap();
        !incoming.bytes.is_empty() || incoming.ended
    }

    /// Ends the outgoing stream without a word.
    pub(super) fn hang_up(&self) {
        self.outgoing.lock().unwrap().ended = true;
    }

    /// Puts bytes on the wire that no session made.
    pub(super) fn write_raw(&self, bytes: &[u8]) {
        self.outgoing.lock().unwrap().bytes.extend(bytes);
    }
}

impl Read for End {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut incoming = self.incoming.lock().unwrap();
        let len = buffer.len().min(self.step).min(incoming.bytes.len());
        if len == 0 && !incoming.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in buffer.iter_mut().zip(incoming.bytes.drain(..len)) {
            *to = from;
        }
        Ok(len)
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = self.outgoing.lock().unwrap();
        outgoing.calls += 1;
        if self.step < usize::MAX && outgoing.calls.is_multiple_of(3) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = CAPACITY.saturating_sub(outgoing.bytes.len());
        let len = bytes.len().min(self.step).min(room);
        if len == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        outgoing.bytes.extend(&bytes[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
