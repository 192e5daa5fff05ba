//! However the network cuts a session, and wherever it breaks off.

use sockeye::sim::{Faults, Network, Received};
use sockeye::{CloseCause, CloseCode, Limits};

use crate::support::{Bench, HANDSHAKE, Happening, Script, echo, frame};

/// A handshake, messages in fragments and whole, a ping between, a close: as raw bytes.
fn session() -> Vec<u8> {
    let mut bytes = HANDSHAKE.to_vec();
    bytes.extend(frame(0x81, "grüß dich".as_bytes()));
    bytes.extend(frame(0x01, &"ü".as_bytes()[..1]));
    bytes.extend(frame(0x89, b"are you there"));
    bytes.extend(frame(0x80, &"ü!".as_bytes()[1..]));
    bytes.extend(frame(0x82, &[7; 300]));
    bytes.extend(frame(0x88, b"\x03\xe8bye"));
    bytes
}

fn without_pong(output: &[u8]) -> Vec<u8> {
    let pong = b"\x8a\x0dare you there";
    let at = output.windows(pong.len()).position(|w| w == pong).unwrap();
    [&output[..at], &output[at + pong.len()..]].concat()
}

struct Outcome {
    happenings: Vec<Happening>,
    output: Vec<u8>,
}

/// Sends the session cut in two, on a connection with these faults.
fn run(cut: usize, faults: Faults) -> Outcome {
    let mut bench = Bench::new(echo);
    bench.network.set_faults(faults);
    let remote = bench.remote();
    let session = session();
    let (front, back) = session.split_at(cut);
    remote.write(front);
    bench.run();
    remote.write(back);
    bench.run();
    let output = remote.read();
    assert!(remote.is_ended(), "cut at {cut}");
    bench.assert_empty();
    Outcome {
        happenings: bench.happenings(),
        output,
    }
}

#[test]
fn a_session_does_not_depend_on_how_it_is_cut() {
    let whole = run(0, Faults::none());
    assert_eq!(whole.happenings.len(), 5);
    assert!(matches!(&whole.happenings[4], Happening::Close(info)
        if info.clean && info.code == CloseCode::NORMAL && info.reason == "bye"));
    for cut in 0..=session().len() {
        let outcome = run(cut, Faults::none());
        assert_eq!(outcome.happenings, whole.happenings, "cut at {cut}");
        assert_eq!(outcome.output, whole.output, "cut at {cut}");
    }
    for len in [1, 2, 3, 7, 100] {
        let outcome = run(0, Faults::none().read_len(len));
        assert_eq!(outcome.happenings, whole.happenings, "{len} bytes a read");
        assert_eq!(outcome.output, whole.output, "{len} bytes a read");
        // A Pong may come later when the way out is narrow, but never within another frame.
        let outcome = run(0, Faults::none().read_len(len).write_len(len).window(len));
        assert_eq!(outcome.happenings, whole.happenings, "{len} bytes a call");
        let (output, expected) = (without_pong(&outcome.output), without_pong(&whole.output));
        assert_eq!(output, expected, "{len} bytes a call");
    }
}

#[test]
fn a_reset_at_any_byte_ends_that_connection_and_nothing_else() {
    let whole = {
        let mut bench = Bench::new(echo);
        let remote = bench.remote();
        remote.write(&session());
        bench.run();
        remote.moved()
    };
    for reset_at in 0..=whole {
        for len in [1, usize::MAX] {
            let mut bench = Bench::new(echo);
            let bystander = bench.client();
            bench.happenings();
            bench.network.set_faults(
                Faults::none()
                    .read_len(len)
                    .write_len(len)
                    .reset_after(reset_at),
            );
            let remote = bench.remote();
            remote.write(&session());
            bench.run();
            bystander.send("still there?").unwrap();
            bench.run();
            assert_eq!(bystander.texts(), ["still there?"]);
            assert_eq!(
                bench.connections(),
                1,
                "reset after {reset_at}, {len} a call"
            );
            assert_eq!(bench.alive.get(), 1);
            let happenings = bench.happenings();
            let opens = happenings.iter().filter(|h| **h == Happening::Open).count();
            let closes = happenings
                .iter()
                .filter(|h| matches!(h, Happening::Close(_)))
                .count();
            assert_eq!(opens, closes, "reset after {reset_at}, {len} a call");
        }
    }
}

#[test]
fn an_end_of_stream_at_any_byte_ends_the_connection() {
    let session = session();
    for cut in 0..session.len() {
        let mut bench = Bench::new(echo);
        let remote = bench.remote();
        remote.write(&session[..cut]);
        remote.close();
        bench.run();
        bench.assert_empty();
        for info in bench.closes() {
            assert!(!info.clean);
            assert_eq!(info.code, CloseCode::ABNORMAL, "cut at {cut}");
        }
    }
}

#[test]
fn frames_glued_to_the_handshake_are_not_lost() {
    let mut bench = Bench::new(echo);
    let client = bench.remote().websocket("/");
    for text in ["one", "two", "three"] {
        client.send(text).unwrap();
    }
    bench.run();
    assert_eq!(client.texts(), ["one", "two", "three"]);
}

#[test]
fn a_violation_is_told_and_the_connection_ends() {
    let mut bench = Bench::new(echo);
    let remote = bench.remote();
    remote.write(HANDSHAKE);
    remote.write(b"\x81\x02hi");
    bench.run();
    let output = remote.read();
    assert!(
        output.ends_with(&[])
            && output
                .windows(4)
                .any(|w| w[0] == 0x88 && w[2..4] == [3, 234])
    );
    assert!(remote.is_ended(), "half-closed");
    assert_eq!(bench.alive.get(), 0, "the program knows at once");
    let [info] = &bench.closes()[..] else {
        panic!("closed once");
    };
    assert!(matches!(info.cause, CloseCause::Violation(_)));
    remote.close();
    bench.run();
    bench.assert_empty();
    assert!(!remote.is_reset());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut bench = Bench::seeded(seed, Limits::default(), Script::new(echo));
        let clients: Vec<_> = (0..20).map(|_| bench.remote().websocket("/")).collect();
        bench.run();
        for (index, client) in clients.iter().enumerate() {
            client.send(&index.to_string()).unwrap();
        }
        bench.run();
        bench.log.take()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6), "another order");
}

#[test]
fn the_engine_can_connect_to_itself() {
    let network = Network::new(1);
    let mut engine = network.engine().build().unwrap();
    let server = engine.host(Script::new(echo));
    let script = Script::new(|conn, happening| {
        if *happening == Happening::Open {
            conn.send("hello");
        }
    });
    let (log, session) = (script.log.clone(), script.session());
    let client = engine.host(script);
    let listener = network.listener();
    engine
        .listen_on(listener.acceptor())
        .unwrap()
        .route("/x", server);
    let url = format!("ws://{}/x", listener.addr());
    engine.connect(client, url, session).unwrap();
    network.run_until_idle(&mut engine);
    let log: Vec<_> = log.borrow().iter().map(|(_, h)| h.clone()).collect();
    assert_eq!(log, [Happening::Open, Happening::Text("hello".into())]);
}

#[test]
fn a_refused_handshake_says_why() {
    let network = Network::new(1);
    let mut engine = network.engine().build().unwrap();
    let key = engine.host(Script::new(echo));
    let listener = network.listener();
    engine
        .listen_on(listener.acceptor())
        .unwrap()
        .route("/chat", key);
    let client = network.connect(&listener).websocket("/other");
    network.run_until_idle(&mut engine);
    assert_eq!(client.received(), [Received::Refused(Some(404))]);
    assert_eq!(engine.core().connection_count(), 0);
}
