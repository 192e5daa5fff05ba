//! Pausing and resuming: what waited comes first, and nothing is lost.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use sockeye::{Accepted, Conn, Engine, Peer, Protocol, Reject, Request, Text};

const COUNT: u32 = 20_000;

/// Takes one message a turn: pauses behind each, and goes on when there is room to write.
struct OneByOne {
    next: u32,
}

impl Protocol for OneByOne {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        let in_order = text.parse() == Ok(self.next);
        self.next += 1;
        if !in_order || self.next == COUNT {
            conn.send(&text);
        }
        conn.pause();
        conn.request_writable();
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.resume();
    }
}

#[test]
fn what_waited_comes_before_what_came_later() {
    let mut engine = Engine::new().unwrap();
    let protocol = engine.host(OneByOne { next: 0 });
    let listener = engine.listen("127.0.0.1:0").unwrap();
    let addr = listener.route("/", protocol).local_addr().tcp().unwrap();
    let handle = engine.handle();
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(request).unwrap();
        // More than one read takes, so that something always comes later.
        let mut frames = Vec::new();
        for number in 0..COUNT {
            // A mask of zeros leaves the text as it is.
            frames.extend([0x81, 0x80 | 100, 0, 0, 0, 0]);
            frames.extend(format!("{number:0>100}").bytes());
        }
        let writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || (&writer).write_all(&frames).unwrap());
        let mut answer = Vec::new();
        while !answer.ends_with(format!("{:0>100}", COUNT - 1).as_bytes()) {
            let mut buffer = [0; 1024];
            match stream.read(&mut buffer).unwrap() {
                0 => break,
                len => answer.extend_from_slice(&buffer[..len]),
            }
        }
        writing.join().unwrap();
        handle.shutdown(Duration::ZERO).unwrap();
        answer
    });
    engine.run().unwrap();
    let answer = String::from_utf8_lossy(&client.join().unwrap()).into_owned();
    let (_, frames) = answer.split_once("\r\n\r\n").unwrap();
    // Nothing but the last one: every other answer is a message out of order.
    assert!(frames.len() < 110, "{frames}");
    assert!(frames.ends_with(&format!("{}", COUNT - 1)), "{frames}");
}
