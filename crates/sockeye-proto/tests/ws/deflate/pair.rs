//! Two machines that compress for each other, whatever was agreed on and however they are cut.

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_proto::Limits;
use sockeye_proto::deflate::Settings;
use sockeye_proto::ws::{Delivery, Kind, Message, Prepared, Role};

use super::zlib::{Deflater, Inflater};
use super::{bits, json, packed, rig_with};
use crate::rig::{Choice, Rig, Seen, frames, joined};

#[derive(Debug, Clone)]
enum Send {
    Message(String),
    Uncompressed(Vec<u8>),
    Fragments(Vec<Vec<u8>>),
    Prepared(String),
    Dropped(String),
}

fn settings() -> impl Strategy<Value = Settings> {
    let flags = any::<(bool, bool)>();
    (flags, 8..=15u8, 8..=15u8, 0..=9u8, 0..200usize).prop_map(
        |((server_no, client_no), server, client, level, min_len)| Settings {
            server_no_context_takeover: server_no,
            client_no_context_takeover: client_no,
            server_max_window_bits: bits(server),
            client_max_window_bits: bits(client),
            level,
            min_len,
            max_ratio: None,
        },
    )
}

fn sends() -> impl Strategy<Value = Vec<Send>> {
    let text = prop_oneof![
        3 => (0..3000usize, 0..5u64).prop_map(|(len, seed)| json(len, seed)),
        1 => "[a-zäß😀 ]{0,60}".prop_map(String::from),
        1 => (0..100_000usize, 0..5u64).prop_map(|(len, seed)| json(len, seed)),
    ];
    let data = vec(any::<u8>(), 0..300);
    let send = prop_oneof![
        4 => text.clone().prop_map(Send::Message),
        1 => data.clone().prop_map(Send::Uncompressed),
        2 => vec(prop_oneof![data, text.clone().prop_map(String::into_bytes)], 1..4)
            .prop_map(Send::Fragments),
        1 => text.clone().prop_map(Send::Prepared),
        1 => text.prop_map(Send::Dropped),
    ];
    vec(send, 1..10)
}

/// Sends it all; what the peer should see of it.
fn send_all(rig: &mut Rig, sends: &[Send]) -> Vec<Seen> {
    let mut expected = Vec::new();
    for send in sends {
        match send {
            Send::Message(text) => {
                rig.call(|socket, cx| socket.send(Message::Text(text), cx));
                expected.push(Seen::text(text));
            }
            Send::Uncompressed(data) => {
                rig.call(|socket, cx| socket.send_uncompressed(Message::Binary(data), cx));
                expected.push(Seen::binary(data));
            }
            Send::Fragments(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let last = index + 1 == parts.len();
                    rig.call(|socket, cx| socket.send_fragment(Message::Binary(part), last, cx));
                }
                expected.push(Seen::binary(&parts.concat()));
            }
            Send::Prepared(text) => {
                if rig.socket.role() == Role::Client {
                    continue;
                }
                let message = Prepared::text(text);
                let frame = rig.with(|socket, cx| socket.frame_of(&message, cx.shared));
                rig.output.extend_from_slice(&frame);
                expected.push(Seen::text(text));
            }
            Send::Dropped(text) => {
                let before = rig.output.len();
                rig.call(|socket, cx| socket.send(Message::Text(text), cx));
                rig.socket.forget_sent();
                rig.output.truncate(before);
            }
        }
    }
    expected
}

