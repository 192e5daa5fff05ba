//! Random lives of many connections: whatever they do, the books balance.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use sockeye::sim::{Faults, Remote, WebSocket};
use sockeye::{CloseCode, Conn, ConnId, Limits, Overflow, Prepared, Response};

use crate::support::{Bench, Happening, Script, frame};

/// Any number of numbers out of one (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn limits(random: &mut Random) -> Limits {
    const KIB: usize = 1024;
    Limits {
        message_len: 32 * KIB,
        frame_len: 32 * KIB as u64,
        low_water: random.pick(&[0, KIB, 4 * KIB]),
        high_water: random.pick(&[5 * KIB, 16 * KIB]),
        backlog_len: random.pick(&[64 * KIB, 100 * KIB]),
        backlog_total_len: random.pick(&[100 * KIB, 1024 * KIB]),
        read_per_turn: random.pick(&[20, 500, 4 * KIB, 256 * KIB]),
        connections: random.pick(&[None, None, Some(5)]),
        connections_per_address: random.pick(&[None, None, Some(3)]),
        topics_per_connection: 3,
        ..Limits::default()
    }
}

fn faults(random: &mut Random) -> Faults {
    let mut faults = Faults::none()
        .window(random.pick(&[30, 1000, 64 * 1024]))
        .read_len(random.pick(&[7, 1000, usize::MAX]))
        .write_len(random.pick(&[100, 3000, usize::MAX]))
        .delay(Duration::from_millis(random.pick(&[0, 0, 0, 1, 1500])));
    if random.below(5) == 0 {
        faults = faults.reset_after(random.below(5000) as u64);
    }
    faults
}

/// Something or other, to this connection or another.
fn deed(conn: &mut Conn<'_>, ids: &[ConnId], random: &mut Random) {
    let other = random.pick(ids);
    let topic = random.pick(&["a", "b", "c", "d"]);
    // Ends are rarer than anything else, or there would be no lives to speak of.
    let what = match random.below(8) {
        0 => random.below(22),
        _ => random.below(15),
    };
    match what {
        0 => drop(conn.send("short")),
        1 => drop(conn.send(&vec![7; random.pick(&[100, 3000, 30_000])])),
        2 => drop(conn.send_to(other, "to you")),
        3 => drop(conn.subscribe(topic)),
        4 => drop(conn.unsubscribe(topic)),
        5 => drop(conn.publish(topic, "news")),
        6 => drop(conn.publish_to_others(topic, &vec![1; random.below(5000)])),
        7 => conn.pause(),
        8 => conn.resume(),
        9 => conn.core().resume(other),
        10 => conn.request_writable(),
        11 => conn.set_timeout(Some(Duration::from_millis(random.below(5000) as u64))),
        12 => drop(conn.ping(b"ping")),
        13 => drop(conn.send_fragment("half", false)),
        14 => drop(conn.send_fragment("half", true)),
        15 => drop(conn.close(CloseCode::NORMAL, "enough")),
        16 => drop(conn.close_sending(CloseCode::NORMAL, "enough")),
        17 => conn.abort(),
        18 => conn.core().abort(other),
        19 => drop(conn.core().close(other, CloseCode::GOING_AWAY, "")),
        20 => conn.set_overflow(random.pick(&[
            Overflow::Close,
            Overflow::DropNewest,
            Overflow::DropOldest,
        ])),
        _ => {}
    }
}

enum Other {
    Socket(WebSocket),
    Raw(Remote),
}

impl Other {
    fn remote(&self) -> &Remote {
        match self {
            Self::Socket(socket) => socket.remote(),
            Self::Raw(remote) => remote,
        }
    }
}

fn act(bench: &mut Bench, others: &mut Vec<Other>, random: &mut Random) {
    let key = bench.key;
    match random.below(30) {
        0..3 => {
            let faults = faults(random);
            bench.network.set_faults(faults);
            let remote = if random.below(2) == 0 {
                bench.remote()
            } else {
                let host = random.below(3) + 1;
                let addr = format!("192.0.2.{host}:1").parse().unwrap();
                bench.network.connect_from(&bench.listener, addr)
            };
            others.push(match random.below(3) {
                0 => Other::Raw(remote),
                _ => Other::Socket(remote.websocket("/")),
            });
        }
        3 => {
            let message = Prepared::binary(&vec![3; random.pick(&[10, 2000, 30_000])]);
            for topic in ["a", "b", "c", "d"] {
                bench.engine.core().publish(topic, &message);
            }
        }
        4 => {
            let ids = bench.engine.connections(key);
            let message = vec![4; random.pick(&[10, 2000, 30_000])];
            for id in ids {
                bench.engine.core().send(id, &message);
            }
            bench.engine.core().broadcast(key, Prepared::text("to all"));
        }
        5 => bench.engine.core().request_writable_all(key),
        6 => {
            let time = random.pick(&[1, 100, 3000, 12_000]);
            bench.advance(Duration::from_millis(time));
        }
        7 => drop(bench.network.step(&mut bench.engine)),
        8 => bench.listener.exhaust(random.below(3)),
        _ if others.is_empty() => {}
        9..27 => {
            let index = random.below(others.len());
            match (&others[index], random.below(30) / 2) {
                (Other::Socket(socket), 0..4) => {
                    let _ = socket.send(&vec![b'x'; random.below(2000)][..]);
                }
                (Other::Socket(socket), 4) => drop(socket.ping(b"?")),
                (Other::Socket(socket), 5) => drop(socket.close(CloseCode::NORMAL, "")),
                (Other::Socket(socket), _) => drop(socket.send("text")),
                (Other::Raw(remote), 0..3) => remote.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                (Other::Raw(remote), 3) => {
                    remote.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234");
                }
                (Other::Raw(remote), 4) => remote.write(b"56789"),
                (Other::Raw(remote), 5) => remote.write(crate::support::HANDSHAKE),
                (Other::Raw(remote), 6) => remote.write(&frame(0x81, b"raw")),
                (Other::Raw(remote), _) => remote.write(b"\r\nnonsense"),
            }
        }
        _ => {
            let index = random.below(others.len());
            let remote = others[index].remote();
            match random.below(10) {
                0 => remote.reset(),
                1 => remote.close(),
                2..5 => remote.stall(),
                5..7 => remote.unstall(),
                7 => drop(remote.sip(100)),
                8 => remote.set_faults(faults(random)),
                _ => drop(others.swap_remove(index)),
            }
        }
    }
}

