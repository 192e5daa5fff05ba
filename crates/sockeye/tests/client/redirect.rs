//! Redirects over the loop: followed only when asked, within one deadline, without credentials
//! where those do not belong.

use std::time::Duration;

use sockeye::{Limits, Step};

use super::support::{Asked, Recorder, Rig, Seen, options};

fn found(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn off_unless_asked_for() {
    let mut rig = Rig::new();
    let server = rig.network.server("a.test:80");
    let asked = rig.connect(&server, options("ws://a.test/"));
    asked.remote.write(found("/b").as_bytes());
    rig.run();
    let failure = rig.client.failure();
    assert!(failure.text.contains("302 Found to /b"), "{failure:?}");
    assert_eq!(failure.refusal.unwrap().headers["location"], "/b");
    assert!(server.accept().is_none());
}

#[test]
fn followed_to_another_server() {
    let mut rig = Rig::new();
    let first = rig.network.server("a.test:80");
    let second = rig.network.server("b.test:81");
    let wanted = options("ws://user:secret@a.test/x?y")
        .cookie("id", "7")
        .unwrap()
        .subprotocol("p")
        .max_redirects(1);
    let asked = rig.connect(&first, wanted);
    assert!(asked.header("Authorization").is_some() && asked.header("Cookie").is_some());
    asked.remote.write(found("http://b.test:81/z").as_bytes());
    rig.run();
    assert!(
        asked.remote.is_released(),
        "the first connection is of no use any more"
    );
    let asked = Asked::new(second.accept().unwrap());
    assert!(
        asked
            .request
            .starts_with("GET /z HTTP/1.1\r\nHost: b.test:81\r\n")
    );
    assert_eq!(asked.header("Authorization"), None);
    assert_eq!(asked.header("Cookie"), None);
    assert_eq!(asked.header("Sec-WebSocket-Protocol"), Some("p"));
    asked.accept();
    rig.run();
    assert!(matches!(rig.client.seen()[..], [Seen::Open(..)]));
    assert_eq!(rig.client.engine.core().connection_count(), 1);
}

#[test]
fn credentials_go_along_within_an_origin() {
    let mut rig = Rig::new();
    let server = rig.network.server("a.test:80");
    let wanted = options("ws://a.test/x").bearer_auth("t").unwrap();
    let asked = rig.connect(&server, wanted.max_redirects(1));
    asked.remote.write(found("y").as_bytes());
    rig.run();
    let asked = Asked::new(server.accept().unwrap());
    assert!(asked.request.starts_with("GET /y "));
    assert_eq!(asked.header("Authorization"), Some("Bearer t"));
}

#[test]
fn a_loop_ends_at_the_limit() {
    let mut rig = Rig::new();
    let server = rig.network.server("a.test:80");
    let mut asked = rig.connect(&server, options("ws://a.test/").max_redirects(200));
    let mut count = 0;
    loop {
        asked.remote.write(found("/").as_bytes());
        rig.run();
        match server.accept() {
            Some(remote) => asked = Asked::new(remote),
            None => break,
        }
        count += 1;
    }
    assert_eq!(count, 10);
    let failure = rig.client.failure();
    assert_eq!(failure.step, Step::Redirect);
    assert!(
        failure.text.contains("the 10 that are followed"),
        "{failure:?}"
    );
    assert_eq!(rig.client.engine.core().connection_count(), 0);
}

#[test]
fn nowhere_but_to_websockets() {
    for (location, expected) in [
        ("file:///etc/passwd", "file:"),
        ("ftp://a.test/", "ftp:"),
        ("http://[", "makes no sense"),
    ] {
        let mut rig = Rig::new();
        let server = rig.network.server("a.test:80");
        let asked = rig.connect(&server, options("ws://a.test/").max_redirects(5));
        asked.remote.write(found(location).as_bytes());
        rig.run();
        let failure = rig.client.failure();
        assert_eq!(failure.step, Step::Redirect);
        assert!(failure.text.contains(expected), "{failure:?}");
    }
}

/// Redirects, each answered late: the deadline is that of the whole.
#[test]
fn the_deadline_is_not_extended() {
    let mut rig = Rig::new();
    let server = rig.network.server("a.test:80");
    let wanted = options("ws://a.test/")
        .max_redirects(9)
        .timeout(Duration::from_secs(5));
    let mut asked = rig.connect(&server, wanted);
    for _ in 0..4 {
        rig.advance(Duration::from_secs(1));
        asked.remote.write(found("/").as_bytes());
        rig.run();
        asked = Asked::new(server.accept().unwrap());
    }
    rig.advance(Duration::from_secs(1));
    let failure = rig.client.failure();
    assert!(failure.text.ends_with("timed out"), "{failure:?}");
}

/// A body that ends with the stream, and one that is cut: the redirect is one all the same.
#[test]
fn a_redirect_without_a_length() {
    for reset in [false, true] {
        let mut rig = Rig::new();
        let server = rig.network.server("a.test:80");
        let asked = rig.connect(&server, options("ws://a.test/").max_redirects(1));
        asked
            .remote
            .write(b"HTTP/1.1 307 X\r\nLocation: /b\r\n\r\nGo there.");
        rig.run();
        if reset {
            asked.remote.reset();
        } else {
            asked.remote.close();
        }
        rig.run();
        let asked = Asked::new(server.accept().unwrap());
        asked.accept();
        rig.run();
        let seen = rig.client.seen();
        assert!(matches!(seen[..], [Seen::Open(..)]), "{seen:?}");
    }
}

#[test]
fn a_server_that_is_not_there() {
    let mut rig = Rig::with(Limits::default(), Recorder::default());
    let server = rig.network.server("a.test:80");
    let asked = rig.connect(&server, options("ws://a.test/").max_redirects(1));
    asked.remote.write(found("ws://b.test/").as_bytes());
    rig.run();
    let failure = rig.client.failure();
    assert_eq!(failure.step, Step::Connect);
    assert!(
        failure.text.starts_with("connect b.test:80: "),
        "{failure:?}"
    );
}
