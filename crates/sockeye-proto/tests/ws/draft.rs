//! Old versions: whatever the bytes and however they are cut, as for RFC 6455; and what a machine of
//! each version refuses to do.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_proto::ws::{Delivery, Fate, Kind, Message, Prepared, Role};
use sockeye_proto::{CloseCode, Limits, Misuse, Version, Violation};

use crate::rig::{Choice, Rig, Seen, joined};

/// Limits small enough to be met by small inputs.
fn limits() -> Limits {
    Limits {
        message_len: 300,
        frame_len: 200,
        fragment_count: 4,
        ..Limits::default()
    }
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    version: Version,
    role: Role,
    delivery: Delivery,
    /// Our Close goes out first; then what comes is delivered, or not.
    close: Option<bool>,
    /// Output waits all the time.
    blocked: bool,
}

fn settings() -> impl Strategy<Value = Setting> {
    (
        (0..Version::ALL.len() - 1).prop_map(|index| Version::ALL[index]),
        prop_oneof![Just(Role::Client), Just(Role::Server)],
        prop_oneof![Just(Delivery::Whole), Just(Delivery::Streaming)],
        prop_oneof![3 => Just(None), 1 => any::<bool>().prop_map(Some)],
        any::<bool>(),
    )
        .prop_map(|(version, role, delivery, close, blocked)| Setting {
            version,
            role,
            delivery,
            close,
            blocked,
        })
}

fn run<'a>(setting: Setting, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Seen>, Vec<u8>, Fate) {
    let rig = Rig::new(setting.role, limits(), setting.delivery);
    let mut rig = rig.speaking(setting.version.number());
    match setting.close {
        None => {}
        Some(false) => rig.call(|socket, cx| socket.close(CloseCode::NORMAL, "", cx)),
        Some(true) => rig.call(|socket, cx| socket.close_sending(CloseCode::NORMAL, "", cx)),
    }
    rig.blocked = setting.blocked;
    for piece in pieces {
        rig.receive(piece);
    }
    rig.blocked = false;
    rig.with(|socket, cx| socket.handle_unblocked(cx));
    let fate = rig.socket.fate();
    let lost = rig.with(|socket, cx| socket.receive_eof(cx));
    rig.seen.extend(lost.map(Seen::from));
    (joined(rig.seen), rig.output, fate)
}

fn judge(setting: Setting, bytes: &[u8], seed: u64) {
    let whole = run(setting, std::iter::once(bytes));
    assert_eq!(run(setting, bytes.chunks(1)), whole, "byte by byte");
    let mut choice = Choice::new(seed);
    for _ in 0..4 {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(choice.below(rest.len().min(40)) + 1);
            pieces.push(piece);
            rest = behind;
        }
        assert_eq!(run(setting, pieces.into_iter()), whole, "cut at random");
    }
    let (seen, output, _) = whole;
    let is_final = |seen: &&Seen| matches!(seen, Seen::Close(..) | Seen::Other(_));
    assert_eq!(seen.iter().filter(is_final).count(), 1, "{seen:?}");
    assert!(seen.last().as_ref().is_some_and(is_final), "{seen:?}");
    for seen in &seen {
        match seen {
            Seen::Event("text" | "binary", data) => assert!(data.len() <= 300),
            Seen::Event(_, data) => assert!(data.len() <= 125),
            _ => {}
        }
    }
    if setting.version == Version::Hixie76 {
        assert!(output == b"\xff\x00" || output.is_empty(), "{output:x?}");
    }
    // A pong for each ping at most, with a nonce, and a Close.
    assert!(output.len() <= 3 * bytes.len() + 140, "{}", output.len());
}

