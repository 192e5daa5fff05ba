//! Accepting: limits, exhaustion, filters.

use std::net::SocketAddr;
use std::time::Duration;

use sockeye::Limits;

use crate::support::{Bench, Script, echo, seconds};

#[test]
fn an_empty_queue_of_an_acceptor_is_no_failure() {
    let mut bench = Bench::new(echo);
    let clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    assert_eq!(bench.connections(), clients.len());
    assert_eq!(bench.engine.core().stats().refused, 0);
    assert_eq!(bench.engine.core().stats().accepted, 3);
}

#[test]
fn at_the_limit_of_connections_nothing_is_accepted_and_nothing_spins() {
    let limits = Limits {
        connections: Some(2),
        ..Limits::default()
    };
    let mut bench = Bench::with(limits, Script::new(echo));
    let first = bench.client();
    let _second = bench.client();
    let third = bench.remote().websocket("/");
    bench.run();
    assert_eq!((bench.connections(), bench.listener.waiting()), (2, 1));
    assert!(!third.is_open());
    let turns = bench.network.turns();
    bench.advance(seconds(25));
    assert!(
        bench.network.turns() - turns < 50,
        "{}",
        bench.network.turns() - turns
    );

    first.remote().reset();
    bench.run();
    assert!(third.is_open(), "room was made");
    assert_eq!(bench.listener.waiting(), 0);
    assert_eq!(
        bench.engine.core().stats().refused,
        0,
        "waiting is not refusal"
    );
}

#[test]
fn without_descriptors_accepting_pauses_and_recovers() {
    let mut bench = Bench::new(echo);
    bench.listener.exhaust(20);
    let client = bench.remote().websocket("/");
    let turns = bench.network.turns();
    bench.advance(Duration::from_millis(1999));
    assert!(!client.is_open());
    assert!(bench.network.turns() - turns < 150);
    bench.advance(seconds(1));
    assert!(client.is_open());
}

#[test]
fn exhaustion_while_full_does_not_spin() {
    let limits = Limits {
        connections: Some(1),
        ..Limits::default()
    };
    let mut bench = Bench::with(limits, Script::new(echo));
    bench.listener.exhaust(1);
    let first = bench.remote().websocket("/");
    bench.run();
    let server = bench.network.server("elsewhere:80");
    let script = Script::new(echo);
    let session = script.session();
    // An outgoing connection takes the only place while accepting pauses.
    bench
        .engine
        .connect(bench.key, "ws://elsewhere:80/", session)
        .unwrap();
    bench.run();
    let peer = server.accept().unwrap();
    let turns = bench.network.turns();
    bench.advance(seconds(5));
    assert!(
        bench.network.turns() - turns < 50,
        "{}",
        bench.network.turns() - turns
    );
    assert!(!first.is_open());
    peer.reset();
    bench.run();
    assert!(first.is_open());
}

#[test]
fn one_address_has_so_many_connections_and_no_more() {
    let limits = Limits {
        connections_per_address: Some(2),
        ..Limits::default()
    };
    let mut bench = Bench::with(limits, Script::new(echo));
    let from = |text: &str| text.parse::<SocketAddr>().unwrap();
    let connect = |bench: &mut Bench, addr| {
        let client = bench
            .network
            .connect_from(&bench.listener, from(addr))
            .websocket("/");
        bench.run();
        client
    };
    let first = connect(&mut bench, "192.0.2.1:1");
    let second = connect(&mut bench, "192.0.2.1:2");
    let third = connect(&mut bench, "192.0.2.1:3");
    let other = connect(&mut bench, "192.0.2.2:1");
    assert!(first.is_open() && second.is_open() && other.is_open());
    assert!(!third.is_open() && third.remote().is_released());
    assert_eq!(bench.engine.core().stats().refused, 1);
    drop(first);
    bench.run();
    assert!(
        connect(&mut bench, "192.0.2.1:4").is_open(),
        "the place is free again"
    );
    assert!(!connect(&mut bench, "192.0.2.1:5").is_open());
}

#[test]
fn a_filter_sees_the_peer_before_a_byte_is_read() {
    let network = sockeye::sim::Network::new(1);
    let mut engine = network.engine().build().unwrap();
    let key = engine.host(Script::new(echo));
    let listener = network.listener();
    engine
        .listen_on(listener.acceptor())
        .unwrap()
        .route("*", key)
        .filter(|peer| peer.ip().is_some_and(|ip| !ip.is_loopback()));
    let inside = network.connect(&listener).websocket("/");
    let outside = network
        .connect_from(&listener, "192.0.2.1:1".parse().unwrap())
        .websocket("/");
    network.run_until_idle(&mut engine);
    assert!(outside.is_open());
    assert!(inside.remote().is_released() && inside.remote().moved() == 0);
    assert_eq!(engine.core().stats().refused, 1);
}

#[test]
fn a_flood_of_connections_is_accepted_in_bounded_portions() {
    let mut bench = Bench::new(echo);
    let _first = bench.client();
    let remotes: Vec<_> = (0..200).map(|_| bench.remote()).collect();
    bench.network.step(&mut bench.engine);
    assert_eq!(bench.connections(), 1 + Limits::default().accepts_per_turn);
    bench.run();
    assert_eq!(bench.connections(), 1 + remotes.len());
}
