//! A machine with its surroundings, and what it did in a form that can be compared.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye_proto::ws::{Chunk, Config, Delivery, Event, Kind, Lost, Role, WebSocket};
use sockeye_proto::{Cx, FrameHeader, Limits, Mask, Misuse, Opcode, Shared, Violation};

/// What a machine reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Chunk {
        kind: Kind,
        first: bool,
        last: bool,
        remaining: u64,
        data: Vec<u8>,
    },
    Event(&'static str, Vec<u8>),
    Close(u16, String),
    Other(String),
}

impl Seen {
    pub(crate) fn text(text: &str) -> Self {
        Self::Event("text", text.as_bytes().to_vec())
    }

    pub(crate) fn binary(data: &[u8]) -> Self {
        Self::Event("binary", data.to_vec())
    }

    pub(crate) fn violation(violation: Violation) -> Self {
        Self::Other(format!("violation {violation:?}"))
    }

    pub(crate) fn misuse(misuse: Misuse) -> Self {
        Self::Other(format!("misuse {misuse:?}"))
    }

    pub(crate) fn lost(lost: Lost) -> Self {
        Self::Other(format!("lost {lost:?}"))
    }
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::text(&text),
            Event::Binary(data) => Self::binary(&data),
            Event::Chunk(Chunk {
                kind,
                data,
                first,
                last,
                frame_remaining,
            }) => {
                let data = data.into_vec();
                Self::Chunk {
                    kind,
                    first,
                    last,
                    remaining: frame_remaining,
                    data,
                }
            }
            Event::Ping(data) => Self::Event("ping", data.into_vec()),
            Event::Pong(data) => Self::Event("pong", data.into_vec()),
            Event::Close(close) => Self::Close(close.code.into(), close.reason.into_string()),
            Event::Lost(lost) => Self::lost(lost),
            _ => unreachable!("an event that this rig does not know"),
        }
    }
}

/// Joins the pieces of a streamed message, which lie differently with every cut.
pub(crate) fn joined(seen: Vec<Seen>) -> Vec<Seen> {
    let mut joined: Vec<Seen> = Vec::new();
    for seen in seen {
        if let (
            Some(Seen::Chunk {
                last,
                remaining,
                data,
                ..
            }),
            Seen::Chunk {
                first: false,
                last: new_last,
                remaining: new,
                data: more,
                ..
            },
        ) = (joined.last_mut(), &seen)
        {
            assert!(!*last, "a chunk behind the last");
            *last = *new_last;
            *remaining = *new;
            data.extend_from_slice(more);
            continue;
        }
        joined.push(seen);
    }
    joined
}

/// A machine with time, output and shared resources.
pub(crate) struct Rig {
    pub(crate) socket: WebSocket,
    pub(crate) now: Instant,
    pub(crate) output: Vec<u8>,
    pub(crate) blocked: bool,
    pub(crate) seen: Vec<Seen>,
    shared: Shared,
}

impl Rig {
    pub(crate) fn new(role: Role, limits: Limits, delivery: Delivery) -> Self {
        Self::with_config(role, Config::new(limits, delivery))
    }

    pub(crate) fn with_config(role: Role, config: Config) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
        let now = Instant::now();
        Self {
            socket: WebSocket::new(role, Arc::new(config), now),
            now,
            output: Vec::new(),
            blocked: false,
            seen: Vec::new(),
            shared: Shared::from_seed([1; 32]),
        }
    }

    /// The same, speaking an old version.
    #[cfg(feature = "drafts")]
    pub(crate) fn speaking(mut self, number: u8) -> Self {
        use sockeye_proto::Version;
        use sockeye_proto::drafts::Wire;

        let version = Version::from_number(number).unwrap();
        let wire = Wire::new(version, crate::talk::WIRE_KEY);
        let config = Arc::clone(self.socket.config());
        self.socket = WebSocket::with_wire(self.socket.role(), config, wire, self.now);
        self
    }

    /// Calls the machine with its surroundings.
    pub(crate) fn with<T>(&mut self, call: impl FnOnce(&mut WebSocket, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            output: &mut self.output,
            shared: &mut self.shared,
            blocked: self.blocked,
        };
        call(&mut self.socket, &mut cx)
    }

    /// Calls the machine and notes a misuse.
    pub(crate) fn call(
        &mut self,
        call: impl FnOnce(&mut WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
    ) {
        if let Err(misuse) = self.with(call) {
            self.seen.push(Seen::misuse(misuse));
        }
    }

    /// Gives the machine one read's worth of bytes and notes what it reports.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let mut input = &mut bytes[..];
        loop {
            match self.with(|socket, cx| {
                let result = socket.receive(&mut input, cx);
                // An event outlives the borrow of the machine.
                let _ = socket.fate();
                result.map(|event| event.map(Seen::from))
            }) {
                Ok(Some(seen)) => self.seen.push(seen),
                Ok(None) => break,
                Err(violation) => {
                    self.seen.push(Seen::violation(violation));
                    break;
                }
            }
        }
        assert!(input.is_empty(), "all input is consumed");
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub(crate) fn advance(&mut self, by: Duration) {
        let target = self.now + by;
        let mut calls = 0;
        while let Some(due) = self.socket.next_timeout().filter(|due| *due <= target) {
            self.now = self.now.max(due);
            let event = self.with(|socket, cx| socket.handle_timeout(cx));
            self.seen.extend(event.map(Seen::from));
            calls += 1;
            assert!(calls < 10_000, "a deadline that does not move");
        }
        self.now = target;
    }

    /// What was reported since the last call, and what was put out, unmasked.
    pub(crate) fn take(&mut self) -> (Vec<Seen>, Vec<Frame>) {
        let output = std::mem::take(&mut self.output);
        (std::mem::take(&mut self.seen), frames(&output))
    }
}

/// A frame of the output.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) rsv1: bool,
    pub(crate) opcode: Opcode,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fin = if self.fin { "fin " } else { "" };
        let mask = if self.masked { "masked " } else { "" };
        let rsv1 = if self.rsv1 { "rsv1 " } else { "" };
        write!(
            f,
            "{fin}{rsv1}{mask}{:?} \"{}\"",
            self.opcode,
            self.payload.escape_ascii()
        )
    }
}

/// Takes an output apart; it must be whole frames.
pub(crate) fn frames(mut output: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !output.is_empty() {
        let (header, len) = FrameHeader::decode(output)
            .unwrap()
            .expect("a whole header");
        let (payload, rest) = output[len..].split_at(header.payload_len as usize);
        let mut payload = payload.to_vec();
        header.mask.unwrap_or_default().apply(&mut payload, 0);
        frames.push(Frame {
            fin: header.fin,
            rsv1: header.rsv1,
            opcode: header.opcode,
            masked: header.mask.is_some(),
            payload,
        });
        output = rest;
    }
    frames
}

/// A frame as the peer of `role` sends it.
pub(crate) fn frame_to(role: Role, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    frame_with(role, opcode, fin, false, payload)
}

/// The same with RSV1 as given.
pub(crate) fn frame_with(
    role: Role,
    opcode: Opcode,
    fin: bool,
    rsv1: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mask = (role == Role::Server).then(|| Mask::new([0x37, 0xfa, 0x21, 0x3d]));
    let payload_len = payload.len() as u64;
    let mut bytes = Vec::new();
    FrameHeader {
        fin,
        rsv1,
        opcode,
        mask,
        payload_len,
    }
    .encode(&mut bytes);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    mask.unwrap_or_default().apply(&mut bytes[start..], 0);
    bytes
}

/// A small deterministic source of choices for tests that need many.
pub(crate) struct Choice(u64);

impl Choice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}
