//! How a group ends: all at once, one early, one in trouble, one that never began.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye::{Engine, Error, Group, Limits, on_message};

use crate::rig::{END, Server, TOPIC, without_pings};
use crate::wire::PATIENCE;

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
