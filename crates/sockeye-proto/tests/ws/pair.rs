//! A client and a server machine joined by a wire that cuts as it likes: what one sends is what
//! the other reports.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;
use sockeye_proto::ws::{Delivery, Fate, Kind, Message, Prepared, Role};
use sockeye_proto::{CloseCode, Limits};

use crate::rig::{Choice, Rig, Seen, joined};

#[derive(Debug, Clone)]
enum Say {
    Text(String),
    Binary(Vec<u8>),
    /// One message in several frames, with a ping in the midst.
    Fragments(Vec<String>),
    Ping(Vec<u8>),
    /// Let some bytes through.
    Flow(usize),
    Block(bool),
}

fn say() -> impl Strategy<Value = (bool, Say)> {
    let say = prop_oneof![
        "[ -~äöü€😀]{0,200}".prop_map(Say::Text),
        vec(any::<u8>(), 0..300).prop_map(Say::Binary),
        (60_000usize..70_000).prop_map(|len| Say::Binary(vec![0x5a; len])),
        vec("[a-z😀]{0,30}", 1..5).prop_map(Say::Fragments),
        vec(any::<u8>(), 0..=125).prop_map(Say::Ping),
        (1usize..500).prop_map(Say::Flow),
        any::<bool>().prop_map(Say::Block),
    ];
    (any::<bool>(), say)
}

/// Two machines and the bytes between them.
struct Pair {
    ends: [Rig; 2],
    /// On the way to each end.
    wires: [VecDeque<u8>; 2],
    choice: Choice,
}

/// What is spoken, by its number; 13 is RFC 6455.
type Number = u8;

impl Pair {
    fn new(delivery: Delivery, number: Number, seed: u64) -> Self {
        let rig = |role| {
            let rig = Rig::new(role, Limits::default(), delivery);
            match number {
                #[cfg(feature = "drafts")]
                0..13 => rig.speaking(number),
                _ => rig,
            }
        };
        Self {
            ends: [rig(Role::Client), rig(Role::Server)],
            wires: [VecDeque::new(), VecDeque::new()],
            choice: Choice::new(seed),
        }
    }

    /// Carries up to `budget` bytes each way, in pieces of any size.
    fn flow(&mut self, mut budget: usize) {
        loop {
            for end in 0..2 {
                let output = std::mem::take(&mut self.ends[end].output);
                self.wires[1 - end].extend(output);
            }
            let end = self.choice.below(2);
            let end = if self.wires[end].is_empty() {
                1 - end
            } else {
                end
            };
            let wire = &mut self.wires[end];
            if wire.is_empty() || budget == 0 {
                return;
            }
            let most = if self.choice.below(4) == 0 { 3 } else { 20_000 };
            let len = (self.choice.below(most) + 1).min(wire.len()).min(budget);
            budget -= len;
            let piece: Vec<u8> = wire.drain(..len).collect();
            self.ends[end].receive(&piece);
        }
    }

    fn block(&mut self, end: usize, blocked: bool) {
        self.ends[end].blocked = blocked;
        if !blocked {
            self.ends[end].with(|socket, cx| socket.handle_unblocked(cx));
        }
    }
}

/// Says it at one end and returns what the other must report.
fn speak(rig: &mut Rig, say: &Say) -> Vec<Seen> {
    match say {
        Say::Text(text) => {
            // A prepared message is the same message.
            let prepared = Prepared::text(text);
            rig.call(|socket, cx| match socket.role() {
                Role::Client => socket.send(prepared.message(), cx),
                Role::Server => {
                    socket.may_send()?;
                    let frame = socket.frame_of(&prepared, cx.shared);
                    cx.output.extend_from_slice(&frame);
                    socket.note_sent(cx.now);
                    Ok(())
                }
            });
            vec![Seen::text(text)]
        }
        Say::Binary(data) => {
            rig.call(|socket, cx| socket.send(Message::Binary(data), cx));
            vec![Seen::binary(data)]
        }
        Say::Fragments(fragments) => {
            for (at, fragment) in fragments.iter().enumerate() {
                let last = at + 1 == fragments.len();
                rig.call(|socket, cx| socket.send_fragment(Message::Text(fragment), last, cx));
                if !last {
                    rig.call(|socket, cx| socket.ping(b"amid", cx));
                }
            }
            let pings = (1..fragments.len()).map(|_| Seen::Event("ping", b"amid".to_vec()));
            pings.chain([Seen::text(&fragments.concat())]).collect()
        }
        Say::Ping(data) => {
            rig.call(|socket, cx| socket.ping(data, cx));
            vec![Seen::Event("ping", data.clone())]
        }
        Say::Flow(_) | Say::Block(_) => Vec::new(),
    }
}