/// What comes from a peer that is mostly right.
fn piece(setting: Setting) -> BoxedStrategy<Vec<u8>> {
    let payload = prop_oneof![
        4 => "[a-zäß😀]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => "[x]{100,220}".prop_map(String::into_bytes),
        1 => Just(vec![0x03, 0xe8, b'o', b'k']),
    ];
    if setting.version == Version::Hixie76 {
        let kind = prop_oneof![6 => Just(0u8), 1 => Just(0x80), 1 => Just(0xff), 1 => any::<u8>()];
        return (kind, payload)
            .prop_map(|(kind, payload)| {
                let mut bytes = vec![kind];
                if kind < 0x80 {
                    bytes.extend(payload);
                    bytes.push(0xff);
                } else {
                    let len = payload.len();
                    bytes.extend([0x80 | (len >> 7) as u8, (len & 0x7f) as u8]);
                    bytes.extend(payload);
                }
                bytes
            })
            .boxed();
    }
    let opcode = prop_oneof![
        6 => Just(0u8),
        1 => Just(1),
        2 => Just(2),
        1 => Just(3),
        4 => Just(4),
        3 => Just(5),
        1 => 6..16u8
    ];
    let nonce = prop_oneof![3 => any::<[u8; 4]>(), 1 => Just([0; 4])];
    let role = setting.role;
    (opcode, any::<bool>(), payload, nonce)
        .prop_map(move |(opcode, fin, payload, nonce)| {
            let fin = fin || (1..4).contains(&opcode);
            let mut bytes = vec![opcode | if fin { 0x80 } else { 0 }];
            match payload.len() {
                len @ ..126 => bytes.push(len as u8),
                len => {
                    bytes.push(126);
                    bytes.extend((len as u16).to_be_bytes());
                }
            }
            bytes.extend(payload);
            if role == Role::Client {
                return bytes;
            }
            for (byte, key) in bytes.iter_mut().zip(nonce.iter().cycle()) {
                *byte ^= key;
            }
            [&nonce[..], &bytes].concat()
        })
        .boxed()
}

