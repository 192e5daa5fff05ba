//! A stream in memory: reading waits until somebody writes.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex};

#[derive(Debug, Default)]
struct Queue {
    bytes: VecDeque<u8>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Direction {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug)]
pub(crate) struct Memory {
    input: Arc<Direction>,
    output: Arc<Direction>,
    /// Reading gives up instead of waiting.
    pub(crate) impatient: bool,
}

pub(crate) fn pair() -> (Memory, Memory) {
    let (there, back) = (Arc::<Direction>::default(), Arc::<Direction>::default());
    let near = Memory {
        input: Arc::clone(&back),
        output: Arc::clone(&there),
        impatient: false,
    };
    let far = Memory {
        input: there,
        output: back,
        impatient: false,
    };
    (near, far)
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let queue = self.input.queue.lock().unwrap();
        if self.impatient && queue.bytes.is_empty() && !queue.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut queue = self
            .input
            .changed
            .wait_while(queue, |queue| queue.bytes.is_empty() && !queue.ended)
            .unwrap();
        queue.bytes.read(buffer)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut queue = self.output.queue.lock().unwrap();
        if queue.ended {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        queue.bytes.extend(bytes);
        self.output.changed.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for direction in [&self.input, &self.output] {
            direction.queue.lock().unwrap().ended = true;
            direction.changed.notify_all();
        }
    }
}
