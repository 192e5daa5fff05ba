//! Runs one hot path so many times, for an instruction counter: `icount PATH TIMES`.
//!
//! `cargo xtask icount` counts a run of few times and one of many: the difference is the path, and
//! whatever happens once falls out. No clock, no socket, no chance: the same instructions each time.
#![forbid(unsafe_code)]

mod pipe;

use std::env;
use std::hint::black_box;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use sockeye::sim::{Network, Remote};
use sockeye::{Accepted, Bytes, Conn, Engine, Peer, Protocol, Reject, Request, Text};
use sockeye_proto::deflate::Settings;
use sockeye_proto::handshake::{Accept, OriginPolicy};
use sockeye_proto::ws::{Config, Delivery, Message, Role, WebSocket};
use sockeye_proto::{Cx, FrameHeader, Limits, Mask, Opcode, Shared, http as web};

use self::pipe::{End, Far};

/// A path, what it is about, and how many times make a run of few and one of many.
struct Path {
    name: &'static str,
    run: fn(usize),
    few: usize,
    many: usize,
    /// Into how many parts one time is divided: the deliveries of a broadcast.
    parts: usize,
}

const RECEIVERS: usize = 1000;

const PATHS: &[Path] = &[
    path("decode-20", |times| decode(20, times), 100, 1100),
    path("decode-16k", |times| decode(16 * 1024, times), 10, 110),
    path("inflate-json-1k", inflate, 10, 60),
    path("deflate-json-1k", deflate, 10, 60),
    path("handshake", handshake, 10, 110),
    path("echo-20", echo, 10, 210),
    path("wake-20", |times| wake(20, 1, times), 100, 1100),
    Path {
        parts: 16,
        ..path("queued-20", |times| wake(20, 16, times), 10, 110)
    },
    Path {
        parts: 16,
        ..path("queued-1k", |times| wake(1024, 16, times), 10, 110)
    },
    path("wake-16k", |times| wake(16 * 1024, 1, times), 10, 110),
    path("connect", connect, 10, 110),
    Path {
        parts: RECEIVERS,
        ..path("publish-64", publish, 2, 12)
    },
    Path {
        parts: RECEIVERS,
        ..path("broadcast-64", broadcast, 2, 12)
    },
];