fn as_whole(seen: Vec<Seen>) -> Vec<Seen> {
    let whole = |seen| match seen {
        Seen::Chunk { kind, data, .. } => match kind {
            Kind::Text => Seen::Event("text", data),
            Kind::Binary => Seen::Event("binary", data),
        },
        other => other,
    };
    joined(seen).into_iter().map(whole).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_machine_reads_what_the_other_sent(
        settings in settings(),
        sends in sends(),
        from_client: bool,
        streaming: bool,
        seed: u64,
    ) {
        let (from, to) = match from_client {
            true => (Role::Client, Role::Server),
            false => (Role::Server, Role::Client),
        };
        let delivery = if streaming { Delivery::Streaming } else { Delivery::Whole };
        let mut sender = rig_with(from, settings, Limits::default(), Delivery::Whole);
        let mut receiver = rig_with(to, settings, Limits::default(), delivery);
        let expected = send_all(&mut sender, &sends);
        let mut choice = Choice::new(seed);
        let mut rest = &sender.output[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(choice.below(rest.len().min(3000)) + 1);
            receiver.receive(piece);
            rest = behind;
        }
        assert_eq!(as_whole(receiver.take().0), expected);
    }

    #[test]
    fn zlib_reads_what_a_machine_sent(settings in settings(), sends in sends()) {
        let mut sender = rig_with(Role::Server, settings, Limits::default(), Delivery::Whole);
        let expected = send_all(&mut sender, &sends);
        let takeover = !settings.server_no_context_takeover;
        let mut zlib = Inflater::new(settings.server_max_window_bits, takeover);
        let frames = frames(&sender.output);
        let messages: Vec<Vec<u8>> = frames
            .split_inclusive(|frame| frame.fin)
            .map(|frames| zlib.message(frames))
            .collect();
        let expected: Vec<Vec<u8>> = expected
            .into_iter()
            .map(|seen| match seen {
                Seen::Event(_, data) => data,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(messages, expected);
    }

    #[test]
    fn a_machine_reads_what_zlib_sent_however_it_is_framed(
        settings in settings(),
        messages in vec((0..5000usize, 0..5u64), 1..6),
        streaming: bool,
        seed: u64,
    ) {
        let delivery = if streaming { Delivery::Streaming } else { Delivery::Whole };
        let mut receiver = rig_with(Role::Server, settings, Limits::default(), delivery);
        let takeover = !settings.client_no_context_takeover;
        let window = settings.client_max_window_bits.max(bits(9));
        let mut zlib = Deflater::new(u32::from(settings.level), window, takeover && window == settings.client_max_window_bits);
        let mut choice = Choice::new(seed);
        let mut expected = Vec::new();
        let mut bytes = Vec::new();
        for (len, seed) in messages {
            let text = json(len, seed);
            let payload = zlib.message(text.as_bytes());
            let mut fragments = Vec::new();
            let mut rest = &payload[..];
            while !rest.is_empty() {
                let (fragment, behind) = rest.split_at(choice.below(rest.len()) + 1);
                fragments.push(fragment);
                rest = behind;
            }
            bytes.extend(packed(Role::Server, sockeye_proto::Opcode::Text, &fragments));
            expected.push(Seen::text(&text));
        }
        for piece in bytes.chunks(choice.below(4000) + 1) {
            receiver.receive(piece);
        }
        assert_eq!(as_whole(receiver.take().0), expected);
    }
}

fn all_parameters() -> impl Iterator<Item = Settings> {
    (8..=15).flat_map(|window| {
        [true, false].map(|no_takeover| Settings {
            server_no_context_takeover: no_takeover,
            client_no_context_takeover: no_takeover,
            server_max_window_bits: bits(window),
            client_max_window_bits: bits(window),
            min_len: 0,
            ..Settings::default()
        })
    })
}

#[test]
fn zlib_reads_what_a_machine_sent_at_every_split() {
    let text = json(300, 1);
    for settings in all_parameters() {
        let mut sender = rig_with(Role::Server, settings, Limits::default(), Delivery::Whole);
        let takeover = !settings.server_no_context_takeover;
        let mut zlib = Inflater::new(settings.server_max_window_bits, takeover);
        for split in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(split);
            for (part, last) in [(head, false), (tail, true)] {
                sender.call(|socket, cx| socket.send_fragment(Message::Binary(part), last, cx));
            }
            let (_, frames) = sender.take();
            assert!(frames[0].rsv1 && frames.len() == 2);
            assert_eq!(
                zlib.message(&frames),
                text.as_bytes(),
                "{settings} at {split}"
            );
        }
    }
}

#[test]
fn a_machine_reads_what_zlib_sent_at_every_split() {
    let texts = [json(200, 1), json(150, 2)];
    for settings in all_parameters().filter(|it| it.client_max_window_bits > bits(8)) {
        let takeover = !settings.client_no_context_takeover;
        let mut zlib = Deflater::new(6, settings.client_max_window_bits, takeover);
        let payloads = texts.each_ref().map(|text| zlib.message(text.as_bytes()));
        let expected = texts.each_ref().map(|text| Seen::text(text));
        for split in 0..=payloads[1].len() {
            let mut bytes = Vec::new();
            for payload in &payloads {
                let (head, tail) = payload.split_at(split.min(payload.len()));
                bytes.extend(packed(
                    Role::Server,
                    sockeye_proto::Opcode::Text,
                    &[head, tail],
                ));
            }
            // Cut where frames and blocks meet, and anywhere else.
            for cut in (split % 7..bytes.len()).step_by(7) {
                let mut receiver =
                    rig_with(Role::Server, settings, Limits::default(), Delivery::Whole);
                let (front, behind) = bytes.split_at(cut);
                receiver.receive(front);
                receiver.receive(behind);
                assert_eq!(receiver.take().0, expected, "{settings} at {split}, {cut}");
            }
        }
    }
}
