//! `sockeye connect`: what goes in, what comes out, when it ends and with which status.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::peer::{BINARY, CLOSE, Host, PING, PONG, TEXT, close, field, read_head};
use crate::process::{Running, Server, lines, read_all, run};

#[test]
fn a_line_is_a_message_and_a_message_is_a_line() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    run(&["connect", &url, "--count", "1"], "hello\n").assert_success("hello\n");
    run(&["connect", &url], "a\n\nc\r\nlast").assert_success("a\n\nc\r\nlast\n");
    run(&["connect", &url], "").assert_success("");
    let many: String = (0..20_000).map(|n| format!("line {n}\n")).collect();
    run(&["connect", &url], &many).assert_success(&many);
    let long = format!("{}\n", "ü".repeat(3 << 20));
    run(&["connect", &url], &long).assert_success(&long);
}

#[test]
fn urls_may_be_written_as_people_do() {
    let server = Server::start(&[]);
    let address = server.address();
    let (_, port) = address.split_once(':').unwrap();
    for url in [
        format!("http://{address}/echo"),
        format!("{address}/echo"),
        format!("localhost:{port}/echo"),
        format!(":{port}/echo"),
    ] {
        run(&["connect", &url], "a\n").assert_success("a\n");
    }
}

#[test]
fn binary_is_bytes_both_ways() {
    let server = Server::start(&[]);
    let data: Vec<u8> = (0..5_000_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 8) as u8)
        .collect();
    let ended = run(&["connect", &server.url("/echo"), "--binary"], &data);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert!(ended.stdout == data, "{} bytes", ended.stdout.len());

    let host = Host::new();
    let running = Running::start(&["connect", &host.url(), "--binary", "--wait"]);
    let mut running = running;
    running.stdin().write_all(b"a\n\xff").unwrap();
    let stdout = read_all(running.stdout());
    let mut peer = host.accept_socket();
    peer.expect(BINARY, b"a\n\xff");
    peer.send(TEXT, "text");
    peer.send(BINARY, [0, 1]);
    peer.send(CLOSE, close(1000, ""));
    peer.receive_close();
    assert_eq!(running.wait().0.code(), Some(0));
    assert_eq!(stdout.join().unwrap(), b"text\0\x01");
}

#[test]
fn at_the_end_of_input_it_closes_and_prints_what_still_comes() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url()]);
    drop(running.stdin());
    let stdout = read_all(running.stdout());
    let mut peer = host.accept_socket();
    assert_eq!(peer.receive().unwrap().close_code(), 1000);
    peer.send(TEXT, "late");
    peer.send(BINARY, "bytes");
    peer.send(CLOSE, close(1000, ""));
    let (status, stderr) = running.wait();
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
    assert_eq!(stdout.join().unwrap(), b"late\nbytes\n");
}

#[test]
fn with_wait_it_stays_until_the_server_closes() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url(), "--wait"]);
    running.stdin().write_all(b"first\n").unwrap();
    let stdout = read_all(running.stdout());
    let mut peer = host.accept_socket();
    peer.expect(TEXT, "first");
    // A ping shows that nothing else was sent before its answer.
    peer.send(PING, "here?");
    peer.expect(PONG, "here?");
    peer.send(TEXT, "news");
    peer.send(CLOSE, close(1001, "enough"));
    assert_eq!(peer.receive_close(), 1001);
    let (status, stderr) = running.wait();
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
    assert_eq!(stdout.join().unwrap(), b"news\n");
}

#[test]
fn with_count_it_closes_after_so_many_messages() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url(), "--count", "2"]);
    drop(running.stdin());
    let stdout = read_all(running.stdout());
    let mut peer = host.accept_socket();
    // The end of input closes nothing.
    peer.send(PING, "here?");
    peer.expect(PONG, "here?");
    for message in ["a", "b", "c", "d"] {
        peer.send(TEXT, message);
    }
    assert_eq!(peer.receive().unwrap().close_code(), 1000);
    peer.send(TEXT, "e");
    peer.send(CLOSE, close(1000, ""));
    let (status, stderr) = running.wait();
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
    assert_eq!(stdout.join().unwrap(), b"a\nb\n");
}

