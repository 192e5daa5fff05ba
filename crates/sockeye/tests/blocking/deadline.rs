//! Time: every wait ends, and no trickle of bytes puts it off.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, listen, socket_with,
};
use sockeye::blocking::{
    self, AcceptError, Acceptor, Connector, Error, Received, TimedStream, Untimed,
};
use sockeye::{
    CloseCause, CloseCode, ConnectCause, ConnectOptions, Limits, Lost, Misuse, Peer, Step,
};

use crate::memory;
use crate::rig::{LONG, SHORT, client_of_raw, open, open_with, pattern, unix, unix_with};

/// Takes one connection, passes one byte at a time, and stops when the peer is gone.
fn drip(bytes: &'static [u8]) -> (SocketAddr, thread::JoinHandle<()>) {
    drip_behind(b"", bytes)
}

/// As [`drip`], behind what comes at once.
fn drip_behind(head: &'static [u8], bytes: &'static [u8]) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dripping = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(head).unwrap();
        drip_into(stream, bytes);
    });
    (address, dripping)
}

fn drip_into(mut stream: impl Write, bytes: &[u8]) {
    // Nobody sends: receiving is a pause.
    let (_sender, pause) = mpsc::channel::<()>();
    for byte in bytes.iter().cycle() {
        let _ = pause.recv_timeout(SHORT / 12);
        if stream.write_all(&[*byte]).is_err() {
            return;
        }
    }
}

fn soon(before: Instant) {
    let elapsed = before.elapsed();
    assert!(elapsed >= SHORT, "{elapsed:?} is early");
    assert!(elapsed < LONG / 4, "{elapsed:?} is late");
}

fn connect_in_time(url: String) -> sockeye::ConnectError {
    let options = ConnectOptions::new(&url).unwrap().timeout(SHORT);
    let before = Instant::now();
    let error = blocking::connect(options).unwrap_err();
    soon(before);
    assert!(matches!(error.cause(), ConnectCause::TimedOut), "{error:?}");
    error
}

#[test]
fn a_dripping_server_cannot_extend_connecting() {
    let (address, dripping) = drip(b"HTTP/1.1 101 Switching Protocols\r\nX: ");
    let error = connect_in_time(format!("ws://{address}/"));
    assert_eq!(error.step(), Step::Handshake);
    dripping.join().unwrap();
}

#[test]
fn a_silent_server_cannot_either() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = connect_in_time(format!("ws://{}/", listener.local_addr().unwrap()));
    assert_eq!(error.step(), Step::Handshake);
}

#[cfg(any(feature = "tls", feature = "openssl"))]
#[test]
fn a_server_that_drips_tls_cannot_either() {
    // The head of a handshake record of 16 KiB, and then bytes of it.
    let (address, dripping) = drip(&[0x16, 0x03, 0x03, 0x3f, 0x3f, 0x02, 0, 0x3f, 0x30]);
    let options = ConnectOptions::new(&format!("wss://{address}/"))
        .unwrap()
        .tls(crate::tls::client())
        .timeout(SHORT);
    let before = Instant::now();
    let error = blocking::connect(options).unwrap_err();
    assert_eq!(error.step(), Step::Tls, "{error}");
    if matches!(error.cause(), ConnectCause::TimedOut) {
        soon(before);
    }
    dripping.join().unwrap();
}

#[test]
fn a_refusal_that_drips_is_still_one() {
    let (address, dripping) = drip_behind(b"HTTP/1.1 403 Forbidden\r\n\r\n", b"never mind");
    let options = ConnectOptions::new(&format!("ws://{address}/"))
        .unwrap()
        .timeout(SHORT);
    let error = blocking::connect(options).unwrap_err();
    let refusal = error.refusal().unwrap();
    assert_eq!(refusal.status, 403);
    assert!(refusal.truncated);
    dripping.join().unwrap();
}

#[test]
fn a_unix_listener_whose_queue_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("full.sock");
    let listener = UnixListener::bind(&path).unwrap();
    listen(&listener, 0).unwrap();
    let address = SocketAddrUnix::new(&path).unwrap();
    let get_in = || {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        match connect(&socket, &address) {
            Err(Errno::AGAIN) => None,
            outcome => outcome.map(|()| Some(socket)).unwrap(),
        }
    };
    let inside: Vec<_> = std::iter::from_fn(get_in).collect();
    let error = connect_in_time(format!("ws+unix:{}", path.display()));
    assert_eq!(error.step(), Step::Connect);
    drop((listener, inside));
}

#[test]
fn receiving_ends_in_time_and_goes_on_where_it_stopped() {
    let (client, mut server) = client_of_raw(Limits::default());
    let mut client = client;
    let none = client.recv_timeout(Duration::ZERO);
    assert!(matches!(none, Err(Error::TimedOut)), "{none:?}");
    server.write_all(b"\x81\x05he").unwrap();
    let before = Instant::now();
    assert!(matches!(client.recv_timeout(SHORT), Err(Error::TimedOut)));
    soon(before);
    server.write_all(b"llo\x81\x01!").unwrap();
    client.set_timeout(Some(LONG));
    assert_eq!(client.recv().unwrap(), Received::Text("hello".to_owned()));
    let there = client.recv_timeout(Duration::ZERO).unwrap();
    assert_eq!(there, Received::Text("!".to_owned()));
    client.set_timeout(Some(SHORT));
    let before = Instant::now();
    assert!(matches!(client.recv(), Err(Error::TimedOut)));
    soon(before);
    assert!(client.is_open());
}

