//! Whatever the bytes and however they are cut: no panic, one verdict, one Close.

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_proto::ws::{Config, Delivery, Role};
use sockeye_proto::{CloseCode, FrameHeader, Limits, Mask, Opcode};

use crate::rig::{Choice, Frame, Rig, Seen, joined};

/// Limits small enough to be met by small inputs.
fn limits() -> Limits {
    Limits {
        message_len: 300,
        frame_len: 200,
        fragment_count: 4,
        ..Limits::default()
    }
}

/// What the application does before the input.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    Close,
    Drain,
}

#[derive(Debug, Clone, Copy)]
struct Setting {
    role: Role,
    delivery: Delivery,
    before: Before,
    deflate: Option<bool>,
}

fn settings() -> impl Strategy<Value = Setting> {
    (
        prop_oneof![Just(Role::Client), Just(Role::Server)],
        prop_oneof![Just(Delivery::Whole), Just(Delivery::Streaming)],
        prop_oneof![4 => Just(Before::Nothing), 1 => Just(Before::Close), 1 => Just(Before::Drain)],
        any::<Option<bool>>(),
    )
        .prop_map(|(role, delivery, before, deflate)| Setting {
            role,
            delivery,
            before,
            deflate,
        })
}

impl Setting {
    fn config(self) -> Config {
        #[cfg_attr(
            not(feature = "deflate"),
            expect(unused_mut, reason = "there is nothing to set")
        )]
        let mut config = Config::new(limits(), self.delivery);
        #[cfg(feature = "deflate")]
        {
            use sockeye_proto::deflate::Settings;
            config.deflate = self.deflate.map(|takeover| match takeover {
                true => Settings::takeover(),
                false => Settings::default(),
            });
        }
        config
    }
}

fn run<'a>(setting: Setting, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Seen>, Vec<Frame>) {
    let mut rig = Rig::with_config(setting.role, setting.config());
    match setting.before {
        Before::Nothing => {}
        Before::Close => rig.call(|socket, cx| socket.close(CloseCode::NORMAL, "", cx)),
        Before::Drain => rig.call(|socket, cx| socket.close_sending(CloseCode::NORMAL, "", cx)),
    }
    for piece in pieces {
        rig.receive(piece);
    }
    let lost = rig.with(|socket, cx| socket.receive_eof(cx));
    rig.seen.extend(lost.map(Seen::from));
    let (seen, output) = rig.take();
    let mut seen = joined(seen);
    for seen in &mut seen {
        // How much of a compressed frame was needed for what stands before an error.
        if let (Some(_), Seen::Chunk { remaining, .. }) = (setting.deflate, seen) {
            *remaining = 0;
        }
    }
    (seen, output)
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

    let (seen, output) = whole;
    let closes = output
        .iter()
        .filter(|frame| frame.opcode == Opcode::Close)
        .count();
    assert!(closes <= 1, "{output:?}");
    // Behind our Close only pongs may follow, and nothing behind an answer to the peer's.
    let behind = output
        .iter()
        .skip_while(|frame| frame.opcode != Opcode::Close)
        .skip(1);
    assert!(
        behind.clone().all(|frame| frame.opcode == Opcode::Pong),
        "{output:?}"
    );
    assert!(closes == 0 || behind.count() == 0 || !matches!(setting.before, Before::Nothing));
    let is_final = |seen: &&Seen| matches!(seen, Seen::Close(..) | Seen::Other(_));
    assert_eq!(seen.iter().filter(is_final).count(), 1, "{seen:?}");
    assert!(seen.last().as_ref().is_some_and(is_final), "{seen:?}");
    assert!(
        output
            .iter()
            .all(|frame| frame.masked == (setting.role == Role::Client))
    );
}

/// A frame that is mostly right.
fn frame(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        4 => Just(Opcode::Text),
        3 => Just(Opcode::Binary),
        6 => Just(Opcode::Continuation),
        2 => Just(Opcode::Ping),
        1 => Just(Opcode::Pong),
        1 => Just(Opcode::Close),
    ];
    let payload = prop_oneof![
        4 => "[a-zäß😀]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => "[x]{100,220}".prop_map(String::into_bytes),
        1 => Just(vec![0x03, 0xe8, b'o', b'k']),
    ];
    // Compressed: two blocks, a reference to what was before, a final block, none, 60 kB of zeros.
    let deflated = prop_oneof![
        Just(&b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"[..]),
        Just(&b"\xf2\x00\x11\x00\x00"[..]),
        Just(&b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"[..]),
        Just(&b"\x00"[..]),
        Just(&b"\xec\xc1\x01\x01\x00\x00\x00\x80\x90\xfe\xaf\xee\x08\x0a"[..]),
    ];
    let payload = prop_oneof![5 => payload, 2 => deflated.prop_map(<[u8]>::to_vec)];
    let odd = prop_oneof![30 => Just(false), 1 => Just(true)];
    let rsv1 = prop_oneof![3 => Just(false), 1 => Just(true)];
    (opcode, any::<bool>(), payload, any::<[u8; 4]>(), odd, rsv1).prop_map(
        move |(opcode, fin, payload, key, odd_mask, rsv1)| {
            let mask = ((role == Role::Server) != odd_mask).then_some(Mask::new(key));
            let fin = fin || opcode.is_control();
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
            bytes.extend(payload);
            mask.unwrap_or_default().apply(&mut bytes[start..], 0);
            bytes
        },
    )
}

fn conversation() -> impl Strategy<Value = (Setting, Vec<u8>)> {
    settings().prop_flat_map(|setting| {
        let frames = vec(frame(setting.role), 0..12).prop_map(|frames| frames.concat());
        // Now and then the stream ends amid a frame, or turns to garbage.
        let tail = prop_oneof![3 => Just(Vec::new()), 1 => vec(any::<u8>(), 0..20)];
        (
            Just(setting),
            (frames, tail).prop_map(|(frames, tail)| [frames, tail].concat()),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(setting in settings(), bytes in vec(any::<u8>(), 0..300), seed: u64) {
        judge(setting, &bytes, seed);
    }

    #[test]
    fn frames_that_are_mostly_right((setting, bytes) in conversation(), seed: u64) {
        judge(setting, &bytes, seed);
    }
}
