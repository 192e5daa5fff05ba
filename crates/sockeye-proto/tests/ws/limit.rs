//! Each limit of the machine at its bound and one beyond it.

use std::time::Duration;

use sockeye_proto::ws::{Delivery, Event, Lost, Message, Role, WebSocket};
use sockeye_proto::{CloseCode, Limits, Misuse, Opcode, Violation};

use crate::rig::{Rig, Seen, frame_to};

fn rig(limits: Limits) -> Rig {
    Rig::new(Role::Server, limits, Delivery::Whole)
}

fn send(rig: &mut Rig, opcode: Opcode, fin: bool, payload: &[u8]) {
    rig.receive(&frame_to(Role::Server, opcode, fin, payload));
}

/// What came out, and the code of the one Close in the output.
fn refused(rig: &mut Rig) -> (Vec<Seen>, u16) {
    let (seen, output) = rig.take();
    assert_eq!(output.len(), 1, "{output:?}");
    assert_eq!(output[0].opcode, Opcode::Close);
    (
        seen,
        u16::from_be_bytes([output[0].payload[0], output[0].payload[1]]),
    )
}

#[test]
fn message_len() {
    let limits = Limits {
        message_len: 1000,
        ..Limits::default()
    };
    for opcode in [Opcode::Text, Opcode::Binary] {
        let mut rig = rig(limits.clone());
        send(&mut rig, opcode, true, &[b'x'; 1000]);
        assert_eq!(rig.take().0.len(), 1);
        send(&mut rig, opcode, true, &[b'x'; 1001]);
        let verdict = vec![Seen::violation(Violation::MessageTooBig)];
        assert_eq!(refused(&mut rig), (verdict, 1009));
    }
}

#[test]
fn message_len_by_the_sum() {
    let limits = Limits {
        message_len: 1000,
        ..Limits::default()
    };
    let mut rig = rig(limits);
    for last in [500, 501] {
        send(&mut rig, Opcode::Binary, false, &[1; 300]);
        send(&mut rig, Opcode::Continuation, false, &[2; 200]);
        send(&mut rig, Opcode::Continuation, true, &vec![3; last]);
    }
    let (seen, code) = refused(&mut rig);
    assert!(matches!(&seen[0], Seen::Event("binary", data) if data.len() == 1000));
    assert_eq!(seen[1], Seen::violation(Violation::MessageTooBig));
    assert_eq!(code, 1009);
}

#[test]
fn message_len_zero_lets_empty_messages_through() {
    let mut rig = rig(Limits {
        message_len: 0,
        ..Limits::default()
    });
    send(&mut rig, Opcode::Text, true, b"");
    assert_eq!(rig.take().0, [Seen::text("")]);
    send(&mut rig, Opcode::Text, true, b"x");
    assert_eq!(refused(&mut rig).1, 1009);
}

#[test]
fn frame_len() {
    let mut rig = rig(Limits {
        frame_len: 1000,
        ..Limits::default()
    });
    send(&mut rig, Opcode::Binary, false, &[0; 1000]);
    send(&mut rig, Opcode::Continuation, true, &[0; 1000]);
    assert_eq!(rig.take().0.len(), 1);
    send(&mut rig, Opcode::Binary, true, &[0; 1001]);
    let verdict = vec![Seen::violation(Violation::FrameTooBig)];
    assert_eq!(refused(&mut rig), (verdict, 1009));
}

#[test]
fn fragment_count() {
    let mut rig = rig(Limits {
        fragment_count: 3,
        ..Limits::default()
    });
    for payload in [&b""[..], b"x"] {
        send(&mut rig, Opcode::Text, false, payload);
        send(&mut rig, Opcode::Continuation, false, payload);
        send(&mut rig, Opcode::Ping, true, b"does not count");
        send(&mut rig, Opcode::Continuation, true, payload);
    }
    rig.take();
    send(&mut rig, Opcode::Text, false, b"");
    send(&mut rig, Opcode::Continuation, false, b"");
    send(&mut rig, Opcode::Continuation, false, b"");
    send(&mut rig, Opcode::Continuation, true, b"");
    let verdict = vec![Seen::violation(Violation::TooManyFragments)];
    assert_eq!(refused(&mut rig), (verdict, 1008));
}

