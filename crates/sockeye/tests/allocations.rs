//! What connections cost in memory: counted, not believed.
//!
//! The allocator counts by thread, and each test runs engine and peers on one.

#![allow(unsafe_code, reason = "an allocator is unsafe by nature")]
#![allow(
    clippy::unwrap_used,
    reason = "the lint spares test functions, but not what they call"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use sockeye::{
    Accepted, Conn, Engine, Peer, PollerKind, Prepared, Protocol, Reject, Request, Text, on_message,
};

struct Counting;

thread_local! {
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

fn count(calls: usize, bytes: isize) {
    // At the end of a thread the counters are gone; nobody reads them then.
    let _ = CALLS.try_with(|counter| counter.set(counter.get() + calls));
    let _ = LIVE.try_with(|counter| counter.set(counter.get() + bytes));
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as isize);
        // SAFETY: the caller's promises are those that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, -(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as isize - layout.size() as isize);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn calls() -> usize {
    CALLS.get()
}

fn live() -> isize {
    LIVE.get()
}

const KINDS: [PollerKind; 2] = [PollerKind::Epoll, PollerKind::Poll];
const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";
/// The answer to it has this length.
const ANSWER_LEN: usize = 129;

fn engine(kind: PollerKind) -> Engine {
    Engine::builder().poller(kind).build().unwrap()
}

fn turn(engine: &mut Engine) {
    engine.turn(Some(Duration::from_millis(10))).unwrap();
}

/// Reads into the whole buffer while the engine runs.
fn read(engine: &mut Engine, peer: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    while filled < buffer.len() {
        match peer.read(&mut buffer[filled..]) {
            Ok(0) => panic!("the stream ended"),
            Ok(len) => filled += len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => turn(engine),
            Err(error) => panic!("{error}"),
        }
    }
}

fn open(engine: &mut Engine, addr: SocketAddr) -> TcpStream {
    let mut peer = TcpStream::connect(addr).unwrap();
    peer.set_nonblocking(true).unwrap();
    peer.write_all(HANDSHAKE).unwrap();
    let mut answer = [0; ANSWER_LEN];
    read(engine, &mut peer, &mut answer);
    assert!(answer.ends_with(b"\r\n\r\n"));
    peer
}

/// A frame of a text of this length, as a client sends it and as a server does.
fn frames(len: usize) -> (Vec<u8>, Vec<u8>) {
    assert!((126..65_536).contains(&len));
    let [high, low] = (len as u16).to_be_bytes();
    let text = vec![b'x'; len];
    (
        [&[0x81, 0xfe, high, low, 0, 0, 0, 0], &text[..]].concat(),
        [&[0x81, 0x7e, high, low], &text[..]].concat(),
    )
}

#[test]
fn an_echoed_message_costs_no_allocation() {
    for kind in KINDS {
        for len in [200, 10_000] {
            let mut engine = engine(kind);
            let echo = engine.host(on_message(|conn, message| {
                conn.send(message);
            }));
            let listener = engine.listen("127.0.0.1:0").unwrap().route("/", echo);
            let addr = listener.local_addr().tcp().unwrap();
            let mut peer = open(&mut engine, addr);
            let (there, back) = frames(len);
            let mut received = vec![0; back.len()];
            let mut before = 0;
            for round in 0..1100 {
                if round == 100 {
                    before = calls();
                }
                peer.write_all(&there).unwrap();
                read(&mut engine, &mut peer, &mut received);
                assert!(received == back);
            }
            assert_eq!(calls() - before, 0, "{kind:?}, {len} bytes");
        }
    }
}

struct Room;

impl Protocol for Room {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe("room");
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        conn.publish("room", &text);
    }
}