fn conversation() -> impl Strategy<Value = (Setting, Vec<u8>)> {
    settings().prop_flat_map(|setting| {
        let pieces = vec(piece(setting), 0..12).prop_map(|pieces| pieces.concat());
        let tail = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..20)];
        (
            Just(setting),
            (pieces, tail).prop_map(|(pieces, tail)| [pieces, tail].concat()),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes(setting in settings(), bytes in vec(any::<u8>(), 0..300), seed: u64) {
        judge(setting, &bytes, seed);
    }

    #[test]
    fn frames_that_are_mostly_right((setting, bytes) in conversation(), seed: u64) {
        judge(setting, &bytes, seed);
    }
}

fn rig(version: Version, role: Role) -> Rig {
    Rig::new(role, Limits::default(), Delivery::Whole).speaking(version.number())
}

#[test]
fn what_a_version_does_not_have_is_a_misuse_and_leaves_no_trace() {
    for role in [Role::Client, Role::Server] {
        let mut rig = rig(Version::Hixie76, role);
        assert_eq!(rig.socket.version(), Version::Hixie76);
        let refused = Err(Misuse::NotInVersion);
        assert_eq!(
            rig.with(|it, cx| it.send(Message::Binary(b"x"), cx)),
            refused
        );
        assert_eq!(
            rig.with(|it, cx| it.send_uncompressed(Message::Binary(b"x"), cx)),
            refused
        );
        assert_eq!(
            rig.with(|it, cx| it.send_fragment(Message::Text("x"), false, cx)),
            refused
        );
        assert_eq!(rig.with(|it, cx| it.ping(b"", cx)), refused);
        assert_eq!(rig.with(|it, cx| it.pong(b"", cx)), refused);
        assert_eq!(rig.socket.may_carry(Kind::Binary), refused);
        assert_eq!(rig.socket.may_carry(Kind::Text), Ok(()));
        assert!(rig.output.is_empty());
        assert_eq!(
            rig.with(|it, cx| it.send_fragment(Message::Text("x"), true, cx)),
            Ok(())
        );
        assert_eq!(rig.output, b"\x00x\xff");
    }
    for version in &Version::ALL[1..] {
        let mut rig = rig(*version, Role::Server);
        assert_eq!(rig.socket.may_carry(Kind::Binary), Ok(()));
        assert_eq!(rig.with(|it, cx| it.ping(b"", cx)), Ok(()));
    }
}

#[test]
fn a_prepared_message_is_framed_for_each_version_once() {
    let prepared = [Prepared::text("Hello"), Prepared::binary(b"Hello")];
    for version in Version::ALL {
        let frames: [&[u8]; 2] = match version {
            Version::Hixie76 => [b"\x00Hello\xff", b""],
            Version::Hybi04 | Version::Hybi05 | Version::Hybi06 => {
                [b"\x84\x05Hello", b"\x85\x05Hello"]
            }
            _ => [b"\x81\x05Hello", b"\x82\x05Hello"],
        };
        for (prepared, expected) in prepared.iter().zip(frames) {
            let mut rig = rig(version, Role::Server);
            let frame = rig.with(|socket, cx| socket.frame_of(prepared, cx.shared));
            assert_eq!(&frame[..], expected, "{version}");
            let again = rig.with(|socket, cx| socket.frame_of(prepared, cx.shared));
            assert!(Arc::ptr_eq(&frame, &again), "{version}");
        }
    }
}

#[test]
fn sizes_are_bounded_in_every_version_and_told_by_its_code() {
    for version in Version::ALL {
        let rig = Rig::new(Role::Client, limits(), Delivery::Whole);
        let mut rig = rig.speaking(version.number());
        rig.with(|socket, _| socket.dangerously_unmask(true));
        let (bytes, close): (&[u8], &[u8]) = match version {
            Version::Hixie76 => (&[b"\x00", &[b'x'; 201][..]].concat(), b"\xff\x00"),
            Version::Hybi04 => (b"\x84\x7e\x00\xc9", b"\0\0\0\0\x81\x00"),
            Version::Hybi05 => (b"\x84\x7e\x00\xc9", b"\0\0\0\0\x81\x01C"),
            Version::Hybi06 => (
                b"\x84\x7e\x00\xc9",
                b"\0\0\0\0\x81\x0f\x03\xecframe too big",
            ),
            Version::Hybi07 | Version::Hybi08 => (
                b"\x81\x7e\x00\xc9",
                b"\x88\x8f\0\0\0\0\x03\xecframe too big",
            ),
            _ => (
                b"\x81\x7e\x00\xc9",
                b"\x88\x8f\0\0\0\0\x03\xf1frame too big",
            ),
        };
        rig.receive(bytes);
        assert_eq!(rig.seen, [Seen::violation(Violation::FrameTooBig)]);
        assert_eq!(
            rig.output.escape_ascii().to_string(),
            close.escape_ascii().to_string()
        );
        assert_eq!(rig.socket.fate(), Fate::HalfClose);
    }
}

#[test]
fn fragments_are_counted() {
    for (version, frame) in [(4u8, b"\0\0\0\0\x05\x00"), (5, b"\0\0\0\0\x05\x00")] {
        let rig = Rig::new(Role::Server, limits(), Delivery::Whole);
        let mut rig = rig.speaking(version);
        rig.receive(frame);
        for _ in 1..4 {
            rig.receive(b"\0\0\0\0\x00\x00");
        }
        assert_eq!(rig.seen, []);
        rig.receive(b"\0\0\0\0\x00\x00");
        assert_eq!(rig.seen, [Seen::violation(Violation::TooManyFragments)]);
    }
}

#[test]
fn a_client_masks_by_fresh_nonces_unless_told_not_to() {
    for version in &Version::ALL[1..] {
        let mut rig = rig(*version, Role::Client);
        let mut frames = Vec::new();
        for _ in 0..50 {
            rig.call(|socket, cx| socket.send(Message::Text("Hello"), cx));
            frames.push(std::mem::take(&mut rig.output));
        }
        let count = frames.len();
        frames.sort();
        frames.dedup();
        assert_eq!(frames.len(), count, "{version}");
        assert!(frames.iter().all(|frame| !frame.ends_with(b"Hello")));
        rig.with(|socket, _| socket.dangerously_unmask(true));
        rig.call(|socket, cx| socket.send(Message::Text("Hello"), cx));
        assert!(rig.output.ends_with(b"Hello"), "{version}");
        rig.output.clear();
        rig.with(|socket, _| socket.dangerously_unmask(false));
        rig.call(|socket, cx| socket.send(Message::Text("Hello"), cx));
        assert!(!rig.output.ends_with(b"Hello"), "{version}");
    }
}

#[test]
fn a_server_of_rfc_6455_takes_no_frame_of_old_versions_and_the_other_way_round() {
    let versions = [5, 13];
    for (speaks, hears) in [(0, 1), (1, 0)] {
        let mut client =
            Rig::new(Role::Client, limits(), Delivery::Whole).speaking(versions[speaks]);
        client.with(|socket, _| socket.dangerously_unmask(true));
        client.call(|socket, cx| socket.send(Message::Text("Hello"), cx));
        let mut server =
            Rig::new(Role::Server, limits(), Delivery::Whole).speaking(versions[hears]);
        server.receive(&client.output);
        assert!(matches!(&server.seen[..], [Seen::Other(what)] if what.starts_with("violation")));
    }
}

#[test]
#[cfg(feature = "deflate")]
fn old_versions_do_not_compress() {
    use sockeye_proto::deflate::Settings;
    use sockeye_proto::drafts::Wire;
    use sockeye_proto::ws::{Config, WebSocket};

    use crate::talk::WIRE_KEY;

    let mut config = Config::new(Limits::default(), Delivery::Whole);
    config.deflate = Some(Settings::default());
    let config = Arc::new(config);
    for version in Version::ALL {
        let now = Rig::new(Role::Server, limits(), Delivery::Whole).now;
        let wire = Wire::new(version, WIRE_KEY);
        let socket = WebSocket::with_wire(Role::Server, Arc::clone(&config), wire, now);
        let compresses = socket.config().deflate.is_some();
        assert_eq!(compresses, version == Version::Rfc6455);
    }
}
