//! Everything that can be written, HTTP and files among it.

use std::fs::File;
use std::io::Write;

use sockeye::{
    Accepted, Body, Bytes, CloseCode, Conn, Exchange, FileBody, HeaderValue, Peer, Protocol,
    Reject, Request, Response, StatusCode, Text,
};

use crate::visitor::{Got, Visit};
use crate::{House, get};

#[derive(Default)]
struct Writer {
    pongs: Vec<Vec<u8>>,
}

impl Protocol for Writer {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        let sent = match &*text {
            "text" => conn.send("läuft"),
            "binary" => conn.send(&b"\0\xff"[..]),
            "ping" => conn.ping(b"are you there"),
            "pong" => conn.pong(b"unasked"),
            "no fin" => {
                conn.send_fragment("one ", false);
                // A control frame may come between.
                conn.pong(b"between");
                conn.send_fragment("message", true)
            }
            _ => conn.close(CloseCode::NORMAL, "as you wish"),
        };
        assert!(sent.is_sent());
    }

    fn on_pong(&mut self, _: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        self.pongs.push(data.into_vec());
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, _: &Request<'_>, _: &[u8]) {
        // As the old API did it: a head, then bytes as they come.
        http.respond(Response::text("").with_body(Body::Stream));
        let id = http.id();
        http.core().send_body(id, b"first ");
        http.core().send_body(id, b"second");
        http.core().finish_body(id);
    }
}

#[test]
fn write() {
    let mut house = House::new(Writer::default());
    let visit = Visit::open(&mut house.engine, house.visitor, &house.url);
    let text = |text: &str| Got::Text(text.to_owned());
    let answers = [
        ("text", vec![text("läuft")]),
        ("binary", vec![Got::Binary(b"\0\xff".to_vec())]),
        ("pong", vec![Got::Pong(b"unasked".to_vec())]),
        (
            "no fin",
            vec![Got::Pong(b"between".to_vec()), text("one message")],
        ),
        ("ping", vec![]),
    ];
    for (request, answers) in answers {
        house.engine.core().send(visit.id, request);
        for answer in answers {
            assert_eq!(visit.got(&mut house.engine), answer);
        }
    }
    house.until("the answer to the ping", |writer| !writer.pongs.is_empty());
    assert_eq!(house.protocol().pongs, [b"are you there"]);

    house.engine.core().send(visit.id, "close");
    let info = visit.closed(&mut house.engine);
    assert!(info.clean);
    assert_eq!(
        (info.code, &*info.reason),
        (CloseCode::NORMAL, "as you wish")
    );

    let page = get(&mut house.engine, house.address, "/");
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    assert_eq!(body, "6\r\nfirst \r\n6\r\nsecond\r\n0\r\n\r\n");
}

struct OneFile {
    file: tempfile::NamedTempFile,
}

impl Protocol for OneFile {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(404))
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, _: &Request<'_>, _: &[u8]) {
        let response = match File::open(self.file.path()).and_then(FileBody::new) {
            Ok(file) => Response::bytes(HeaderValue::from_static("image/x-icon"), file),
            Err(_) => Response::status(StatusCode::NOT_FOUND),
        };
        http.respond(response);
    }
}

#[test]
fn serve_http_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let content = "0123456789".repeat(100_000);
    file.write_all(content.as_bytes()).unwrap();
    let mut house = House::new(OneFile { file });
    let answer = get(&mut house.engine, house.address, "/");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("Content-Type: image/x-icon"), "{head}");
    assert!(head.contains("Content-Length: 1000000"), "{head}");
    assert!(body == content);
}
