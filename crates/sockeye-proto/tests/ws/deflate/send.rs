//! Compressed messages that go out, read by stock zlib.

use std::sync::Arc;

use sockeye_proto::deflate::Settings;
use sockeye_proto::ws::{Config, Delivery, Message, Prepared, Role, WebSocket};
use sockeye_proto::{Limits, Opcode};

use super::zlib::Inflater;
use super::{bits, json, keen, noise, rig};
use crate::rig::{Frame, Rig, frames};

fn send(rig: &mut Rig, message: Message<'_>) -> Vec<Frame> {
    rig.call(|socket, cx| socket.send(message, cx));
    let (seen, frames) = rig.take();
    assert_eq!(seen, []);
    frames
}

#[test]
fn what_is_too_short_or_does_not_shrink_goes_as_it_is() {
    let settings = Settings {
        min_len: 100,
        ..Settings::default()
    };
    for role in [Role::Server, Role::Client] {
        let mut rig = rig(role, settings);
        for (data, rsv1) in [
            (vec![b'x'; 99], false),
            (vec![b'x'; 100], true),
            (noise(5000, 1), false),
            (vec![], false),
        ] {
            let frames = send(&mut rig, Message::Binary(&data));
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].rsv1, rsv1, "{}", data.len());
            assert_eq!(frames[0].masked, role == Role::Client);
            assert_eq!(Inflater::new(bits(15), false).message(&frames), data);
        }
        rig.call(|socket, cx| socket.send_uncompressed(Message::Text(&json(5000, 1)), cx));
        let (_, frames) = rig.take();
        assert!(!frames[0].rsv1 && frames[0].payload.len() == 5000);
    }
}

#[test]
fn control_frames_are_never_compressed() {
    let mut rig = rig(Role::Server, keen());
    rig.call(|socket, cx| socket.ping(&[b'x'; 125], cx));
    rig.call(|socket, cx| socket.close(sockeye_proto::CloseCode::NORMAL, &"x".repeat(100), cx));
    let (_, frames) = rig.take();
    assert!(frames.len() == 2 && frames.iter().all(|frame| !frame.rsv1));
}

