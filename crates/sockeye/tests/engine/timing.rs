//! Every deadline, to the second, in virtual time.

use std::time::Duration;

use sockeye::sim::{Faults, Received};
use sockeye::{CloseCause, CloseCode, Limits, Lost, Overflow, Response};

use crate::support::{Bench, HANDSHAKE, Happening, Script, echo, frame, seconds};

const MILLI: Duration = Duration::from_millis(1);

fn causes(bench: &Bench) -> Vec<CloseCause> {
    bench.closes().into_iter().map(|info| info.cause).collect()
}

#[test]
fn bytes_do_not_extend_the_time_of_a_handshake() {
    let mut bench = Bench::new(echo);
    let remote = bench.remote();
    for byte in HANDSHAKE.iter().take(99) {
        remote.write(&[*byte]);
        bench.advance(Duration::from_millis(100));
    }
    assert_eq!(bench.connections(), 1);
    assert!(remote.read().is_empty());
    bench.advance(Duration::from_millis(100));
    let answer = String::from_utf8(remote.read()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(remote.is_ended());
    bench.advance(seconds(6));
    assert_eq!(bench.connections(), 0, "not even one that does not go away");
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let mut bench = Bench::new(echo);
    let remote = bench.remote();
    bench.advance(seconds(10) - MILLI);
    assert_eq!(bench.connections(), 1);
    bench.advance(MILLI);
    bench.assert_empty();
    assert!(remote.is_ended() && remote.read().is_empty());
}

#[test]
fn a_connection_at_rest_between_requests_is_closed() {
    let mut script = Script::new(echo);
    script.request = Box::new(|http, _, _| {
        http.respond(Response::text("ok"));
    });
    let mut bench = Bench::with(Limits::default(), script);
    let remote = bench.remote();
    for _ in 0..3 {
        remote.write(b"GET / HTTP/1.1\r\nHost: sim\r\n\r\n");
        bench.run();
        assert!(!remote.read().is_empty());
        bench.advance(seconds(15) - MILLI);
        assert_eq!(bench.connections(), 1);
    }
    bench.advance(MILLI);
    bench.assert_empty();
    assert!(remote.is_ended() && remote.read().is_empty());
}

#[test]
fn an_unwanted_body_has_five_seconds() {
    let mut script = Script::new(echo);
    script.request = Box::new(|http, _, _| {
        http.respond(Response::text("ok"));
    });
    let mut bench = Bench::with(Limits::default(), script);
    let remote = bench.remote();
    remote.write(b"POST / HTTP/1.1\r\nHost: sim\r\nContent-Length: 1000\r\n\r\n");
    for _ in 0..6 {
        bench.advance(Duration::from_millis(900));
        remote.write(b"x");
    }
    bench.advance(seconds(6));
    assert_eq!(bench.connections(), 0);
    assert!(remote.read().starts_with(b"HTTP/1.1 200 "));
}

#[test]
fn silence_is_answered_with_a_ping_and_then_with_an_end() {
    let mut bench = Bench::new(echo);
    let remote = bench.remote();
    remote.write(HANDSHAKE);
    bench.run();
    remote.read();
    bench.advance(seconds(30) - MILLI);
    assert!(remote.read().is_empty());
    bench.advance(MILLI);
    assert_eq!(remote.read(), [0x89, 0]);
    bench.advance(seconds(20) - MILLI);
    assert_eq!(bench.connections(), 1);
    bench.advance(MILLI);
    bench.assert_empty();
    assert_eq!(causes(&bench), [CloseCause::Lost(Lost::PingTimeout)]);
}

#[test]
fn a_peer_that_answers_pings_stays() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    bench.advance(seconds(3600));
    assert!(client.is_open());
    let pings = client.received();
    assert!(
        pings
            .iter()
            .all(|received| *received == Received::Ping(vec![]))
    );
    assert!((100..=120).contains(&pings.len()), "{}", pings.len());
    assert!(
        bench.network.turns() < 2000,
        "{} turns",
        bench.network.turns()
    );
}

