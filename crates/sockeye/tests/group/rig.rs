//! A room on several engines, in which everybody hears everybody; and peers that know where they are.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wire::{PATIENCE, Peer, handshake};
use sockeye::net::LocalAddr;
use sockeye::{
    Accepted, Bytes, Conn, ConnId, Core, Error, Group, GroupHandle, Handle, HeaderName,
    HeaderValue, Limits, Peer as Who, Protocol, ProtocolKey, Reject, Request, ShutdownReport, Text,
};

pub(crate) const TOPIC: &str = "room";
/// Says nothing else: a peer that has read it has read all before it.
pub(crate) const END: &str = "end";

/// Connections are told which engine they are on, and are all in one room.
#[derive(Default)]
pub(crate) struct Room {
    engine: usize,
    key: Option<ProtocolKey<Self>>,
    /// Messages taken by all engines.
    taken: Arc<AtomicUsize>,
    /// What `call_others` brought.
    pub(crate) called: Vec<String>,
    pub(crate) opened: Vec<ConnId>,
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

pub(crate) struct Server {
    pub(crate) addrs: Vec<LocalAddr>,
    pub(crate) handle: GroupHandle,
    pub(crate) key: ProtocolKey<Room>,
    pub(crate) taken: Arc<AtomicUsize>,
    pub(crate) thread: JoinHandle<Result<ShutdownReport, Error>>,
}

impl Server {
    pub(crate) fn start(count: usize, limits: Limits) -> Self {
        Self::start_on("127.0.0.1:0", count, limits, None)
    }

    pub(crate) fn start_on(
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

    pub(crate) fn addr(&self) -> SocketAddr {
        match self.addrs[..] {
            [LocalAddr::Tcp(addr)] => addr,
            _ => panic!("{:?}", self.addrs),
        }
    }

    /// A connection, and which engine has it.
    pub(crate) fn open(&self) -> (usize, Peer) {
        let mut peer = Peer::connect(self.addr());
        peer.write(handshake("/").as_bytes());
        (engine_of(&peer.read_head()), peer)
    }

    /// A connection to each of these engines. The kernel chooses by hash, so a few are needed.
    pub(crate) fn open_on_each(&self, engines: &[usize]) -> Vec<Peer> {
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

    pub(crate) fn engine(&self, index: usize) -> &Handle {
        &self.handle.engines()[index]
    }

    pub(crate) fn ask<T: Send + 'static>(
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
    pub(crate) fn wait_for(&self, engine: usize, connections: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(engine, |_, core| core.connection_count()) != connections {
            assert!(Instant::now() < deadline, "not {connections} connections");
            std::thread::yield_now();
        }
    }

    /// Keeps an engine in a callback until what is returned is dropped.
    pub(crate) fn block(&self, engine: usize) -> mpsc::Sender<()> {
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

    pub(crate) fn stop(self) -> ShutdownReport {
        self.handle.shutdown(Duration::ZERO).unwrap();
        self.thread.join().unwrap().unwrap()
    }
}

pub(crate) fn engine_of(head: &str) -> usize {
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let engine = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-engine"));
    engine.unwrap().1.parse().unwrap()
}

pub(crate) fn without_pings() -> Limits {
    Limits {
        ping_interval: None,
        ..Limits::default()
    }
}
