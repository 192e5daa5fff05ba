//! Connections that share the compressors of a loop, in turn and several times in a row: each
//! refers to what it sent itself, and to nothing else.

use std::mem;
use std::sync::Arc;

use sockeye_proto::deflate::Settings;
use sockeye_proto::ws::{Config, Delivery, Message, Prepared, Role, WebSocket};
use sockeye_proto::{Limits, Misuse};

use super::zlib::Inflater;
use super::{bits, json, keen, noise, rig};
use crate::rig::{Choice, Rig, frames};

fn socket(rig: &Rig, settings: Settings) -> WebSocket {
    let mut config = Config::new(Limits::default(), Delivery::Whole);
    config.deflate = Some(settings);
    WebSocket::new(Role::Server, Arc::new(config), rig.now)
}

/// What one of them sends, and how.
fn turn(rig: &mut Rig, zlib: &mut Inflater, choice: &mut Choice) {
    let text = json(choice.below(3000), choice.below(50) as u64);
    let (way, dropped) = (choice.below(8), choice.below(12) == 0);
    let mut data = text.as_bytes().to_vec();
    match way {
        0 => {
            let message = Prepared::text(&text);
            let frame = rig.with(|socket, cx| socket.frame_of(&message, cx.shared));
            assert_eq!(zlib.message(&frames(&frame)), data);
            return;
        }
        1 => {
            // Compressed in vain: it goes as it is.
            data = noise(2000, text.len() as u64);
            rig.call(|socket, cx| socket.send(Message::Binary(&data), cx));
        }
        2 => {
            let (head, tail) = data.split_at(data.len() / 2);
            rig.call(|socket, cx| -> Result<(), Misuse> {
                socket.send_fragment(Message::Binary(head), false, cx)?;
                socket.send_fragment(Message::Binary(tail), true, cx)
            });
        }
        3 => rig.call(|socket, cx| socket.send_uncompressed(Message::Text(&text), cx)),
        _ => rig.call(|socket, cx| socket.send(Message::Text(&text), cx)),
    }
    if dropped && way > 3 {
        rig.socket.forget_sent();
        rig.take();
        return;
    }
    assert_eq!(zlib.message(&rig.take().1), data);
}

#[test]
fn nobody_refers_to_what_another_one_sent() {
    for window in [8, 9, 12, 15] {
        for level in [0, 1, 2, 9] {
            let settings = Settings {
                server_max_window_bits: bits(window),
                level,
                ..keen()
            };
            let alone = Settings {
                server_no_context_takeover: true,
                ..settings
            };
            let mut rig = rig(Role::Server, settings);
            let mut sockets: Vec<_> = [settings, settings, alone, settings]
                .map(|settings| {
                    let takeover = !settings.server_no_context_takeover;
                    (
                        socket(&rig, settings),
                        Inflater::new(bits(window), takeover),
                    )
                })
                .into();
            let mut choice = Choice::new(u64::from(window) << 8 | u64::from(level));
            for _ in 0..60 {
                let at = choice.below(sockets.len());
                let (socket, zlib) = &mut sockets[at];
                mem::swap(&mut rig.socket, socket);
                for _ in 0..choice.below(5) {
                    turn(&mut rig, zlib, &mut choice);
                }
                mem::swap(&mut rig.socket, socket);
            }
        }
    }
}
