//! `/mirror` under pressure: the slow hold the fast up, but neither for ever nor at any cost.

use std::thread;

use crate::peer::{Peer, TEXT, open};
use crate::process::Server;

const LEN: usize = 10_000;

fn message(number: usize) -> String {
    format!("{number} {}", "m".repeat(LEN))
}

#[test]
fn a_flood_arrives_whole_and_in_order_at_everybody() {
    for threads in ["1", "2"] {
        flood(&Server::start(&["--threads", threads]));
    }
}

fn flood(server: &Server) {
    let count = 5_000;
    let sender = open(server.connect(), "/mirror");
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let mut peer = open(server.connect(), "/mirror");
            thread::spawn(move || {
                for number in 0..count {
                    peer.expect(TEXT, message(number));
                }
            })
        })
        .collect();
    // The sender is a member too, and reads while it sends.
    let stream = sender.stream.try_clone().unwrap();
    let flood = thread::spawn(move || {
        let mut peer = sender;
        for number in 0..count {
            peer.send(TEXT, message(number));
        }
        peer
    });
    let mut own = Peer::over(stream);
    for number in 0..count {
        own.expect(TEXT, message(number));
    }
    for reader in readers {
        reader.join().unwrap();
    }
    drop(flood.join().unwrap());
}

#[test]
fn who_never_reads_is_let_go_and_the_others_go_on() {
    for threads in ["1", "2"] {
        let_go(&Server::start(&["--threads", threads]));
    }
}

fn let_go(server: &Server) {
    let mut mute = open(server.connect(), "/mirror");
    let mut reader = open(server.connect(), "/mirror");
    // More than all buffers on the way to the mute one can take.
    let count = 4_000;
    let mut sender = open(server.connect(), "/mirror");
    let stream = sender.stream.try_clone().unwrap();
    let own = thread::spawn(move || {
        let mut peer = Peer::over(stream);
        for number in 0..count {
            peer.expect(TEXT, message(number));
        }
    });
    let flood = thread::spawn(move || {
        for number in 0..count {
            sender.send(TEXT, message(number));
        }
        sender
    });
    for number in 0..count {
        reader.expect(TEXT, message(number));
    }
    own.join().unwrap();
    drop(flood.join().unwrap());
    let memory = server.peak_memory();
    assert!(memory < 64 << 20, "{memory}");
    // What was on its way to the mute one may be read now, up to the end.
    let mut received = 0;
    while let Some(frame) = mute.receive() {
        if frame.opcode != TEXT {
            assert_eq!(frame.close_code(), 1008);
            break;
        }
        received += 1;
    }
    assert!(received < count, "{received}");
}