fn life(seed: u64) {
    let mut random = Random(seed);
    let limits = limits(&mut random);
    let ids = Rc::new(RefCell::new(Vec::<ConnId>::new()));
    let known = Rc::clone(&ids);
    let mut deeds = Random(seed ^ 1);
    let mut script = Script::new(move |conn, happening| {
        let mut known = known.borrow_mut();
        if *happening == Happening::Open {
            known.push(conn.id());
        }
        deed(conn, &known, &mut deeds);
        if let Happening::Text(text) = happening {
            conn.send(text);
        }
    });
    let mut answers = Random(seed ^ 2);
    script.body_limit = 8;
    script.request = Box::new(move |http, _, _| match answers.below(6) {
        0 => {}
        1 => drop(http.respond(Response::text(vec![b'y'; answers.below(40_000)]))),
        2 => drop(http.respond(Response::text(sockeye::Body::Stream))),
        _ => drop(http.respond(Response::text("ok"))),
    });
    script.overflow = random.pick(&[Overflow::Close, Overflow::DropNewest, Overflow::DropOldest]);
    let mut bench = Bench::seeded(seed, limits, script);
    let mut others = Vec::new();
    for _ in 0..random.below(400) {
        act(&mut bench, &mut others, &mut random);
    }
    if random.below(2) == 0 {
        bench
            .engine
            .shutdown(Duration::from_secs(random.below(10) as u64));
    }
    drop(others);
    // Those that are paused hear nothing of the end, and unanswered requests wait for the program.
    let ids = ids.borrow().clone();
    for _ in 0..20 {
        for id in &ids {
            bench.engine.core().resume(*id);
        }
        bench.advance(Duration::from_secs(10));
    }
    if bench.connections() > 0 {
        bench.engine.shutdown(Duration::ZERO);
        bench.run();
    }
    bench.assert_empty();
    let core = bench.engine.core();
    assert_eq!(core.backlog_total(), 0);
    for topic in ["a", "b", "c", "d"] {
        assert_eq!(core.subscriber_count(topic), 0);
    }
    let stats = core.stats();
    assert_eq!(stats.accepted, stats.closed);
    let mut balance: HashMap<ConnId, i32> = HashMap::new();
    for (id, happening) in bench.log.borrow().iter() {
        match happening {
            Happening::Open => *balance.entry(*id).or_default() += 1,
            Happening::Close(_) => *balance.entry(*id).or_default() -= 1,
            _ => {}
        }
    }
    assert!(balance.values().all(|count| *count == 0));
}

#[test]
fn the_books_balance() {
    let seeds = std::env::var("SOCKEYE_SOAK_SEEDS").map_or(60, |seeds| seeds.parse().unwrap());
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| life(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

/// On a bad network, before a program that stops and starts, nothing is lost and nothing overtakes.
#[test]
fn messages_arrive_whole_and_in_order() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let limits = Limits {
            backlog_len: 1 << 30,
            write_stall_timeout: Duration::from_secs(100_000),
            ..limits(&mut random)
        };
        let limits = Limits {
            backlog_total_len: 1 << 30,
            connections: None,
            connections_per_address: None,
            ..limits
        };
        let mut whims = Random(seed ^ 1);
        let script = Script::new(move |conn, happening| match happening {
            Happening::Text(text) => {
                assert!(conn.send(text).is_sent());
                match whims.below(6) {
                    0 => {
                        conn.pause();
                        conn.set_timeout(Some(Duration::from_millis(whims.below(50) as u64)));
                    }
                    1 => {
                        conn.pause();
                        conn.resume();
                    }
                    _ => {}
                }
            }
            Happening::Timeout => conn.resume(),
            _ => {}
        });
        let mut bench = Bench::seeded(seed, limits, script);
        let clients: Vec<_> = (0..3)
            .map(|_| {
                let mut faults = faults(&mut random);
                faults.reset_after = None;
                faults.delay = faults.delay.min(Duration::from_millis(1));
                bench.network.set_faults(faults);
                bench.remote().websocket("/")
            })
            .collect();
        let mut sent = vec![Vec::new(); clients.len()];
        for number in 0..120 {
            let index = random.below(clients.len());
            let text = format!("{number}{}", "z".repeat(random.pick(&[0, 10, 1000, 5000])));
            clients[index].send(&text).unwrap();
            sent[index].push(text);
            match random.below(8) {
                0 => clients[index].remote().stall(),
                1 => clients[index].remote().unstall(),
                2 => bench.advance(Duration::from_millis(random.below(40) as u64)),
                3 => drop(bench.network.step(&mut bench.engine)),
                _ => {}
            }
        }
        for client in &clients {
            client.remote().unstall();
        }
        // Enough for a whim after each message, and for the slowest wire.
        bench.advance(Duration::from_secs(400));
        for (client, sent) in clients.iter().zip(&sent) {
            assert!(client.texts() == *sent, "seed {seed}");
        }
    }
}