#[test]
fn the_status_tells_how_the_server_closed() {
    for (payload, failure) in [
        (close(1000, "bye"), None),
        (close(1001, ""), None),
        (Vec::new(), None),
        (
            close(1011, "boom"),
            Some("the server closed with 1011 \"boom\""),
        ),
        (close(4000, ""), Some("the server closed with 4000")),
    ] {
        let host = Host::new();
        let mut running = Running::start(&["connect", &host.url()]);
        let _stdin = running.stdin();
        let mut peer = host.accept_socket();
        peer.send(CLOSE, payload);
        peer.receive_close();
        let (status, stderr) = running.wait();
        match failure {
            None => assert_eq!((status.code(), &*stderr), (Some(0), "")),
            Some(failure) => {
                assert_eq!(status.code(), Some(1));
                assert_eq!(stderr, format!("sockeye: {failure}\n"));
            }
        }
    }
}

#[test]
fn what_breaks_the_connection_is_said_in_one_line() {
    type Break = fn(&Host);
    let cases: [(Break, &str); 4] = [
        (|host| drop(host.accept_socket()), "connection lost"),
        (
            |host| host.accept_socket().send(TEXT, [0xff]),
            "broke the protocol",
        ),
        (
            |host| {
                let mut stream = host.accept();
                read_head(&mut stream);
                let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).unwrap();
            },
            "404 Not Found",
        ),
        (|host| drop(host.accept()), "handshake"),
    ];
    for (action, what) in cases {
        let host = Host::new();
        let url = host.url();
        let client = thread::spawn(move || run(&["connect", &url, "--wait"], ""));
        action(&host);
        client.join().unwrap().assert_failure(what);
    }
    // Nobody listens there once the listener is gone.
    let url = Host::new().url();
    run(&["connect", &url], "").assert_failure("refused");
    run(&["connect", "ftp://example.org/"], "").assert_failure("ftp");
    run(&["connect", "ws+unix:no/such/socket"], "").assert_failure("no/such/socket");
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let host = Host::new();
    let ended = run(&["connect", &host.url(), "--timeout", "0.1"], "");
    ended.assert_failure("timed out");
}

#[test]
fn the_handshake_says_what_it_is_told_to() {
    let host = Host::new();
    let url = host.url();
    let client = thread::spawn(move || {
        let args = [
            "connect",
            &url,
            "--subprotocol",
            "a.v2",
            "--subprotocol",
            "a.v1",
            "--header",
            "X-Name: some value",
            "--header",
            "Cookie: id=7",
            "--origin",
            "https://example.org",
            "--verbose",
        ];
        run(&args, "")
    });
    let (mut peer, head) = host.accept_with("Sec-WebSocket-Protocol: a.v1\r\n");
    assert!(head.starts_with("GET /path?query HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("sec-websocket-protocol", "a.v2, a.v1"),
        ("x-name", "some value"),
        ("cookie", "id=7"),
        ("origin", "https://example.org"),
    ] {
        assert_eq!(field(&head, name), Some(value), "{name}");
    }
    peer.send(PING, "are you there");
    peer.send(CLOSE, close(1000, "bye"));
    peer.receive_close();
    let ended = client.join().unwrap();
    assert_eq!((ended.code, ended.text()), (Some(0), ""));
    for note in [
        "* connected to ws://",
        ", a.v1",
        "* ping \"are you there\"",
        "* closed with 1000 \"bye\"",
    ] {
        assert!(ended.stderr.contains(note), "{note}: {}", ended.stderr);
    }
}

#[test]
fn input_that_is_no_text_ends_it_in_order() {
    let server = Server::start(&[]);
    let ended = run(&["connect", &server.url("/echo")], b"good\nb\xffd\nmore\n");
    ended.assert_failure("line 2");
    let ended = run(&["connect", &server.url("/echo")], b"cut short \xc3");
    ended.assert_failure("line 1");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url()]);
    let _stdin = running.stdin();
    let mut peer = host.accept_socket();
    drop(running.stdout());
    peer.send(TEXT, "into the void");
    assert_eq!(peer.receive().unwrap().close_code(), 1001);
    peer.send(CLOSE, close(1001, ""));
    let (status, stderr) = running.wait();
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
}

