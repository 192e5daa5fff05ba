//! Two blocking WebSockets with each other, over every kind of stream.

use std::os::unix::net::UnixStream;
use std::thread;

use sockeye::blocking::{Acceptor, Error, handshake};
use sockeye::blocking::{Event, Received, TimedStream, Untimed, WebSocket};
use sockeye::{Accepted, CloseCause, CloseCode, ConnectOptions, Delivery, Kind, Misuse, Reject};

use crate::memory;
use crate::rig::{TimedTrickle, Trickle, open, pattern, tcp_pair, unix};

/// What any two ends can do, whatever is between them.
fn converse<C, S>(mut client: WebSocket<C>, mut server: WebSocket<S>)
where
    C: TimedStream,
    S: TimedStream + Send,
{
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Some(received) = server.next_message().unwrap() {
                server.send(received.message().unwrap()).unwrap();
            }
            let again = server.recv().unwrap_err();
            assert_eq!(again.close_info().unwrap().code, CloseCode::NORMAL);
            let late = server.send("too late").unwrap_err();
            assert!(matches!(late, Error::Closed(_)), "{late}");
        });
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 300_000] {
            let data = pattern(len);
            client.send(&data).unwrap();
            assert!(client.recv().unwrap() == Received::Binary(data), "{len}");
        }
        let text = "grüße ".repeat(1000);
        client.send(&text).unwrap();
        client.ping(b"there?").unwrap();
        assert_eq!(client.recv().unwrap(), Received::Text(text));
        assert_eq!(client.recv().unwrap(), Received::Pong(b"there?".to_vec()));

        client.send_fragment("in ", false).unwrap();
        client.ping(b"").unwrap();
        assert!(matches!(
            client.send("not now"),
            Err(Error::Misuse(Misuse::FragmentInProgress))
        ));
        client.send_fragment("two", true).unwrap();
        assert_eq!(client.recv().unwrap(), Received::Pong(Vec::new()));
        let echoed = client.recv_with(|event| match event {
            Event::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(echoed.unwrap(), "in two");

        let info = client.close(CloseCode::NORMAL, "bye").unwrap();
        assert!(info.clean, "{info}");
        assert_eq!(info.code, CloseCode::NORMAL);
        assert!(matches!(client.recv(), Err(Error::Closed(again)) if again == info));
        assert_eq!(client.close(CloseCode::NORMAL, "").unwrap(), info);
    });
}

#[test]
fn over_unix_sockets() {
    let (client, server) = unix();
    converse(client, server);
}

#[test]
fn over_tcp() {
    let (client, server) = tcp_pair();
    let (client, server) = open(client, server);
    assert!(client.peer().ip().unwrap().is_loopback());
    assert!(server.peer().ip().unwrap().is_loopback());
    converse(client, server);
}

#[test]
fn over_memory() {
    let (client, server) = memory::pair();
    let (client, server) = open(Untimed(client), Untimed(server));
    converse(client, server);
}

#[test]
fn over_single_bytes() {
    let (client, server) = memory::pair();
    let (client, server) = open(Untimed(Trickle(client)), Untimed(Trickle(server)));
    converse(client, server);
}

#[test]
fn over_single_bytes_of_sockets() {
    let (client, server) = UnixStream::pair().unwrap();
    let (client, server) = open(TimedTrickle(client), TimedTrickle(server));
    converse(client, server);
}

#[test]
fn the_mode_of_a_socket_does_not_matter_and_stays() {
    let (client, server) = tcp_pair();
    client.set_nonblocking(true).unwrap();
    let (client, server) = open(client, server);
    let descriptor = client.stream().try_clone().unwrap();
    converse(client, server);
    let mut end = &descriptor;
    // Still non-blocking, and at its end.
    assert_eq!(std::io::Read::read(&mut end, &mut [0]).unwrap(), 0);
}

#[test]
fn the_server_closes() {
    let (mut client, mut server) = unix();
    let code = CloseCode::try_from(4321).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let info = server.close(code, "enough").unwrap();
            assert!(info.clean);
            assert_eq!(info.code, code);
        });
        match client.recv().unwrap_err() {
            Error::Closed(info) => {
                assert_eq!((info.code, info.reason.as_str()), (code, "enough"));
                assert_eq!(info.cause, CloseCause::Handshake);
            }
            other => panic!("{other}"),
        }
        assert!(!client.is_open());
        // The answer is out already; this only waits for the server to end the stream.
        drop(client);
    });
}

#[test]
fn both_close_at_once() {
    let (mut client, mut server) = unix();
    thread::scope(|scope| {
        scope.spawn(|| server.close(CloseCode::NORMAL, "").unwrap());
        let info = client.close(CloseCode::GOING_AWAY, "").unwrap();
        assert!(info.clean, "{info}");
    });
}

#[test]
fn what_was_sent_before_the_close_arrives_behind_ours() {
    let (mut client, mut server) = unix();
    client.close_sending(CloseCode::NORMAL, "done").unwrap();
    assert!(!client.is_open());
    assert!(matches!(
        client.send("more"),
        Err(Error::Misuse(Misuse::AlreadyClosing))
    ));
    thread::scope(|scope| {
        scope.spawn(|| {
            // Not looked at what came yet, so this side may still send.
            server.send("one").unwrap();
            server.send("two").unwrap();
            assert_eq!(server.next_message().unwrap(), None);
        });
        let messages: Vec<_> = client.messages().map(Result::unwrap).collect();
        assert_eq!(
            messages,
            [
                Received::Text("one".to_owned()),
                Received::Text("two".to_owned())
            ]
        );
    });
}