#[test]
fn idleness_is_about_messages_in_and_out() {
    let limits = Limits {
        idle_timeout: Some(seconds(60)),
        ..Limits::default()
    };
    let mut bench = Bench::with(limits, Script::new(echo));
    let client = bench.client();
    let id = bench.last_id();
    bench.advance(seconds(59));
    bench.engine.core().send(id, "out");
    bench.advance(seconds(59));
    bench
        .engine
        .core()
        .send_prepared(id, &sockeye::Prepared::text("prepared"));
    bench.advance(seconds(59));
    client.send("in").unwrap();
    bench.advance(seconds(59));
    assert!(client.is_open());
    bench.advance(seconds(2));
    let received = client.received();
    assert_eq!(
        received.last(),
        Some(&Received::Close(CloseCode::GOING_AWAY, "idle".into()))
    );
    bench.assert_empty();
}

#[test]
fn a_close_that_is_not_answered_takes_five_seconds() {
    let mut bench = Bench::new(echo);
    let remote = bench.remote();
    remote.write(HANDSHAKE);
    bench.run();
    let id = bench.last_id();
    bench.engine.core().close(id, CloseCode::NORMAL, "enough");
    for _ in 0..49 {
        remote.write(&frame(0x81, b"not listening"));
        bench.advance(Duration::from_millis(100));
    }
    assert_eq!((bench.connections(), bench.alive.get()), (1, 1));
    bench.advance(Duration::from_millis(100));
    bench.assert_empty();
    assert_eq!(causes(&bench), [CloseCause::Lost(Lost::CloseTimeout)]);
    assert_eq!(
        bench.happenings().len(),
        2,
        "messages behind our Close are dropped"
    );
}

#[test]
fn after_the_closes_a_client_that_keeps_tcp_open_is_cut() {
    let mut bench = Bench::new(echo);
    let remote = bench.remote();
    remote.write(HANDSHAKE);
    remote.write(b"\x81\x02hi");
    bench.run();
    assert_eq!((bench.connections(), bench.alive.get()), (1, 0));
    bench.advance(seconds(5));
    bench.assert_empty();
}

#[test]
fn a_peer_that_takes_nothing_has_thirty_seconds() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    client.remote().stall();
    let id = bench.last_id();
    bench.engine.core().send(id, &vec![1; 200_000]);
    bench.advance(seconds(29));
    client.remote().sip(1);
    bench.advance(seconds(29));
    assert_eq!(bench.connections(), 1, "a byte is progress");
    bench.advance(seconds(2));
    bench.assert_empty();
    assert_eq!(causes(&bench), [CloseCause::Stalled]);
}

#[test]
fn a_stalled_peer_is_not_kept_by_its_pings() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    client.remote().stall();
    let id = bench.last_id();
    bench.engine.core().send(id, &vec![1; 200_000]);
    for _ in 0..31 {
        client.ping(b"me").unwrap();
        bench.advance(seconds(1));
    }
    bench.assert_empty();
    assert_eq!(causes(&bench), [CloseCause::Stalled]);
}

#[test]
fn a_connection_at_rest_has_no_write_deadline() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    client.remote().stall();
    let id = bench.last_id();
    bench.engine.core().send(id, &vec![1; 200_000]);
    bench.advance(seconds(20));
    client.remote().unstall();
    bench.advance(seconds(300));
    assert!(client.is_open());
    assert_eq!(bench.engine.core().backlog(id), 0);
}

#[test]
fn the_programs_own_timeout() {
    let mut bench = Bench::new(|conn, happening| match happening {
        Happening::Open => conn.set_timeout(Some(seconds(3))),
        Happening::Text(text) if text == "off" => conn.set_timeout(None),
        Happening::Text(text) if text == "later" => conn.set_timeout(Some(seconds(10))),
        Happening::Timeout => {
            conn.send("timed out");
        }
        _ => {}
    });
    let client = bench.client();
    bench.advance(seconds(3) - MILLI);
    assert!(client.texts().is_empty());
    bench.advance(MILLI);
    assert_eq!(client.texts(), ["timed out"]);
    bench.advance(seconds(20));
    assert!(client.texts().is_empty(), "once");
    client.send("later").unwrap();
    bench.advance(seconds(9));
    client.send("off").unwrap();
    bench.advance(seconds(20));
    assert!(client.texts().is_empty(), "taken back");
    let other = bench.client();
    other.send("later").unwrap();
    bench.advance(seconds(9));
    assert!(other.texts().is_empty(), "put off");
    bench.advance(seconds(1));
    assert_eq!(other.texts(), ["timed out"]);
}

