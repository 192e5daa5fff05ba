//! Messages that are dropped from the queue, though later ones could have referred to them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use sockeye::deflate::Settings;
use sockeye::{
    Accepted, CloseInfo, Conn, ConnId, ConnectOptions, Engine, Limits, Overflow, Peer, Protocol,
    Reject, Request, Text,
};

#[derive(Default)]
struct Log {
    server: Option<ConnId>,
    client: Option<ConnId>,
    heard: Vec<String>,
    ended: Option<CloseInfo>,
}

struct Ends(Rc<RefCell<Log>>);

/// Whether it is the client.
impl Protocol for Ends {
    type Session = bool;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<bool>, Reject> {
        Ok(Accepted::new(false).overflow(Overflow::DropOldest))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, is_client: &mut bool) {
        let settings = conn.deflate().unwrap();
        assert!(!settings.server_no_context_takeover);
        let mut log = self.0.borrow_mut();
        match is_client {
            true => log.client = Some(conn.id()),
            false => log.server = Some(conn.id()),
        }
    }

    fn on_text(&mut self, _: &mut Conn<'_>, _: &mut bool, text: Text<'_>) {
        self.0.borrow_mut().heard.push(text.into_string());
    }

    fn on_close(&mut self, _: &mut Conn<'_>, _: bool, info: &CloseInfo) {
        self.0.borrow_mut().ended = Some(info.clone());
    }
}

/// Hexadecimal digits: half of it goes.
fn digits(seed: u64) -> String {
    let mut state = seed | 1;
    let mut text = format!("{seed} ");
    while text.len() < 20_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text += &format!("{state:016x}");
    }
    text
}

#[test]
fn what_is_dropped_was_not_referred_to() {
    let limits = Limits {
        message_len: 64 * 1024,
        frame_len: 64 * 1024,
        high_water: 64 * 1024,
        low_water: 16 * 1024,
        backlog_len: 256 * 1024,
        ping_interval: None,
        ..Limits::default()
    };
    let mut engine = Engine::builder()
        .limits(limits)
        .deflate(Settings::takeover())
        .build()
        .unwrap();
    let log = Rc::new(RefCell::new(Log::default()));
    let ends = engine.host(Ends(Rc::clone(&log)));
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", ends);
    let url = format!("ws://{}/", listener.local_addr());
    let options = ConnectOptions::new(&url).unwrap();
    engine.connect(ends, options, true).unwrap();
    let turn = |engine: &mut Engine| engine.turn(Some(Duration::from_millis(10))).unwrap();
    let (server, client) = loop {
        turn(&mut engine);
        let log = log.borrow();
        if let (Some(server), Some(client)) = (log.server, log.client) {
            break (server, client);
        }
    };
    engine.core().pause(client);
    let mut sent: Vec<String> = Vec::new();
    // Until a good part of them was dropped; now and then the same again, to be referred to.
    while engine.core().stats().dropped < 200 {
        let text = match sent.len() % 3 {
            0 if !sent.is_empty() => sent[sent.len() - 1].clone(),
            _ => digits(sent.len() as u64),
        };
        engine.core().send(server, &text);
        sent.push(text);
        turn(&mut engine);
    }
    engine.core().resume(client);
    let last = "the last one";
    while log.borrow().heard.last().is_none_or(|text| text != last) {
        assert_eq!(log.borrow().ended, None);
        engine.core().send(server, last);
        turn(&mut engine);
    }
    let log = log.borrow();
    let heard: Vec<&String> = log.heard.iter().filter(|text| *text != last).collect();
    assert!(heard.len() > 20 && heard.len() < sent.len() - 100);
    // What came is what was sent, in order.
    let mut rest = sent.iter();
    assert!(heard.iter().all(|heard| rest.any(|sent| sent == *heard)));
}
