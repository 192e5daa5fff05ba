//! Several engines on several threads as one server, over real sockets.

#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

#[allow(dead_code, reason = "each test needs a part of it")]
mod wire;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sockeye::net::LocalAddr;
use sockeye::{
    Accepted, Bytes, Conn, ConnId, Core, Engine, Error, Group, GroupHandle, Handle, HeaderName,
    HeaderValue, Limits, Peer as Who, Protocol, ProtocolKey, Reject, Request, ShutdownReport, Text,
    on_message,
};
use wire::{PATIENCE, Peer, handshake};

const TOPIC: &str = "room";
/// Says nothing else: a peer that has read it has read all before it.
const END: &str = "end";

/// Connections are told which engine they are on, and are all in one room.
#[derive(Default)]
struct Room {
    engine: usize,
    key: Option<ProtocolKey<Self>>,
    /// Messages taken by all engines.
    taken: Arc<AtomicUsize>,
    /// What `call_others` brought.
    called: Vec<String>,
    opened: Vec<ConnId>,
    ticks: usize,
    ticked: Option<mpsc::Sender<usize>>,
}

impl Protocol for Room {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Who) -> Result<Accepted<()>, Reject> {
        let engine = HeaderValue::from_str(&self.engine.to_string()).unwrap();
        Ok(Accepted::new(()).header(HeaderName::from_static("x-engine"), engine))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe(TOPIC);
        self.opened.push(conn.id());
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        self.taken.fetch_add(1, Ordering::SeqCst);
        let key = self.key.unwrap();
        let (verb, rest) = text.split_once(' ').unwrap_or((&*text, ""));
        match verb {
            "panic" => panic!("as asked for"),
            "tick" => conn.set_timeout(Some(Duration::from_millis(1))),
            "call" => {
                let word = rest.to_owned();
                conn.core()
                    .call_others(key, word.len(), move |room: &mut Self, _| {
                        room.called.push(word.clone());
                    });
            }
            "here" => {
                let message = sockeye::Prepared::text(rest);
                conn.core().publish_here(TOPIC, &message);
            }
            _ => {
                conn.publish(TOPIC, &*text);
            }
        }
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        let (key, message) = (self.key.unwrap(), sockeye::Prepared::binary(&data));
        conn.core().broadcast(key, message);
    }

    /// Three times a thousand messages that no peer asked for, and once more nothing: then the
    /// turns of those are over.
    fn on_timeout(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        if self.ticks < 3 {
            for number in 0..1000 {
                conn.publish(TOPIC, &*format!("{}", self.ticks * 1000 + number));
            }
            conn.set_timeout(Some(Duration::from_millis(1)));
        }
        self.ticks += 1;
        if let Some(ticked) = &self.ticked {
            ticked.send(self.ticks).unwrap();
        }
    }
}

struct Server {
    addrs: Vec<LocalAddr>,
    handle: GroupHandle,
    key: ProtocolKey<Room>,
    taken: Arc<AtomicUsize>,
    thread: JoinHandle<Result<ShutdownReport, Error>>,
}

impl Server {
    fn start(count: usize, limits: Limits) -> Self {
        Self::start_on("127.0.0.1:0", count, limits, None)
    }

    fn start_on(
        at: &str,
        count: usize,
        limits: Limits,
        ticked: Option<mpsc::Sender<usize>>,
    ) -> Self {
        let at = at.to_owned();
        let taken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&taken);
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let key = Arc::new(OnceLock::new());
            let share = Arc::clone(&key);
            let count = NonZeroUsize::new(count).unwrap();
            let group = Group::start(count, move |builder, index| {
                let mut engine = builder.limits(limits.clone()).build()?;
                let key = engine.host(Room {
                    engine: index,
                    taken: Arc::clone(&counter),
                    ticked: ticked.clone(),
                    ..Room::default()
                });
                engine.protocol(key).unwrap().key = Some(key);
                engine.listen(at.as_str())?.route("*", key);
                share.get_or_init(|| key);
                Ok::<_, Error>(engine)
            })?;
            let started = (
                group.local_addrs().to_vec(),
                group.handle(),
                *key.get().unwrap(),
            );
            ready.send(started).unwrap();
            group.run()
        });
        let (addrs, handle, key) = started.recv_timeout(PATIENCE).unwrap();
        Self {
            addrs,
            handle,
            key,
            taken,
            thread,
        }
    }

    fn addr(&self) -> SocketAddr {
        match self.addrs[..] {
            [LocalAddr::Tcp(addr)] => addr,
            _ => panic!("{:?}", self.addrs),
        }
    }

    /// A connection, and which engine has it.
    fn open(&self) -> (usize, Peer) {
        let mut peer = Peer::connect(self.addr());
        peer.write(handshake("/").as_bytes());
        (engine_of(&peer.read_head()), peer)
    }

    /// A connection to each of these engines. The kernel chooses by hash, so a few are needed.
    fn open_on_each(&self, engines: &[usize]) -> Vec<Peer> {
        let mut found = HashMap::new();
        for _ in 0..400 {
            let (engine, peer) = self.open();
            found.entry(engine).or_insert(peer);
            if engines.iter().all(|engine| found.contains_key(engine)) {
                break;
            }
        }
        engines
            .iter()
            .map(|engine| found.remove(engine).unwrap())
            .collect()
    }

    fn engine(&self, index: usize) -> &Handle {
        &self.handle.engines()[index]
    }

    fn ask<T: Send + 'static>(
        &self,
        engine: usize,
        ask: impl FnOnce(&mut Room, &mut Core) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = mpsc::channel();
        self.engine(engine)
            .call(self.key, move |room, core| {
                drop(answer.send(ask(room, core)));
            })
            .unwrap();
        answered.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until an engine has so many connections.
    fn wait_for(&self, engine: usize, connections: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(engine, |_, core| core.connection_count()) != connections {
            assert!(Instant::now() < deadline, "not {connections} connections");
            std::thread::yield_now();
        }
    }

    /// Keeps an engine in a callback until what is returned is dropped.
    fn block(&self, engine: usize) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        self.engine(engine)
            .with_core(move |_| {
                begin.send(()).unwrap();
                let _ = released.recv();
            })
            .unwrap();
        begun.recv_timeout(PATIENCE).unwrap();
        release
    }

    fn stop(self) -> ShutdownReport {
        self.handle.shutdown(Duration::ZERO).unwrap();
        self.thread.join().unwrap().unwrap()
    }
}

