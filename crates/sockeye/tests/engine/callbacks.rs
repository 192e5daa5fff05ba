//! Anything may be done from any callback, and every session ends exactly once.

use std::cell::RefCell;
use std::rc::Rc;

use sockeye::{CloseCause, CloseCode, Conn, ConnId, Limits, Prepared, ProtocolKey, Refusal, Sent};

use crate::support::{Bench, Happening, Script, echo, seconds};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    Open,
    Text,
    Binary,
    Pong,
    Writable,
    Timeout,
    Broadcast,
    Close,
}

const MOMENTS: [Moment; 8] = [
    Moment::Open,
    Moment::Text,
    Moment::Binary,
    Moment::Pong,
    Moment::Writable,
    Moment::Timeout,
    Moment::Broadcast,
    Moment::Close,
];

fn moment(happening: &Happening) -> Moment {
    match happening {
        Happening::Open => Moment::Open,
        Happening::Text(_) => Moment::Text,
        Happening::Binary(_) | Happening::Chunk(..) => Moment::Binary,
        Happening::Pong(_) => Moment::Pong,
        Happening::Writable => Moment::Writable,
        Happening::Timeout => Moment::Timeout,
        Happening::Broadcast(_) => Moment::Broadcast,
        Happening::Close(_) => Moment::Close,
    }
}

