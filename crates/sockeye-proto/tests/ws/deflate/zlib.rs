//! Stock zlib as the peer: an endpoint's two contexts, with the RFC's tail cut off and put back.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use sockeye_proto::deflate::WindowBits;

use crate::rig::Frame;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

pub(crate) struct Deflater {
    compress: Compress,
    takeover: bool,
}

impl Deflater {
    pub(crate) fn new(level: u32, bits: WindowBits, takeover: bool) -> Self {
        let bits = bits.get().max(9);
        Self {
            compress: Compress::new_with_window_bits(Compression::new(level), false, bits),
            takeover,
        }
    }

    /// The payload of a compressed message.
    pub(crate) fn message(&mut self, data: &[u8]) -> Vec<u8> {
        if data.is_empty() {
            // zlib does not flush twice.
            return vec![0];
        }
        let mut payload = self.flush(data, FlushCompress::Sync);
        assert!(payload.ends_with(&TAIL));
        payload.truncate(payload.len() - TAIL.len());
        if !self.takeover {
            self.compress.reset();
        }
        payload
    }

    /// The same, ended by a block with BFINAL (RFC 7692 §7.2.3.4).
    pub(crate) fn final_message(&mut self, data: &[u8]) -> Vec<u8> {
        let mut payload = self.flush(data, FlushCompress::Finish);
        payload.push(0);
        self.compress.reset();
        payload
    }

    pub(crate) fn flush(&mut self, data: &[u8], flush: FlushCompress) -> Vec<u8> {
        let mut payload = Vec::with_capacity(data.len() + data.len() / 8 + 70_000);
        let before = self.compress.total_in();
        self.compress
            .compress_vec(data, &mut payload, flush)
            .unwrap();
        assert_eq!(self.compress.total_in() - before, data.len() as u64);
        assert!(payload.len() < payload.capacity());
        payload
    }
}

pub(crate) struct Inflater {
    decompress: Decompress,
    takeover: bool,
}

impl Inflater {
    pub(crate) fn new(bits: WindowBits, takeover: bool) -> Self {
        Self {
            decompress: Decompress::new_with_window_bits(false, bits.get().max(9)),
            takeover,
        }
    }

    /// The message in these frames, which are all of it.
    pub(crate) fn message(&mut self, frames: &[Frame]) -> Vec<u8> {
        let (first, rest) = frames.split_first().expect("a frame");
        assert!(rest.iter().all(|frame| !frame.rsv1), "{frames:?}");
        let (last, others) = frames.split_last().expect("a frame");
        assert!(
            last.fin && others.iter().all(|frame| !frame.fin),
            "{frames:?}"
        );
        let payload: Vec<u8> = frames
            .iter()
            .flat_map(|frame| frame.payload.clone())
            .collect();
        match first.rsv1 {
            true => self.inflate(payload),
            false => payload,
        }
    }

    pub(crate) fn inflate(&mut self, mut payload: Vec<u8>) -> Vec<u8> {
        payload.extend(TAIL);
        let mut data = Vec::new();
        let mut rest = &payload[..];
        loop {
            // In small steps, so that nothing further back than the window can be reached.
            let mut piece = [0; 1];
            let (before_in, before_out) = (self.decompress.total_in(), self.decompress.total_out());
            let status = self
                .decompress
                .decompress(rest, &mut piece, FlushDecompress::Sync)
                .expect("DEFLATE within its window");
            rest = &rest[(self.decompress.total_in() - before_in) as usize..];
            let made = (self.decompress.total_out() - before_out) as usize;
            data.extend(&piece[..made]);
            assert_ne!(status, Status::StreamEnd);
            if rest.is_empty() && made == 0 {
                break;
            }
        }
        if !self.takeover {
            self.decompress.reset(false);
        }
        data
    }
}
