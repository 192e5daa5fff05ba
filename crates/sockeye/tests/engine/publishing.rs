//! One message for many: broadcasts, topics, and what else their members are sent meanwhile.

use proptest::prelude::*;
use sockeye::sim::{Faults, Received};
use sockeye::{CloseCode, ConnId, Limits, Prepared};

use crate::support::{Bench, Happening, Script, echo};

#[test]
fn broadcasts_reach_every_open_connection_of_the_protocol() {
    let mut bench = Bench::new(|conn, happening| match happening {
        Happening::Broadcast(data) => {
            conn.send(&data.clone());
        }
        Happening::Text(_) => {
            conn.close(CloseCode::NORMAL, "");
        }
        _ => {}
    });
    let clients: Vec<_> = (0..3).map(|_| bench.client()).collect();
    let other = bench.engine.host(Script::new(echo));
    let core = bench.engine.core();
    core.broadcast(bench.key, Prepared::text("1"));
    core.broadcast(bench.key, Prepared::text("2"));
    core.broadcast(other, Prepared::text("not for us"));
    bench.run();
    for client in &clients {
        let data = |n: &str| Received::Binary(n.into());
        assert_eq!(client.received(), [data("1"), data("2")]);
    }
    clients[0].send("leave").unwrap();
    bench.run();
    bench
        .engine
        .core()
        .broadcast(bench.key, Prepared::text("3"));
    bench.run();
    assert!(
        !clients[0]
            .received()
            .contains(&Received::Binary(b"3".to_vec()))
    );
    assert_eq!(clients[1].received().len(), 1);
}

#[test]
fn topics_end_with_their_last_member() {
    let mut bench = Bench::new(|conn, happening| match happening {
        Happening::Open => {
            assert!(conn.subscribe("room"));
            assert!(!conn.subscribe("room"), "once");
        }
        Happening::Text(text) if text == "leave" => {
            assert!(conn.unsubscribe("room"));
            assert!(!conn.unsubscribe("room"));
        }
        Happening::Text(text) => {
            conn.publish_to_others("room", text);
        }
        Happening::Close(_) => {
            let count = conn.core().subscriber_count("room");
            conn.publish("room", &format!("{count} left"));
        }
        _ => {}
    });
    let clients: Vec<_> = (0..4).map(|_| bench.client()).collect();
    clients[0].send("hello").unwrap();
    bench.run();
    assert!(clients[0].texts().is_empty());
    assert!(
        clients[1..]
            .iter()
            .all(|client| client.texts() == ["hello"])
    );
    clients[1].send("leave").unwrap();
    bench.run();
    assert_eq!(bench.engine.core().subscriber_count("room"), 3);
    assert_eq!(bench.engine.core().publish("room", &Prepared::text("x")), 3);
    bench.run();
    assert!(clients[1].texts().is_empty());
    clients[2].close(CloseCode::NORMAL, "").unwrap();
    bench.run();
    assert_eq!(
        clients[0].texts(),
        ["x", "2 left"],
        "who leaves is no member any more"
    );
    clients[3].remote().reset();
    bench.run();
    assert_eq!(clients[0].texts(), ["1 left"]);
    clients[0].remote().reset();
    bench.run();
    assert_eq!(bench.engine.core().subscriber_count("room"), 0);
}

#[test]
fn a_connection_has_so_many_topics_and_no_more() {
    let limits = Limits {
        topics_per_connection: 3,
        ..Limits::default()
    };
    let mut bench = Bench::with(limits, Script::new(echo));
    let _client = bench.client();
    let id = bench.last_id();
    let core = bench.engine.core();
    assert!(
        ["a", "b", "c"]
            .iter()
            .all(|topic| core.subscribe(id, topic))
    );
    assert!(!core.subscribe(id, "d"));
    assert!(core.unsubscribe(id, "a"));
    assert!(core.subscribe(id, "d"));
    assert_eq!(core.subscriber_count("a"), 0);
}

#[test]
fn a_published_message_does_not_break_into_fragments() {
    let mut bench = Bench::new(echo);
    let client = bench.client();
    let id = bench.last_id();
    let core = bench.engine.core();
    core.subscribe(id, "t");
    assert!(core.send_fragment(id, "one ".into(), false).is_sent());
    assert_eq!(core.publish("t", &Prepared::text("no")), 0);
    assert!(core.send_fragment(id, "two".into(), true).is_sent());
    assert_eq!(core.publish("t", &Prepared::text("yes")), 1);
    bench.run();
    assert_eq!(client.texts(), ["one two", "yes"]);
}