#[test]
fn a_message_of_as_many_fragments_as_the_default_allows() {
    let count = Limits::default().fragment_count;
    let one = frame_to(Role::Server, Opcode::Continuation, false, b"x");
    let mut rig = rig(Limits::default());
    send(&mut rig, Opcode::Text, false, b"x");
    rig.receive(&one.repeat(count as usize - 2));
    send(&mut rig, Opcode::Continuation, true, b"x");
    assert_eq!(rig.take().0, [Seen::text(&"x".repeat(count as usize))]);
}

#[test]
fn a_length_that_is_only_announced_takes_no_memory() {
    let limits = Limits {
        message_len: usize::MAX,
        frame_len: u64::MAX,
        ..Limits::default()
    };
    let mut rig = rig(limits);
    let mut bytes = b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0".to_vec();
    bytes.extend([0; 1000]);
    rig.receive(&bytes);
    send(&mut rig, Opcode::Text, true, b"the payload goes on");
    assert_eq!(rig.take(), (vec![], vec![]));
    assert!(rig.socket.is_open());
}

#[test]
fn the_sum_of_lengths_does_not_wrap() {
    let limits = Limits {
        message_len: usize::MAX,
        frame_len: u64::MAX,
        ..Limits::default()
    };
    let mut rig = Rig::new(Role::Server, limits, Delivery::Streaming);
    rig.call(|socket, cx| socket.close_sending(CloseCode::NORMAL, "", cx));
    rig.receive(b"\x02\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0abc");
    let (seen, _) = rig.take();
    assert!(matches!(&seen[0], Seen::Chunk { remaining, .. } if *remaining == (1 << 63) - 4));
}

#[test]
fn streamed_messages_have_no_bound() {
    let limits = Limits {
        message_len: 10,
        frame_len: 10,
        fragment_count: 2,
        ..Limits::default()
    };
    let mut rig = Rig::new(Role::Server, limits, Delivery::Streaming);
    send(&mut rig, Opcode::Binary, false, &[0; 100]);
    for _ in 0..100 {
        send(&mut rig, Opcode::Continuation, false, &[0; 100]);
    }
    assert!(rig.socket.is_open());
}

#[test]
fn what_is_discarded_has_no_bound() {
    let limits = Limits {
        message_len: 10,
        frame_len: 10,
        fragment_count: 2,
        ..Limits::default()
    };
    let mut rig = rig(limits);
    rig.call(|socket, cx| socket.close(CloseCode::NORMAL, "", cx));
    for _ in 0..3 {
        send(&mut rig, Opcode::Text, true, &[0xff; 100]);
    }
    send(&mut rig, Opcode::Close, true, b"\x03\xe8");
    assert_eq!(rig.take().0, [Seen::Close(1000, String::new())]);
}

#[test]
fn control_payloads() {
    let mut rig = rig(Limits::default());
    send(&mut rig, Opcode::Ping, true, &[b'x'; 125]);
    let (seen, output) = rig.take();
    assert_eq!(seen, [Seen::Event("ping", vec![b'x'; 125])]);
    assert_eq!(output[0].payload, [b'x'; 125]);
    rig.call(|socket, cx| socket.ping(&[0; 125], cx));
    rig.call(|socket, cx| socket.pong(&[0; 125], cx));
    assert_eq!(rig.take().1.len(), 2);
    rig.call(|socket, cx| socket.ping(&[0; 126], cx));
    rig.call(|socket, cx| socket.pong(&[0; 126], cx));
    assert_eq!(
        rig.take(),
        (vec![Seen::misuse(Misuse::ControlTooLong); 2], vec![])
    );
    send(&mut rig, Opcode::Ping, true, &[b'x'; 126]);
    assert_eq!(refused(&mut rig).1, 1002);
}