#[test]
fn a_code_that_must_not_travel_is_not_sent() {
    let (mut client, mut server) = unix();
    let outcome = client.close(CloseCode::ABNORMAL, "");
    assert!(matches!(
        outcome,
        Err(Error::Misuse(Misuse::UnsendableCode(1006)))
    ));
    client.send("still open").unwrap();
    assert_eq!(
        server.recv().unwrap(),
        Received::Text("still open".to_owned())
    );
}

#[test]
fn an_end_without_a_close_is_told() {
    let (client, mut server) = unix();
    drop(client);
    match server.next_message().unwrap_err() {
        Error::Closed(info) => {
            assert!(!info.clean);
            assert_eq!(info.code, CloseCode::ABNORMAL);
        }
        other => panic!("{other}"),
    }
    let (mut client, server) = unix();
    drop(server);
    // Whoever is gone takes no message, but what it had sent could still be received.
    assert!(client.send("hello").is_err());
    assert!(matches!(client.recv(), Err(Error::Closed(_))));
}

#[test]
fn what_was_received_before_a_failed_write_is_not_lost() {
    let (mut client, mut server) = unix();
    server.send("one").unwrap();
    server.ping(b"answer this").unwrap();
    server.send("two").unwrap();
    drop(server);
    assert!(client.send("into the void").is_err());
    assert_eq!(client.recv().unwrap(), Received::Text("one".to_owned()));
    assert_eq!(client.recv().unwrap(), Received::Text("two".to_owned()));
    assert!(client.recv().is_err());
}

#[test]
fn streamed_messages_come_in_chunks() {
    let (near, far) = UnixStream::pair().unwrap();
    let options = ConnectOptions::new("ws://localhost/")
        .unwrap()
        .delivery(Delivery::Streaming);
    let len = 20 * 1024 * 1024;
    thread::scope(|scope| {
        scope.spawn(move || {
            let accepted = Accepted::new(()).delivery(Delivery::Streaming);
            let (mut server, ()) = Acceptor::new()
                .accept_with(far, |_, _| Ok(accepted))
                .unwrap();
            // Beyond what may be received whole.
            for piece in pattern(len).chunks(1024 * 1024) {
                server.send_fragment(piece, false).unwrap();
            }
            server.send_fragment(&[][..], true).unwrap();
            server.close(CloseCode::NORMAL, "").unwrap();
        });
        let mut client = handshake(near, options).unwrap();
        let (mut data, mut ends) = (Vec::new(), 0);
        while let Some(received) = client.next_message().unwrap() {
            let Received::Chunk(chunk) = received else {
                panic!("{received:?}");
            };
            assert_eq!(chunk.kind, Kind::Binary);
            assert_eq!(chunk.first, data.is_empty());
            ends += usize::from(chunk.last);
            data.extend_from_slice(&chunk.data);
        }
        assert!(data == pattern(len) && ends == 1);
    });
}

#[test]
fn the_handshake_is_seen_by_both() {
    let (near, far) = UnixStream::pair().unwrap();
    let options = ConnectOptions::new("ws://example.test/room?name=x")
        .unwrap()
        .subprotocol("b")
        .subprotocol("a");
    let (name, value) = ("x-greeting".parse().unwrap(), "hi".parse().unwrap());
    thread::scope(|scope| {
        let server = scope.spawn(|| {
            let acceptor = Acceptor::new().subprotocol("a").subprotocol("b");
            acceptor.accept_with(far, |request, peer| {
                assert_eq!(request.host(), "example.test");
                assert_eq!(peer.ip(), None);
                match request.path() {
                    "/room" => {
                        Ok(Accepted::new(request.query().map(str::to_owned)).header(name, value))
                    }
                    _ => Err(Reject::status(404)),
                }
            })
        });
        let client = handshake(near, options).unwrap();
        let (server, session) = server.join().unwrap().unwrap();
        assert_eq!(session.as_deref(), Some("name=x"));
        assert_eq!(client.subprotocol(), Some("b"));
        assert_eq!(server.subprotocol(), Some("b"));
        assert_eq!(client.response_headers()["x-greeting"], "hi");
        assert_eq!(server.response_headers()["x-greeting"], "hi");
    });
}

#[test]
fn parts_are_all_there_is() {
    let (mut client, mut server) = unix();
    server.send("one").unwrap();
    server.send("two").unwrap();
    assert_eq!(client.recv().unwrap(), Received::Text("one".to_owned()));
    let parts = client.into_parts();
    assert_eq!(parts.input, b"\x81\x03two");
    assert!(parts.output.is_empty());
    let config = sockeye::proto::ws::Config::clone(parts.machine.config());
    let mut again =
        WebSocket::from_stream(parts.stream, parts.machine.role(), config, &parts.input).unwrap();
    assert_eq!(again.recv().unwrap(), Received::Text("two".to_owned()));
    again.send("back").unwrap();
    assert_eq!(server.recv().unwrap(), Received::Text("back".to_owned()));
}
