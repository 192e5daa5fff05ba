//! Compressors and decompressors, leased for the time of a call or of a message.
//!
//! Raw DEFLATE by `zlib-rs`; knows no frame and no connection. What is kept between messages
//! comes in as a [`History`]. Decompressors always have the largest window: a smaller one would
//! be refused or not depending on how the input is cut.

use zlib_rs::{
    Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Method, Status, Strategy,
};

use super::{History, WindowBits};

/// Bytes inflated before they are counted: between the calls that add to a message.
pub(crate) const STEP_LEN: usize = 64 * 1024;

/// A compressor for each window is kept at most, and some spare.
const SPARE_DEFLATERS: usize = 8;
/// Decompressors kept; more are made while more messages are half received.
const SPARE_INFLATERS: usize = 8;
/// An output buffer that grew larger for one message is freed behind it.
const PACKED_LEN: usize = 256 * 1024;

/// Buffers for the symbols of 2 KiB and more: those of zlib's default take longer to go round in
/// than short messages need to be compressed.
const MEM_LEVEL: i32 = 5;

/// Ends a flush (RFC 7692 §7.2.1): left out on the wire, put back before inflating.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The data is no DEFLATE (RFC 1951), or it ends amid a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

/// The contexts and buffers that the connections of one thread share.
#[derive(Default)]
pub(crate) struct Pool {
    deflaters: Vec<Deflater>,
    inflaters: Vec<Inflater>,
    step: Vec<u8>,
    packed: Vec<u8>,
}

struct Deflater {
    bits: WindowBits,
    level: u8,
    deflate: Deflate,
    /// What it can refer to by itself, since it compressed that.
    known: History,
}

impl Pool {
    /// Compresses a message, or a part of it that ends on a byte. `history` is what the peer can
    /// be referred to, with takeover. The end of a message is without its tail.
    pub(crate) fn deflate(
        &mut self,
        bits: WindowBits,
        level: u8,
        history: Option<&History>,
        data: &[u8],
        last: bool,
    ) -> &[u8] {
        if data.is_empty() {
            // RFC 7692 §7.2.3.6: an empty block, the rest of which is the tail.
            return if last { &[0] } else { &[] };
        }
        let level = match level {
            0 => level_of(data.len()),
            level => level,
        };
        let fits = |spare: &Deflater| spare.bits == bits && spare.level == level;
        let mut deflater = match self.deflaters.iter().rposition(fits) {
            Some(index) => self.deflaters.remove(index),
            None => Deflater::new(bits, level),
        };
        let packed = &mut self.packed;
        if packed.len() > PACKED_LEN {
            *packed = Vec::new();
        }
        let mut len = deflater.run(history, data, packed);
        if self.deflaters.len() == SPARE_DEFLATERS {
            // The one that was not used for the longest time.
            self.deflaters.remove(0);
        }
        self.deflaters.push(deflater);
        if last && self.packed[..len].ends_with(&TAIL) {
            len -= TAIL.len();
        }
        &self.packed[..len]
    }

    /// A decompressor that knows what `history` holds.
    pub(crate) fn inflater(&mut self, history: &History) -> Inflater {
        let mut inflater = self.inflaters.pop().unwrap_or_else(Inflater::new);
        inflater.begin(history);
        inflater
    }

    /// Takes back a decompressor, in whatever state it is.
    pub(crate) fn give(&mut self, inflater: Inflater) {
        if self.inflaters.len() < SPARE_INFLATERS {
            self.inflaters.push(inflater);
        }
    }

    /// A buffer of [`STEP_LEN`] bytes, to be [given back](Self::give_step).
    pub(crate) fn step(&mut self) -> Vec<u8> {
        let mut step = std::mem::take(&mut self.step);
        step.resize(STEP_LEN, 0);
        step
    }

    pub(crate) fn give_step(&mut self, step: Vec<u8>) {
        self.step = step;
    }
}

/// The level for a message of this length, if nobody chose one. To search harder is cheap beside
/// what each message costs anyway, a reset and a block with trees of its own. For the shortest
/// such trees cost as much again and save a twentieth.
fn level_of(len: usize) -> u8 {
    if len < 256 { 1 } else { 5 }
}

impl Deflater {
    fn new(bits: WindowBits, level: u8) -> Self {
        // zlib has no window of 8 bits for raw DEFLATE. Runs of one byte reach back by one.
        let (window_bits, strategy) = match bits {
            WindowBits::MIN => (9, Strategy::Rle),
            bits => (i32::from(bits.get()), Strategy::Default),
        };
        let deflate = Deflate::new_with_config(DeflateConfig {
            level: i32::from(level.min(9)),
            method: Method::Deflated,
            window_bits: -window_bits,
            mem_level: MEM_LEVEL,
            strategy,
        });
        Self {
            bits,
            level,
            deflate,
            known: History::default(),
        }
    }

    /// Makes it refer to just what `history` has. A peer that gets several messages in a row finds
    /// the compressor as it left it: to reset and to prime it is most of the work with short ones.
    fn begin(&mut self, history: Option<&History>) {
        if history.is_some_and(|history| !history.is_empty() && *history == self.known) {
            return;
        }
        self.deflate.reset();
        let Some(history) = history else {
            self.known.clear();
            return;
        };
        if history.is_empty() {
            self.known = History::new(self.bits.window_len());
            return;
        }
        self.known.clone_from(history);
        if self.bits > WindowBits::MIN {
            for run in history.runs().into_iter().filter(|run| !run.is_empty()) {
                // Refused only in the middle of a stream.
                let _ = self.deflate.set_dictionary(run);
            }
        }
    }