fn engine_of(head: &str) -> usize {
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let engine = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-engine"));
    engine.unwrap().1.parse().unwrap()
}

fn without_pings() -> Limits {
    Limits {
        ping_interval: None,
        ..Limits::default()
    }
}

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
                    sender
                        .write_all(&wire::frame(opcode, text.as_bytes()))
                        .unwrap();
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
fn a_shutdown_closes_all_in_order_and_is_reported_once() {
    let server = Server::start(3, without_pings());
    let mut peers = server.open_on_each(&[0, 1, 2]);
    let mute = peers.pop().unwrap();
    // Those that were opened in vain on the way are to be gone first.
    for engine in 0..3 {
        server.wait_for(engine, 1);
    }
    server.handle.shutdown(PATIENCE).unwrap();
    for peer in &mut peers {
        assert_eq!(peer.receive(), (8, vec![0x03, 0xe9]));
        peer.send(8, &[0x03, 0xe9]);
        assert!(peer.is_ended());
    }
    server.handle.shutdown(Duration::ZERO).unwrap();
    let report = server.thread.join().unwrap().unwrap();
    assert_eq!((report.closed, report.cut), (2, 1));
    drop(mute);
    assert!(server.handle.publish(TOPIC, "to nobody").is_err());
    assert!(server.handle.shutdown(Duration::ZERO).is_err());
}

#[test]
fn when_one_engine_ends_the_others_go_on() {
    let server = Server::start(3, without_pings());
    let mut peers = server.open_on_each(&[0, 1, 2]);
    server.engine(1).shutdown(Duration::ZERO).unwrap();
    let mut gone = peers.remove(1);
    while !gone.is_ended() {
        gone.receive();
    }
    peers[0].send(1, b"after");
    for peer in &mut peers {
        assert_eq!(peer.receive_text(), "after");
    }
    // Its share of new connections is taken by the others, once its listener is closed.
    let deadline = Instant::now() + PATIENCE;
    while server.engine(1).with_core(|_| ()).is_ok() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    for _ in 0..20 {
        assert_ne!(server.open().0, 1);
    }
    server.handle.publish(TOPIC, END).unwrap();
    for peer in &mut peers {
        while peer.receive_text() != END {}
    }
    server.stop();
}

#[test]
fn when_one_engine_panics_the_others_end_and_it_is_told() {
    let limits = Limits {
        close_timeout: Duration::from_millis(1),
        ..without_pings()
    };
    for engine in [0, 1] {
        let server = Server::start(2, limits.clone());
        let mut peers = server.open_on_each(&[0, 1]);
        peers[engine].send(1, b"panic");
        for peer in &mut peers {
            while !peer.is_ended() {
                peer.receive();
            }
        }
        let panic = server.thread.join().unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"as asked for"));
    }
}

#[test]
fn an_engine_that_cannot_be_set_up_ends_those_that_were() {
    let two = NonZeroUsize::new(2).unwrap();
    let mut outcomes = Vec::new();
    for at in ["no address", "127.0.0.1:0"] {
        let life = Arc::new(());
        let part = Arc::clone(&life);
        let group = Group::start(two, move |builder, index| {
            let mut engine = builder.build()?;
            let part = Arc::clone(&part);
            let echo = engine.host(on_message(move |_, _| drop(Arc::clone(&part))));
            engine.listen("127.0.0.1:0")?.route("/", echo);
            if index == 1 {
                engine.listen(at)?;
                engine.host(on_message(|_, _| ()));
            }
            Ok::<_, Error>(engine)
        });
        outcomes.push(group.unwrap_err());
        assert_eq!(Arc::strong_count(&life), 1, "all engines are gone");
    }
    assert!(matches!(outcomes[0], Error::Bind(_)), "{outcomes:?}");
    assert!(matches!(outcomes[1], Error::Config(_)), "{outcomes:?}");

    let stranger = Group::start(two, |_, _| Engine::new());
    assert!(matches!(stranger.unwrap_err(), Error::Config(_)));
    let panic = catch_unwind(AssertUnwindSafe(|| {
        Group::start(two, |builder, index| match index {
            0 => builder.build(),
            _ => panic!("as asked for"),
        })
    }));
    assert!(panic.is_err());
    // Not begun with, it ends.
    drop(Group::start(two, |builder, _| builder.build()).unwrap());
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
            sender.write_all(&wire::frame(1, text.as_bytes())).unwrap();
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
