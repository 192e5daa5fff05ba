//! Backpressure: what happens when a peer does not keep up.

use std::cell::Cell;
use std::rc::Rc;

use sockeye::sim::{Received, WebSocket};
use sockeye::{CloseCause, ConnId, Delivery, Limits, Overflow, Prepared, Refusal, Sent};

use crate::support::{Bench, HANDSHAKE, Happening, Script, echo, frame, seconds};

const KIB: usize = 1024;

/// Limits small enough to be met in a test.
fn small() -> Limits {
    Limits {
        message_len: 16 * KIB,
        frame_len: 16 * KIB as u64,
        low_water: 4 * KIB,
        high_water: 16 * KIB,
        backlog_len: 32 * KIB,
        read_per_turn: 4 * KIB,
        ..Limits::default()
    }
}

/// An engine and a client that does not read, with a full window of a kibibyte in between, so that
/// each byte sent waits.
fn stalled(limits: Limits, overflow: Overflow) -> (Bench, WebSocket, ConnId) {
    let mut script = Script::new(echo);
    script.overflow = overflow;
    let mut bench = Bench::with(limits, script);
    let client = bench.client();
    let id = bench.last_id();
    client
        .remote()
        .set_faults(sockeye::sim::Faults::none().window(1000));
    client.remote().stall();
    bench.engine.core().send(id, &[0; 996][..]);
    bench.run();
    assert_eq!(bench.engine.core().backlog(id), 0);
    bench.engine.core().send(id, &[0; 2][..]);
    bench.run();
    assert_eq!(bench.engine.core().backlog(id), 4);
    bench.happenings();
    (bench, client, id)
}

#[test]
fn reading_stops_above_the_high_mark_and_resumes_below_the_low_one() {
    let (mut bench, client, id) = stalled(small(), Overflow::Close);
    for _ in 0..100 {
        client.send(&vec![1; KIB]).unwrap();
    }
    bench.run();
    let backlog = bench.engine.core().backlog(id);
    assert!(
        backlog > 16 * KIB && backlog <= 16 * KIB + 5 * KIB,
        "{backlog}"
    );
    let unread = client.remote().unread();
    assert!(unread > 70 * KIB, "{unread}");
    // Down to between the marks: still nothing is read.
    while bench.engine.core().backlog(id) > 5 * KIB {
        client.remote().sip(500);
        bench.run();
    }
    assert_eq!(client.remote().unread(), unread);
    while bench.engine.core().backlog(id) > 4 * KIB {
        client.remote().sip(500);
        bench.run();
    }
    assert!(client.remote().unread() < unread);
    client.remote().unstall();
    bench.run();
    let messages = client
        .received()
        .into_iter()
        .filter(|received| matches!(received, Received::Binary(data) if data.len() == KIB))
        .count();
    assert_eq!(messages, 100);
}

#[test]
fn a_few_requests_for_much_are_paced_not_punished() {
    // Each short message is answered by a long one, and all of them come in one read.
    let mut bench = Bench::with(
        small(),
        Script::new(|conn, happening| {
            if let Happening::Text(_) = happening {
                assert!(conn.send(&vec![1; 12 * KIB]).is_sent());
            }
        }),
    );
    let client = bench.client();
    for _ in 0..100 {
        client.send("more").unwrap();
    }
    bench.run();
    assert_eq!(client.received().len(), 100);
}

#[test]
fn the_program_is_told_once_when_there_is_room() {
    let (mut bench, client, id) = stalled(small(), Overflow::Close);
    bench.engine.core().send(id, &vec![1; 10 * KIB]);
    bench.engine.core().request_writable(id);
    bench.engine.core().request_writable(id);
    bench.run();
    assert_eq!(bench.happenings(), []);
    client.remote().sip(5 * KIB);
    bench.run();
    assert_eq!(bench.happenings(), [], "above the low mark");
    client.remote().unstall();
    bench.run();
    assert_eq!(bench.happenings(), [Happening::Writable]);
    bench.advance(seconds(20));
    assert_eq!(bench.happenings(), []);
}

