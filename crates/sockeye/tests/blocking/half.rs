//! The two halves of a WebSocket on threads of their own.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Instant;

use sockeye::blocking::{Error, Reader, Received, WebSocket, Writer};
use sockeye::{CloseCause, CloseCode, Limits, Lost};

use crate::rig::{LONG, SHORT, client_of_raw, open, pattern, tcp_pair, unix, unix_with};

/// Both sides send and receive 16 MiB at once, on one thread for each direction.
fn exchange<C, S>(client: (Reader<C>, Writer<C>), server: (Reader<S>, Writer<S>))
where
    C: sockeye::blocking::TimedStream + Send,
    S: sockeye::blocking::TimedStream + Send,
{
    let data = pattern(16 * 1024 * 1024);
    let ((mut client_reader, client_writer), (mut server_reader, server_writer)) = (client, server);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2 {
                client_writer.send(&data).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..2 {
                server_writer.send(&data).unwrap();
            }
        });
        scope.spawn(|| {
            for _ in 0..2 {
                assert!(client_reader.recv().unwrap() == Received::Binary(data.clone()));
            }
        });
        for _ in 0..2 {
            assert!(server_reader.recv().unwrap() == Received::Binary(data.clone()));
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(server_reader.next_message().unwrap(), None));
        client_writer.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(client_reader.next_message().unwrap(), None);
    });
}

#[test]
fn large_messages_both_ways_at_once_over_tcp() {
    let (client, server) = tcp_pair();
    let (client, server) = open(client, server);
    exchange(client.split().unwrap(), server.split().unwrap());
}

#[test]
fn large_messages_both_ways_at_once_over_unix_sockets() {
    let (client, server) = unix();
    exchange(client.split().unwrap(), server.split().unwrap());
}

#[cfg(any(feature = "tls", feature = "openssl"))]
#[test]
fn large_messages_both_ways_at_once_over_tls() {
    let (client, server) = crate::tls::pair();
    exchange(client.split().unwrap(), server.split().unwrap());
}

#[test]
fn a_reader_answers_pings_while_another_thread_is_stuck_sending() {
    let (client, server) = unix();
    let (mut reader, writer) = client.split().unwrap();
    let (mut server_reader, server_writer) = server.split().unwrap();
    let data = pattern(4 * 1024 * 1024);
    thread::scope(|scope| {
        let stuck = scope.spawn(|| writer.send(&data));
        // Nobody reads at the other end yet, so that the message cannot get through, and the ping
        // has to be answered behind it.
        server_writer.ping(b"still there?").unwrap();
        server_writer.send("read").unwrap();
        assert_eq!(reader.recv().unwrap(), Received::Text("read".to_owned()));
        // Which of them is first depends on the threads.
        let received = [server_reader.recv().unwrap(), server_reader.recv().unwrap()];
        stuck.join().unwrap().unwrap();
        assert!(received.contains(&Received::Pong(b"still there?".to_vec())));
        assert!(received.contains(&Received::Binary(data.clone())));
    });
}

#[test]
fn many_threads_may_send() {
    let (client, server) = unix();
    let (_reader, writer) = client.split().unwrap();
    let mut server: WebSocket<UnixStream> = server;
    thread::scope(|scope| {
        for name in 0..4_u8 {
            let writer = writer.clone();
            scope.spawn(move || {
                for count in 0..100 {
                    let data = vec![name; 10_000 + count];
                    writer.send(&data).unwrap();
                }
            });
        }
        let mut counts = [0; 4];
        for _ in 0..400 {
            let Received::Binary(data) = server.recv().unwrap() else {
                panic!("no binary message");
            };
            let name = data[0];
            assert!(data.iter().all(|byte| *byte == name));
            assert_eq!(data.len(), 10_000 + counts[usize::from(name)]);
            counts[usize::from(name)] += 1;
        }
    });
}

/// The reader waits without end when the deadline of closing comes up.
#[test]
fn closing_wakes_the_reader() {
    let (client, server) = client_of_raw(Limits {
        ping_interval: None,
        close_timeout: SHORT,
        ..Limits::default()
    });
    let (mut reader, writer) = client.split().unwrap();
    let before = Instant::now();
    thread::scope(|scope| {
        let reading = scope.spawn(move || reader.recv());
        writer.close(CloseCode::NORMAL, "").unwrap();
        match reading.join().unwrap() {
            Err(Error::Closed(info)) => {
                assert_eq!(info.cause, CloseCause::Lost(Lost::CloseTimeout));
            }
            other => panic!("{other:?}"),
        }
    });
    assert!(before.elapsed() >= SHORT && before.elapsed() < LONG);
    drop(server);
}

#[test]
fn a_stalled_writer_ends_both_halves() {
    let (client, server) = unix_with(&Limits {
        ping_interval: None,
        write_stall_timeout: SHORT,
        ..Limits::default()
    });
    let (mut reader, writer) = client.split().unwrap();
    thread::scope(|scope| {
        let reading = scope.spawn(move || reader.recv());
        let sent = writer.send(&pattern(4 * 1024 * 1024));
        let stalled = |outcome: Option<&Error>| {
            let info = outcome.and_then(Error::close_info).cloned();
            assert_eq!(info.unwrap().cause, CloseCause::Stalled);
        };
        stalled(sent.as_ref().err());
        stalled(reading.join().unwrap().as_ref().err());
    });
    drop(server);
}

#[test]
fn halves_are_dropped_one_after_the_other() {
    let (client, server) = tcp_pair();
    let (client, mut server) = open(client, server);
    let (reader, writer): (Reader<TcpStream>, Writer<TcpStream>) = client.split().unwrap();
    drop(reader);
    writer.send("still here").unwrap();
    assert_eq!(
        server.recv().unwrap(),
        Received::Text("still here".to_owned())
    );
    drop(writer);
    assert!(matches!(server.recv(), Err(Error::Closed(info)) if !info.clean));
}

#[test]
fn what_was_read_before_the_split_is_not_lost() {
    let (mut client, mut server) = unix();
    server.send("one").unwrap();
    server.send("two").unwrap();
    assert_eq!(client.recv().unwrap(), Received::Text("one".to_owned()));
    let (mut reader, writer) = client.split().unwrap();
    assert_eq!(reader.recv().unwrap(), Received::Text("two".to_owned()));
    reader.writer().send("three").unwrap();
    writer.flush().unwrap();
    assert_eq!(server.recv().unwrap(), Received::Text("three".to_owned()));
}
