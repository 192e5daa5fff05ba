//! Opens connections, closes them with a closing handshake, and again: a thread for each that is
//! open at the same time.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::deflate::Deflate;
use crate::failure::Failure;
use crate::frame::{self, Head};
use crate::link::Buffers;
use crate::opening::Opener;
use crate::watch::Watch;
use crate::{ConnectArgs, Outcome};

const BUFFER_LEN: usize = 32 * 1024;
/// How much longer than asked for a busy machine may take to show anything.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn run(args: &ConnectArgs) -> Result<Outcome, Failure> {
    let watch = Watch::new(args.server.watch)?;
    let opener = Opener::new(&args.server.url, Deflate::Off)?;
    let stop = AtomicBool::new(false);
    let count = AtomicU64::new(0);
    let failure = Mutex::new(None);
    let outcome = thread::scope(|scope| {
        for _ in 0..args.at_once {
            scope.spawn(|| {
                let mut buffers = Buffers::new(BUFFER_LEN);
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = once(&opener, &mut buffers) {
                        stop.store(true, Ordering::Relaxed);
                        *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        return;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        // For a time, and on until there was something to count; but not for ever.
        let wait = |time: Duration| {
            let begin = Instant::now();
            let enough = count.load(Ordering::Relaxed) + args.at_once as u64;
            loop {
                let waited = begin.elapsed();
                let over = waited >= time && count.load(Ordering::Relaxed) >= enough;
                if over || waited >= time + PATIENCE || stop.load(Ordering::Relaxed) {
                    return;
                }
                let left = time.saturating_sub(waited).max(Duration::from_millis(1));
                thread::sleep(left.min(Duration::from_millis(50)));
            }
        };
        let snapshot = || watch.snapshot(count.load(Ordering::Relaxed));
        wait(args.window.warmup());
        let start = snapshot();
        wait(args.window.length());
        let end = snapshot();
        stop.store(true, Ordering::Relaxed);
        Ok(start?.until(&end?))
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None => outcome,
    }
}

fn once(opener: &Opener, buffers: &mut Buffers) -> Result<(), Failure> {
    let mut link = opener.open(buffers)?;
    let mut close = Vec::new();
    frame::write(
        &mut close,
        frame::CLOSE,
        &1000_u16.to_be_bytes(),
        [1, 2, 3, 4],
    );
    link.write_all(&close)
        .map_err(Failure::io("send a Close"))?;
    let mut answer = Vec::new();
    loop {
        let len = link.read(buffers).map_err(Failure::io("await a Close"))?;
        answer.extend_from_slice(&buffers.plain[..len]);
        match Head::read(&answer).map_err(|why| Failure::Server(why.to_owned()))? {
            Some(head) if head.opcode != frame::CLOSE => {
                return Err(Failure::Server("sent something unasked".to_owned()));
            }
            Some(head) if answer.len() as u64 >= head.len as u64 + head.payload_len => {
                return Ok(());
            }
            _ if len == 0 => {
                return Err(Failure::Server("did not answer a Close".to_owned()));
            }
            _ => {}
        }
    }
}
