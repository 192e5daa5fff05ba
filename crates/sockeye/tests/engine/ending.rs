//! Shutting down, and other threads.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use sockeye::sim::Received;
use sockeye::{CloseCause, CloseCode, HandleError, Limits, Prepared, Response};

use crate::support::{Bench, HANDSHAKE, Happening, Script, echo, seconds};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: sim\r\n\r\n";

#[test]
fn a_shutdown_says_goodbye_and_reports() {
    let mut script = Script::new(echo);
    script.request = Box::new(|http, _, _| {
        http.respond(Response::text("ok"));
    });
    let mut bench = Bench::with(Limits::default(), script);
    let polite = bench.client();
    let idle = bench.remote();
    idle.write(GET);
    bench.run();
    let fresh = bench.remote();
    bench.run();
    let mute = bench.remote();
    mute.write(HANDSHAKE);
    bench.run();
    assert_eq!(bench.connections(), 4);
    bench.engine.shutdown(seconds(3));
    bench.run();
    assert!(matches!(
        polite.received().last(),
        Some(Received::Close(CloseCode::GOING_AWAY, _))
    ));
    assert!(idle.is_ended() && fresh.is_ended() && bench.listener.is_closed());
    assert_eq!(bench.connections(), 1, "one that says nothing");
    assert_eq!(bench.engine.shutdown_report(), None);
    bench.advance(seconds(3) - Duration::from_millis(1));
    assert_eq!(bench.engine.shutdown_report(), None);
    bench.advance(Duration::from_millis(1));
    let report = bench.engine.shutdown_report().unwrap();
    assert_eq!((report.closed, report.cut), (3, 1));
    bench.assert_empty();
    assert_eq!(bench.closes().last().unwrap().cause, CloseCause::Aborted);
}

#[test]
fn a_second_call_cuts() {
    let mut bench = Bench::new(echo);
    let mute = bench.remote();
    mute.write(HANDSHAKE);
    bench.run();
    bench.engine.shutdown(seconds(1000));
    bench.run();
    assert_eq!(bench.engine.shutdown_report(), None);
    bench.engine.shutdown(Duration::ZERO);
    bench.run();
    assert_eq!(bench.engine.shutdown_report().unwrap().cut, 1);
    bench.assert_empty();
}

/// What [`Engine::run`] would wait for: nothing at all, when there is nobody to wait for.
#[test]
fn an_engine_with_nothing_to_do_ends_at_once() {
    let mut script = Script::new(echo);
    script.request = Box::new(|http, _, _| {
        http.respond(Response::text("ok"));
    });
    let mut bench = Bench::with(Limits::default(), script);
    bench.run();
    bench.engine.shutdown(seconds(1000));
    bench.run();
    assert!(
        bench.engine.shutdown_report().is_some(),
        "without a connection"
    );

    for wait in [false, true] {
        let mut script = Script::new(echo);
        script.request = Box::new(|http, _, _| {
            http.respond(Response::text("ok"));
        });
        let mut bench = Bench::with(Limits::default(), script);
        let remote = bench.remote();
        remote.write(GET);
        bench.run();
        bench.engine.shutdown(seconds(1000));
        if wait {
            bench.network.step(&mut bench.engine);
        }
        bench.run();
        assert!(bench.engine.shutdown_report().is_some(), "with one at rest");
        assert!(remote.is_ended());
    }
}

#[test]
fn an_answer_under_way_is_finished() {
    let mut script = Script::new(echo);
    script.request = Box::new(|http, _, _| {
        http.respond(Response::text(vec![b'x'; 1_000_000]));
    });
    let mut bench = Bench::with(Limits::default(), script);
    let remote = bench.remote();
    remote.stall();
    remote.write(GET);
    bench.run();
    bench.engine.shutdown(seconds(20));
    bench.advance(seconds(1));
    assert_eq!(bench.connections(), 1);
    remote.unstall();
    bench.run();
    assert!(remote.read().len() > 1_000_000);
    assert!(remote.is_ended());
    remote.close();
    bench.run();
    let report = bench.engine.shutdown_report().unwrap();
    assert_eq!((report.closed, report.cut), (1, 0));
}