#[test]
fn what_is_no_message_does_not_extend_receiving() {
    let (mut client, server) = client_of_raw(Limits::default());
    thread::scope(|scope| {
        scope.spawn(|| drip_into(server, b"\x89\x00"));
        let before = Instant::now();
        assert!(matches!(client.recv_timeout(SHORT), Err(Error::TimedOut)));
        soon(before);
        drop(client);
    });
}

#[test]
fn a_peer_that_does_not_answer_pings_is_lost() {
    let before = Instant::now();
    let (mut client, mut server) = client_of_raw(Limits {
        ping_interval: Some(SHORT),
        pong_timeout: SHORT,
        ..Limits::default()
    });
    let error = client.recv().unwrap_err();
    assert!(before.elapsed() >= SHORT * 2);
    let cause = error.close_info().unwrap().cause;
    assert_eq!(cause, CloseCause::Lost(Lost::PingTimeout));
    drop(client);
    let mut ping = Vec::new();
    server.read_to_end(&mut ping).unwrap();
    assert_eq!(ping.len(), 6);
}

#[test]
fn both_keep_each_other_alive() {
    let (mut client, mut server) = unix_with(&Limits {
        ping_interval: Some(SHORT / 10),
        pong_timeout: LONG,
        ..Limits::default()
    });
    thread::scope(|scope| {
        scope.spawn(move || while server.recv().is_ok() {});
        let mut pongs = 0;
        while pongs < 5 {
            match client.recv_timeout(LONG).unwrap() {
                Received::Pong(data) => pongs += usize::from(data.is_empty()),
                other => panic!("{other:?}"),
            }
        }
        client.close(CloseCode::NORMAL, "").unwrap();
    });
}

/// Who was away does not take its own absence for the peer's.
#[test]
fn who_did_not_listen_does_not_judge() {
    let (mut client, mut server) = unix_with(&Limits {
        ping_interval: Some(SHORT / 4),
        pong_timeout: SHORT * 3,
        ..Limits::default()
    });
    // The ping is on its way; nobody listens for the pong until long after it is due.
    assert!(matches!(
        client.recv_timeout(SHORT / 3),
        Err(Error::TimedOut)
    ));
    let pinged = server.recv_timeout(SHORT / 8);
    assert!(matches!(pinged, Err(Error::TimedOut)), "{pinged:?}");
    server.send("here").unwrap();
    let (_sender, pause) = mpsc::channel::<()>();
    let _ = pause.recv_timeout(SHORT * 4);
    assert_eq!(client.recv().unwrap(), Received::Pong(Vec::new()));
    assert_eq!(client.recv().unwrap(), Received::Text("here".to_owned()));
}

#[test]
fn an_unanswered_close_ends() {
    let (mut client, server) = client_of_raw(Limits {
        close_timeout: SHORT,
        ..Limits::default()
    });
    thread::scope(|scope| {
        // Messages do not put it off, nor does a message that never ends.
        scope.spawn(|| drip_into(server, b"\x82\x01x\x89\x00"));
        let before = Instant::now();
        let info = client.close(CloseCode::NORMAL, "").unwrap();
        soon(before);
        assert!(!info.clean);
        assert_eq!(info.cause, CloseCause::Lost(Lost::CloseTimeout));
        drop(client);
    });
}

#[test]
fn an_answered_close_whose_stream_does_not_end_ends() {
    let (mut client, mut server) = client_of_raw(Limits {
        close_timeout: SHORT,
        ..Limits::default()
    });
    server.write_all(b"\x88\x02\x03\xe8").unwrap();
    let before = Instant::now();
    let info = client.close(CloseCode::NORMAL, "").unwrap();
    soon(before);
    assert!(info.clean);
    drop(server);
}

#[test]
fn closing_does_not_wait_for_a_peer_that_takes_nothing() {
    let (mut client, server) = client_of_raw(Limits {
        close_timeout: SHORT,
        write_stall_timeout: LONG,
        ..Limits::default()
    });
    let stream = client.stream().try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    // Nothing more goes.
    while (&stream).write(&[0; 4096]).is_ok() {}
    let before = Instant::now();
    let info = client.close(CloseCode::NORMAL, "").unwrap();
    soon(before);
    assert!(!info.clean);
    drop(server);
}

#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let (mut client, server) = unix_with(&Limits {
        write_stall_timeout: SHORT,
        ..Limits::default()
    });
    let before = Instant::now();
    let error = client.send(&pattern(4 * 1024 * 1024)).unwrap_err();
    soon(before);
    assert_eq!(error.close_info().unwrap().cause, CloseCause::Stalled);
    assert!(client.send("more").is_err());
    drop(server);
}

