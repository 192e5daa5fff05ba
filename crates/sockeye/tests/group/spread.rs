//! Who is reached: connections, messages and ids over several engines.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use sockeye::net::LocalAddr;
use sockeye::{Error, Group, Limits};

use crate::rig::{END, Server, TOPIC, engine_of, without_pings};
use crate::wire::{PATIENCE, frame, handshake};

#[test]
fn what_anybody_publishes_reaches_everybody_in_order() {
    const COUNT: usize = 300;
    for opcode in [1, 2] {
        let server = Server::start(3, Limits::default());
        let peers = server.open_on_each(&[0, 1, 2]);
        let mut threads = Vec::new();
        for (index, mut peer) in peers.into_iter().enumerate() {
            let mut sender = peer.stream.try_clone().unwrap();
            threads.push(std::thread::spawn(move || {
                for number in 0..COUNT {
                    let text = format!("{index} {number}");
                    sender.write_all(&frame(opcode, text.as_bytes())).unwrap();
                }
            }));
            threads.push(std::thread::spawn(move || {
                let mut next = [0; 3];
                while next != [COUNT; 3] {
                    let (kind, message) = peer.receive();
                    assert_eq!(kind, opcode);
                    let message = String::from_utf8(message).unwrap();
                    let (from, number) = message.split_once(' ').unwrap();
                    let next = &mut next[from.parse::<usize>().unwrap()];
                    assert_eq!(number.parse(), Ok(*next), "of {from}");
                    *next += 1;
                }
            }));
        }
        for thread in threads {
            thread.join().unwrap();
        }
        for engine in 0..3 {
            let unshared = server.ask(engine, |_, core| core.stats().unshared);
            assert_eq!(unshared, 0);
        }
        server.stop();
    }
}

#[test]
fn handles_reach_all_and_some_calls_stay_where_they_are() {
    let server = Server::start(2, Limits::default());
    let mut peers = server.open_on_each(&[0, 1]);
    server.handle.publish(TOPIC, "by the group").unwrap();
    server.handle.broadcast(server.key, "broadcast").unwrap();
    for peer in &mut peers {
        assert_eq!(peer.receive_text(), "by the group");
        assert_eq!(peer.receive_text(), "broadcast");
    }
    server.engine(1).publish(TOPIC, "by one of them").unwrap();
    for peer in &mut peers {
        assert_eq!(peer.receive_text(), "by one of them");
    }
    peers[0].send(1, b"here only on 0");
    peers[0].send(1, b"call this");
    peers[0].send(1, END.as_bytes());
    assert_eq!(peers[0].receive_text(), "only on 0");
    for peer in &mut peers {
        assert_eq!(peer.receive_text(), END);
    }
    let called = |engine| server.ask(engine, |room, _| room.called.clone());
    assert_eq!(called(0), [""; 0]);
    assert_eq!(called(1), ["this"]);
    server.stop();
}

#[test]
fn who_is_subscribed_from_another_engine_hears_what_is_published_behind_it() {
    let server = Server::start(2, without_pings());
    let mut peers = server.open_on_each(&[0, 1]);
    for _ in 0..3 {
        let key = server.key;
        server.ask(0, move |_, core| {
            core.publish("side", &sockeye::Prepared::text("nobody is there"));
            core.call_others(key, 0, |room, core| {
                for id in &room.opened {
                    core.subscribe(*id, "side");
                }
            });
            core.publish("side", &sockeye::Prepared::text("first"));
        });
        server.ask(0, move |_, core| {
            core.publish("side", &sockeye::Prepared::text("second"));
            core.call_others(key, 0, |room, core| {
                for id in &room.opened {
                    core.unsubscribe(*id, "side");
                }
            });
            core.publish(TOPIC, &sockeye::Prepared::text(END));
        });
        for word in ["first", "second", END] {
            assert_eq!(peers[1].receive_text(), word);
        }
        assert_eq!(peers[0].receive_text(), END);
    }
    server.stop();
}

#[test]
fn an_id_means_nothing_to_another_engine() {
    let server = Server::start(2, without_pings());
    let mut peers = server.open_on_each(&[0, 1]);
    for engine in [0, 1] {
        server.wait_for(engine, 1);
    }
    let ids = [0, 1].map(|engine| server.ask(engine, |room, _| room.opened.clone()));
    for (engine, ids) in [(1, &ids[0]), (0, &ids[1])] {
        for id in ids {
            server.engine(engine).send(*id, "astray").unwrap();
        }
    }
    server.handle.publish(TOPIC, END).unwrap();
    for peer in &mut peers {
        assert_eq!(peer.receive_text(), END);
    }
    server.stop();
}

#[test]
fn engines_share_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let at = format!("unix:{}", path.display());
    let server = Server::start_on(&at, 3, Limits::default(), None);
    assert_eq!(server.addrs, [LocalAddr::Unix(path.clone())]);
    let open = || {
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(handshake("/").as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        (engine_of(&String::from_utf8(head).unwrap()), stream)
    };
    // Whoever has time takes it.
    let mut streams = Vec::new();
    for engine in 0..3 {
        let others = (0..3).filter(|other| *other != engine);
        let blocks: Vec<_> = others.map(|other| server.block(other)).collect();
        let (taker, stream) = open();
        assert_eq!(taker, engine);
        streams.push(stream);
        drop(blocks);
    }
    // The file stays as long as one of them is there.
    server.engine(0).shutdown(Duration::ZERO).unwrap();
    let mut end = Vec::new();
    let _ = streams[0].read_to_end(&mut end);
    assert_ne!(open().0, 0);
    server.stop();
    assert!(!path.exists());
}

#[test]
fn no_other_server_gets_in_between() {
    let server = Server::start(2, Limits::default());
    let at = server.addr().to_string();
    let second = Group::start(NonZeroUsize::new(2).unwrap(), move |builder, _| {
        let mut engine = builder.build()?;
        engine.listen(at.as_str())?;
        Ok::<_, Error>(engine)
    });
    assert!(matches!(second.unwrap_err(), Error::Net(_)));
    server.stop();
}
