//! Broadcasts from other processes reach every connection: whole, in order, none lost without a
//! word, whoever reads slowly.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(dead_code, reason = "what the tests share is more than one needs")]

mod fork;
mod wire;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sockeye::bus::{self, Receiver, SendError, Sender};
use sockeye::{
    Accepted, CloseInfo, Conn, Core, Engine, Handle, Limits, Overflow, Peer as Who, Prepared,
    Protocol, Reject, Request, Text,
};

use self::fork::{Child, alone};
use self::wire::{DRIVERS, Driver, PATIENCE, Peer, Server};

const MIB: usize = 1024 * 1024;

/// Sends what is broadcast, and tells how connections end.
struct News {
    closed: Option<mpsc::Sender<CloseInfo>>,
    /// What ends with the channel.
    engine: Option<Handle>,
    overflow: Overflow,
}

impl News {
    fn new() -> Self {
        Self {
            closed: None,
            engine: None,
            overflow: Overflow::Close,
        }
    }
}

impl Protocol for News {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Who) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()).overflow(self.overflow))
    }

    fn on_bus_end(&mut self, _: &mut Core) {
        if let Some(engine) = &self.engine {
            engine.shutdown(PATIENCE).unwrap();
        }
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        if let Some(closed) = &self.closed {
            // Who does not want to know any more has ended.
            let _ = closed.send(info.clone());
        }
    }
}

fn set_up(engine: &mut Engine, news: News, receiver: Receiver) -> SocketAddr {
    let news = engine.host(news);
    engine.attach(news, receiver).unwrap();
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", news);
    listener.local_addr().tcp().unwrap()
}

fn serve(driver: Driver, limits: &Limits, news: News) -> (Server, Sender) {
    let (sender, receiver) = bus::channel(limits).unwrap();
    let server = Server::start(driver, limits.clone(), move |engine| {
        set_up(engine, news, receiver)
    });
    (server, sender)
}

/// Small bounds, so that little is much: one connection is waited for above 128 KiB.
fn narrow() -> Limits {
    Limits {
        message_len: 64 * 1024,
        frame_len: 64 * 1024,
        bus_message_len: 64 * 1024,
        read_per_turn: 16 * 1024,
        high_water: 16 * 1024,
        low_water: 8 * 1024,
        backlog_len: 256 * 1024,
        bus_patience: PATIENCE,
        write_stall_timeout: PATIENCE,
        ..Limits::default()
    }
}

/// A message that tells who sent it, and as which.
fn payload(sender: u8, number: u32) -> Vec<u8> {
    let len = match number % 50 {
        0 => 100_000,
        1 => 40_000,
        other => other as usize,
    };
    let mut payload = format!("{sender} {number} ").into_bytes();
    payload.extend((0..len).map(|i| b'a' + (i % 26) as u8));
    payload
}

fn is_text(number: u32) -> bool {
    number.is_multiple_of(2)
}

fn from_many_processes(driver: Driver) {
    const COUNT: u32 = 500;
    let (server, sender) = serve(driver, &Limits::default(), News::new());
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::open(server.addr, "/")).collect();
    let children = [1, 2, 3, 4].map(|name| {
        let sender = &sender;
        Child::start(move || {
            for number in 0..COUNT {
                let payload = payload(name, number);
                match is_text(number) {
                    true => sender.send(std::str::from_utf8(&payload).unwrap()),
                    false => sender.send(&payload),
                }
                .unwrap();
            }
        })
    });
    for peer in &mut peers {
        let mut next = HashMap::new();
        for _ in 0..4 * COUNT {
            let (opcode, got) = peer.receive();
            let text = std::str::from_utf8(&got).unwrap();
            let mut words = text.split(' ');
            let mut word = || words.next().unwrap().parse::<u32>().unwrap();
            let (sender, number) = (word(), word());
            let expected = next.entry(sender).or_insert(0);
            assert_eq!(number, *expected, "of sender {sender}");
            *expected += 1;
            assert!(got == payload(sender as u8, number), "{sender} {number}");
            assert_eq!(opcode, if is_text(number) { 1 } else { 2 });
        }
    }
    children.into_iter().for_each(Child::succeeds);
    assert_eq!(server.ask(|core| core.stats().bus_rejected), 0);
    drop(peers);
    server.stop();
}