#[test]
fn idle_connections_close() {
    let limits = Limits {
        idle_timeout: Some(SHORT),
        ..Limits::default()
    };
    let before = Instant::now();
    let (mut client, mut server) = unix_with(&limits);
    thread::scope(|scope| {
        scope.spawn(move || {
            let error = server.recv().unwrap_err();
            assert!(error.close_info().unwrap().clean);
        });
        let error = client.recv().unwrap_err();
        soon(before);
        let info = error.close_info().unwrap();
        assert_eq!((info.code, info.clean), (CloseCode::GOING_AWAY, true));
    });
}

#[test]
fn a_client_that_asks_for_nothing_is_not_waited_for() {
    let limits = Limits {
        handshake_timeout: SHORT,
        unwanted_body_timeout: SHORT,
        ..Limits::default()
    };
    let acceptor = Acceptor::new().limits(limits);
    let (near, far) = UnixStream::pair().unwrap();
    let before = Instant::now();
    let error = acceptor.accept(far).unwrap_err();
    soon(before);
    assert!(matches!(error, AcceptError::TimedOut), "{error:?}");
    drop(near);

    let (mut near, far) = UnixStream::pair().unwrap();
    near.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    let mut answers = near.try_clone().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drip_into(near, b"X-Header: "));
        let before = Instant::now();
        let error = acceptor.accept(far).unwrap_err();
        soon(before);
        assert!(matches!(error, AcceptError::Http(_)), "{error:?}");
    });
    let mut answer = String::new();
    let _ = answers.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

/// Streams that give up by themselves: the call ends, and nothing is lost.
#[test]
fn an_impatient_stream() {
    let (near, far) = memory::pair();
    let (client, mut server) = open(Untimed(near), Untimed(far));
    let mut parts = client.into_parts();
    parts.stream.0.impatient = true;
    let config = sockeye::proto::ws::Config::default();
    let role = sockeye::proto::ws::Role::Client;
    let mut client = blocking::WebSocket::from_stream(parts.stream, role, config, &[]).unwrap();
    assert!(matches!(client.recv(), Err(Error::TimedOut)));
    server.send("now").unwrap();
    assert_eq!(client.recv().unwrap(), Received::Text("now".to_owned()));
    assert!(matches!(client.recv(), Err(Error::TimedOut)));
}

#[test]
fn limits_that_contradict_each_other() {
    let limits = Limits {
        low_water: usize::MAX,
        ..Limits::default()
    };
    let (near, far) = UnixStream::pair().unwrap();
    let connector = Connector::new().limits(limits.clone());
    let error = connector.handshake(near, "ws://localhost/").unwrap_err();
    assert_eq!(error.step(), Step::Prepare);
    let error = Acceptor::new().limits(limits).accept(far).unwrap_err();
    assert!(matches!(error, AcceptError::Config(_)), "{error:?}");
}

/// Counts how often a socket is asked for something.
#[derive(Debug)]
struct Counted(UnixStream, Arc<AtomicUsize>);

impl Counted {
    fn count(&self) -> &UnixStream {
        self.1.fetch_add(1, Ordering::Relaxed);
        &self.0
    }
}

impl TimedStream for Counted {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.count().try_clone()?.try_read(buffer)
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count().try_clone()?.try_write(bytes)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown_write()
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn peer(&self) -> io::Result<Peer> {
        self.0.peer()
    }
}

#[test]
fn waiting_is_waiting() {
    let calls = Arc::<AtomicUsize>::default();
    let (near, far) = UnixStream::pair().unwrap();
    let limits = Limits {
        write_stall_timeout: SHORT,
        ..Limits::default()
    };
    let counted = Counted(near, Arc::clone(&calls));
    let (mut client, mut server) = open_with(counted, far, &limits);
    let mut counting = |what: &dyn Fn(&mut blocking::WebSocket<Counted>)| {
        let before = calls.load(Ordering::Relaxed);
        what(&mut client);
        calls.load(Ordering::Relaxed) - before
    };
    let receiving = counting(&|client| {
        let nothing = client.recv_timeout(SHORT);
        assert!(matches!(nothing, Err(Error::TimedOut)));
    });
    assert!(receiving <= 3, "{receiving} calls to receive nothing");
    server.send("one").unwrap();
    let one = counting(&|client| drop(client.recv().unwrap()));
    assert!(one <= 2, "{one} calls to receive a message that is there");
    let stalled = counting(&|client| drop(client.send(&pattern(8 * 1024 * 1024)).unwrap_err()));
    assert!(stalled <= 20, "{stalled} calls to send to nobody");
}

#[test]
fn nothing_is_sent_by_a_misuse() {
    let (mut client, mut server) = unix();
    let long = [0; 126];
    assert!(matches!(
        client.ping(&long),
        Err(Error::Misuse(Misuse::ControlTooLong))
    ));
    assert!(matches!(
        server.recv_timeout(Duration::ZERO),
        Err(Error::TimedOut)
    ));
}
