//! What is bounded: queues between engines, and connections of all together.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sockeye::Limits;

use crate::rig::{END, Server, TOPIC, engine_of, without_pings};
use crate::wire::{PATIENCE, Peer, frame, handshake};

#[test]
fn peers_wait_while_another_engine_cannot_follow() {
    const LEN: usize = 1024;
    const COUNT: usize = 16 * 1024;
    let limits = Limits {
        group_queue_len: 256 * 1024,
        ..without_pings()
    };
    // As many as reach the half of it, with what each counts more.
    let room = (128 * 1024_usize).div_ceil(LEN + 256);
    let server = Server::start(2, limits);
    let mut peers = server.open_on_each(&[0, 1]);
    let mut reader = peers.pop().unwrap();
    let mut own = peers.pop().unwrap();
    let block = server.block(1);
    let mut sender = own.stream.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for number in 0..COUNT {
            let text = format!("{number:LEN$}");
            sender.write_all(&frame(1, text.as_bytes())).unwrap();
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while server.taken.load(Ordering::SeqCst) < room {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    // It goes on only when the other one does.
    assert_eq!(server.taken.load(Ordering::SeqCst), room);
    drop(block);
    let readers = std::thread::spawn(move || {
        for number in 0..COUNT {
            assert_eq!(own.receive_text().trim_start(), number.to_string());
        }
    });
    for number in 0..COUNT {
        assert_eq!(reader.receive_text().trim_start(), number.to_string());
    }
    readers.join().unwrap();
    writer.join().unwrap();
    assert_eq!(server.ask(0, |_, core| core.stats().unshared), 0);
    server.stop();
}

#[test]
fn own_peers_are_written_to_while_another_engine_cannot_follow() {
    const LEN: usize = 64 * 1024;
    // More than the system takes for a peer that does not read, and than half of the bound.
    const COUNT: usize = 512;
    let limits = Limits {
        group_queue_len: LEN * COUNT,
        backlog_len: 2 * LEN * COUNT,
        backlog_total_len: 2 * LEN * COUNT,
        ..without_pings()
    };
    let server = Server::start(2, limits);
    let mut peers = server.open_on_each(&[0, 1]);
    let mut other = peers.pop().unwrap();
    let mut slow = peers.pop().unwrap();
    let block = server.block(1);
    server.ask(0, |_, core| {
        let message = sockeye::Prepared::text(&"x".repeat(LEN));
        for _ in 0..COUNT {
            core.publish(TOPIC, &message);
        }
    });
    for _ in 0..COUNT {
        assert_eq!(slow.receive_text().len(), LEN);
    }
    drop(block);
    for _ in 0..COUNT {
        assert_eq!(other.receive_text().len(), LEN);
    }
    server.stop();
}

#[test]
fn what_a_full_queue_does_not_take_is_counted() {
    let limits = Limits {
        group_queue_len: 256 * 1024,
        ..without_pings()
    };
    let (ticked, ticks) = mpsc::channel();
    let server = Server::start_on("127.0.0.1:0", 2, limits, Some(ticked));
    let mut peers = server.open_on_each(&[0, 1]);
    let block = server.block(1);
    peers[0].send(1, b"tick");
    for tick in 1..=4 {
        assert_eq!(ticks.recv_timeout(PATIENCE), Ok(tick));
    }
    drop(block);
    assert_eq!(server.ask(0, |_, core| core.stats().unshared), 2000);
    server.handle.publish(TOPIC, END).unwrap();
    for (peer, count) in peers.iter_mut().zip([3000, 1000]) {
        for number in 0..count {
            assert_eq!(peer.receive_text(), number.to_string());
        }
        assert_eq!(peer.receive_text(), END);
    }
    server.stop();
}

#[test]
fn limits_of_connections_are_kept_together() {
    let limits = Limits {
        connections: Some(3),
        connections_per_address: Some(2),
        accept_pause: Duration::from_millis(5),
        ..without_pings()
    };
    let server = Server::start(2, limits);
    let count = || {
        let count = |engine| server.ask(engine, |_, core| core.connection_count());
        count(0) + count(1)
    };
    let first = server.open();
    let second = server.open();
    for _ in 0..8 {
        let mut third = Peer::connect(server.addr());
        assert!(third.is_ended(), "a third one from this address");
    }
    assert_eq!(count(), 2);
    drop(first);
    drop(second);
    for engine in [0, 1] {
        server.wait_for(engine, 0);
    }
    drop([server.open(), server.open()]);
    server.stop();

    let limits = Limits {
        connections: Some(3),
        accept_pause: Duration::from_millis(5),
        ..without_pings()
    };
    let server = Server::start(2, limits);
    let mut peers: Vec<_> = (0..3).map(|_| server.open().1).collect();
    let (answer, answered) = mpsc::channel();
    for _ in 0..4 {
        let mut peer = Peer::connect(server.addr());
        peer.write(handshake("/").as_bytes());
        let answer = answer.clone();
        std::thread::spawn(move || {
            engine_of(&peer.read_head());
            answer.send(peer).unwrap();
        });
    }
    let count = || {
        let count = |engine| server.ask(engine, |_, core| core.connection_count());
        count(0) + count(1)
    };
    assert_eq!(count(), 3);
    // Each that goes lets one in, whichever engine had it.
    for _ in 0..4 {
        drop(peers.remove(0));
        peers.push(answered.recv_timeout(PATIENCE).unwrap());
        assert!(count() <= 3);
    }
    server.stop();
}
