//! How fast the protocol core takes frames: from bytes in a buffer to the event, beside a copy of as
//! many bytes. `cargo xtask core`.
//!
//! No socket and no engine. All that is measured takes turns within a round, and what is told is the
//! median of the rounds, so that a busy machine slows everything alike.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_proto::ws::{Config, Delivery, Event, Role, WebSocket};
use sockeye_proto::{Cx, FrameHeader, Limits, Mask, Opcode, Shared};

const ROUNDS: usize = 51;
/// What one measurement of a round takes.
const SLICE: Duration = Duration::from_millis(2);

/// How many frames take turns: in the innermost cache there is room for one, and those that a loop
/// has just read from its sockets are further out.
const RINGS: [usize; 2] = [1, MOST];
const MOST: usize = 64;

const LARGE: usize = 16 * 1024;
const SMALL: usize = 20;

/// At least so many times the speed of a copy.
const LARGE_GOAL: f64 = 0.8;
/// Nanoseconds.
const SMALL_GOAL: f64 = 60.0;

fn main() -> ExitCode {
    let mut copied = Copied::new(LARGE);
    let mut cases = [
        Case::new("binary", Opcode::Binary, LARGE, ASCII),
        Case::new("ASCII text", Opcode::Text, LARGE, ASCII),
        Case::new("Cyrillic text", Opcode::Text, LARGE, CYRILLIC),
        Case::new("binary", Opcode::Binary, SMALL, ASCII),
        Case::new("ASCII text", Opcode::Text, SMALL, ASCII),
        Case::new("Cyrillic text", Opcode::Text, SMALL, CYRILLIC),
    ];
    // For each size of the ring: the copy, then the cases.
    let mut times = RINGS.map(|_| vec![Vec::new(); cases.len() + 1]);
    for _ in 0..ROUNDS {
        for (ring, times) in RINGS.into_iter().zip(&mut times) {
            times[0].push(measured(ring, |at| copied.run(at)));
            for (case, times) in cases.iter_mut().zip(&mut times[1..]) {
                times.push(measured(ring, |at| case.run(at)));
            }
        }
    }
    println!("Nanoseconds (quartiles), and the speed beside that of a copy.\n");
    print!("|");
    for ring in RINGS {
        match ring {
            1 => print!(" | the same one again and again |"),
            _ => print!(" | {ring} in turn |"),
        }
    }
    println!("\n|---|--:|--:|--:|--:|");
    let mut missed = false;
    for row in 0..=cases.len() {
        let case = row.checked_sub(1).map(|row| &cases[row]);
        match case {
            None => print!("| copy of {LARGE} bytes |"),
            Some(case) => print!("| frame of {} bytes, {} |", case.len, case.name),
        }
        for (ring, times) in RINGS.into_iter().zip(&mut times) {
            let [copy, ..] = quartiles(&mut times[0]);
            let [time, lower, upper] = quartiles(&mut times[row]);
            print!(" {time:.0} ({lower:.0}–{upper:.0}) |");
            match case {
                Some(case) if case.len == LARGE => print!(" {:.2} |", copy / time),
                _ => print!(" |"),
            }
            missed |= match case {
                Some(case) if case.len == SMALL => time > SMALL_GOAL,
                Some(case) if case.opcode == Opcode::Binary && ring == MOST => {
                    copy / time < LARGE_GOAL
                }
                _ => false,
            };
        }
        println!();
    }
    println!(
        "\nThe goals, {LARGE_GOAL} of a copy's speed for binary frames of {LARGE} bytes ({MOST} in \
         turn) and {SMALL_GOAL} ns for {SMALL} bytes, are {}.",
        if missed { "missed" } else { "met" }
    );
    ExitCode::SUCCESS
}

/// Nanoseconds of a call, over a slice of time; a call is told whose turn it is.
fn measured(ring: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut count = 0;
    let start = Instant::now();
    loop {
        for at in 0..MOST {
            call(at % ring);
        }
        count += MOST;
        let taken = start.elapsed();
        if taken >= SLICE {
            return taken.as_nanos() as f64 / count as f64;
        }
    }
}

/// Median, lower, upper.
fn quartiles(times: &mut [f64]) -> [f64; 3] {
    times.sort_by(f64::total_cmp);
    [2, 1, 3].map(|quarter| times[(times.len() - 1) * quarter / 4])
}

struct Copied {
    from: Vec<Vec<u8>>,
    to: Vec<Vec<u8>>,
}

impl Copied {
    fn new(len: usize) -> Self {
        let (from, to) = (vec![vec![0x5a; len]; MOST], vec![vec![0; len]; MOST]);
        Self { from, to }
    }

    fn run(&mut self, at: usize) {
        black_box(&mut self.to[at]).copy_from_slice(black_box(&self.from[at]));
        black_box(&self.to[at]);
    }
}

/// Text, and a key that makes other text of it: a frame is unmasked where it lies, so that the next
/// turn gets what the one before left, and must not find it wrong.
type Sample = (&'static str, [u8; 4]);

const ASCII: Sample = ("{\"id\":1027,\"name\":\"n4\"}", [1, 1, 1, 1]);
const CYRILLIC: Sample = ("приветлюди", [0, 1, 0, 1]);

/// A server's machine, and frames of a client that it gets again and again.
struct Case {
    name: &'static str,
    opcode: Opcode,
    len: usize,
    frames: Vec<Vec<u8>>,
    socket: WebSocket,
    shared: Shared,
    output: Vec<u8>,
    now: Instant,
}

impl Case {
    fn new(name: &'static str, opcode: Opcode, len: usize, (text, key): Sample) -> Self {
        let mask = Mask::new(key);
        let mut bytes = Vec::new();
        FrameHeader {
            fin: true,
            rsv1: false,
            opcode,
            mask: Some(mask),
            payload_len: len as u64,
        }
        .encode(&mut bytes);
        let payload = bytes.len();
        bytes.extend(text.bytes().cycle().take(len));
        mask.apply(&mut bytes[payload..], 0);
        let now = Instant::now();
        let config = Config::new(Limits::default(), Delivery::Whole);
        Self {
            name,
            opcode,
            len,
            frames: vec![bytes; MOST],
            socket: WebSocket::new(Role::Server, Arc::new(config), now),
            shared: Shared::from_seed([0; 32]),
            output: Vec::new(),
            now,
        }
    }

    fn run(&mut self, at: usize) {
        let mut input = black_box(&mut self.frames[at][..]);
        let mut cx = Cx {
            now: self.now,
            output: &mut self.output,
            shared: &mut self.shared,
            blocked: false,
        };
        let event = self.socket.receive(&mut input, &mut cx);
        let len = match &event {
            Ok(Some(Event::Text(text))) => text.len(),
            Ok(Some(Event::Binary(data))) => data.len(),
            _ => 0,
        };
        assert_eq!(len, self.len, "{event:?}");
        black_box(&event);
    }
}