#[test]
fn who_reconnects_at_every_end_does_not_keep_the_engine_alive() {
    let mut bench = Bench::new(echo);
    let (key_sent, key) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let attempts = Rc::new(Cell::new(0));
    let mut script = {
        let (key, attempts) = (Rc::clone(&key), Rc::clone(&attempts));
        Script::new(move |conn, happening| {
            if let (Happening::Close(_), Some(key)) = (happening, key.get()) {
                attempts.set(attempts.get() + 1);
                let session = Script::new(|_, _| ()).session();
                assert!(conn.core().connect(key, "ws://there:80/", session).is_err());
            }
        })
    };
    {
        let (key, attempts) = (Rc::clone(&key), Rc::clone(&attempts));
        script.on_connect_error = Box::new(move |core| {
            if let Some(key) = key.get() {
                attempts.set(attempts.get() + 1);
                let session = Script::new(|_, _| ()).session();
                assert!(core.connect(key, "ws://there:80/", session).is_err());
            }
        });
    }
    let server = bench.network.server("there:80");
    let sessions: Vec<_> = (0..2).map(|_| script.session()).collect();
    let client = bench.engine.host(script);
    key_sent.set(Some(client));
    key.set(Some(client));
    for session in sessions {
        bench
            .engine
            .connect(client, "ws://there:80/", session)
            .unwrap();
    }
    bench.run();
    let _remotes = (server.accept(), server.accept());
    bench.engine.shutdown(seconds(1));
    bench.advance(seconds(1));
    assert!(bench.engine.shutdown_report().is_some());
    assert_eq!(attempts.get(), 2);
    assert_eq!(key_sent.get(), key.get());
}

#[test]
fn commands_of_threads_are_done_in_order() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    let id = bench.last_id();
    let handle = bench.engine.handle();
    let thread = std::thread::spawn(move || {
        for n in 0..3000 {
            handle.send(id, &n.to_string()).unwrap();
        }
    });
    thread.join().unwrap();
    bench.network.step(&mut bench.engine);
    let done = client.texts().len();
    assert_eq!(
        done,
        Limits::default().commands_per_turn,
        "a bounded portion"
    );
    bench.run();
    let rest = client.texts();
    assert_eq!(rest.len(), 3000 - done);
    assert_eq!(rest.last().map(String::as_str), Some("2999"));
    assert!(rest.is_sorted_by_key(|n| n.parse::<u32>().unwrap()));
}

#[test]
fn a_full_queue_says_so_and_an_ended_engine_too() {
    let limits = Limits {
        command_queue_len: 3,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits, Script::new(echo));
    let handle = bench.engine.handle();
    let (done, outcomes) = mpsc::channel();
    for n in 0..3 {
        let done = done.clone();
        handle.with_core(move |_| done.send(n).unwrap()).unwrap();
    }
    assert_eq!(handle.with_core(|_| ()), Err(HandleError::Full));
    bench.run();
    assert_eq!(outcomes.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(handle.with_core(|_| ()), Ok(()));
    drop(bench);
    assert_eq!(handle.with_core(|_| ()), Err(HandleError::Gone));
    assert_eq!(handle.shutdown(seconds(1)), Err(HandleError::Gone));
}

#[test]
fn everything_a_handle_can_do() {
    let mut bench = Bench::new(|conn, happening| match happening {
        Happening::Open => {
            conn.subscribe("news");
        }
        Happening::Broadcast(data) => {
            conn.send(&String::from_utf8(data.clone()).unwrap());
        }
        _ => echo(conn, happening),
    });
    let client = bench.client();
    let id = bench.last_id();
    let (handle, key) = (bench.engine.handle(), bench.key);
    handle.send(id, "to one").unwrap();
    handle.publish("news", "to members").unwrap();
    handle.broadcast(key, "to all").unwrap();
    handle
        .call(key, move |script, core| {
            assert_eq!(script.alive.get(), 1);
            core.send_prepared(id, &Prepared::text("from a call"));
        })
        .unwrap();
    bench.run();
    let mut texts = client.texts();
    texts.sort();
    assert_eq!(texts, ["from a call", "to all", "to members", "to one"]);
    handle.close(id, CloseCode::NORMAL, "bye").unwrap();
    bench.run();
    handle.send(id, "too late").unwrap();
    bench.run();
    assert_eq!(bench.engine.core().stats().stale, 1);
    handle.shutdown(seconds(1)).unwrap();
    bench.run();
    assert!(bench.engine.shutdown_report().is_some());
    bench.assert_empty();
}

#[test]
fn dropping_the_engine_drops_every_session() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    let remote = bench.remote();
    bench.run();
    let alive = Rc::clone(&bench.alive);
    assert_eq!(alive.get(), 1);
    drop(bench);
    assert_eq!(alive.get(), 0);
    assert!(remote.is_released() && client.remote().is_released());
}