#[test]
fn every_window_is_kept_to() {
    for role in [Role::Server, Role::Client] {
        for window in 8..=15 {
            for takeover in [false, true] {
                for level in [0, 1, 2, 4, 6, 9] {
                    let settings = Settings {
                        server_no_context_takeover: !takeover,
                        client_no_context_takeover: !takeover,
                        server_max_window_bits: bits(window),
                        client_max_window_bits: bits(window),
                        level,
                        min_len: 0,
                        max_ratio: None,
                    };
                    let mut rig = rig(role, settings);
                    let mut zlib = Inflater::new(bits(window), takeover);
                    let again = json(600, 7);
                    for turn in 0..8 {
                        let text = match turn % 4 {
                            0 => json(40_000, turn),
                            1 => "a".repeat(5000),
                            2 => json(300, turn),
                            _ => again.clone(),
                        };
                        let frames = send(&mut rig, Message::Text(&text));
                        assert_eq!(zlib.message(&frames), text.as_bytes(), "{settings:?}");
                        let packed = frames[0].payload.len();
                        if takeover && window > 9 && turn == 7 {
                            assert!(packed < 400, "{packed}: nothing was referred to");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn small_messages_that_resemble_each_other_shrink_to_a_few_bytes() {
    let mut rig = rig(Role::Server, Settings::takeover());
    let mut zlib = Inflater::new(bits(12), true);
    let mut last = 0;
    for count in 0..10 {
        let text =
            format!("{{\"type\":\"update\",\"symbol\":\"ACME\",\"price\":{count},\"open\":true}}");
        let frames = send(&mut rig, Message::Text(&text));
        assert_eq!(zlib.message(&frames), text.as_bytes());
        last = frames[0].payload.len();
    }
    assert!(last < 15, "{last}");
    // What does not shrink and is long will not help the next one either.
    let noise = noise(3000, 1);
    assert!(!send(&mut rig, Message::Binary(&noise))[0].rsv1);
}

#[test]
fn fragments() {
    for settings in [
        Settings {
            min_len: 4,
            ..Settings::default()
        },
        keen(),
    ] {
        for role in [Role::Server, Role::Client] {
            let mut rig = rig(role, settings);
            let takeover = !settings.server_no_context_takeover;
            let (window, _) = (settings.server_max_window_bits, ());
            let mut zlib = Inflater::new(window, takeover);
            for parts in [
                &[
                    &b"hello hello hello hello"[..],
                    b"hello",
                    b"",
                    b"hello hello",
                ][..],
                &[b"hello", b""],
                &[b"hello", b"", b""],
                &[b"only one, one, one, one, one, one, one"],
                &[&noise(3000, 1), &noise(3000, 1)],
                &[json(70_000, 1).as_bytes(), json(70_000, 1).as_bytes()],
            ] {
                for (index, part) in parts.iter().enumerate() {
                    let last = index + 1 == parts.len();
                    rig.call(|socket, cx| socket.send_fragment(Message::Binary(part), last, cx));
                }
                let (_, frames) = rig.take();
                assert!(frames[0].rsv1);
                assert_eq!(frames[0].opcode, Opcode::Binary);
                assert_eq!(frames.len(), parts.len());
                assert_eq!(zlib.message(&frames), parts.concat());
                let text = json(300, 3);
                assert_eq!(
                    zlib.message(&send(&mut rig, Message::Text(&text))),
                    text.as_bytes()
                );
            }
        }
    }
    let mut short = rig(Role::Server, Settings::default());
    short.call(|socket, cx| socket.send_fragment(Message::Text("short"), false, cx));
    let long = json(5000, 1);
    short.call(|socket, cx| socket.send_fragment(Message::Text(&long), true, cx));
    assert!(
        short.take().1.iter().all(|frame| !frame.rsv1),
        "the first one decides"
    );
}

fn socket(rig: &Rig, settings: Settings) -> WebSocket {
    let mut config = Config::new(Limits::default(), Delivery::Whole);
    config.deflate = Some(settings);
    WebSocket::new(Role::Server, Arc::new(config), rig.now)
}

fn frame_of(rig: &mut Rig, socket: &mut WebSocket, message: &Prepared) -> Arc<[u8]> {
    rig.with(|_, cx| socket.frame_of(message, cx.shared))
}

#[test]
fn a_prepared_message_is_compressed_once_for_each_set_of_parameters() {
    let mut rig = rig(Role::Server, keen());
    let text = json(2000, 1);
    let message = Prepared::text(&text);
    let clone = message.clone();
    let narrow = Settings {
        server_max_window_bits: bits(9),
        ..keen()
    };
    let mut sockets = [Settings::default(), Settings::default(), keen(), narrow]
        .map(|settings| socket(&rig, settings));
    let [a, b, c, d] = &mut sockets;
    let wide = frame_of(&mut rig, a, &message);
    assert!(Arc::ptr_eq(&wide, &frame_of(&mut rig, b, &clone)));
    let kept = frame_of(&mut rig, c, &message);
    assert!(!Arc::ptr_eq(&wide, &kept));
    assert!(Arc::ptr_eq(&kept, &frame_of(&mut rig, c, &message)));
    let close = frame_of(&mut rig, d, &message);
    for (frame, window) in [(wide, 15), (kept, 12), (close, 9)] {
        let frames = frames(&frame);
        assert!(frames[0].rsv1 && frames[0].payload.len() < 1400);
        assert_eq!(
            Inflater::new(bits(window), false).message(&frames),
            text.as_bytes()
        );
    }
}

#[test]
fn a_prepared_message_that_is_short_or_does_not_shrink_is_shared_plain() {
    let mut rig = rig(Role::Server, keen());
    let mut socket = socket(&rig, Settings::default());
    for message in [Prepared::text("short"), Prepared::binary(&noise(4000, 1))] {
        let frame = frame_of(&mut rig, &mut socket, &message);
        assert!(Arc::ptr_eq(&frame, message.frame()));
    }
    let mut plain = WebSocket::new(Role::Server, Arc::default(), rig.now);
    let message = Prepared::text(&json(4000, 1));
    assert!(Arc::ptr_eq(
        &frame_of(&mut rig, &mut plain, &message),
        message.frame()
    ));
}

#[test]
fn a_receiver_with_a_context_of_its_own_goes_on_behind_a_shared_frame() {
    let mut rig = rig(Role::Server, keen());
    let mut zlib = Inflater::new(bits(12), true);
    for turn in 0..10 {
        let own = json(700, turn);
        assert_eq!(
            zlib.message(&send(&mut rig, Message::Text(&own))),
            own.as_bytes()
        );
        let shared = json(900, turn + 100);
        let message = Prepared::text(&shared);
        let frame = rig.with(|socket, cx| socket.frame_of(&message, cx.shared));
        assert_eq!(zlib.message(&frames(&frame)), shared.as_bytes());
        // Referring to the shared message is worth it.
        let reply = send(&mut rig, Message::Text(&shared));
        assert!(reply[0].payload.len() < 40, "{}", reply[0].payload.len());
        assert_eq!(zlib.message(&reply), shared.as_bytes());
    }
}

#[test]
fn a_message_that_may_be_dropped_is_not_referred_to() {
    let mut rig = rig(Role::Server, keen());
    let mut zlib = Inflater::new(bits(12), true);
    for turn in 0..10 {
        let text = json(700, turn % 3);
        let dropped = send(&mut rig, Message::Text(&text));
        rig.socket.forget_sent();
        if turn % 2 == 0 {
            assert_eq!(zlib.message(&dropped), text.as_bytes());
        }
        let next = json(900, turn % 3);
        assert_eq!(
            zlib.message(&send(&mut rig, Message::Text(&next))),
            next.as_bytes()
        );
    }
}