/// What is sent, to whom.
#[derive(Clone, Debug)]
enum Deed {
    /// To all members of a topic.
    Publish(&'static str, usize),
    /// To all but one.
    PublishExcept(&'static str, usize, usize),
    /// To one alone.
    Send(usize, usize),
    /// The same message to one twice.
    Twice(usize, usize),
    Ping(usize),
    /// A turn.
    Turn,
}

const MEMBERS: usize = 6;

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let topic = || prop_oneof![3 => Just("all"), 1 => Just("odd")];
    // Short ones are in memory once, long ones are segments; empty ones are messages, too.
    let len = || prop_oneof![8 => 0usize..100, 1 => 1000usize..1100, 1 => 2000usize..3000];
    let deed = prop_oneof![
        6 => (topic(), len()).prop_map(|(topic, len)| Deed::Publish(topic, len)),
        1 => (topic(), 0..MEMBERS, len()).prop_map(|(topic, one, len)| Deed::PublishExcept(topic, one, len)),
        2 => (0..MEMBERS, len()).prop_map(|(one, len)| Deed::Send(one, len)),
        1 => (0..MEMBERS, len()).prop_map(|(one, len)| Deed::Twice(one, len)),
        1 => (0..MEMBERS).prop_map(Deed::Ping),
        1 => Just(Deed::Turn),
    ];
    proptest::collection::vec(deed, 1..60)
}

proptest! {
    /// However publishing and sending mix, and however slowly some take it.
    #[test]
    fn each_gets_what_it_was_sent_in_order(deeds in deeds(), window in 1usize..3000) {
        let mut bench = Bench::new(|_, _| {});
        let clients: Vec<_> = (0..MEMBERS)
            .map(|index| {
                let faults = Faults::none();
                bench.network.set_faults(match index {
                    0 => faults.write_len(7),
                    1 => faults.window(window),
                    _ => faults,
                });
                let client = bench.client();
                (bench.last_id(), client)
            })
            .collect();
        let id = |index: usize| -> ConnId { clients[index].0 };
        for index in 0..MEMBERS {
            bench.engine.core().subscribe(id(index), "all");
            if index % 2 == 1 {
                bench.engine.core().subscribe(id(index), "odd");
            }
        }
        let mut expected = vec![Vec::new(); MEMBERS];
        for (count, deed) in deeds.into_iter().enumerate() {
            let message = |len: usize| Prepared::binary(&vec![count as u8; len]);
            let mut note = |index: usize, len: usize| expected[index].push(vec![count as u8; len]);
            let is_member = |topic: &str, index: usize| topic == "all" || index % 2 == 1;
            let core = bench.engine.core();
            match deed {
                Deed::Publish(topic, len) => {
                    let members = (0..MEMBERS).filter(|&index| is_member(topic, index));
                    prop_assert_eq!(core.publish(topic, &message(len)), members.clone().count());
                    members.for_each(|index| note(index, len));
                }
                Deed::PublishExcept(topic, except, len) => {
                    core.publish_except(topic, &message(len), id(except));
                    (0..MEMBERS)
                        .filter(|&index| is_member(topic, index) && index != except)
                        .for_each(|index| note(index, len));
                }
                Deed::Send(index, len) => {
                    core.send(id(index), &vec![count as u8; len][..]);
                    note(index, len);
                }
                Deed::Twice(index, len) => {
                    let message = message(len);
                    for _ in 0..2 {
                        core.send_prepared(id(index), &message);
                        note(index, len);
                    }
                }
                Deed::Ping(index) => drop(core.ping(id(index), b"are you there")),
                Deed::Turn => drop(bench.network.step(&mut bench.engine)),
            }
        }
        bench.run();
        for ((_, client), expected) in clients.iter().zip(expected) {
            let received: Vec<_> = client
                .received()
                .into_iter()
                .filter_map(|received| match received {
                    Received::Binary(data) => Some(data),
                    _ => None,
                })
                .collect();
            prop_assert!(received == expected);
            prop_assert!(client.is_open());
        }
    }
}
