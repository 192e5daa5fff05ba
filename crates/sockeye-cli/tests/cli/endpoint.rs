//! The built-in endpoints of `serve`, by path and by subprotocol.

use crate::peer::{BINARY, CLOSE, CONTINUATION, Frame, TEXT, ask, close, field, open};
use crate::process::Server;

#[test]
fn echo_sends_every_message_back_as_it_came() {
    for driver in ["epoll", "uring", "poll", "auto"] {
        let server = Server::start(&["--driver", driver]);
        let mut peer = open(server.connect(), "/echo");
        let long = "ü".repeat(100_000);
        peer.send(TEXT, "hello");
        peer.send(BINARY, [0, 255]);
        peer.send(TEXT, &long);
        peer.send(BINARY, "");
        peer.expect(TEXT, "hello");
        peer.expect(BINARY, [0, 255]);
        peer.expect(TEXT, &long);
        peer.expect(BINARY, "");
        peer.send(CLOSE, close(1000, "bye"));
        assert_eq!(peer.receive_close(), 1000);
        assert_eq!(peer.receive(), None);
    }
}

#[test]
fn echo_sends_messages_in_frames_if_asked_to() {
    let server = Server::start(&[]);
    let mut peer = open(server.connect(), "/echo?frame=3");
    for (opcode, message, frames) in [
        (TEXT, "aüö", &["aü", "ö"][..]),
        (BINARY, "123", &["123"]),
        (BINARY, "1234", &["123", "4"]),
        (TEXT, "", &[""]),
    ] {
        peer.send(opcode, message);
        for (index, data) in frames.iter().enumerate() {
            let opcode = if index == 0 { opcode } else { CONTINUATION };
            let mut frame = Frame::new(opcode, data);
            frame.last = index + 1 == frames.len();
            assert_eq!(peer.receive(), Some(frame), "{message}");
        }
    }
    for wrong in ["0", "", "x", "-1"] {
        let path = format!("/echo?frame={wrong}");
        let (_, head) = ask(server.connect(), &path, "");
        assert!(head.starts_with("HTTP/1.1 400 "), "{wrong}: {head}");
    }
}

#[test]
fn broadcast_and_mirror_send_to_all_of_theirs_and_nobody_else() {
    let server = Server::start(&[]);
    for path in ["/broadcast", "/mirror"] {
        let mut peers = [(), (), ()].map(|()| open(server.connect(), path));
        let mut other = open(server.connect(), "/echo");
        for (index, message) in ["a", "b", "c"].iter().enumerate() {
            peers[index].send(TEXT, message);
            // In lockstep, so that the order is known.
            for peer in &mut peers {
                peer.expect(TEXT, message);
            }
        }
        peers[0].send(BINARY, [7]);
        for peer in &mut peers {
            peer.expect(BINARY, [7]);
        }
        other.send(TEXT, "mine");
        other.expect(TEXT, "mine");
    }
}

#[test]
fn increment_counts_for_each_connection_and_starts_again_at_reset() {
    let server = Server::start(&[]);
    let mut first = open(server.connect(), "/increment");
    for number in 0..3 {
        first.expect(TEXT, number.to_string());
    }
    let mut second = open(server.connect(), "/increment");
    second.expect(TEXT, "0");
    first.send(TEXT, "reset\n");
    let mut before = 2;
    loop {
        let frame = first.receive().unwrap();
        let number: u32 = String::from_utf8(frame.data).unwrap().parse().unwrap();
        if number == 0 {
            break;
        }
        assert_eq!(number, before + 1);
        before = number;
    }
    first.expect(TEXT, "1");
}

#[test]
fn a_subprotocol_names_an_endpoint_on_any_path() {
    let server = Server::start(&[]);
    for (name, expected) in [
        ("echo", "hello"),
        ("broadcast", "hello"),
        ("lws-mirror-protocol", "hello"),
        ("dumb-increment-protocol", "0"),
    ] {
        for path in ["/", "/any/path?x"] {
            let offer = format!("Sec-WebSocket-Protocol: unknown, {name}\r\n");
            let (mut peer, head) = ask(server.connect(), path, &offer);
            assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
            assert_eq!(field(&head, "sec-websocket-protocol"), Some(name));
            if expected == "hello" {
                peer.send(TEXT, "hello");
            }
            peer.expect(TEXT, expected);
        }
    }
    let offer = "Sec-WebSocket-Protocol: echo\r\n";
    let (_, head) = ask(server.connect(), "/echo", offer);
    assert_eq!(field(&head, "sec-websocket-protocol"), Some("echo"));
    let (_, head) = ask(server.connect(), "/echo", "");
    assert_eq!(field(&head, "sec-websocket-protocol"), None);
    let (_, head) = ask(server.connect(), "/nowhere", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
}

#[test]
fn pages_of_other_origins_are_refused_unless_allowed() {
    let try_origin = |server: &Server, origin: &str| {
        let (_, head) = ask(server.connect(), "/echo", &format!("Origin: {origin}\r\n"));
        head.split(' ').nth(1).unwrap().to_owned()
    };
    let same = Server::start(&[]);
    assert_eq!(try_origin(&same, "http://localhost"), "101");
    assert_eq!(try_origin(&same, "https://example.org"), "403");
    let any = Server::start(&["--origin", "any"]);
    assert_eq!(try_origin(&any, "https://example.org"), "101");
    let list = Server::start(&[
        "--origin",
        "https://example.org",
        "--origin",
        "http://Example.net:80/",
    ]);
    assert_eq!(try_origin(&list, "https://example.org"), "101");
    assert_eq!(try_origin(&list, "http://example.net"), "101");
    assert_eq!(try_origin(&list, "http://example.org"), "403");
}
