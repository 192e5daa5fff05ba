//! Deadlines beyond what dialogues show: called early, called late, out of range.

use std::time::Duration;

use sockeye_proto::ws::{Delivery, Fate, Message, Role, WebSocket};
use sockeye_proto::{CloseCode, Cx, Limits, Misuse, Opcode};

use crate::rig::{Rig, Seen, frame_to};

fn rig(limits: Limits) -> Rig {
    Rig::new(Role::Server, limits, Delivery::Whole)
}

#[test]
fn a_call_too_early_does_nothing() {
    let mut rig = rig(Limits {
        idle_timeout: Some(Duration::from_secs(60)),
        ..Limits::default()
    });
    let due = rig.socket.next_timeout().unwrap();
    for blocked in [true, false] {
        rig.blocked = blocked;
        rig.now = due - Duration::from_nanos(1);
        assert_eq!(rig.with(|socket, cx| socket.handle_timeout(cx)), None);
        assert_eq!(rig.socket.next_timeout(), Some(due));
    }
    assert_eq!(rig.take().1, []);
    rig.now = due;
    assert_eq!(rig.with(|socket, cx| socket.handle_timeout(cx)), None);
    assert_eq!(rig.take().1.len(), 1, "the ping");
}

#[test]
fn a_call_too_late_does_what_is_due() {
    let mut rig = rig(Limits::default());
    rig.now += Duration::from_secs(100);
    rig.with(|socket, cx| socket.handle_timeout(cx));
    assert_eq!(
        rig.take().1.len(),
        1,
        "the ping goes out, and the peer has its time to answer"
    );
    assert_eq!(
        rig.socket.next_timeout(),
        Some(rig.now + Limits::default().pong_timeout)
    );
}

#[test]
fn every_handled_deadline_moves() {
    let limits = Limits {
        ping_interval: Some(Duration::from_secs(1)),
        pong_timeout: Duration::from_secs(3600),
        idle_timeout: Some(Duration::from_secs(1)),
        ..Limits::default()
    };
    let mut rig = rig(limits);
    for _ in 0..5 {
        let Some(due) = rig.socket.next_timeout() else {
            break;
        };
        assert!(due > rig.now || rig.socket.fate() == Fate::Close);
        rig.now = due;
        rig.with(|socket, cx| socket.handle_timeout(cx));
    }
    assert_eq!(rig.socket.next_timeout(), None);
    assert_eq!(rig.socket.fate(), Fate::Close);
}

#[test]
fn times_beyond_the_end_of_time_are_never() {
    let limits = Limits {
        ping_interval: Some(Duration::MAX),
        idle_timeout: Some(Duration::MAX),
        close_timeout: Duration::MAX,
        ..Limits::default()
    };
    let mut rig = rig(limits);
    assert_eq!(rig.socket.next_timeout(), None);
    rig.call(|socket, cx| socket.close(CloseCode::NORMAL, "", cx));
    assert_eq!(rig.socket.next_timeout(), None);
}

#[test]
fn without_keepalive_and_idle_timeout_an_open_connection_has_no_deadline() {
    let mut rig = rig(Limits {
        ping_interval: None,
        ..Limits::default()
    });
    assert_eq!(rig.socket.next_timeout(), None);
    rig.advance(Duration::from_secs(1_000_000));
    assert_eq!(rig.take(), (vec![], vec![]));
}

#[test]
fn a_violation_and_a_finished_handshake_are_bounded_too() {
    let close_timeout = Limits::default().close_timeout;
    let bad = frame_to(Role::Client, Opcode::Text, true, b"unmasked");
    let mut server = rig(Limits::default());
    server.receive(&bad);
    assert_eq!(server.socket.fate(), Fate::HalfClose);

    let mut client = Rig::new(Role::Client, Limits::default(), Delivery::Whole);
    client.receive(&frame_to(Role::Client, Opcode::Close, true, b""));
    assert_eq!(client.socket.fate(), Fate::AwaitEof);

    for mut rig in [server, client] {
        let seen = rig.seen.len();
        let due = rig.now + close_timeout;
        for _ in 0..5 {
            assert_eq!(
                rig.socket.next_timeout(),
                Some(due),
                "traffic moves nothing"
            );
            rig.advance(close_timeout / 5);
            rig.receive(&bad);
        }
        assert_eq!(rig.socket.fate(), Fate::Close);
        assert_eq!(rig.seen.len(), seen, "the end was reported before");
    }
}

#[test]
fn every_way_to_send_a_message_counts_against_idleness() {
    type Send = fn(&mut WebSocket, &mut Cx<'_>) -> Result<(), Misuse>;
    let sends: [(Send, bool); 5] = [
        (|socket, cx| socket.send(Message::Text("x"), cx), true),
        (
            |socket, cx| socket.send_fragment(Message::Text("x"), false, cx),
            true,
        ),
        (
            |socket, cx| socket.send_fragment(Message::Text("x"), true, cx),
            true,
        ),
        (
            |socket, cx| {
                socket.note_sent(cx.now);
                Ok(())
            },
            true,
        ),
        (|socket, cx| socket.ping(b"x", cx), false),
    ];
    for (send, counts) in sends {
        let limits = Limits {
            ping_interval: None,
            idle_timeout: Some(Duration::from_secs(10)),
            ..Limits::default()
        };
        let mut rig = rig(limits);
        let idle = rig.socket.next_timeout();
        rig.advance(Duration::from_secs(9));
        rig.call(send);
        assert_eq!(rig.socket.next_timeout() > idle, counts);
        assert_eq!(rig.take().0, []);
    }
}

#[test]
fn a_blocked_download_is_not_idle() {
    let limits = Limits {
        ping_interval: None,
        idle_timeout: Some(Duration::from_secs(10)),
        ..Limits::default()
    };
    let mut rig = rig(limits);
    rig.blocked = true;
    rig.advance(Duration::from_secs(95));
    assert!(rig.socket.is_open());
    rig.blocked = false;
    rig.advance(Duration::from_secs(5));
    assert!(!rig.socket.is_open());
    rig.receive(&frame_to(Role::Server, Opcode::Close, true, b"\x03\xe9"));
    assert_eq!(rig.take().0, [Seen::Close(1001, String::new())]);
}
