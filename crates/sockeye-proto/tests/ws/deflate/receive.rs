//! Compressed messages that come in.

use sockeye_proto::deflate::Settings;
use sockeye_proto::ws::{Delivery, Role};
use sockeye_proto::{Limits, Opcode, Violation};

use super::zlib::Deflater;
use super::{bits, json, keen, noise, packed, rig, rig_with, seen};
use crate::rig::{Rig, Seen, frame_to, frame_with};

const BOTH: [Role; 2] = [Role::Server, Role::Client];

/// "Hello" as RFC 7692 §7.2.3.2 has it.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\x00";

fn one(role: Role, bytes: &[u8]) -> Vec<Seen> {
    seen(role, Settings::default(), &Limits::default(), bytes)
}

#[test]
fn the_examples_of_the_rfc() {
    for role in BOTH {
        for (fragments, expected) in [
            (&[HELLO][..], "Hello"),
            (&[&HELLO[..3], &HELLO[3..]], "Hello"),
            (&[b"", HELLO, b""], "Hello"),
            // 7.2.3.3: a block without compression
            (&[b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"], "Hello"),
            // 7.2.3.4: a block with BFINAL
            (&[b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"], "Hello"),
            // 7.2.3.5: two blocks
            (
                &[b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"],
                "Hello",
            ),
            // 7.2.3.6: nothing
            (&[b"\x00"], ""),
        ] {
            let bytes = packed(role, Opcode::Text, fragments);
            assert_eq!(one(role, &bytes), [Seen::text(expected)], "{fragments:x?}");
        }
    }
}

#[test]
fn what_senders_are_known_to_leave_out() {
    for (fragments, expected) in [
        // Not even the byte of the RFC's empty message.
        (&[&b""[..]][..], ""),
        (&[b"", b"", b""], ""),
        // A block with BFINAL and nothing behind it; with further blocks behind it; twice.
        (&[b"\xf3\x48\xcd\xc9\xc9\x07\x00"], "Hello"),
        (&[b"\xf3\x48\xcd\xc9\xc9\x07\x00", HELLO], "HelloHello"),
        (
            &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00"],
            "HelloHello",
        ),
        // No empty block behind the last one.
        (&[b"\x00\x05\x00\xfa\xffHello"], "Hello"),
        // A second block that refers to the first, and a final one between them.
        (
            &[b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff\xf2\x00\x11\x00\x00"],
            "HelloHello",
        ),
        (
            &[b"\xf3\x48\xcd\xc9\xc9\x07\x00\xf2\x00\x11\x00\x00"],
            "HelloHello",
        ),
    ] {
        let bytes = packed(Role::Server, Opcode::Text, fragments);
        assert_eq!(
            one(Role::Server, &bytes),
            [Seen::text(expected)],
            "{fragments:x?}"
        );
    }
}

#[test]
fn a_message_may_refer_to_the_one_before_if_that_was_agreed() {
    // RFC 7692 §7.2.3.2
    for role in BOTH {
        let mut bytes = packed(role, Opcode::Text, &[HELLO]);
        bytes.extend(packed(role, Opcode::Text, &[b"\xf2\x00\x11\x00\x00"]));
        let takeover = seen(role, keen(), &Limits::default(), &bytes);
        assert_eq!(takeover, [Seen::text("Hello"), Seen::text("Hello")]);
        assert_eq!(
            one(role, &bytes),
            [
                Seen::text("Hello"),
                Seen::violation(Violation::BrokenDeflate)
            ]
        );
    }
}

#[test]
fn messages_behind_a_final_block_still_decode() {
    let mut zlib = Deflater::new(6, bits(15), false);
    for settings in [Settings::default(), keen()] {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for turn in 0..6 {
            let text = json(1000, turn);
            let payload = match turn % 2 {
                0 => zlib.final_message(text.as_bytes()),
                _ => zlib.message(text.as_bytes()),
            };
            bytes.extend(packed(Role::Server, Opcode::Text, &[&payload]));
            expected.push(Seen::text(&text));
        }
        assert_eq!(
            seen(Role::Server, settings, &Limits::default(), &bytes),
            expected
        );
    }
}

#[test]
fn what_zlib_compresses_comes_out_right() {
    for level in [0, 1, 6, 9] {
        for takeover in [false, true] {
            let settings = if takeover {
                keen()
            } else {
                Settings::default()
            };
            let mut zlib = Deflater::new(level, bits(12), takeover);
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for turn in 0..4 {
                let text = json(200 + 700 * turn as usize, turn);
                let data = noise(150, turn);
                let payload = zlib.message(text.as_bytes());
                let (head, tail) = payload.split_at(payload.len() / 3);
                bytes.extend(packed(Role::Server, Opcode::Text, &[head, tail]));
                bytes.extend(packed(
                    Role::Server,
                    Opcode::Binary,
                    &[&zlib.message(&data)],
                ));
                // Not compressed: no part of what may be referred to.
                bytes.extend(frame_to(Role::Server, Opcode::Text, true, b"plain"));
                expected.extend([Seen::text(&text), Seen::binary(&data), Seen::text("plain")]);
            }
            assert_eq!(
                seen(Role::Server, settings, &Limits::default(), &bytes),
                expected
            );
        }
    }
}

#[test]
fn large_messages_in_reads_of_all_sizes() {
    for (data, settings) in [
        (vec![0; 700_000], Settings::default()),
        (json(700_000, 1).into_bytes(), keen()),
        (noise(300_000, 1), keen()),
    ] {
        let takeover = !settings.client_no_context_takeover;
        let mut zlib = Deflater::new(6, bits(12), takeover);
        let payload = zlib.message(&data);
        let again = zlib.message(&data);
        let mut bytes = packed(Role::Server, Opcode::Binary, &[&payload]);
        bytes.extend(packed(Role::Server, Opcode::Binary, &[&again]));
        for delivery in [Delivery::Whole, Delivery::Streaming] {
            for size in [333, 4096, 100_000, usize::MAX] {
                let mut rig = rig_with(Role::Server, settings, Limits::default(), delivery);
                bytes.chunks(size).for_each(|piece| rig.receive(piece));
                let (seen, _) = rig.take();
                if delivery == Delivery::Whole {
                    assert_eq!(seen, [Seen::binary(&data), Seen::binary(&data)]);
                    continue;
                }
                assert!(seen.iter().all(|seen| match seen {
                    Seen::Chunk { data, last, .. } =>
                        data.len() <= 64 * 1024 && (*last || !data.is_empty()),
                    _ => false,
                }));
                let whole: Vec<u8> = seen
                    .iter()
                    .flat_map(|seen| match seen {
                        Seen::Chunk { data, .. } => data.clone(),
                        _ => Vec::new(),
                    })
                    .collect();
                assert_eq!(whole, [&data[..], &data].concat());
                let ends = |seen: &&Seen| matches!(seen, Seen::Chunk { last: true, .. });
                assert_eq!(seen.iter().filter(ends).count(), 2);
            }
        }
    }
}

#[test]
fn pings_between_compressed_fragments() {
    let mut bytes = frame_with(Role::Server, Opcode::Text, false, true, &HELLO[..4]);
    bytes.extend(frame_to(Role::Server, Opcode::Ping, true, b"?"));
    bytes.extend(frame_to(
        Role::Server,
        Opcode::Continuation,
        true,
        &HELLO[4..],
    ));
    let mut rig = rig(Role::Server, Settings::default());
    rig.receive(&bytes);
    let (seen, frames) = rig.take();
    assert_eq!(
        seen,
        [Seen::Event("ping", b"?".to_vec()), Seen::text("Hello")]
    );
    assert_eq!(frames.len(), 1);
}

#[test]
fn rsv1_belongs_to_the_first_frame_of_a_message() {
    let reserved = [Seen::violation(Violation::ReservedBits)];
    for role in BOTH {
        for opcode in [Opcode::Ping, Opcode::Pong, Opcode::Close] {
            let bytes = frame_with(role, opcode, true, true, b"");
            assert_eq!(one(role, &bytes), reserved, "{opcode:?}");
        }
        for first_rsv1 in [false, true] {
            let mut bytes = frame_with(role, Opcode::Binary, false, first_rsv1, b"");
            bytes.extend(frame_with(role, Opcode::Continuation, true, true, HELLO));
            assert_eq!(one(role, &bytes), reserved);
        }
        let mut plain = Rig::new(role, Limits::default(), Delivery::Whole);
        plain.receive(&frame_with(role, Opcode::Text, true, true, HELLO));
        let (seen, frames) = plain.take();
        assert_eq!(seen, reserved);
        assert_eq!(frames[0].payload[..2], 1002u16.to_be_bytes());
    }
}

#[test]
fn broken_data_is_1007() {
    let mut zlib = Deflater::new(9, bits(15), false);
    let dynamic = zlib.message(json(3000, 1).as_bytes());
    let half = dynamic.len() / 2;
    for (what, payload) in [
        ("a reserved kind of block", &b"\x06"[..]),
        (
            "a stored block with a wrong length",
            b"\x00\x05\x00\xfa\xfeHello\x00",
        ),
        ("a stored block that is cut off", b"\x00\x05\x00\xfa\xffHel"),
        ("another one, at its start", b"\x00\xff\x00\x00\xff"),
        ("a distance before the first byte", b"\xf2\x00\x11\x00\x00"),
        ("a dynamic block that is cut off", &dynamic[..half]),
        ("the head of a dynamic block alone", &dynamic[..9]),
        ("a dynamic block with too many codes", b"\xfd\xff\xff\xff"),
        ("text", b"Hello, this is no DEFLATE"),
        ("ones", &[0xff; 40]),
    ] {
        for settings in [Settings::default(), keen()] {
            let bytes = packed(Role::Server, Opcode::Binary, &[payload]);
            let seen = seen(Role::Server, settings, &Limits::default(), &bytes);
            assert_eq!(seen, [Seen::violation(Violation::BrokenDeflate)], "{what}");
        }
    }
    let mut rig = rig(Role::Server, Settings::default());
    rig.receive(&packed(Role::Server, Opcode::Binary, &[b"\x06"]));
    let (_, frames) = rig.take();
    assert_eq!(frames[0].payload, b"\x03\xefcompressed data is broken");
}

#[test]
fn nothing_of_another_connection_shows() {
    // One rig's pool serves both: the second connection refers to what the first one sent.
    let mut first = rig(Role::Server, Settings::default());
    first.receive(&packed(Role::Server, Opcode::Text, &[HELLO]));
    assert_eq!(first.take().0, [Seen::text("Hello")]);
    let mut config = sockeye_proto::ws::Config::new(Limits::default(), Delivery::Whole);
    config.deflate = Some(keen());
    first.socket = sockeye_proto::ws::WebSocket::new(Role::Server, config.into(), first.now);
    first.receive(&packed(
        Role::Server,
        Opcode::Text,
        &[b"\xf2\x00\x11\x00\x00"],
    ));
    assert_eq!(first.take().0, [Seen::violation(Violation::BrokenDeflate)]);
}

#[test]
fn text_is_judged_behind_the_inflating() {
    let mut zlib = Deflater::new(6, bits(15), false);
    let good = "grüße 😀".repeat(50);
    let payload = zlib.message(good.as_bytes());
    let half = payload.len() / 2;
    let bytes = packed(
        Role::Server,
        Opcode::Text,
        &[&payload[..half], &payload[half..]],
    );
    assert_eq!(one(Role::Server, &bytes), [Seen::text(&good)]);
    for bad in [
        &b"\xff"[..],
        b"abc\xc3",
        b"\xed\xa0\x80",
        b"fine until here \xc0\xaf and further on",
        &[b"x".repeat(70_000), b"\xf0\x9f".to_vec()].concat(),
    ] {
        let payload = zlib.message(bad);
        let bytes = packed(Role::Server, Opcode::Text, &[&payload]);
        assert_eq!(
            one(Role::Server, &bytes),
            [Seen::violation(Violation::InvalidText)],
            "{:x?}",
            &bad[..bad.len().min(20)]
        );
        let bytes = packed(Role::Server, Opcode::Binary, &[&payload]);
        assert_eq!(one(Role::Server, &bytes), [Seen::binary(bad)]);
    }
}

/// Of several things that are wrong the first one decides, also if all lie in one read.
#[test]
fn what_is_wrong_first_decides() {
    let mut zlib = Deflater::new(6, bits(15), false);
    let invalid = zlib.message(b"abc\xffdef and so on");
    let mut broken = invalid.clone();
    broken.extend(b"\x06");
    let cut_off = &invalid[..invalid.len() - 3];
    for payload in [&broken[..], cut_off] {
        let bytes = packed(Role::Server, Opcode::Text, &[payload]);
        assert_eq!(
            one(Role::Server, &bytes),
            [Seen::violation(Violation::InvalidText)]
        );
        let bytes = packed(Role::Server, Opcode::Binary, &[payload]);
        assert_eq!(
            one(Role::Server, &bytes),
            [Seen::violation(Violation::BrokenDeflate)]
        );
    }
    let limits = Limits {
        message_len: 20,
        frame_len: 2000,
        ..Limits::default()
    };
    for (at, violation) in [(19, Violation::InvalidText), (20, Violation::MessageTooBig)] {
        let mut data = vec![b'x'; 1000];
        data[at] = 0xff;
        let bytes = packed(Role::Server, Opcode::Text, &[&zlib.message(&data)]);
        let seen = seen(Role::Server, Settings::default(), &limits, &bytes);
        assert_eq!(seen, [Seen::violation(violation)]);
    }
}

#[test]
fn what_stands_before_an_error_is_streamed() {
    let mut zlib = Deflater::new(6, bits(15), false);
    let bytes = packed(Role::Server, Opcode::Text, &[&zlib.message(b"good\xffbad")]);
    let limits = Limits::default();
    for size in 1..bytes.len() {
        let mut rig = rig_with(
            Role::Server,
            Settings::default(),
            limits.clone(),
            Delivery::Streaming,
        );
        bytes.chunks(size).for_each(|piece| rig.receive(piece));
        let (seen, _) = rig.take();
        let [before @ .., Seen::Other(violation)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(violation, "violation InvalidText");
        let text: Vec<u8> = before
            .iter()
            .flat_map(|seen| match seen {
                Seen::Chunk {
                    data, last: false, ..
                } => data.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(text, b"good", "in pieces of {size}");
    }
}

#[test]
fn a_closing_connection_does_not_inflate() {
    let mut rig = rig(Role::Server, keen());
    rig.receive(&frame_with(
        Role::Server,
        Opcode::Text,
        false,
        true,
        &HELLO[..3],
    ));
    rig.call(|socket, cx| socket.close(sockeye_proto::CloseCode::NORMAL, "", cx));
    rig.receive(&frame_to(
        Role::Server,
        Opcode::Continuation,
        true,
        b"\xff\xff\xff\xff",
    ));
    rig.receive(&packed(Role::Server, Opcode::Text, &[b"\xff\xff\xff"]));
    rig.receive(&frame_to(Role::Server, Opcode::Close, true, b""));
    let (seen, _) = rig.take();
    assert_eq!(seen, [Seen::Close(1005, String::new())]);
}
