//! Who may come in.

use std::cell::Cell;
use std::rc::Rc;

use sockeye::{
    Accepted, ConnectOptions, Engine, HeaderName, Peer, Protocol, Reject, Request, Response,
    StatusCode, on_message,
};

use crate::visitor::{Visit, until};
use crate::{House, exchange, get};

#[test]
fn filter_network_connection() {
    let mut engine = Engine::new().unwrap();
    let page = engine.host(on_message(|_, _| ()));
    let open = Rc::new(Cell::new(false));
    let filter = {
        let open = Rc::clone(&open);
        move |peer: &Peer| {
            assert!(peer.ip().unwrap().is_loopback());
            open.get()
        }
    };
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/", page);
    let listener = listener.filter(filter);
    let address = listener.local_addr().tcp().unwrap();

    assert_eq!(get(&mut engine, address, "/"), "", "closed without a word");
    assert_eq!(engine.core().stats().refused, 1);
    open.set(true);
    assert!(get(&mut engine, address, "/").starts_with("HTTP/1.1 426 "));
}

const COOKIE: HeaderName = HeaderName::from_static("cookie");

/// Lets in who shows a cookie and comes from the right page.
struct Doorkeeper;

impl Protocol for Doorkeeper {
    type Session = ();

    fn accept(&mut self, request: &Request<'_>, peer: &Peer) -> Result<Accepted<()>, Reject> {
        assert!(peer.ip().unwrap().is_loopback());
        match request.header_str("cookie") {
            Some("key=right") => Ok(Accepted::new(())),
            Some(_) => Err(Reject::status(403)),
            None => {
                let response = Response::error(StatusCode::UNAUTHORIZED, "bring your key");
                Err(response
                    .header("WWW-Authenticate", "Cookie")
                    .unwrap()
                    .into())
            }
        }
    }
}

#[test]
fn filter_protocol_connection() {
    let mut house = House::new(Doorkeeper);
    for (cookie, status) in [(None, "401"), (Some("key=wrong"), "403")] {
        let mut options = ConnectOptions::new(&house.url).unwrap();
        if let Some(cookie) = cookie {
            options = options.header(COOKIE, cookie.parse().unwrap());
        }
        let visit = Visit::begin(&mut house.engine, house.visitor, options);
        let error = visit.error(&mut house.engine);
        assert!(error.contains(status), "{error}");
    }
    let options = ConnectOptions::new(&house.url).unwrap();
    let options = options.header(COOKIE, "key=right".parse().unwrap());
    let visit = Visit::begin(&mut house.engine, house.visitor, options);
    until(&mut house.engine, "the right key to open", |_| {
        visit.is_open()
    });

    // The rules of the handshake itself need no program: RFC 6455 §4.4.
    let old = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\
               Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 8\r\n\r\n";
    let answer = exchange(&mut house.engine, house.address, old).to_lowercase();
    assert!(answer.starts_with("http/1.1 426 "), "{answer}");
    assert!(answer.contains("sec-websocket-version: 13"), "{answer}");
}
