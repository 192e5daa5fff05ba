//! The flow of messages: when to write, when to read, how much is to come, and to everybody.

use std::thread;
use std::time::Duration;

use sockeye::{
    Accepted, Bytes, Chunk, CloseCode, Conn, ConnId, Delivery, Kind, Limits, Peer, Prepared,
    Protocol, Reject, Request, Sent, Text,
};

use crate::House;
use crate::visitor::{Got, Visit};

/// Sends pieces of a long stream, the next ones only when there is room.
#[derive(Default)]
struct Source {
    peak: usize,
}

const PIECE: usize = 64 * 1024;
const PIECES: usize = 256;

impl Protocol for Source {
    type Session = usize;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<usize>, Reject> {
        Ok(Accepted::new(0))
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, sent: &mut usize) {
        while *sent < PIECES {
            *sent += 1;
            let outcome = conn.send_uncompressed(&vec![0; PIECE]);
            self.peak = self.peak.max(conn.backlog());
            if let Sent::Pressed(_) = outcome {
                return conn.request_writable();
            }
        }
    }
}

#[test]
fn callback_on_writable() {
    let mut house = House::new(Source::default());
    let url = house.url.clone();
    let visits = [(); 3].map(|()| Visit::open(&mut house.engine, house.visitor, &url));
    // All of a protocol at once; each asks for itself from then on.
    let key = house.protocol;
    house.engine.core().request_writable_all(key);
    for visit in &visits {
        for _ in 0..PIECES {
            let piece = visit.got(&mut house.engine);
            assert!(piece == Got::Binary(vec![0; PIECE]));
        }
    }
    let high_water = Limits::default().high_water;
    let peak = house.protocol().peak;
    assert!(
        peak > high_water && peak <= high_water + 2 * PIECE,
        "{peak}"
    );
}

/// Asks those who say nothing, then gives them up.
#[derive(Default)]
struct Impatient {
    asked: u32,
}

const PATIENCE: Duration = Duration::from_millis(20);

impl Protocol for Impatient {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        conn.set_timeout(Some(PATIENCE));
        if &*text == "wait" {
            conn.set_timeout(None);
            conn.send("no hurry");
        }
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        self.asked += 1;
        match self.asked {
            1 => {
                conn.send("say something");
                conn.set_timeout(Some(PATIENCE));
            }
            _ => drop(conn.close(CloseCode::POLICY, "silence")),
        }
    }
}

#[test]
fn set_timeout() {
    let mut house = House::new(Impatient::default());
    let patient = Visit::open(&mut house.engine, house.visitor, &house.url);
    house.engine.core().send(patient.id, "wait");
    patient.expect(&mut house.engine, "no hurry");
    house.engine.turn(Some(3 * PATIENCE)).unwrap();
    assert_eq!(house.protocol().asked, 0, "the timeout was taken back");

    let silent = Visit::open(&mut house.engine, house.visitor, &house.url);
    house.engine.core().send(silent.id, "begin");
    silent.expect(&mut house.engine, "say something");
    let info = silent.closed(&mut house.engine);
    assert_eq!((info.code, &*info.reason), (CloseCode::POLICY, "silence"));
    assert_eq!(house.protocol().asked, 2);
}

/// Stops reading after each message.
#[derive(Default)]
struct Careful {
    read: Vec<String>,
    id: Option<ConnId>,
}

impl Protocol for Careful {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        self.id = Some(conn.id());
        self.read.push(text.into_string());
        conn.pause();
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        conn.send(&data);
    }
}

#[test]
fn rx_flow_control() {
    let mut house = House::new(Careful::default());
    let visit = Visit::open(&mut house.engine, house.visitor, &house.url);
    let other = Visit::open(&mut house.engine, house.visitor, &house.url);
    for text in ["one", "two", "three"] {
        house.engine.core().send(visit.id, text);
    }
    for count in 1..=3 {
        house.until("the next message", |careful| careful.read.len() == count);
        // The loop goes on for others, and the rest waits.
        house.engine.core().send(other.id, &vec![1]);
        assert_eq!(other.got(&mut house.engine), Got::Binary(vec![1]));
        assert_eq!(house.protocol().read.len(), count);
        let id = house.protocol().id.unwrap();
        house.engine.core().resume(id);
    }
    assert_eq!(house.protocol().read, ["one", "two", "three"]);
}

#[derive(Default)]
struct Sink {
    chunks: Vec<(Kind, usize, bool, bool, u64)>,
}

impl Protocol for Sink {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()).delivery(Delivery::Streaming))
    }

    fn on_chunk(&mut self, _: &mut Conn<'_>, (): &mut (), chunk: Chunk<'_>) {
        let Chunk {
            kind,
            data,
            first,
            last,
            frame_remaining,
        } = chunk;
        self.chunks
            .push((kind, data.len(), first, last, frame_remaining));
    }
}

#[test]
fn remaining_packet_payload() {
    const LEN: usize = 3_000_000;
    let mut house = House::new(Sink::default());
    let visit = Visit::open(&mut house.engine, house.visitor, &house.url);
    house
        .engine
        .core()
        .send_uncompressed(visit.id, &vec![7; LEN]);
    house.until("the whole message", |sink| {
        sink.chunks.last().is_some_and(|(.., last, _)| *last)
    });
    let chunks = &house.protocol().chunks;
    assert!(chunks.len() > 1, "it comes as it arrives");
    let mut remaining = LEN;
    for (place, (kind, len, first, last, frame_remaining)) in chunks.iter().enumerate() {
        remaining -= len;
        assert_eq!(*kind, Kind::Binary);
        assert_eq!(*first, place == 0);
        assert_eq!(*frame_remaining, remaining as u64);
        assert_eq!(*last, remaining == 0);
    }
}

struct Radio;

impl Protocol for Radio {
    /// Whether it is switched on.
    type Session = bool;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<bool>, Reject> {
        Ok(Accepted::new(true))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, on: &mut bool, text: Text<'_>) {
        *on = &*text == "on";
        conn.send(&text);
    }

    fn on_broadcast(&mut self, conn: &mut Conn<'_>, on: &mut bool, message: &Prepared) {
        if *on {
            conn.send_prepared(message);
        }
    }
}

#[test]
fn broadcast() {
    let mut house = House::new(Radio);
    let url = house.url.clone();
    let [a, b, off] = [(); 3].map(|()| Visit::open(&mut house.engine, house.visitor, &url));
    house.engine.core().send(off.id, "off");
    off.expect(&mut house.engine, "off");

    let (handle, key) = (house.engine.handle(), house.protocol);
    let other_thread = thread::spawn(move || handle.broadcast(key, "news").unwrap());
    for visit in [&a, &b] {
        visit.expect(&mut house.engine, "news");
    }
    other_thread.join().unwrap();
    house
        .engine
        .core()
        .broadcast(key, Prepared::binary(b"more"));
    for visit in [&a, &b] {
        assert_eq!(visit.got(&mut house.engine), Got::Binary(b"more".to_vec()));
    }
    house.engine.core().send(off.id, "on");
    off.expect(&mut house.engine, "on");
    assert_eq!(off.take(), []);
}
