//! The masking of hybi-04: a key of 20 bytes for each frame, over header and payload.
//!
//! The draft hashes a nonce with the key of the connection. A library of its time (libwebsockets
//! of 2011) takes the key of the connection itself; what comes in may be masked either way, and
//! which it is turns out at the first frame. What goes out is as the draft has it.

use sha1::{Digest, Sha1};

use super::frame::likelihood;

/// The nonce that says: not masked. Senders that do not mask are in use, and of those that do one
/// frame in 2^32 looks like theirs.
pub(crate) const CLEAR: [u8; 4] = [0; 4];

/// What a connection of hybi-04 keeps.
pub(crate) struct Hybi04 {
    key: [u8; 20],
    form: Form,
    /// For the payload that is being received.
    stream: Stream,
    payload_len: u64,
    /// How much of that was unmasked. Not all of it need be taken: what is left comes again.
    clear_len: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Draft,
    Bare,
}

impl Hybi04 {
    pub(crate) fn new(key: [u8; 20]) -> Self {
        Self {
            key,
            form: Form::Unknown,
            stream: Stream::default(),
            payload_len: 0,
            clear_len: 0,
        }
    }

    /// A payload comes, masked by this.
    pub(crate) fn begin(&mut self, stream: Stream, payload_len: u64) {
        self.stream = stream;
        self.payload_len = payload_len;
        self.clear_len = 0;
    }

    /// Unmasks what is there of the payload, of which so much has not been taken yet.
    pub(crate) fn unmask(&mut self, remaining: u64, input: &mut [u8]) {
        let taken = self.payload_len - remaining;
        let end = taken + remaining.min(input.len() as u64);
        let clear = self.clear_len.clamp(taken, end);
        let part = (clear - taken) as usize..(end - taken) as usize;
        if let Some(masked) = input.get_mut(part) {
            self.stream.further(clear).apply(masked);
        }
        self.clear_len = end.max(self.clear_len);
    }

    /// The key stream of a frame to be sent.
    pub(crate) fn outgoing(&self, nonce: [u8; 4]) -> Stream {
        if nonce == CLEAR {
            return Stream::default();
        }
        let key = Sha1::new().chain_update(nonce).chain_update(self.key);
        Stream {
            key: key.finalize().into(),
            at: 0,
        }
    }

    /// The key stream of a frame that came with this nonce and begins so.
    pub(crate) fn incoming(&mut self, nonce: [u8; 4], begin: [u8; 2]) -> Stream {
        if nonce == CLEAR && likelihood(begin) > 0 {
            return Stream::default();
        }
        let draft = self.outgoing(nonce);
        let bare = Stream {
            key: self.key,
            at: 0,
        };
        if self.form == Form::Unknown {
            let of = |stream: Stream| {
                let mut bytes = begin;
                stream.apply(&mut bytes);
                likelihood(bytes)
            };
            self.form = match of(bare) > of(draft) {
                true => Form::Bare,
                false => Form::Draft,
            };
        }
        match self.form {
            Form::Bare => bare,
            Form::Draft | Form::Unknown => draft,
        }
    }
}

/// Twenty bytes, over and over.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stream {
    key: [u8; 20],
    at: u8,
}

impl Stream {
    /// Masks or unmasks what comes next.
    pub(crate) fn apply(self, data: &mut [u8]) {
        let key = self.key.iter().cycle().skip(usize::from(self.at));
        for (byte, key) in data.iter_mut().zip(key) {
            *byte ^= key;
        }
    }

    /// The stream from so many bytes further on.
    pub(crate) fn further(self, offset: u64) -> Self {
        let len = self.key.len() as u64;
        let at = (u64::from(self.at) + offset % len) % len;
        Self {
            at: at as u8,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 20] = [
        0x5f, 0xd8, 0x88, 0xf7, 0x0d, 0x56, 0x9d, 0x0e, 0x57, 0x02, 0xee, 0x32, 0x23, 0xf9, 0xa2,
        0xb7, 0xb2, 0x98, 0x0d, 0x91,
    ];
    const NONCE: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    const HELLO: [u8; 7] = *b"\x84\x05Hello";

    #[test]
    fn the_draft_hashes() {
        let state = Hybi04::new(KEY);
        assert_eq!(
            state.outgoing(NONCE).key,
            [
                0x7b, 0x20, 0x45, 0x27, 0x85, 0x88, 0xd5, 0xa0, 0x13, 0x77, 0x6a, 0x78, 0xef, 0xdf,
                0x9c, 0x6d, 0xfc, 0xa2, 0x8b, 0x7f,
            ]
        );
        let mut frame = HELLO;
        state.outgoing(NONCE).apply(&mut frame);
        assert_eq!(frame, [0xff, 0x25, 0x0d, 0x42, 0xe9, 0xe4, 0xba]);
    }

    #[test]
    fn the_form_is_found_out_once() {
        let as_draft = [0xff, 0x25, 0x0d, 0x42, 0xe9, 0xe4, 0xba];
        let bare = [0xdb, 0xdd, 0xc0, 0x92, 0x61, 0x3a, 0xf2];
        for (frame, other) in [(as_draft, bare), (bare, as_draft)] {
            let mut state = Hybi04::new(KEY);
            let clear = state.incoming(CLEAR, [0x84, 0x05]);
            let mut same = HELLO;
            clear.apply(&mut same);
            assert_eq!(same, HELLO, "a frame that is not masked decides nothing");
            let mut data = frame;
            state.incoming(NONCE, [frame[0], frame[1]]).apply(&mut data);
            assert_eq!(data, HELLO);
            let mut data = other;
            state.incoming(NONCE, [other[0], other[1]]).apply(&mut data);
            assert_ne!(data, HELLO, "it is decided");
        }
    }

    #[test]
    fn a_frame_of_an_old_client() {
        let key = [
            0x96, 0x8c, 0x68, 0xfb, 0x7a, 0xee, 0x38, 0x63, 0xf0, 0x3c, 0x0a, 0xe4, 0xd5, 0xe5,
            0x0f, 0x44, 0x59, 0x09, 0xe1, 0x81,
        ];
        let mut frame = [0x12, 0x89, 0x20, 0x9e, 0x16, 0x82, 0x57];
        let begin = [frame[0], frame[1]];
        let mut state = Hybi04::new(key);
        state
            .incoming([0x10, 0x11, 0x12, 0x13], begin)
            .apply(&mut frame);
        assert_eq!(frame, HELLO);
    }

    #[test]
    fn the_stream_goes_on_however_it_is_cut() {
        let whole = Stream { key: KEY, at: 0 };
        for cut in 0..50 {
            let mut expected = [7; 50];
            whole.apply(&mut expected);
            let mut data = [7; 50];
            let (front, back) = data.split_at_mut(cut);
            whole.apply(front);
            whole.further(cut as u64).apply(back);
            assert_eq!(data, expected);
        }
    }
}