#[test]
fn every_connection_gets_all_of_each_process_in_order() {
    alone(
        "bus::every_connection_gets_all_of_each_process_in_order",
        || DRIVERS.iter().copied().for_each(from_many_processes),
    );
}

#[test]
fn the_longest_message_arrives_and_a_longer_one_does_not_go() {
    let limits = Limits::default();
    let (server, sender) = serve(Driver::Epoll, &limits, News::new());
    let mut peer = Peer::open(server.addr, "/");
    assert_eq!(limits.bus_message_len, 16 * MIB);
    let mut payload: Vec<u8> = (0..16 * MIB).map(|i| (i % 251) as u8).collect();
    for _ in 0..3 {
        sender.send(&payload).unwrap();
    }
    for _ in 0..3 {
        let (opcode, got) = peer.receive();
        assert_eq!(opcode, 2);
        assert!(got == payload);
    }
    payload.push(0);
    let refused = sender.send(&payload).unwrap_err();
    assert!(matches!(refused, SendError::TooLong { .. }), "{refused}");
    sender.send("goes on").unwrap();
    assert_eq!(peer.receive_text(), "goes on");
    drop(peer);
    server.stop();
}

/// Serves in a child, which alone receives then, and tells where.
fn serve_in_child() -> (Child, SocketAddr, Sender) {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    let ends = bus::channel(&Limits::default()).unwrap();
    let (child, (sender, _)) = Child::start_with(ends, |(sender, receiver)| {
        drop(sender);
        let mut engine = Engine::new().unwrap();
        let news = News {
            engine: Some(engine.handle()),
            ..News::new()
        };
        let addr = set_up(&mut engine, news, receiver);
        writer.write_all(&addr.port().to_ne_bytes()).unwrap();
        engine.run().unwrap();
    });
    let mut port = [0; 2];
    reader.read_exact(&mut port).unwrap();
    let addr = SocketAddr::from(([127, 0, 0, 1], u16::from_ne_bytes(port)));
    (child, addr, sender)
}

#[test]
fn a_parent_reaches_the_connections_of_its_child_and_is_told_of_its_end() {
    alone(
        "bus::a_parent_reaches_the_connections_of_its_child_and_is_told_of_its_end",
        || {
            let (child, addr, sender) = serve_in_child();
            let mut peer = Peer::open(addr, "/");
            for number in 0..2_000 {
                sender.send(&number.to_string()).unwrap();
            }
            for number in 0..2_000 {
                assert_eq!(peer.receive_text(), number.to_string());
            }
            drop(child);
            // A channel takes messages until the kernel has cleared up after the child.
            let gone = loop {
                if let Err(error) = sender.send("hello") {
                    break error;
                }
            };
            assert!(matches!(gone, SendError::Gone), "{gone}");
        },
    );
}

#[test]
fn a_server_is_told_that_all_senders_are_gone() {
    alone("bus::a_server_is_told_that_all_senders_are_gone", || {
        let (server, addr, sender) = serve_in_child();
        let mut peer = Peer::open(addr, "/");
        let other = Child::start(|| sender.send("from a process that ends").unwrap());
        other.succeeds();
        sender
            .send("from one that does not serve any more")
            .unwrap();
        drop(sender);
        assert_eq!(peer.receive_text(), "from a process that ends");
        assert_eq!(peer.receive_text(), "from one that does not serve any more");
        let (opcode, code) = peer.receive();
        assert_eq!(opcode, 8);
        peer.send(8, &code);
        server.succeeds();
    });
}