const fn path(name: &'static str, run: fn(usize), few: usize, many: usize) -> Path {
    Path {
        name,
        run,
        few,
        many,
        parts: 1,
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match &words[..] {
        [list] if list == "--list" => {
            for path in PATHS {
                println!("{} {} {} {}", path.name, path.few, path.many, path.parts);
            }
            ExitCode::SUCCESS
        }
        [name, times] => {
            let path = PATHS.iter().find(|path| path.name == name);
            let (Some(path), Ok(times)) = (path, times.parse()) else {
                return usage();
            };
            (path.run)(times);
            ExitCode::SUCCESS
        }
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: icount --list | icount PATH TIMES");
    ExitCode::FAILURE
}

fn masked(opcode: Opcode, rsv1: bool, payload: &[u8]) -> Vec<u8> {
    let mask = Mask::new([0x37, 0xfa, 0x21, 0x3d]);
    let mut frame = Vec::new();
    FrameHeader {
        fin: true,
        rsv1,
        opcode,
        mask: Some(mask),
        payload_len: payload.len() as u64,
    }
    .encode(&mut frame);
    let start = frame.len();
    frame.extend_from_slice(payload);
    mask.apply(&mut frame[start..], 0);
    frame
}

fn json(len: usize) -> String {
    let mut text = String::new();
    for id in 0.. {
        if text.len() >= len {
            break;
        }
        text += &format!(
            "{{\"id\":{},\"name\":\"n{}\",\"open\":{}}},",
            id * 7919 % 99_991,
            id % 17,
            id % 2 == 0
        );
    }
    text.truncate(len);
    text
}

/// A machine of a server and what it needs.
struct Machine {
    socket: WebSocket,
    shared: Shared,
    output: Vec<u8>,
    now: Instant,
}

impl Machine {
    fn new(deflate: Option<Settings>) -> Self {
        let now = Instant::now();
        let mut config = Config::new(Limits::default(), Delivery::Whole);
        config.deflate = deflate;
        Self {
            socket: WebSocket::new(Role::Server, Arc::new(config), now),
            shared: Shared::from_seed([0; 32]),
            output: Vec::new(),
            now,
        }
    }

    fn with<T>(&mut self, call: impl FnOnce(&mut WebSocket, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            output: &mut self.output,
            shared: &mut self.shared,
            blocked: false,
        };
        call(&mut self.socket, &mut cx)
    }

    fn receive(&mut self, bytes: &mut [u8]) {
        let mut input = bytes;
        while let Ok(Some(event)) = self.with(|socket, cx| socket.receive(&mut input, cx)) {
            black_box(&event);
        }
    }
}

/// Frames of so many bytes of text, from the read to the event.
fn decode(len: usize, times: usize) {
    let mut machine = Machine::new(None);
    let frame = masked(Opcode::Text, false, json(len).as_bytes());
    let mut bytes = frame.clone();
    for _ in 0..times {
        // Unmasked in place the last time.
        bytes.copy_from_slice(&frame);
        machine.receive(&mut bytes);
    }
}

fn inflate(times: usize) {
    let mut machine = Machine::new(Some(Settings::default()));
    // As our own client would send it.
    let mut client = Machine::new(Some(Settings::default()));
    let text = json(1024);
    let _ = client.with(|socket, cx| socket.send(Message::Text(&text), cx));
    let Ok(Some((header, len))) = FrameHeader::decode(&client.output) else {
        return;
    };
    let frame = masked(Opcode::Text, header.rsv1, &client.output[len..]);
    for _ in 0..times {
        machine.receive(&mut frame.clone());
    }
}

fn deflate(times: usize) {
    let mut machine = Machine::new(Some(Settings::default()));
    let text = json(1024);
    for _ in 0..times {
        machine.output.clear();
        let _ = machine.with(|socket, cx| socket.send(Message::Text(&text), cx));
        black_box(&machine.output);
    }
}

const SIMPLE_REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: server.example:7681\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: */*\r\nAccept-Language: en-GB,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n\
    Sec-WebSocket-Version: 13\r\nOrigin: http://server.example:7681\r\n\
    Sec-WebSocket-Extensions: permessage-deflate\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: keep-alive, Upgrade\r\n\
    Pragma: no-cache\r\nCache-Control: no-cache\r\nUpgrade: websocket\r\n\r\n";

/// A browser's request, and the 101.
fn handshake(times: usize) {
    let now = Instant::now();
    let mut shared = Shared::from_seed([0; 32]);
    let (config, limits) = (Arc::new(Config::default()), Limits::default());
    for _ in 0..times {
        let (mut output, mut bytes) = (Vec::new(), REQUEST.to_vec());
        let mut input = &mut bytes[..];
        let mut server = web::Server::new(Arc::clone(&config), now);
        let mut cx = Cx {
            now,
            output: &mut output,
            shared: &mut shared,
            blocked: false,
        };
        let Ok(Some(web::Event::Request(request))) = server.receive(&mut input, &mut cx) else {
            continue;
        };
        if let Ok(mut accept) = Accept::new(&request, &OriginPolicy::Same) {
            accept.deflate(&Settings::default(), &limits, cx.shared);
            let _ = accept.respond(None, &HeaderMap::new(), &mut cx);
        }
        black_box(&output);
    }
}

struct Echo;

impl Protocol for Echo {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe("all");
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        conn.send(&text);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        conn.publish("all", &data);
    }
}

/// An engine on a network in memory, with so many clients that are connected.
fn engine(clients: usize) -> Result<(Network, Engine, Vec<Remote>), sockeye::Error> {
    let network = Network::new(1);
    let mut engine = network.engine().build()?;
    let echo = engine.host(Echo);
    let listener = network.listener();
    engine.listen_on(listener.acceptor())?.route("/", echo);
    let mut remotes = Vec::new();
    for _ in 0..clients {
        let remote = network.connect(&listener);
        remote.write(SIMPLE_REQUEST);
        remotes.push(remote);
    }
    network.run_until_idle(&mut engine);
    for remote in &remotes {
        assert!(remote.read().starts_with(b"HTTP/1.1 101 "), "not accepted");
    }
    Ok((network, engine, remotes))
}

/// A turn with one message: read, called back, written.
fn echo(times: usize) {
    let Ok((network, mut engine, remotes)) = engine(1) else {
        panic!("there is no engine");
    };
    let frame = masked(Opcode::Text, false, json(20).as_bytes());
    for _ in 0..times {
        remotes[0].write(&frame);
        network.run_until_idle(&mut engine);
        assert_eq!(remotes[0].read().len(), 2 + 20);
    }
}

/// Per delivery, of which the network in memory is the larger part.
fn broadcast(times: usize) {
    let len = 64;
    let Ok((network, mut engine, remotes)) = engine(RECEIVERS) else {
        panic!("there is no engine");
    };
    let frame = masked(Opcode::Binary, false, json(len).as_bytes());
    for _ in 0..times {
        remotes[0].write(&frame);
        network.run_until_idle(&mut engine);
        // A look at one: each looks at all of the network.
        let last = remotes.last().map(Remote::read).unwrap_or_default();
        assert!(last.len() > len, "it has not come");
    }
}

/// An engine over transports that cost nothing, and its clients.
struct Bench {
    far: Rc<Far>,
    engine: Engine,
    ends: Vec<End>,
}

impl Bench {
    fn new(clients: usize) -> Self {
        let Ok((far, mut engine)) = Far::new() else {
            panic!("there is no engine");
        };
        let echo = engine.host(Echo);
        match engine.listen_on(far.acceptor()) {
            Ok(listener) => drop(listener.route("/", echo)),
            Err(error) => panic!("{error}"),
        }
        let mut bench = Self {
            far,
            engine,
            ends: Vec::new(),
        };
        for _ in 0..clients {
            let end = bench.open();
            bench.ends.push(end);
        }
        bench
    }

    fn open(&mut self) -> End {
        let end = self.far.connect(&mut self.engine);
        let answer = self.far.turn_with(&mut self.engine, &end, SIMPLE_REQUEST);
        assert!(answer > 100, "not accepted");
        end
    }
}

/// A turn with so many texts that come in one read: called back, written at once.
fn wake(len: usize, count: usize, times: usize) {
    let mut bench = Bench::new(1);
    let frame = masked(Opcode::Text, false, json(len).as_bytes());
    let header = if len < 126 { 2 } else { 4 };
    let frames = frame.repeat(count);
    for _ in 0..times {
        let Bench { far, engine, ends } = &mut bench;
        let answered = far.turn_with(engine, &ends[0], &frames);
        assert_eq!(answered, count * (header + len));
    }
}

/// A connection from accept to close, in three turns.
fn connect(times: usize) {
    let mut bench = Bench::new(0);
    let close = masked(Opcode::Close, false, &[3, 232]);
    for _ in 0..times {
        let end = bench.open();
        let answered = bench.far.turn_with(&mut bench.engine, &end, &close);
        assert_eq!(answered, 4);
    }
    assert_eq!(bench.engine.core().connection_count(), 0, "not closed");
}

/// Per delivery.
fn publish(times: usize) {
    let mut bench = Bench::new(RECEIVERS);
    let len = 64;
    let frame = masked(Opcode::Binary, false, json(len).as_bytes());
    for _ in 0..times {
        let Bench { far, engine, ends } = &mut bench;
        assert_eq!(far.turn_with(engine, &ends[0], &frame), 2 + len);
    }
    let last = bench.ends.last().map_or(0, End::answered);
    assert_eq!(last, times * (2 + len));
}
