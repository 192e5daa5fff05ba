//! Connections that come back, in virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use sockeye::sim::Server;
use sockeye::{
    Backoff, CloseCause, CloseCode, ConnectOptions, Limits, Refusal, Sent, Step, UplinkId,
    UplinkQueue,
};

use super::support::{Asked, Recorder, Rig, Seen, options};

const NAME: &str = "server.test:80";
const URL: &str = "ws://server.test/";

/// Waits that chance has no part in.
fn steady() -> Backoff {
    Backoff {
        jitter: 0.0,
        ..Backoff::default()
    }
}

fn uplink(rig: &mut Rig, backoff: Backoff) -> UplinkId {
    let key = rig.client.key;
    rig.client
        .engine
        .uplink(key, options(URL), backoff)
        .unwrap()
}

/// The server's end of the next attempt, accepted.
fn accepted(rig: &mut Rig, server: &Server) -> Asked {
    let asked = Asked::new(server.accept().expect("an attempt"));
    asked.accept();
    rig.run();
    asked
}

#[test]
fn it_comes_back() {
    let mut rig = Rig::new();
    let server = rig.network.server(NAME);
    let id = uplink(&mut rig, steady());
    rig.run();
    let asked = accepted(&mut rig, &server);
    let seen = rig.client.seen();
    let [Seen::Attempt(1, 0, before), Seen::Open(conn, _)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(before.is_empty());
    assert_eq!(rig.client.engine.core().uplink_connection(id), Some(*conn));
    assert_eq!(rig.client.engine.core().connection_count(), 1);

    // Lost at once: that was not stable, so the wait is the second one.
    asked.remote.reset();
    rig.run();
    assert!(matches!(rig.client.seen()[..], [Seen::Closed(_)]));
    assert_eq!(rig.client.engine.core().uplink_connection(id), None);
    assert_eq!(rig.client.engine.core().connection_count(), 0);
    rig.advance(Duration::from_millis(999));
    assert!(rig.client.seen().is_empty());
    rig.advance(Duration::from_millis(1));
    let asked = accepted(&mut rig, &server);
    let seen = rig.client.seen();
    let [Seen::Attempt(2, 1, before), Seen::Open(..)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(before.contains("reset"), "{before}");

    // Lost after a while: the first wait again.
    rig.advance(Duration::from_secs(10));
    asked.remote.write(b"\x88\x02\x03\xe9");
    rig.run();
    let seen = rig.client.seen();
    let [Seen::Closed(info)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!((info.code, info.clean), (CloseCode::GOING_AWAY, true));
    rig.advance(Duration::from_millis(500));
    let seen = rig.client.seen();
    let [Seen::Attempt(3, 0, before)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(before.contains("1001"), "{before}");
}

#[test]
fn failures_make_it_wait_longer() {
    let mut rig = Rig::new();
    uplink(&mut rig, steady());
    rig.run();
    for (number, wait) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, 30), (7, 30)] {
        let seen = rig.client.seen();
        let [
            Seen::Attempt(attempt, failures, before),
            Seen::Failed(failure),
        ] = &seen[..]
        else {
            panic!("{seen:?}");
        };
        assert_eq!((*attempt, *failures), (number, number as u32 - 1));
        assert_eq!(before.is_empty(), number == 1);
        assert_eq!(failure.step, Step::Connect);
        rig.advance(Duration::from_secs(wait) - Duration::from_millis(1));
        assert!(rig.client.seen().is_empty());
        rig.advance(Duration::from_millis(1));
    }
}

#[test]
fn chance_spreads_the_waits_and_follows_from_the_seed() {
    let wait = |seed| {
        let network = sockeye::sim::Network::new(seed);
        let engine = network.engine().build().unwrap();
        let mut client = super::support::Client::new(engine, Recorder::default());
        let key = client.key;
        client
            .engine
            .uplink(key, options(URL), Backoff::default())
            .unwrap();
        network.run_until_idle(&mut client.engine);
        client.seen();
        let mut waited = 0;
        while client.seen().is_empty() {
            network.advance(&mut client.engine, Duration::from_millis(10));
            waited += 10;
        }
        waited
    };
    let waits: Vec<u32> = (0..8).map(wait).collect();
    assert!(
        waits.iter().all(|wait| (500..=1000).contains(wait)),
        "{waits:?}"
    );
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    assert_eq!(waits[1], wait(1));
}

#[test]
fn it_gives_up_when_told_so() {
    // After so many failures.
    let mut rig = Rig::new();
    let backoff = Backoff {
        attempts: Some(2),
        ..steady()
    };
    let id = uplink(&mut rig, backoff);
    rig.advance(Duration::from_secs(100));
    let seen = rig.client.seen();
    let [
        ..,
        Seen::Attempt(2, 1, _),
        Seen::Failed(_),
        Seen::End(ended),
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
    assert_eq!((*ended, seen.len()), (id, 5));
    assert!(!rig.client.engine.core().stop_uplink(id));

    // When the hook gives no session.
    let recorder = Recorder {
        on_uplink: Box::new(|_, attempt| attempt.number() < 2),
        ..Recorder::default()
    };
    let mut rig = Rig::with(Limits::default(), recorder);
    uplink(&mut rig, steady());
    rig.advance(Duration::from_secs(100));
    let seen = rig.client.seen();
    let [
        Seen::Attempt(..),
        Seen::Failed(_),
        Seen::Attempt(..),
        Seen::End(_),
    ] = &seen[..]
    else {
        panic!("{seen:?}");
    };
}

#[test]
fn the_hook_may_go_elsewhere() {
    let recorder = Recorder {
        on_uplink: Box::new(|_, attempt| {
            if attempt.error().is_some() {
                attempt.options.set_url("ws://other.test/b").unwrap();
            }
            true
        }),
        ..Recorder::default()
    };
    let mut rig = Rig::with(Limits::default(), recorder);
    let other = rig.network.server("other.test:80");
    uplink(&mut rig, steady());
    rig.advance(Duration::from_secs(1));
    let asked = accepted(&mut rig, &other);
    assert!(asked.request.starts_with("GET /b "));
    // And stays there.
    asked.remote.reset();
    rig.advance(Duration::from_secs(2));
    accepted(&mut rig, &other);
}

fn texts(asked: &Asked) -> Vec<String> {
    let bytes = asked.remote.read();
    let mut rest = &bytes[..];
    let mut texts = Vec::new();
    while let [0x81, len, a, b, c, d, tail @ ..] = rest {
        let (data, behind) = tail.split_at(usize::from(len & 0x7f));
        let mask = [*a, *b, *c, *d];
        let data = data
            .iter()
            .zip(mask.iter().cycle())
            .map(|(x, m)| x ^ m)
            .collect();
        texts.push(String::from_utf8(data).unwrap());
        rest = behind;
    }
    assert!(rest.is_empty(), "{rest:?}");
    texts
}

#[test]
fn messages_wait_within_bounds() {
    let recorder = Recorder {
        on_open: Box::new(|conn| {
            conn.send("login");
        }),
        ..Recorder::default()
    };
    let mut rig = Rig::with(Limits::default(), recorder);
    let id = uplink(&mut rig, steady());
    rig.run();
    let core = rig.client.engine.core();
    assert_eq!(
        core.send_uplink(id, "x"),
        Sent::Refused(Refusal::Away),
        "not by default"
    );
    let room = UplinkQueue {
        messages: 2,
        bytes: 1000,
    };
    assert!(core.set_uplink_queue(id, room));
    assert_eq!(core.send_uplink(id, "a"), Sent::Queued(3));
    assert_eq!(core.send_uplink(id, "b"), Sent::Queued(6));
    assert_eq!(core.send_uplink(id, "c"), Sent::Refused(Refusal::Away));
    let server = rig.network.server(NAME);
    rig.advance(Duration::from_secs(1));
    let asked = accepted(&mut rig, &server);
    assert_eq!(texts(&asked), ["login", "a", "b"]);
    let core = rig.client.engine.core();
    assert_eq!(core.send_uplink(id, "d"), Sent::Clear);
    rig.run();
    assert_eq!(texts(&asked), ["d"]);

    // Away again: what is sent while the Close is under way waits, too.
    asked.remote.write(b"\x88\x02\x03\xe8");
    rig.run();
    assert_eq!(
        rig.client.engine.core().send_uplink(id, "e"),
        Sent::Queued(3)
    );
    assert!(rig.client.engine.core().stop_uplink(id));
    assert_eq!(
        rig.client.engine.core().send_uplink(id, "f"),
        Sent::Refused(Refusal::Gone),
    );
    assert!(!rig.client.engine.core().set_uplink_queue(id, room));
}

#[test]
fn stopped_while_waiting_connecting_and_open() {
    // Waiting.
    let mut rig = Rig::new();
    let id = uplink(&mut rig, steady());
    rig.run();
    rig.client.seen();
    assert!(rig.client.engine.core().stop_uplink(id));
    rig.advance(Duration::from_secs(100));
    assert!(rig.client.seen().is_empty());

    // Connecting.
    let server = rig.network.server(NAME);
    let id = uplink(&mut rig, steady());
    rig.run();
    assert!(rig.client.engine.core().stop_uplink(id));
    rig.advance(Duration::from_secs(100));
    let seen = rig.client.seen();
    let [Seen::Attempt(..), Seen::Failed(failure)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(
        failure.text.ends_with("given up by this side"),
        "{failure:?}"
    );
    server.accept().unwrap();
    assert!(server.accept().is_none());

    // Open: it is closed in order.
    let id = uplink(&mut rig, steady());
    rig.run();
    let asked = accepted(&mut rig, &server);
    assert!(rig.client.engine.core().stop_uplink(id));
    rig.run();
    assert_eq!(asked.remote.read()[0], 0x88);
    asked.remote.write(b"\x88\x02\x03\xe8");
    rig.advance(Duration::from_secs(100));
    let seen = rig.client.seen();
    let [Seen::Attempt(..), Seen::Open(..), Seen::Closed(info)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(info.clean);
}

#[test]
fn stopped_by_its_own_callbacks() {
    let id = Rc::new(Cell::new(None));
    let (in_hook, in_error) = (Rc::clone(&id), Rc::clone(&id));
    let recorder = Recorder {
        on_uplink: Box::new(move |core, attempt| {
            in_hook.set(Some(attempt.uplink()));
            if attempt.number() == 2 {
                assert!(core.stop_uplink(attempt.uplink()));
            }
            true
        }),
        ..Recorder::default()
    };
    let mut rig = Rig::with(Limits::default(), recorder);
    let made = uplink(&mut rig, steady());
    rig.advance(Duration::from_secs(100));
    assert_eq!(id.get(), Some(made));
    let seen = rig.client.seen();
    assert_eq!(seen.len(), 3, "{seen:?}");

    let recorder = Recorder {
        on_failed: Box::new(move |core| {
            assert!(core.stop_uplink(in_error.get().unwrap()));
        }),
        ..Recorder::default()
    };
    let mut rig = Rig::with(Limits::default(), recorder);
    id.set(Some(uplink(&mut rig, steady())));
    rig.advance(Duration::from_secs(100));
    let seen = rig.client.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_shutdown_ends_it_at_once() {
    for open in [true, false] {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        uplink(&mut rig, steady());
        rig.run();
        if open {
            accepted(&mut rig, &server);
        } else {
            server.accept().unwrap().reset();
            rig.run();
        }
        rig.client.engine.shutdown(Duration::from_secs(1));
        rig.run();
        if !open {
            let report = rig
                .client
                .engine
                .shutdown_report()
                .expect("nothing to wait for");
            assert_eq!((report.closed, report.cut), (0, 0));
        }
        rig.client.seen();
        rig.advance(Duration::from_secs(100));
        assert!(rig.client.engine.shutdown_report().is_some());
        let after = rig.client.seen();
        assert!(
            !after.iter().any(|seen| matches!(seen, Seen::Attempt(..))),
            "{after:?}"
        );
    }
}

/// An attempt that cannot even begin fails like any other.
#[test]
fn at_the_limit_of_connections() {
    let limits = Limits {
        connections: Some(1),
        ..Limits::default()
    };
    let mut rig = Rig::with(limits, Recorder::default());
    let server = rig.network.server(NAME);
    let blocker = rig.client.connect(options(URL));
    rig.run();
    let first = uplink(&mut rig, steady());
    rig.run();
    let seen = rig.client.seen();
    let [Seen::Attempt(..), Seen::Failed(failure)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(failure.step, Step::Prepare);
    assert!(failure.text.contains("limit of connections"), "{failure:?}");
    rig.client.engine.core().abort(blocker);
    server.accept().unwrap();
    rig.advance(Duration::from_secs(1));
    accepted(&mut rig, &server);
    assert!(rig.client.engine.core().uplink_connection(first).is_some());
}

#[test]
fn many_share_one_engine() {
    let mut rig = Rig::new();
    let server = rig.network.server(NAME);
    let ids: Vec<UplinkId> = (0..100)
        .map(|_| uplink(&mut rig, Backoff::default()))
        .collect();
    rig.run();
    let mut open: Vec<Asked> = Vec::new();
    while let Some(remote) = server.accept() {
        let asked = Asked::new(remote);
        asked.accept();
        open.push(asked);
    }
    rig.run();
    assert_eq!(open.len(), 100);
    for asked in &open {
        asked.remote.reset();
    }
    rig.run();
    rig.advance(Duration::from_secs(2));
    let mut again = Vec::new();
    while let Some(remote) = server.accept() {
        let asked = Asked::new(remote);
        asked.accept();
        again.push(asked);
    }
    rig.run();
    assert_eq!(again.len(), 100);
    let core = rig.client.engine.core();
    assert!(ids.iter().all(|&id| core.uplink_connection(id).is_some()));
    assert_eq!(core.connection_count(), 100);
}

#[test]
fn the_close_is_told_with_its_cause() {
    let mut rig = Rig::new();
    let server = rig.network.server(NAME);
    uplink(&mut rig, steady());
    rig.run();
    let asked = accepted(&mut rig, &server);
    rig.client.seen();
    asked.remote.write(b"\x83\x00");
    rig.run();
    let seen = rig.client.seen();
    let [Seen::Closed(info)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(matches!(info.cause, CloseCause::Violation(_)));
    rig.advance(Duration::from_secs(1));
    let seen = rig.client.seen();
    let [Seen::Attempt(2, 1, before)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert!(before.contains("broke the protocol"), "{before}");
}

#[test]
fn nonsense_is_refused_at_once() {
    let mut rig = Rig::new();
    let key = rig.client.key;
    assert!(
        rig.client
            .engine
            .uplink(key, "http://x/", steady())
            .is_err()
    );
    let fine: ConnectOptions = options(URL);
    assert!(rig.client.engine.uplink(key, fine, steady()).is_ok());
}