#[test]
fn senders_wait_for_a_slow_peer_and_nothing_is_lost() {
    alone(
        "bus::senders_wait_for_a_slow_peer_and_nothing_is_lost",
        || DRIVERS.iter().copied().for_each(wait_for_a_slow_peer),
    );
}

fn wait_for_a_slow_peer(driver: Driver) {
    const COUNT: u32 = 2_000;
    const LEN: usize = 16 * 1024;
    let (server, sender) = serve(driver, &narrow(), News::new());
    let mut slow = Peer::open(server.addr, "/");
    let mut child = Child::start(|| {
        for number in 0..COUNT {
            let mut payload = vec![0; LEN];
            payload[..4].copy_from_slice(&number.to_ne_bytes());
            sender.send(&payload).unwrap();
        }
    });
    let deadline = Instant::now() + PATIENCE;
    // Nothing is read until the channel rests: much more is sent than the sockets hold.
    while server.ask(|core| core.backlog_total()) <= 128 * 1024 {
        assert!(Instant::now() < deadline);
    }
    // A loop that has nothing to do but to wait waits: each question costs it a turn or two.
    let turns = server.turns();
    for _ in 0..20 {
        server.ask(|_| ());
    }
    assert!(server.turns() - turns <= 100, "{}", server.turns() - turns);
    assert!(!child.has_ended());
    for number in 0..COUNT {
        let (_, got) = slow.receive();
        assert_eq!(got.len(), LEN);
        assert_eq!(got[..4], number.to_ne_bytes());
    }
    child.succeeds();
    let stats = server.ask(|core| core.stats());
    assert_eq!((stats.dropped, stats.closed), (0, 0));
    drop(slow);
    server.stop();
}

/// Sends until the condition holds, to a peer that reads all in order.
fn feed_until(sender: &Sender, peer: &mut Peer, mut done: impl FnMut(u32) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut number = 0u32;
    while !done(number) {
        assert!(Instant::now() < deadline);
        let mut payload = vec![0; 16 * 1024];
        payload[..4].copy_from_slice(&number.to_ne_bytes());
        sender.send(&payload).unwrap();
        let (_, got) = peer.receive();
        assert_eq!(got[..4], number.to_ne_bytes());
        number += 1;
    }
}

#[test]
fn a_peer_that_does_not_read_is_not_waited_for_longer_than_patience() {
    let limits = Limits {
        bus_patience: Duration::from_millis(50),
        ..narrow()
    };
    let (closed, closes) = mpsc::channel();
    let news = News {
        closed: Some(closed),
        ..News::new()
    };
    let (server, sender) = serve(Driver::Epoll, &limits, news);
    let mut reader = Peer::open(server.addr, "/");
    let mute = Peer::open(server.addr, "/");
    let mut info = None;
    feed_until(&sender, &mut reader, |_| {
        info = closes.try_recv().ok();
        info.is_some()
    });
    assert_eq!(info.unwrap().cause, sockeye::CloseCause::Backlog);
    // The others go on.
    feed_until(&sender, &mut reader, |number| number == 100);
    drop((reader, mute));
    server.stop();
}

#[test]
fn who_may_miss_messages_is_not_waited_for() {
    let news = News {
        overflow: Overflow::DropNewest,
        ..News::new()
    };
    let (server, sender) = serve(Driver::Epoll, &narrow(), news);
    let mut reader = Peer::open(server.addr, "/");
    let mute = Peer::open(server.addr, "/");
    feed_until(&sender, &mut reader, |number| {
        number.is_multiple_of(100) && server.ask(|core| core.stats().dropped) > 0
    });
    assert_eq!(server.ask(|core| core.stats().closed), 0);
    drop((reader, mute));
    server.stop();
}