#[test]
fn a_signal_closes_in_order_and_a_second_one_at_once() {
    for signal in [Signal::INT, Signal::TERM] {
        let host = Host::new();
        let mut running = Running::start(&["connect", &host.url()]);
        let _stdin = running.stdin();
        let mut peer = host.accept_socket();
        peer.send(PING, "");
        peer.expect(PONG, "");
        running.signal(signal);
        assert_eq!(peer.receive().unwrap().close_code(), 1001);
        if signal == Signal::INT {
            peer.send(CLOSE, close(1001, ""));
            let (status, stderr) = running.wait();
            assert_eq!((status.code(), &*stderr), (Some(0), ""));
        } else {
            assert!(running.is_running());
            running.signal(signal);
            assert_eq!(running.wait().0.code(), Some(130));
        }
    }
}

/// How much goes through `step` until it gets stuck.
fn until_stuck(mut step: impl FnMut() -> Option<usize> + Send + 'static) -> usize {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Some(len) = step()
            && sender.send(len).is_ok()
        {}
    });
    let mut total = 0;
    // Being stuck is something that does not happen: it can only be waited for.
    while let Ok(len) = receiver.recv_timeout(Duration::from_millis(500)) {
        total += len;
    }
    total
}

const BOUND: usize = 32 << 20;

#[test]
fn input_is_not_read_ahead_of_a_server_that_does_not_read() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url(), "--binary"]);
    let mut stdin = running.stdin();
    let _peer = host.accept_socket();
    let block = vec![7; 64 * 1024];
    let taken = until_stuck(move || stdin.write_all(&block).ok().map(|()| block.len()));
    assert!(taken > 0);
    assert!(taken < BOUND, "{taken}");
    assert!(running.peak_memory() < BOUND, "{}", running.peak_memory());
}

#[test]
fn messages_are_not_taken_ahead_of_a_reader_that_does_not_read() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url(), "--wait"]);
    let mut peer = host.accept_socket();
    let mut sender = peer.stream.try_clone().unwrap();
    let frame = [&[0x81, 126, 0xff, 0xff][..], &[b'a'; 0xffff]].concat();
    let (stop, stopped) = mpsc::channel::<()>();
    let (count, counted) = mpsc::channel();
    let taken = until_stuck(move || {
        // One frame after the other, and never a part of one only.
        let result = sender.write_all(&frame);
        count.send(()).ok()?;
        match stopped.try_recv() {
            Err(mpsc::TryRecvError::Empty) => result.ok().map(|()| frame.len()),
            _ => None,
        }
    });
    assert!(taken < BOUND, "{taken}");
    assert!(running.peak_memory() < BOUND, "{}", running.peak_memory());
    drop(stop);
    let stdout = read_all(running.stdout());
    let sent = counted.iter().count();
    peer.send(CLOSE, close(1000, ""));
    peer.receive_close();
    assert_eq!(running.wait().0.code(), Some(0));
    assert_eq!(stdout.join().unwrap().len(), sent * 0x10000);
}

#[test]
fn both_ways_at_once_never_get_stuck() {
    let server = Server::start(&[]);
    let mut running = Running::start(&["connect", &server.url("/echo"), "--binary"]);
    let mut stdin = running.stdin();
    let block: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let blocks = 48;
    let writer = {
        let block = block.clone();
        thread::spawn(move || {
            for _ in 0..blocks {
                stdin.write_all(&block).unwrap();
            }
        })
    };
    let mut stdout = running.stdout();
    let mut received = vec![0; block.len()];
    for _ in 0..blocks {
        stdout.read_exact(&mut received).unwrap();
        assert!(received == block);
    }
    assert_eq!(stdout.read(&mut received).unwrap(), 0);
    writer.join().unwrap();
    assert_eq!(running.wait().0.code(), Some(0));
}

#[test]
fn messages_are_seen_as_they_come() {
    let host = Host::new();
    let mut running = Running::start(&["connect", &host.url()]);
    let mut stdin = running.stdin();
    let output = lines(running.stdout());
    let mut peer = host.accept_socket();
    for message in ["one", "two"] {
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
        peer.expect(TEXT, message);
        peer.send(TEXT, message);
        assert_eq!(output.recv().unwrap(), message);
    }
}