#[test]
fn a_program_may_pump_by_on_writable() {
    let left = Rc::new(Cell::new(1000));
    let counter = Rc::clone(&left);
    let mut bench = Bench::with(
        small(),
        Script::new(move |conn, happening| {
            if matches!(happening, Happening::Open | Happening::Writable) && counter.get() > 0 {
                counter.set(counter.get() - 1);
                assert_eq!(conn.send(&vec![1; KIB]), Sent::Clear);
                conn.request_writable();
            }
        }),
    );
    let client = bench.remote().websocket("/");
    bench.run();
    assert_eq!((left.get(), client.received().len()), (0, 1001));
}

#[test]
fn writable_for_all_of_a_protocol() {
    let mut bench = Bench::new(echo);
    let _clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    bench.happenings();
    let key = bench.key;
    bench.engine.core().request_writable_all(key);
    bench.run();
    assert_eq!(bench.happenings(), [const { Happening::Writable }; 3]);
}

#[test]
fn sent_tells_when_the_high_mark_is_passed() {
    let (mut bench, _client, id) = stalled(small(), Overflow::Close);
    let core = bench.engine.core();
    // A frame has four bytes of header, and four bytes wait already.
    assert_eq!(core.send(id, &vec![1; 16 * KIB - 8]), Sent::Clear);
    assert_eq!(core.backlog(id), 16 * KIB);
    assert_eq!(core.send(id, ""), Sent::Pressed(16 * KIB + 2));
}

/// Fills the backlog to its bound exactly.
fn fill(bench: &mut Bench, id: ConnId) {
    let core = bench.engine.core();
    assert!(core.send(id, &vec![1; 16 * KIB - 8]).is_sent());
    assert!(
        core.send(id, &vec![2; 16 * KIB - 4]).is_sent(),
        "at the bound"
    );
    assert_eq!(core.backlog(id), 32 * KIB);
}

#[test]
fn overflow_close_cuts_the_connection() {
    let (mut bench, client, id) = stalled(small(), Overflow::Close);
    fill(&mut bench, id);
    let core = bench.engine.core();
    assert_eq!(core.send(id, ""), Sent::Refused(Refusal::Backlog));
    assert_eq!(core.send(id, "once doomed"), Sent::Refused(Refusal::Gone));
    bench.run();
    bench.assert_empty();
    assert_eq!(bench.closes()[0].cause, CloseCause::Backlog);
    assert!(client.remote().is_released());
}

#[test]
fn overflow_drop_newest_keeps_what_waits() {
    let (mut bench, client, id) = stalled(small(), Overflow::DropNewest);
    fill(&mut bench, id);
    let core = bench.engine.core();
    assert_eq!(core.send(id, "x"), Sent::Refused(Refusal::Backlog));
    assert_eq!(
        core.send_prepared(id, &Prepared::text("x")),
        Sent::Refused(Refusal::Backlog)
    );
    assert_eq!(core.stats().dropped, 2);
    bench.run();
    client.remote().unstall();
    bench.run();
    assert_eq!(client.received().len(), 4);
    assert!(client.is_open());
}

#[test]
fn overflow_drop_oldest_makes_room() {
    let (mut bench, client, id) = stalled(small(), Overflow::DropOldest);
    let messages: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 2 * KIB]).collect();
    for message in &messages {
        assert!(bench.engine.core().send(id, message).is_sent());
        assert!(bench.engine.core().backlog(id) <= 32 * KIB);
    }
    assert_eq!(bench.engine.core().stats().dropped, 40 - 15);
    bench.run();
    client.remote().unstall();
    bench.run();
    let received: Vec<_> = client
        .received()
        .into_iter()
        .skip(2)
        .map(|received| match received {
            Received::Binary(data) => data,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        received,
        messages[25..],
        "the newest fifteen, whole and in order"
    );
    assert!(client.is_open());
}

