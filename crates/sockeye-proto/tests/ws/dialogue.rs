//! Plays every golden dialogue: as written, glued, cut at every place and byte by byte. Events and
//! output must be the same.

use std::path::Path;

use sockeye_proto::CloseCode;
use sockeye_proto::ws::{Fate, Kind, Message};

use crate::rig::{Rig, Seen, joined};
use crate::talk::{Act, Check, Pattern, Talk, Turn};

/// How the bytes of one turn are divided into reads.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Not at all.
    Whole,
    /// Into two, in every turn that is long enough.
    At(usize),
    /// Into pieces of this size.
    Every(usize),
}

impl Cut {
    fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        match self {
            Self::Whole => vec![bytes],
            Self::At(at) => {
                let (a, b) = bytes.split_at(at.min(bytes.len()));
                vec![a, b]
            }
            Self::Every(size) => bytes.chunks(size).collect(),
        }
    }
}

#[test]
fn dialogues_go_as_written_however_they_are_cut() {
    let talks = talks();
    assert!(talks.len() >= 25, "only {} dialogues", talks.len());
    for (name, source) in &talks {
        let talk = Talk::parse(source);
        let longest = talk.turns.iter().map(|turn| match &turn.act {
            Act::Receive(bytes) => bytes.len(),
            _ => 0,
        });
        let longest = longest.max().unwrap_or(0);
        play(name, &talk, Cut::Whole);
        for size in [1, 2, 3, 7, 64] {
            play(name, &talk, Cut::Every(size));
        }
        for at in 0..longest.min(600) {
            play(name, &talk, Cut::At(at));
        }
        play_glued(name, &talk);
    }
}

fn rig(talk: &Talk) -> Rig {
    let rig = Rig::new(talk.role, talk.limits.clone(), talk.delivery);
    match talk.version {
        #[cfg(feature = "drafts")]
        Some(version) => rig.speaking(version),
        _ => rig,
    }
}

fn play(name: &str, talk: &Talk, cut: Cut) {
    let mut rig = rig(talk);
    for turn in &talk.turns {
        let place = format!("{name}.talk line {} ({cut:?})", turn.line);
        act(&mut rig, &turn.act, cut);
        settle(&mut rig, &place, &turn.reports, &turn.answers);
        check(&rig, &place, turn);
    }
}

/// Joins what the peer sends in successive turns into one read.
fn play_glued(name: &str, talk: &Talk) {
    let mut rig = rig(talk);
    let mut turns = talk.turns.iter().peekable();
    while let Some(turn) = turns.next() {
        let mut last = turn;
        let mut bytes = match &turn.act {
            Act::Receive(bytes) => bytes.clone(),
            _ => Vec::new(),
        };
        let (mut reports, mut answers) = (turn.reports.clone(), turn.answers.clone());
        let receives = |turn: &&&Turn| matches!(turn.act, Act::Receive(_));
        while receives(&&turn) {
            let Some(next) = turns.next_if(|next| receives(&next)) else {
                break;
            };
            if let Act::Receive(more) = &next.act {
                bytes.extend(more);
            }
            reports.extend(next.reports.iter().cloned());
            answers.extend(next.answers.iter().cloned());
            last = next;
        }
        match &turn.act {
            Act::Receive(_) => rig.receive(&bytes),
            other => act(&mut rig, other, Cut::Whole),
        }
        let place = format!("{name}.talk up to line {} (glued)", last.line);
        settle(&mut rig, &place, &reports, &answers);
        check(&rig, &place, last);
    }
}

fn act(rig: &mut Rig, act: &Act, cut: Cut) {
    let message = |kind, data| match kind {
        Kind::Text => Message::Text(std::str::from_utf8(data).unwrap()),
        Kind::Binary => Message::Binary(data),
    };
    match act {
        Act::Receive(bytes) => cut
            .pieces(bytes)
            .into_iter()
            .for_each(|piece| rig.receive(piece)),
        Act::Send(kind, data) => rig.call(|socket, cx| socket.send(message(*kind, data), cx)),
        Act::Fragment(kind, data, last) => {
            rig.call(|socket, cx| socket.send_fragment(message(*kind, data), *last, cx));
        }
        Act::Ping(data) => rig.call(|socket, cx| socket.ping(data, cx)),
        Act::Pong(data) => rig.call(|socket, cx| socket.pong(data, cx)),
        Act::Close {
            code,
            reason,
            drain,
        } => rig.call(|socket, cx| {
            let code = CloseCode::try_from(*code)?;
            match drain {
                true => socket.close_sending(code, reason, cx),
                false => socket.close(code, reason, cx),
            }
        }),
        Act::Eof => {
            let event = rig.with(|socket, cx| socket.receive_eof(cx));
            rig.seen.extend(event.map(Seen::from));
        }
        #[cfg(feature = "drafts")]
        Act::Bare => rig.with(|socket, _| socket.dangerously_unmask(true)),
        #[cfg(not(feature = "drafts"))]
        Act::Bare => panic!("there is no such call"),
        Act::Block(true) => rig.blocked = true,
        Act::Block(false) => {
            rig.blocked = false;
            rig.with(|socket, cx| socket.handle_unblocked(cx));
        }
        Act::Pass(time) => rig.advance(*time),
    }
}

/// Compares what happened in a turn with what is written.
fn settle(rig: &mut Rig, place: &str, reports: &[Seen], answers: &[Pattern]) {
    let seen = joined(std::mem::take(&mut rig.seen));
    let expected = joined(reports.to_vec());
    assert_eq!(seen, expected, "{place}: reports");

    let output = std::mem::take(&mut rig.output);
    let mut rest = &output[..];
    for answer in answers {
        let Some((head, behind)) = rest.split_at_checked(answer.plain.len()) else {
            break;
        };
        let Some(masked) = &answer.masked else {
            assert_eq!(Pattern::new(head.to_vec(), None), *answer, "{place}");
            rest = behind;
            continue;
        };
        let (key, behind) = behind.split_at(4);
        let (body, behind) = behind.split_at(masked.len());
        let body = body
            .iter()
            .zip(key.iter().cycle())
            .map(|(a, b)| a ^ b)
            .collect();
        assert_eq!(Pattern::new(head.to_vec(), Some(body)), *answer, "{place}");
        rest = behind;
    }
    let written: usize = answers
        .iter()
        .map(|answer| answer.plain.len() + answer.masked.as_ref().map_or(0, |body| 4 + body.len()))
        .sum();
    assert_eq!(
        output.len(),
        written,
        "{place}: output {:?}",
        output.escape_ascii().to_string()
    );
}

fn check(rig: &Rig, place: &str, turn: &Turn) {
    for check in &turn.checks {
        match check {
            Check::Fate(fate) => {
                let is = match rig.socket.fate() {
                    Fate::Keep => "keep",
                    Fate::AwaitEof => "await-eof",
                    Fate::HalfClose => "half-close",
                    Fate::Close => "close",
                };
                assert_eq!(is, fate, "{place}");
            }
            Check::Timeout(time) => {
                let due = rig.socket.next_timeout().map(|due| due - rig.now);
                assert_eq!(due, *time, "{place}");
            }
        }
    }
}

fn talks() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/conversations");
    let mut talks: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "talk")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .filter(|(_, source)| cfg!(feature = "drafts") || !source.contains("\nversion "))
        .collect();
    talks.sort();
    talks
}