#[test]
fn a_published_message_is_framed_once_for_all() {
    let mut engine = engine(PollerKind::Epoll);
    let room = engine.host(Room);
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", room);
    let addr = listener.local_addr().tcp().unwrap();
    let mut peers: Vec<_> = (0..50).map(|_| open(&mut engine, addr)).collect();
    let (there, back) = frames(200);
    let mut received = vec![0; back.len()];
    let mut before = 0;
    for round in 0..110 {
        if round == 10 {
            before = calls();
        }
        peers[round % 50].write_all(&there).unwrap();
        for peer in &mut peers {
            read(&mut engine, peer, &mut received);
        }
    }
    let each = (calls() - before) as f64 / 100.0;
    println!("allocations for a message to 50 members: {each}");
    assert!(each <= 52.0, "{each}");
    let before = live();
    let message = Prepared::text("to all");
    assert_eq!(engine.core().publish("room", &message), 50);
    let waiting = live() - before;
    println!("a message of 6 bytes to 50 members, until it is written: {waiting} bytes");
    assert!(waiting < 5_000, "{waiting}");
}

#[test]
fn an_idle_connection_costs_little_and_owns_no_buffer() {
    const COUNT: usize = 1024;
    sockeye::net::raise_descriptor_limit().unwrap();
    for kind in KINDS {
        let mut engine = engine(kind);
        let echo = engine.host(on_message(|conn, message| {
            conn.send(message);
        }));
        let listener = engine.listen("127.0.0.1:0").unwrap().route("/", echo);
        let addr = listener.local_addr().tcp().unwrap();
        let (there, back) = frames(10_000);
        let mut received = vec![0; back.len()];
        let mut peers = Vec::with_capacity(COUNT + 1);
        // Whatever an engine needs once, it needs for the first one.
        peers.push(open(&mut engine, addr));
        peers[0].write_all(&there).unwrap();
        read(&mut engine, &mut peers[0], &mut received);
        let before = live();
        for _ in 0..COUNT {
            peers.push(open(&mut engine, addr));
        }
        let idle = live() - before;
        let each = idle as f64 / COUNT as f64;
        println!("{kind:?}: {each:.1} bytes of heap for each idle connection");
        // The portable poller's array and tables come on top.
        let bound = match kind {
            PollerKind::Poll => 360.0,
            _ => 264.0,
        };
        assert!(each <= bound, "{kind:?}: {each} bytes");
        for peer in &mut peers {
            peer.write_all(&there).unwrap();
            read(&mut engine, peer, &mut received);
        }
        let after = live() - before;
        assert!(
            after - idle < 64 * 1024,
            "{kind:?}: {} bytes stay behind after traffic",
            after - idle
        );
        // A message of which half is there is the only thing that is kept.
        for peer in &mut peers {
            peer.write_all(&there[..5000]).unwrap();
        }
        while engine.core().stats().accepted < COUNT as u64 + 1 {
            turn(&mut engine);
        }
        for _ in 0..20 {
            turn(&mut engine);
        }
        for peer in &mut peers {
            peer.write_all(&there[5000..]).unwrap();
            read(&mut engine, peer, &mut received);
        }
        let after = live() - before;
        assert!(
            after - idle < 64 * 1024,
            "{kind:?}: {} bytes stay behind after assembly",
            after - idle
        );
        drop(peers);
        while engine.core().connection_count() > 0 {
            turn(&mut engine);
        }
    }
}

/// As [`Room`], but its members may be sent the frame that everybody shares.
#[test]
fn a_large_message_to_many_is_in_memory_once() {
    let mut engine = engine(PollerKind::Epoll);
    let room = engine.host(Room);
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", room);
    let addr = listener.local_addr().tcp().unwrap();
    let peers: Vec<_> = (0..50).map(|_| open(&mut engine, addr)).collect();
    let message = Prepared::binary(&vec![1; 8 << 20]);
    let before = live();
    assert_eq!(engine.core().publish("room", &message), 50);
    for _ in 0..5 {
        turn(&mut engine);
    }
    let waiting = live() - before;
    println!("8 MiB waiting for 50 members: {waiting} bytes more");
    assert!(waiting < 1 << 20, "{waiting}");
    drop(peers);
}