#[test]
fn a_shutdown_hands_out_what_was_sent() {
    alone("bus::a_shutdown_hands_out_what_was_sent", || {
        for &driver in DRIVERS {
            let (server, sender) = serve(driver, &Limits::default(), News::new());
            let mut peer = Peer::open(server.addr, "/");
            for number in 0..200 {
                sender.send(&number.to_string()).unwrap();
            }
            server.handle.shutdown(PATIENCE).unwrap();
            for number in 0..200 {
                assert_eq!(peer.receive_text(), number.to_string());
            }
            let (opcode, code) = peer.receive();
            assert_eq!((opcode, &code[..]), (8, &1001u16.to_be_bytes()[..]));
            peer.send(8, &code);
            assert!(peer.is_ended());
            assert!(matches!(sender.send("late"), Err(SendError::Gone)));
            server.stop();
        }
    });
}

/// Publishes to those who subscribed to what the message begins with.
struct Rooms;

impl Protocol for Rooms {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Who) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), topic: Text<'_>) {
        conn.subscribe(&topic);
        conn.send("welcome");
    }

    fn on_bus_message(&mut self, core: &mut Core, message: &Prepared) -> bool {
        let text = String::from_utf8_lossy(message.data());
        match text.split_once(':') {
            Some((topic, _)) => {
                core.publish(topic, message);
                false
            }
            None => true,
        }
    }
}

#[test]
fn a_protocol_may_choose_who_is_told() {
    let (sender, receiver) = bus::channel(&Limits::default()).unwrap();
    let server = Server::start(Driver::Epoll, Limits::default(), move |engine| {
        let rooms = engine.host(Rooms);
        engine.attach(rooms, receiver).unwrap();
        let listener = engine.listen("127.0.0.1:0").unwrap().route("/", rooms);
        listener.local_addr().tcp().unwrap()
    });
    let [mut kitchen, mut cellar] = ["kitchen", "cellar"].map(|topic| {
        let mut peer = Peer::open(server.addr, "/");
        peer.send(1, topic.as_bytes());
        assert_eq!(peer.receive_text(), "welcome");
        peer
    });
    for message in ["cellar:one", "kitchen:two", "three"] {
        sender.send(message).unwrap();
    }
    for (peer, topic, own) in [
        (&mut kitchen, "kitchen:", "two"),
        (&mut cellar, "cellar:", "one"),
    ] {
        assert_eq!(peer.receive_text(), format!("{topic}{own}"));
        assert_eq!(peer.receive_text(), "three");
    }
    drop((kitchen, cellar));
    server.stop();
}

#[test]
fn a_channel_without_senders_costs_nothing() {
    for &driver in DRIVERS {
        let (server, sender) = serve(driver, &Limits::default(), News::new());
        let mut peer = Peer::open(server.addr, "/");
        sender.send("last").unwrap();
        drop(sender);
        assert_eq!(peer.receive_text(), "last");
        server.ask(|_| ());
        let turns = server.turns();
        for _ in 0..20 {
            server.ask(|_| ());
        }
        assert!(server.turns() - turns <= 100, "{}", server.turns() - turns);
        drop(peer);
        server.stop();
    }
}

#[test]
fn a_protocol_of_another_engine_gets_no_channel() {
    let mut other = Engine::new().unwrap();
    let key = other.host(News::new());
    let mut engine = Engine::new().unwrap();
    let (_, receiver) = bus::channel(&Limits::default()).unwrap();
    let error = engine.attach(key, receiver).unwrap_err();
    assert!(matches!(error, sockeye::Error::Config(_)), "{error}");
}

#[test]
fn an_engine_that_is_dropped_receives_no_more() {
    alone("bus::an_engine_that_is_dropped_receives_no_more", || {
        let (sender, receiver) = bus::channel(&Limits::default()).unwrap();
        let mut engine = Engine::new().unwrap();
        set_up(&mut engine, News::new(), receiver);
        sender.send("hello").unwrap();
        drop(engine);
        assert!(matches!(sender.send("hello"), Err(SendError::Gone)));
    });
}