    /// Returns how much of `packed` it filled.
    fn run(&mut self, history: Option<&History>, data: &[u8], packed: &mut Vec<u8>) -> usize {
        self.begin(history);
        if history.is_some() {
            self.known.push(data);
        }
        // A little more than can be needed: a flush that fills its output asks for another one.
        let bound = data.len() + data.len() / 8 + 64;
        if packed.len() < bound {
            packed.resize(bound, 0);
        }
        let (mut used, mut len) = (0, 0);
        loop {
            let (before_in, before_out) = (self.deflate.total_in(), self.deflate.total_out());
            let result =
                self.deflate
                    .compress(&data[used..], &mut packed[len..], DeflateFlush::SyncFlush);
            used += (self.deflate.total_in() - before_in) as usize;
            len += (self.deflate.total_out() - before_out) as usize;
            if result.is_err() || len < packed.len() {
                debug_assert!(result.is_ok() && used == data.len(), "{result:?}");
                if result.is_err() {
                    self.known.clear();
                }
                return len;
            }
            packed.resize(packed.len() * 2, 0);
        }
    }
}

/// A decompressor within a message.
pub(crate) struct Inflater {
    inflate: Inflate,
    /// A block with BFINAL has ended: what follows, if anything, is a new stream.
    ended: bool,
}

/// What came of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) used: usize,
    pub(crate) made: usize,
    /// What comes behind is broken.
    pub(crate) broken: bool,
}

impl Inflater {
    fn new() -> Self {
        Self {
            inflate: Inflate::new(false, WindowBits::MAX.get()),
            ended: false,
        }
    }

    fn begin(&mut self, history: &History) {
        // This forgets what window was asked for, which is none but the default.
        self.inflate.reset(false);
        for run in history.runs().into_iter().filter(|run| !run.is_empty()) {
            // Raw streams take any.
            let _ = self.inflate.set_dictionary(run);
        }
        self.ended = false;
    }

    /// Inflates until `input` is used up or `output` is full. In the latter case there may be
    /// more to come even without more input. `history` follows, as far as it is needed later:
    /// always if `keep`, else only if this call does not get to the end of the input.
    pub(crate) fn fill(
        &mut self,
        input: &[u8],
        output: &mut [u8],
        history: &mut History,
        keep: bool,
    ) -> Filled {
        let mut filled = Filled {
            used: 0,
            made: 0,
            broken: false,
        };
        let mut pushed = 0;
        loop {
            if self.ended && filled.used < input.len() {
                // RFC 7692 §7.2.3.4: further blocks may follow the final one.
                history.push(&output[pushed..filled.made]);
                pushed = filled.made;
                self.begin(history);
            }
            let (used, made, result) = self.feed(&input[filled.used..], &mut output[filled.made..]);
            filled.used += used;
            filled.made += made;
            let stuck = used == 0 && made == 0;
            filled.broken = result.is_err() || stuck && filled.used < input.len();
            if filled.broken || filled.made == output.len() || filled.used == input.len() {
                break;
            }
        }
        if keep || filled.made == output.len() {
            history.push(&output[pushed..filled.made]);
        }
        filled
    }

    /// Ends the message: puts the tail back, and sees to it that the data ended with a block.
    /// Returns how much of `output` it filled; [`FINISH_LEN`](Self::FINISH_LEN) is enough.
    pub(crate) fn finish(&mut self, output: &mut [u8]) -> Result<usize, Broken> {
        if self.ended {
            return Ok(0);
        }
        let (_, made, result) = self.feed(&TAIL, output);
        result?;
        if self.ended {
            return Ok(made);
        }
        // Nobody looks at this decompressor any more: it can be asked with blocks of our own where
        // it is. Behind the tail an empty block leads to nothing.
        let mut probe = [0; 64];
        let (_, more, result) = self.feed(&[0x00, 0x00, 0x00, 0xff, 0xff], &mut probe);
        result?;
        match more {
            0 => {
                let (_, _, result) = self.feed(&[0x01, 0x00, 0x00, 0xff, 0xff], &mut probe);
                result?;
                if self.ended { Ok(made) } else { Err(Broken) }
            }
            // The sender put no empty block behind its last one, so that the tail was taken for the
            // head of a stored block, the length of which our own block completed.
            4 if probe[..4] == TAIL => Ok(made),
            _ => Err(Broken),
        }
    }

    /// Output that the last byte of a message, and its end, can still cause: the bits that were
    /// read ahead, those of the byte and of the tail, each the code of a run of 258 bytes.
    pub(crate) const FINISH_LEN: usize = (64 + 8 + 32) * 258;

    fn feed(&mut self, input: &[u8], output: &mut [u8]) -> (usize, usize, Result<(), Broken>) {
        if self.ended {
            return (0, 0, Ok(()));
        }
        let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, output, InflateFlush::SyncFlush);
        let used = (self.inflate.total_in() - before_in) as usize;
        let made = (self.inflate.total_out() - before_out) as usize;
        self.ended = status == Ok(Status::StreamEnd);
        (used, made, status.map(drop).map_err(|_| Broken))
    }
}