#[test]
fn drop_oldest_never_cuts_a_message_that_has_begun() {
    let (mut bench, client, id) = stalled(small(), Overflow::DropOldest);
    for n in 0..14 {
        bench.engine.core().send(id, &vec![n; 2 * KIB]);
    }
    bench.run();
    client.remote().sip(100);
    bench.run();
    for n in 100..130 {
        bench.engine.core().send(id, &vec![n; 2 * KIB]);
        bench.run();
    }
    client.remote().unstall();
    bench.run();
    for received in client.received() {
        let Received::Binary(data) = received else {
            panic!("{received:?}")
        };
        assert!(data.iter().all(|byte| *byte == data[0]));
    }
    assert!(client.is_open());
}

#[test]
fn fragments_are_not_dropped_singly() {
    let (mut bench, _client, id) = stalled(small(), Overflow::DropNewest);
    fill(&mut bench, id);
    let core = bench.engine.core();
    let sent = core.send_fragment(id, sockeye::Message::Text("half"), false);
    assert_eq!(sent, Sent::Refused(Refusal::Backlog));
    bench.run();
    assert_eq!(
        bench.closes()[0].cause,
        CloseCause::Backlog,
        "nothing else would be honest"
    );
}

#[test]
fn a_full_backlog_does_not_prevent_a_close() {
    let (mut bench, client, id) = stalled(small(), Overflow::DropNewest);
    fill(&mut bench, id);
    assert!(
        bench
            .engine
            .core()
            .close(id, sockeye::CloseCode::NORMAL, "too slow")
            .is_sent()
    );
    client.remote().unstall();
    bench.run();
    assert!(matches!(
        client.received().last(),
        Some(Received::Close(_, reason)) if reason == "too slow"
    ));
    bench.assert_empty();
}

#[test]
fn the_first_message_may_be_of_any_size() {
    let mut bench = Bench::with(small(), Script::new(echo));
    let client = bench.client();
    let id = bench.last_id();
    assert!(bench.engine.core().send(id, &vec![9; 100 * KIB]).is_sent());
    bench.run();
    assert_eq!(client.received(), [Received::Binary(vec![9; 100 * KIB])]);
}

#[test]
fn the_backlog_of_all_connections_is_bounded() {
    let limits = Limits {
        backlog_total_len: 20 * KIB,
        ..small()
    };
    let (mut bench, _first, one) = stalled(limits, Overflow::DropNewest);
    let second = bench.client();
    let two = bench.last_id();
    second
        .remote()
        .set_faults(sockeye::sim::Faults::none().window(0));
    second.remote().stall();
    bench.engine.core().send(two, "");
    bench.run();
    assert_eq!(bench.engine.core().backlog(two), 2);
    // Six bytes wait; the two frames of this turn reach the bound exactly.
    let core = bench.engine.core();
    assert!(core.send(one, &vec![1; 10 * KIB - 4]).is_sent());
    assert!(core.send(two, &vec![1; 10 * KIB - 4 - 6]).is_sent());
    assert_eq!(core.send(one, ""), Sent::Refused(Refusal::Backlog));
    assert_eq!(core.send(two, ""), Sent::Refused(Refusal::Backlog));
    let third = bench.client();
    third.send("unconcerned").unwrap();
    bench.run();
    assert_eq!(third.texts(), ["unconcerned"]);
    second.remote().reset();
    bench.run();
    assert!(bench.engine.core().send(one, "room again").is_sent());
}

#[test]
fn pings_of_a_stalled_peer_leave_one_pong() {
    let (mut bench, client, id) = stalled(small(), Overflow::Close);
    for n in 0..200u8 {
        client.ping(&[n; 100]).unwrap();
        bench.run();
    }
    assert_eq!(bench.engine.core().backlog(id), 4);
    client.remote().unstall();
    bench.run();
    let pongs: Vec<_> = client
        .received()
        .into_iter()
        .filter(|received| matches!(received, Received::Pong(_)))
        .collect();
    assert_eq!(pongs, [Received::Pong(vec![199; 100])]);
}

