//! The client's side, the callbacks of both, and who the other one is.

use std::os::fd::AsRawFd;

use sockeye::net::{PeerAddr, canonical_hostname, peer_name};
use sockeye::{
    Accepted, Bytes, CloseCode, CloseInfo, Conn, ConnId, ConnectOptions, Exchange, HeaderName,
    Peer, Protocol, Reject, Request, Response, Text,
};

use crate::visitor::{Got, Visit};
use crate::{House, get};

/// Writes down every callback, on both sides.
#[derive(Default)]
struct Diary {
    lines: Vec<String>,
}

impl Protocol for Diary {
    type Session = &'static str;

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<&'static str>, Reject> {
        Ok(Accepted::new("server"))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, side: &mut &'static str) {
        self.lines.push(format!("{side} open"));
        if *side == "client" {
            conn.send("question");
        }
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, side: &mut &'static str, text: Text<'_>) {
        self.lines.push(format!("{side} text {text}"));
        conn.send(&b"answer"[..]);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, side: &mut &'static str, data: Bytes<'_>) {
        self.lines.push(format!("{side} binary {data:?}"));
        conn.ping(b"?");
    }

    fn on_pong(&mut self, conn: &mut Conn<'_>, side: &mut &'static str, data: Bytes<'_>) {
        self.lines.push(format!("{side} pong {data:?}"));
        conn.close(CloseCode::NORMAL, "");
    }

    fn on_close(&mut self, _: &mut Conn<'_>, side: &'static str, info: &CloseInfo) {
        self.lines.push(format!("{side} {info}"));
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, _: &[u8]) {
        self.lines
            .push(format!("{} {}", request.method(), request.path()));
        http.respond(Response::text("page"));
    }
}

#[test]
fn callbacks() {
    let mut house = House::new(Diary::default());
    let key = house.protocol;
    house.engine.connect(key, &*house.url, "client").unwrap();
    house.until("both ends to be over", |diary| {
        diary
            .lines
            .iter()
            .filter(|line| line.contains("closed"))
            .count()
            == 2
    });
    assert!(get(&mut house.engine, house.address, "/").ends_with("page"));
    assert_eq!(
        house.protocol().lines,
        [
            "server open",
            "client open",
            "server text question",
            "client binary b\"answer\"",
            "client pong b\"?\"",
            "server closed with 1000",
            "client closed with 1000",
            "GET /",
        ]
    );
}

/// Says what the handshake said.
struct Mirror;

impl Protocol for Mirror {
    type Session = String;

    fn accept(&mut self, request: &Request<'_>, _: &Peer) -> Result<Accepted<String>, Reject> {
        let offered: Vec<&str> = request.subprotocols().collect();
        let said = [
            request.target(),
            request.host(),
            request.origin().unwrap_or("-"),
            &offered.join("+"),
            request.header_str("x-more").unwrap_or("-"),
        ];
        Ok(Accepted::new(said.join(" ")).subprotocol("second"))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, said: &mut String) {
        conn.send(&*said);
    }
}

#[test]
fn client_connect() {
    let mut house = House::new(Mirror);
    let host = house.address.to_string();
    let more = HeaderName::from_static("x-more");
    let options = ConnectOptions::new(&format!("{}?a=b", house.url))
        .unwrap()
        .origin(format!("http://{host}"))
        .subprotocol("first")
        .subprotocol("second")
        .header(more, "yes".parse().unwrap());
    let visit = Visit::begin(&mut house.engine, house.visitor, options);
    let expected = format!("/?a=b {host} http://{host} first+second yes");
    visit.expect(&mut house.engine, &expected);
    assert_eq!(house.engine.core().subprotocol(visit.id), Some("second"));

    for url in ["http://127.0.0.1/", "ws://", "127.0.0.1:7681"] {
        assert!(ConnectOptions::new(url).is_err(), "{url}");
    }
}

#[derive(Default)]
struct Guests {
    latest: Option<(ConnId, Peer)>,
}

impl Protocol for Guests {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        self.latest = conn.peer().map(|peer| (conn.id(), peer));
        conn.send("welcome");
    }
}

#[test]
fn addresses_descriptors_and_hanging_up() {
    let mut house = House::new(Guests::default());
    let visit = Visit::open(&mut house.engine, house.visitor, &house.url);
    assert_eq!(visit.got(&mut house.engine), Got::Text("welcome".into()));
    let (id, peer) = house.protocol().latest.clone().unwrap();
    assert!(peer.ip().unwrap().is_loopback());
    // The name service may know no name for it; asking must not fail.
    let _ = peer_name(peer.ip().unwrap());
    assert!(!canonical_hostname().is_empty());

    let core = house.engine.core();
    let descriptor = core.fd(id).unwrap();
    assert!(descriptor.as_raw_fd() > 2);
    let local = core.peer(visit.id).unwrap();
    assert_eq!(*local.addr(), PeerAddr::Tcp(house.address));
    assert_eq!(house.engine.connections(house.protocol), [id]);

    house.engine.core().abort(id);
    assert!(!visit.closed(&mut house.engine).clean);
    assert_eq!(house.engine.connections(house.protocol), []);
    assert!(
        house.engine.core().peer(id).is_none(),
        "the id names nobody now"
    );
}