#[test]
fn pong_timeout() {
    let bound = Limits::default().pong_timeout;
    for (late, survives) in [(Duration::ZERO, false), (Duration::from_nanos(1), true)] {
        let mut rig = rig(Limits::default());
        rig.advance(Duration::from_secs(30));
        rig.advance(bound - late);
        send(&mut rig, Opcode::Pong, true, b"");
        assert_eq!(rig.socket.is_open(), survives);
        let lost = rig.take().0.contains(&Seen::lost(Lost::PingTimeout));
        assert_eq!(lost, !survives);
    }
}

#[test]
fn a_blocked_peer_costs_one_pong() {
    let mut rig = rig(Limits::default());
    rig.blocked = true;
    for at in 0..1000u32 {
        send(&mut rig, Opcode::Ping, true, &at.to_be_bytes());
    }
    assert_eq!(rig.take().1, []);
    rig.blocked = false;
    rig.with(|socket, cx| socket.handle_unblocked(cx));
    let (_, output) = rig.take();
    assert_eq!(output.len(), 1);
    assert_eq!(output[0].payload, 999u32.to_be_bytes());
}

#[test]
fn every_illegal_code_is_refused_and_none_is_echoed() {
    for code in 0..=u16::MAX {
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let mut rig = rig(Limits::default());
        send(&mut rig, Opcode::Close, true, &code.to_be_bytes());
        let (seen, answer) = refused(&mut rig);
        if legal {
            assert_eq!(
                (seen, answer),
                (vec![Seen::Close(code, String::new())], code)
            );
        } else {
            let verdict = vec![Seen::violation(Violation::IllegalCloseCode(code))];
            assert_eq!((seen, answer), (verdict, 1002));
        }
    }
}

#[test]
fn a_pong_that_can_go_out_replaces_the_one_that_waits() {
    let mut rig = rig(Limits::default());
    rig.blocked = true;
    send(&mut rig, Opcode::Ping, true, b"old");
    rig.blocked = false;
    send(&mut rig, Opcode::Ping, true, b"new");
    rig.with(|socket, cx| socket.handle_unblocked(cx));
    let (_, output) = rig.take();
    assert_eq!(output.len(), 1);
    assert_eq!(output[0].payload, b"new");
}

/// Where an event lies tells whether it was copied.
#[test]
fn a_whole_frame_is_handed_out_where_it_lies() {
    let mut rig = rig(Limits::default());
    let mut bytes = frame_to(Role::Server, Opcode::Text, true, b"in place");
    bytes.extend(frame_to(Role::Server, Opcode::Binary, true, b"too"));
    bytes.extend(frame_to(Role::Server, Opcode::Ping, true, b"ping"));
    let range = bytes.as_ptr_range();
    let mut input = &mut bytes[..];
    let mut held = Vec::new();
    while let Some(event) = rig
        .with(|socket, cx| socket.receive(&mut input, cx))
        .unwrap()
    {
        // The machine can be used while events are held.
        rig.call(|socket: &mut WebSocket, cx| socket.send(Message::Text("meanwhile"), cx));
        held.push(event);
    }
    let data: Vec<&[u8]> = held
        .iter()
        .map(|event| match event {
            Event::Text(text) => text.as_bytes(),
            Event::Binary(data) | Event::Ping(data) => data,
            _ => &[],
        })
        .collect();
    assert_eq!(data, [&b"in place"[..], b"too", b"ping"]);
    assert!(data.iter().all(|data| range.contains(&data.as_ptr())));
}

#[test]
fn a_connection_at_rest_is_small() {
    assert!(size_of::<WebSocket>() <= 112);
    assert!(size_of::<Option<Event<'_>>>() <= 48);
}
