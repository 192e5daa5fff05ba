//! Bounds of what a peer can inflate.

use flate2::FlushCompress;
use sockeye_proto::deflate::Settings;
use sockeye_proto::ws::{Delivery, Role};
use sockeye_proto::{Limits, Opcode, Violation};

use super::zlib::Deflater;
use super::{bits, json, keen, noise, packed, rig_with, seen};
use crate::rig::{Seen, frame_with};

#[test]
fn inflated_bytes_count_against_the_limit() {
    let limits = Limits {
        message_len: 100_000,
        frame_len: 100_000,
        ..Limits::default()
    };
    for len in [100_000, 100_001] {
        for data in [vec![b' '; len], json(len, 1).into_bytes(), noise(len, 1)] {
            let payload = Deflater::new(6, bits(15), false).message(&data);
            let bytes = packed(Role::Client, Opcode::Binary, &[&payload]);
            let third = payload.len() / 3;
            let parts = packed(
                Role::Client,
                Opcode::Binary,
                &[&payload[..third], &payload[third..]],
            );
            for bytes in [bytes, parts] {
                let mut rig = rig_with(
                    Role::Client,
                    Settings::default(),
                    limits.clone(),
                    Delivery::Whole,
                );
                bytes.chunks(5000).for_each(|piece| rig.receive(piece));
                let expected = match len {
                    100_000 => Seen::binary(&data),
                    _ => Seen::violation(Violation::MessageTooBig),
                };
                assert_eq!(rig.take().0, [expected]);
            }
        }
    }
}

/// 256 MiB of zeros in about 256 KiB.
fn bomb() -> Vec<u8> {
    let mut zlib = Deflater::new(9, bits(15), true);
    let piece = vec![0; 1024 * 1024];
    let mut payload = Vec::new();
    for _ in 0..256 {
        payload.extend(zlib.flush(&piece, FlushCompress::None));
    }
    payload.extend(zlib.flush(b"", FlushCompress::Sync));
    payload.truncate(payload.len() - 4);
    assert!(payload.len() < 300 * 1024, "{}", payload.len());
    payload
}

#[test]
fn bombs_end_in_1009() {
    let payload = bomb();
    let in_frames = |count: usize| {
        let fragments: Vec<&[u8]> = payload.chunks(payload.len().div_ceil(count)).collect();
        packed(Role::Server, Opcode::Binary, &fragments)
    };
    for bytes in [in_frames(1), in_frames(100)] {
        for settings in [Settings::default(), keen()] {
            let mut rig = rig_with(Role::Server, settings, Limits::default(), Delivery::Whole);
            for piece in bytes.chunks(64 * 1024) {
                rig.receive(piece);
            }
            let (seen, frames) = rig.take();
            assert_eq!(seen, [Seen::violation(Violation::MessageTooBig)]);
            assert_eq!(frames[0].payload[..2], 1009u16.to_be_bytes());
        }
    }
    // Streamed, no chunk is longer than a step, and nothing is kept but the window.
    let mut rig = rig_with(Role::Server, keen(), Limits::default(), Delivery::Streaming);
    let mut total = 0;
    let mut bytes = in_frames(100);
    for piece in bytes.chunks_mut(64 * 1024) {
        let mut input = &mut *piece;
        while let Some(event) = rig
            .with(|socket, cx| socket.receive(&mut input, cx))
            .unwrap()
        {
            let sockeye_proto::ws::Event::Chunk(chunk) = event else {
                panic!("{event:?}");
            };
            assert!(chunk.data.len() <= 64 * 1024);
            total += chunk.data.len();
        }
        assert!(input.is_empty());
    }
    assert_eq!(total, 256 * 1024 * 1024);
}

#[test]
fn the_ratio_is_judged_above_a_mebibyte() {
    let settings = Settings {
        max_ratio: Some(50),
        ..Settings::default()
    };
    let run = |data: &[u8], delivery| {
        let payload = Deflater::new(9, bits(15), false).message(data);
        let mut rig = rig_with(Role::Server, settings, Limits::default(), delivery);
        for piece in packed(Role::Server, Opcode::Binary, &[&payload]).chunks(777) {
            rig.receive(piece);
        }
        rig.take().0
    };
    let zeros = vec![0; 1024 * 1024];
    assert_eq!(run(&zeros, Delivery::Whole), [Seen::binary(&zeros)]);
    let text = json(3_000_000, 1).into_bytes();
    assert_eq!(run(&text, Delivery::Whole), [Seen::binary(&text)]);
    let more = vec![0; 1024 * 1024 + 1];
    for delivery in [Delivery::Whole, Delivery::Streaming] {
        let seen = run(&more, delivery);
        assert_eq!(
            seen.last(),
            Some(&Seen::violation(Violation::InflatesTooMuch))
        );
    }
}

#[test]
fn frames_are_refused_at_the_header() {
    let limits = Limits {
        message_len: 64_000,
        frame_len: 64_000,
        fragment_count: 3,
        ..Limits::default()
    };
    // What does not shrink may be a little longer than what it inflates to.
    let header = |len: usize| {
        let mut bytes = frame_with(Role::Client, Opcode::Binary, true, true, &vec![0; len]);
        bytes.truncate(bytes.len() - len);
        bytes
    };
    let fits = seen(
        Role::Client,
        Settings::default(),
        &limits,
        &header(64_000 + 2024),
    );
    assert_eq!(fits, []);
    let too_big = seen(
        Role::Client,
        Settings::default(),
        &limits,
        &header(64_000 + 2025),
    );
    assert_eq!(too_big, [Seen::violation(Violation::FrameTooBig)]);
    let many = packed(Role::Client, Opcode::Binary, &[b"", b"", b"", b""]);
    assert_eq!(
        seen(Role::Client, Settings::default(), &limits, &many),
        [Seen::violation(Violation::TooManyFragments)]
    );
}