#[test]
fn a_flooding_peer_starves_nobody() {
    let mut bench = Bench::with(small(), Script::new(|_, _| ()));
    let flood = bench.client();
    let meek = bench.client();
    bench.happenings();
    for _ in 0..1000 {
        flood.send(&vec![1; KIB]).unwrap();
    }
    let before = flood.remote().moved();
    meek.send("me too").unwrap();
    bench.network.step(&mut bench.engine);
    let moved = flood.remote().moved() - before;
    assert!(moved <= 4 * KIB as u64, "{moved} bytes in one turn");
    assert!(
        bench
            .happenings()
            .contains(&Happening::Text("me too".into()))
    );
}

#[test]
fn pausing_keeps_what_was_read_in_order() {
    let mut bench = Bench::new(|conn, happening| {
        if let Happening::Text(_) = happening {
            conn.pause();
        }
    });
    let client = bench.client();
    let id = bench.last_id();
    bench.happenings();
    for n in 0..10 {
        client.send(&n.to_string()).unwrap();
    }
    bench.run();
    assert_eq!(bench.happenings(), [Happening::Text("0".into())]);
    client.send("10").unwrap();
    client.close(sockeye::CloseCode::NORMAL, "").unwrap();
    for n in 1..=10 {
        bench.run();
        assert_eq!(bench.happenings(), []);
        bench.engine.core().resume(id);
        bench.run();
        assert_eq!(bench.happenings(), [Happening::Text(n.to_string())]);
    }
    bench.engine.core().resume(id);
    bench.run();
    assert!(matches!(&bench.happenings()[..], [Happening::Close(info)] if info.clean));
    bench.assert_empty();
}

#[test]
fn pausing_and_resuming_at_once_changes_nothing() {
    let mut bench = Bench::new(|conn, happening| {
        conn.pause();
        conn.resume();
        conn.pause();
        echo(conn, happening);
        conn.resume();
    });
    let client = bench.remote().websocket("/");
    for n in 0..100 {
        client.send(&n.to_string()).unwrap();
    }
    bench.run();
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(client.texts(), expected);
}

#[test]
fn a_paused_connection_reads_nothing_more() {
    let mut bench = Bench::with(
        small(),
        Script::new(|conn, happening| {
            if *happening == Happening::Open {
                conn.pause();
            }
        }),
    );
    let client = bench.client();
    for _ in 0..100 {
        client.send(&vec![1; KIB]).unwrap();
    }
    bench.advance(seconds(100));
    assert!(client.remote().unread() >= 96 * KIB);
}

#[test]
fn closing_a_paused_connection_still_hears_the_answer() {
    let mut bench = Bench::new(|conn, happening| match happening {
        Happening::Open => conn.pause(),
        Happening::Text(_) => panic!("paused, then closed"),
        _ => {}
    });
    let client = bench.client();
    let id = bench.last_id();
    client.send("unheard").unwrap();
    bench.run();
    bench
        .engine
        .core()
        .close(id, sockeye::CloseCode::NORMAL, "bye");
    bench.run();
    assert!(matches!(&bench.closes()[..], [info] if info.clean));
    bench.assert_empty();
    drop(client);
}

#[test]
fn a_message_larger_than_a_read_arrives_in_chunks_when_streamed() {
    let mut script = Script::new(|_, _| ());
    script.delivery = Delivery::Streaming;
    let mut bench = Bench::with(small(), script);
    let remote = bench.remote();
    remote.write(HANDSHAKE);
    bench.run();
    bench.happenings();
    // Four times what a whole message may have.
    remote.write(&frame(0x82, &vec![5; 64 * KIB]));
    bench.run();
    let mut total = 0;
    let happenings = bench.happenings();
    let count = happenings.len();
    for (index, happening) in happenings.into_iter().enumerate() {
        let Happening::Chunk(data, last) = happening else {
            panic!("{happening:?}")
        };
        total += data.len();
        assert_eq!(last, index + 1 == count);
    }
    assert_eq!(total, 64 * KIB);
}