type Deed = fn(&mut Conn<'_>, &Others);

struct Others {
    ids: Vec<ConnId>,
    key: Option<ProtocolKey<Script>>,
}

const DEEDS: [(&str, Deed); 12] = [
    ("close", |conn, _| {
        conn.close(CloseCode::NORMAL, "done");
    }),
    ("close twice", |conn, _| {
        conn.close_sending(CloseCode::NORMAL, "done");
        conn.close(CloseCode::NORMAL, "done");
    }),
    ("abort", |conn, _| {
        conn.abort();
        conn.abort();
        conn.send("after");
    }),
    ("close the others", |conn, others| {
        for id in &others.ids {
            conn.core().close(*id, CloseCode::GOING_AWAY, "");
        }
    }),
    ("abort all", |conn, others| {
        for id in &others.ids {
            conn.core().abort(*id);
        }
    }),
    ("send to all", |conn, others| {
        for id in &others.ids {
            conn.send_to(*id, "to all");
        }
    }),
    ("subscribe and publish", |conn, others| {
        conn.subscribe("a");
        conn.subscribe("b");
        for id in &others.ids {
            conn.core().subscribe(*id, "a");
        }
        conn.publish("a", "published");
        conn.unsubscribe("a");
        conn.publish_to_others("a", "again");
    }),
    ("pause", |conn, _| conn.pause()),
    ("resume", |conn, _| {
        conn.pause();
        conn.resume();
    }),
    ("everything small", |conn, _| {
        conn.request_writable();
        conn.set_timeout(Some(seconds(1)));
        conn.ping(b"x");
        conn.pong(b"y");
        conn.send_fragment("frag", false);
        conn.send_fragment("ment", true);
    }),
    ("broadcast", |conn, others| {
        if let Some(key) = others.key {
            conn.core().broadcast(key, Prepared::text("broadcast"));
        }
    }),
    ("connect", |conn, others| {
        let Some(key) = others.key else { return };
        let alive = Rc::default();
        let script = Script {
            alive,
            ..Script::new(|_, _| ())
        };
        drop(
            conn.core()
                .connect(key, "ws://nowhere:1/", script.session()),
        );
    }),
];

/// Does each deed at each moment, in a life that has every moment.
#[test]
fn anything_from_any_callback() {
    for trigger in MOMENTS {
        for (name, deed) in DEEDS {
            for seed in 0..3 {
                life(trigger, name, deed, seed);
            }
        }
    }
}

fn life(trigger: Moment, name: &str, deed: Deed, seed: u64) {
    let others = Rc::new(RefCell::new(Others {
        ids: Vec::new(),
        key: None,
    }));
    let shared = Rc::clone(&others);
    let done = Rc::new(RefCell::new(0));
    let count = Rc::clone(&done);
    let script = Script::new(move |conn, happening| {
        let mut others = shared.borrow_mut();
        if !others.ids.contains(&conn.id()) {
            others.ids.push(conn.id());
        }
        if moment(happening) == trigger && *count.borrow() < 5 {
            *count.borrow_mut() += 1;
            deed(conn, &others);
        } else if let Happening::Text(text) = happening {
            conn.send(text);
        }
    });
    let mut bench = Bench::seeded(seed, Limits::default(), script);
    others.borrow_mut().key = Some(bench.key);
    let key = bench.key;
    let clients: Vec<_> = (0..3).map(|_| bench.remote().websocket("/")).collect();
    bench.run();
    for client in &clients {
        let _ = client.send("text");
        let _ = client.send(&[1u8, 2][..]);
        let _ = client.ping(b"");
    }
    let ids = others.borrow().ids.clone();
    for id in &ids {
        bench.engine.core().ping(*id, b"?");
        bench.engine.core().request_writable(*id);
        bench.engine.core().set_timeout(*id, Some(seconds(2)));
    }
    bench.engine.core().broadcast(key, Prepared::text("all"));
    bench.run();
    for client in &clients {
        let _ = client.send("second");
    }
    bench.advance(seconds(3));
    let _ = clients[0].close(CloseCode::NORMAL, "");
    clients[1].remote().reset();
    bench.run();
    clients[2].remote().close();
    bench.advance(seconds(120));
    // Who is paused for good hears nothing of an end.
    for id in &ids {
        bench.engine.core().resume(*id);
    }
    drop(clients);
    bench.advance(seconds(120));
    assert_eq!(bench.connections(), 0, "{trigger:?}: {name}");
    assert_eq!(bench.alive.get(), 0, "{trigger:?}: {name}");
    let log = bench.log.borrow();
    for id in &ids {
        let of = |wanted: Moment| {
            log.iter()
                .filter(|(other, happening)| other == id && moment(happening) == wanted)
                .count()
        };
        assert_eq!(
            (of(Moment::Open), of(Moment::Close)),
            (1, 1),
            "{trigger:?}: {name}"
        );
        let last = log.iter().rev().find(|(other, _)| other == id).unwrap();
        assert_eq!(moment(&last.1), Moment::Close, "{trigger:?}: {name}");
    }
    if trigger != Moment::Timeout && trigger != Moment::Pong && trigger != Moment::Writable {
        assert!(*done.borrow() > 0, "{trigger:?} never came");
    }
}

#[test]
fn after_an_abort_nothing_more_is_heard() {
    let mut bench = Bench::new(|conn, happening| {
        if *happening == Happening::Text("2".into()) {
            conn.abort();
        }
    });
    let client = bench.client();
    bench.happenings();
    for n in 0..10 {
        client.send(&n.to_string()).unwrap();
    }
    bench.run();
    let happenings = bench.happenings();
    assert_eq!(happenings.len(), 4, "{happenings:?}");
    assert!(matches!(&happenings[3], Happening::Close(info)
        if info.cause == CloseCause::Aborted && !info.clean && info.code == CloseCode::ABNORMAL));
    bench.assert_empty();
}

#[test]
fn nothing_can_be_done_in_on_close() {
    let outcomes = Rc::new(RefCell::new(Vec::new()));
    let noted = Rc::clone(&outcomes);
    let mut bench = Bench::new(move |conn, happening| {
        if let Happening::Close(_) = happening {
            let mut outcomes = noted.borrow_mut();
            outcomes.push(conn.send("late"));
            outcomes.push(conn.close(CloseCode::NORMAL, ""));
            outcomes.push(conn.ping(b""));
            assert!(!conn.subscribe("late"));
            assert!(!conn.unsubscribe("late"));
            let id = conn.id();
            assert!(!conn.core().is_open(id));
            conn.set_timeout(Some(seconds(1)));
            conn.request_writable();
            conn.pause();
        }
    });
    let client = bench.client();
    client.close(CloseCode::NORMAL, "").unwrap();
    bench.run();
    assert_eq!(*outcomes.borrow(), [Sent::Refused(Refusal::Gone); 3]);
    bench.advance(seconds(10));
    bench.assert_empty();
}

#[test]
fn stale_ids_are_counted_and_hurt_nobody() {
    let mut bench = Bench::new(echo);
    let old = bench.client();
    let id = bench.last_id();
    old.remote().reset();
    bench.run();
    let new = bench.client();
    assert_ne!(bench.last_id(), id);
    let core = bench.engine.core();
    assert_eq!(core.stats().stale, 0);
    assert_eq!(core.send(id, "x"), Sent::Refused(Refusal::Gone));
    assert_eq!(
        core.close(id, CloseCode::NORMAL, ""),
        Sent::Refused(Refusal::Gone)
    );
    assert!(!core.subscribe(id, "x"));
    assert!(!core.respond(id, sockeye::Response::text("x")));
    core.abort(id);
    core.pause(id);
    core.resume(id);
    core.request_writable(id);
    core.set_timeout(id, Some(seconds(1)));
    assert_eq!(core.backlog(id), 0);
    assert_eq!(core.peer(id), None);
    assert_eq!(core.stats().stale, 4);
    bench.advance(seconds(5));
    assert!(new.is_open());
    assert_eq!(new.received(), []);
}