#[test]
fn the_default_answer_to_a_timeout_is_to_leave() {
    struct Lazy;
    impl sockeye::Protocol for Lazy {
        type Session = ();
        fn accept(
            &mut self,
            _: &sockeye::Request<'_>,
            _: &sockeye::Peer,
        ) -> Result<sockeye::Accepted<()>, sockeye::Reject> {
            Ok(sockeye::Accepted::new(()))
        }
        fn on_open(&mut self, conn: &mut sockeye::Conn<'_>, (): &mut ()) {
            conn.set_timeout(Some(seconds(1)));
        }
    }
    let network = sockeye::sim::Network::new(1);
    let mut engine = network.engine().build().unwrap();
    let key = engine.host(Lazy);
    let listener = network.listener();
    engine
        .listen_on(listener.acceptor())
        .unwrap()
        .route("/", key);
    let client = network.connect(&listener).websocket("/");
    network.advance(&mut engine, seconds(1));
    assert!(
        client
            .received()
            .iter()
            .any(|r| matches!(r, Received::Close(CloseCode::GOING_AWAY, _)))
    );
}

#[test]
fn connecting_has_one_deadline_for_everything() {
    let mut bench = Bench::new(echo);
    let server = bench.network.server("slow.example:80");
    let script = Script::new(echo);
    let errors = script.connect_errors.clone();
    let session = script.session();
    let key = bench.engine.host(script);
    bench
        .engine
        .connect(key, "ws://slow.example/", session)
        .unwrap();
    bench.run();
    let remote = server.accept().unwrap();
    assert!(remote.read().starts_with(b"GET / HTTP/1.1\r\n"));
    for byte in b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaa".iter().take(99) {
        remote.write(&[*byte]);
        bench.advance(Duration::from_millis(100));
    }
    assert_eq!(*errors.borrow(), [""; 0]);
    bench.advance(Duration::from_millis(100));
    assert_eq!(
        *errors.borrow(),
        ["WebSocket handshake with slow.example:80: timed out"]
    );
    assert_eq!(bench.connections(), 0);
}

#[test]
fn a_delay_on_the_way_delays_everything_alike() {
    let mut bench = Bench::new(echo);
    bench.network.set_faults(Faults::none().delay(seconds(1)));
    let client = bench.remote().websocket("/");
    client.send("hello").unwrap();
    bench.advance(Duration::from_millis(1999));
    assert!(client.texts().is_empty());
    bench.advance(MILLI);
    assert_eq!(client.texts(), ["hello"]);
}

#[test]
fn a_paused_connection_is_not_killed_by_keepalive() {
    let mut bench = Bench::new(|conn, happening| match happening {
        Happening::Text(text) if text == "pause" => conn.pause(),
        _ => echo(conn, happening),
    });
    let client = bench.client();
    let id = bench.last_id();
    client.send("pause").unwrap();
    client.send("kept").unwrap();
    bench.advance(seconds(600));
    assert!(client.texts().is_empty());
    assert_eq!(bench.connections(), 1);
    client.send("and this").unwrap();
    bench.engine.core().resume(id);
    bench.run();
    assert_eq!(client.texts(), ["kept", "and this"]);
}

#[test]
fn a_stalled_peer_whose_overflow_drops_is_still_cut() {
    let mut script = Script::new(echo);
    script.overflow = Overflow::DropNewest;
    let mut bench = Bench::with(Limits::default(), script);
    let client = bench.client();
    client.remote().stall();
    let id = bench.last_id();
    for _ in 0..31 {
        for _ in 0..4 {
            bench.engine.core().send(id, &vec![1; 1_000_000]);
        }
        bench.advance(seconds(1));
    }
    bench.assert_empty();
    assert_eq!(causes(&bench), [CloseCause::Stalled]);
}
