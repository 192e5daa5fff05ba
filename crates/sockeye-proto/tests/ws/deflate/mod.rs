//! permessage-deflate: every rule of RFC 7692 §6 and §7.2, with stock zlib as the other side.

mod limit;
mod pair;
mod receive;
mod send;
mod turn;
mod zlib;

use sockeye_proto::deflate::{Settings, WindowBits};
use sockeye_proto::ws::{Config, Delivery, Role};
use sockeye_proto::{Limits, Opcode};

use crate::rig::{Rig, Seen, frame_with, joined};

/// What a message is made of, in tests that want it compressible.
fn json(len: usize, seed: u64) -> String {
    let mut choice = crate::rig::Choice::new(seed * 2 + 1);
    let mut text = String::new();
    while text.len() < len {
        let id = choice.below(100_000);
        let name = ["alice", "bob", "carol", "dave"][choice.below(4)];
        text += &format!(
            "{{\"id\":{id},\"name\":\"{name}\",\"open\":{}}},",
            id.is_multiple_of(2)
        );
    }
    text.truncate(len);
    text
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut choice = crate::rig::Choice::new(seed * 2 + 1);
    (0..len).map(|_| choice.below(256) as u8).collect()
}

fn bits(bits: u8) -> WindowBits {
    WindowBits::new(bits).unwrap()
}

/// Everything is compressed, windows are kept.
fn keen() -> Settings {
    Settings {
        min_len: 0,
        ..Settings::takeover()
    }
}

fn rig(role: Role, settings: Settings) -> Rig {
    rig_with(role, settings, Limits::default(), Delivery::Whole)
}

fn rig_with(role: Role, settings: Settings, limits: Limits, delivery: Delivery) -> Rig {
    let mut config = Config::new(limits, delivery);
    config.deflate = Some(settings);
    Rig::with_config(role, config)
}

/// The frames of a compressed message: its payload in these fragments.
fn packed(role: Role, opcode: Opcode, fragments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, fragment) in fragments.iter().enumerate() {
        let opcode = if index == 0 {
            opcode
        } else {
            Opcode::Continuation
        };
        let fin = index + 1 == fragments.len();
        bytes.extend(frame_with(role, opcode, fin, index == 0, fragment));
    }
    bytes
}

/// What a machine reports about these bytes, which is the same for whole and streamed messages,
/// in one read, byte by byte, and cut at every place of the first few hundred bytes.
fn seen(role: Role, settings: Settings, limits: &Limits, bytes: &[u8]) -> Vec<Seen> {
    let run = |delivery, pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut rig = rig_with(role, settings, limits.clone(), delivery);
        for piece in pieces {
            rig.receive(piece);
        }
        let mut seen = joined(rig.take().0);
        for seen in &mut seen {
            // How far the input was needed for what stands before an error.
            if let Seen::Chunk { remaining, .. } = seen {
                *remaining = 0;
            }
        }
        seen
    };
    let whole = run(Delivery::Whole, &mut std::iter::once(bytes));
    let streamed = run(Delivery::Streaming, &mut std::iter::once(bytes));
    let joints = [1, 2, 3, 7].map(|size| (size, bytes.chunks(size)));
    for (size, mut pieces) in joints {
        let whole_again = run(Delivery::Whole, &mut pieces.clone());
        assert_eq!(whole_again, whole, "in pieces of {size}");
        let streamed_again = run(Delivery::Streaming, &mut pieces);
        assert_eq!(streamed_again, streamed, "streamed in pieces of {size}");
    }
    for at in 0..bytes.len().min(300) {
        let (head, tail) = bytes.split_at(at);
        for (delivery, expected) in [(Delivery::Whole, &whole), (Delivery::Streaming, &streamed)] {
            let again = run(delivery, &mut [head, tail].into_iter());
            assert_eq!(again, *expected, "cut at {at}");
        }
    }
    let as_whole = |seen: Vec<Seen>| {
        seen.into_iter()
            .filter_map(|seen| match seen {
                Seen::Chunk {
                    kind, last, data, ..
                } => last.then_some(match kind {
                    sockeye_proto::ws::Kind::Text => Seen::Event("text", data),
                    sockeye_proto::ws::Kind::Binary => Seen::Event("binary", data),
                }),
                other => Some(other),
            })
            .collect::<Vec<_>>()
    };
    if limits == &Limits::default() {
        assert_eq!(as_whole(streamed), whole, "streamed");
    }
    whole
}