/// Streamed messages made whole again, so that both deliveries compare. Pings amid a message move
/// in front of it, where a whole delivery reports them.
fn whole(seen: Vec<Seen>) -> Vec<Seen> {
    let mut whole = Vec::new();
    let mut message: Option<Vec<u8>> = None;
    for seen in joined(seen) {
        let Seen::Chunk {
            kind,
            first,
            last,
            data,
            ..
        } = seen
        else {
            whole.push(seen);
            continue;
        };
        assert_eq!(first, message.is_none(), "`first` marks the beginning");
        let mut so_far = message.take().unwrap_or_default();
        so_far.extend(data);
        if !last {
            message = Some(so_far);
            continue;
        }
        whole.push(match kind {
            Kind::Text => Seen::Event("text", so_far),
            Kind::Binary => Seen::Event("binary", so_far),
        });
    }
    assert_eq!(message, None, "every message ends");
    whole
}

/// How the end of a conversation is reported, to who was told and to who told.
fn closes(number: Number) -> [Seen; 2] {
    let close = |code, reason: &str| Seen::Close(code, reason.to_owned());
    match number {
        0 | 4 | 5 => [close(1005, ""), close(1005, "")],
        // What came is what goes back.
        _ => [close(1001, "bye"), close(1001, "bye")],
    }
}

fn converse(
    number: Number,
    talk: &[(bool, Say)],
    delivery: Delivery,
    closer: usize,
    drain: bool,
    seed: u64,
) -> Result<(), TestCaseError> {
    let mut pair = Pair::new(delivery, number, seed);
    let mut expected = [Vec::new(), Vec::new()];
    for (who, say) in talk {
        let end = usize::from(*who);
        expected[1 - end].extend(speak(&mut pair.ends[end], say));
        match say {
            Say::Flow(budget) => pair.flow(*budget),
            Say::Block(blocked) => pair.block(end, *blocked),
            _ => {}
        }
    }
    pair.block(0, false);
    pair.block(1, false);
    if !drain {
        pair.flow(usize::MAX);
    }
    pair.ends[closer].call(|socket, cx| {
        let code = CloseCode::GOING_AWAY;
        match drain {
            true => socket.close_sending(code, "bye", cx),
            false => socket.close(code, "bye", cx),
        }
    });
    let [told, teller] = closes(number);
    expected[1 - closer].push(told);
    expected[closer].push(teller);
    pair.flow(usize::MAX);

    let [client, server] = &mut pair.ends;
    prop_assert_eq!(client.socket.fate(), Fate::AwaitEof);
    prop_assert_eq!(server.socket.fate(), Fate::Close);
    prop_assert!(client.with(|socket, cx| socket.receive_eof(cx)).is_none());
    for (rig, expected) in pair.ends.iter_mut().zip(expected) {
        let (seen, output) = rig.take();
        prop_assert!(output.is_empty());
        // Which pongs come depends on the blocking; that none is made up does not.
        let is_pong = |seen: &Seen| matches!(seen, Seen::Event("pong", _));
        let (pongs, seen): (Vec<_>, Vec<_>) = seen.into_iter().partition(is_pong);
        prop_assert_eq!(whole(seen), expected);
        for pong in pongs {
            let asked = talk.iter().any(|(_, say)| match (say, &pong) {
                (Say::Ping(ping), Seen::Event(_, data)) => ping == data,
                (Say::Fragments(_), Seen::Event(_, data)) => data == b"amid",
                _ => false,
            });
            prop_assert!(asked);
        }
    }
    Ok(())
}

fn delivery(streaming: bool) -> Delivery {
    match streaming {
        true => Delivery::Streaming,
        false => Delivery::Whole,
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_sent_is_received(
        talk in vec(say(), 0..30),
        streaming: bool,
        closer in 0usize..2,
        drain: bool,
        seed: u64,
    ) {
        converse(13, &talk, delivery(streaming), closer, drain, seed)?;
    }
}

#[cfg(feature = "drafts")]
proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn so_it_is_in_old_versions(
        number in prop_oneof![Just(0), Just(4), Just(5), Just(6), Just(7), Just(8)],
        mut talk in vec(say(), 0..20),
        streaming: bool,
        closer in 0usize..2,
        drain: bool,
        seed: u64,
    ) {
        if number == 0 {
            talk.retain(|(_, say)| matches!(say, Say::Text(_) | Say::Flow(_) | Say::Block(_)));
        }
        converse(number, &talk, delivery(streaming), closer, drain, seed)?;
    }
}
