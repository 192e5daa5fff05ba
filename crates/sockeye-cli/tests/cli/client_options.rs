//! What `connect` and `ping` can be told about the way to a server, and what they tell.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use crate::peer::{CLOSE, Host, PING, PONG, TEXT, close, field, read_head};
use crate::process::{Ended, PATIENCE, Running, Server, lines, run, sockeye};

/// Runs to the end against a host that is asked once and closes at once; returns the request too.
fn asked(args: &[&str]) -> (Ended, String) {
    let host = Host::new();
    let url = host.url();
    let server = thread::spawn(move || {
        let (mut peer, head) = host.accept_with("");
        peer.send(CLOSE, close(1000, ""));
        peer.receive_close();
        head
    });
    let ended = run(&[&["connect", &url], args].concat(), "");
    (ended, server.join().unwrap())
}

#[test]
fn credentials_are_sent_as_they_were_given() {
    let (ended, head) = asked(&["--cookie", "a=1", "--cookie", "b=x=y", "--bearer", "tok"]);
    ended.assert_success("");
    assert_eq!(field(&head, "cookie"), Some("a=1; b=x=y"));
    assert_eq!(field(&head, "authorization"), Some("Bearer tok"));
    let (_, head) = asked(&["--user", "Aladdin:open sesame"]);
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    assert_eq!(field(&head, "authorization"), Some(basic));
    for args in [
        &["--user", "a:b", "--bearer", "c"][..],
        &["--user", ""],
        &["--cookie", "a"],
    ] {
        let ended = run(&[&["connect", "x"], args].concat(), "");
        assert_eq!(ended.code, Some(2), "{args:?}");
    }
    run(&["connect", "x", "--cookie", "a=;"], "").assert_failure("cookie");
    run(&["connect", "x", "--bearer", "a b"], "").assert_failure("token");
}

#[test]
fn without_a_terminal_a_password_cannot_be_asked_for() {
    // A session of its own has no terminal.
    let mut command = std::process::Command::new("setsid");
    let child = command
        .args(["--wait", env!("CARGO_BIN_EXE_sockeye")])
        .args(["connect", "ws://127.0.0.1:1/", "--user", "bob"])
        .stdin(std::process::Stdio::null());
    let output = child.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let begin = "sockeye: --user bob: there is no terminal to ask for the password on";
    assert!(said.starts_with(begin), "{said}");
    assert_eq!(said.matches('\n').count(), 1, "{said}");
}

#[test]
fn redirects_are_followed_as_often_as_allowed() {
    let server = Server::start(&[]);
    let target = server.url("/echo");
    for (allowed, works) in [("0", false), ("1", true), ("10", true)] {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", host.local_addr().unwrap());
        let target = target.clone();
        let redirect = thread::spawn(move || {
            let (mut stream, _) = host.accept().unwrap();
            read_head(&mut stream);
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let ended = run(&["connect", &url, "--max-redirects", allowed], "there\n");
        redirect.join().unwrap();
        match works {
            true => ended.assert_success("there\n"),
            false => ended.assert_failure("307"),
        }
    }
    let ended = run(&["connect", "x", "--max-redirects", "11"], "");
    assert_eq!(ended.code, Some(2));
}

#[test]
fn names_can_be_resolved_by_hand() {
    let server = Server::start(&[]);
    let port = server.address().rsplit(':').next().unwrap();
    let url = format!("ws://somewhere.test:{port}/echo");
    let resolve = format!("somewhere.test:{port}:127.0.0.1");
    run(&["connect", &url, "--resolve", &resolve], "hi\n").assert_success("hi\n");
    for text in ["somewhere.test:127.0.0.1", "a:80:b"] {
        let ended = run(&["connect", &url, "--resolve", text], "");
        assert_eq!(ended.code, Some(2), "{text}");
    }
}

/// An HTTP proxy for one connection, to this address whatever it is asked for; returns what that
/// was.
fn proxy(target: &str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = target.to_owned();
    let served = thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let head = read_head(&mut client);
        let mut server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let copy = thread::spawn(move || {
            drop(std::io::copy(&mut from, &mut to));
            drop(to.shutdown(std::net::Shutdown::Write));
        });
        drop(std::io::copy(&mut server, &mut client));
        drop(client.shutdown(std::net::Shutdown::Both));
        copy.join().unwrap();
        head
    });
    (address, served)
}

#[test]
fn proxies_come_from_the_option_or_the_environment() {
    let server = Server::start(&[]);
    let port = server.address().rsplit(':').next().unwrap();
    let url = format!("ws://somewhere.test:{port}/echo");
    let asked = format!("CONNECT somewhere.test:{port} HTTP/1.1\r\n");

    let (address, served) = proxy(server.address());
    let via = format!("http://me:secret@{address}");
    let ended = run(&["connect", &url, "--proxy", &via, "-v"], "hi\n");
    assert_eq!((ended.code, ended.text()), (Some(0), "hi\n"), "{ended:?}");
    let head = served.join().unwrap();
    assert!(head.starts_with(&asked), "{head}");
    assert!(head.contains("Proxy-Authorization: Basic "), "{head}");
    let shown =
        "> Proxy-Authorization: [not shown]\n>\n< HTTP/1.1 200 OK\n<\n> GET /echo HTTP/1.1\n";
    assert!(ended.stderr.contains(shown), "{}", ended.stderr);

    let talk = |args: &[&str], proxy: &str| {
        let mut command = sockeye(&[&["connect", &url], args].concat());
        command.env("http_proxy", proxy).env_remove("no_proxy");
        command.env_remove("NO_PROXY");
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hi\n").unwrap();
        child.wait_with_output().unwrap()
    };
    let (address, served) = proxy(server.address());
    let output = talk(&[], &address);
    assert_eq!(output.stdout, b"hi\n", "{output:?}");
    assert!(served.join().unwrap().starts_with(&asked));

    let resolve = format!("somewhere.test:{port}:127.0.0.1");
    let output = talk(&["--proxy", "none", "--resolve", &resolve], "127.0.0.1:1");
    assert_eq!(output.stdout, b"hi\n", "{output:?}");

    let ended = run(&["connect", "x", "--proxy", "ftp://x"], "");
    assert_eq!(ended.code, Some(2));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = closed.local_addr().unwrap().to_string();
    run(&["connect", &url, "--proxy", &closed], "").assert_failure(&format!("proxy {closed}"));
}

#[test]
fn verbose_shows_the_handshake_and_each_frame() {
    let host = Host::new();
    let (address, url) = {
        let url = host.url();
        (
            url["ws://".len()..].split('/').next().unwrap().to_owned(),
            url,
        )
    };
    let server = thread::spawn(move || {
        let (mut peer, head) = host.accept_with("Set-Cookie: secret=1\r\nX-Y: z\r\n");
        peer.expect(TEXT, "hello");
        peer.send(PING, "p");
        peer.expect(PONG, "p");
        peer.send(TEXT, "x".repeat(200));
        assert_eq!(peer.receive_close(), 1000);
        peer.send(CLOSE, close(1000, "bye"));
        field(&head, "sec-websocket-key").unwrap().to_owned()
    });
    let args = ["connect", &url, "-v", "--bearer", "secret"];
    let ended = run(&[&args[..], &["--count", "1"]].concat(), "hello\n");
    let key = server.join().unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.text().len(), 201);
    assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    let said: Vec<&str> = ended
        .stderr
        .lines()
        .filter(|line| !line.starts_with("< Sec-WebSocket-Accept: "))
        .collect();
    let expected = [
        &*format!("* reached {address}"),
        "> GET /path?query HTTP/1.1",
        &format!("> Host: {address}"),
        "> Upgrade: websocket",
        "> Connection: Upgrade",
        &format!("> Sec-WebSocket-Key: {key}"),
        "> Sec-WebSocket-Version: 13",
        "> Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; \
         client_no_context_takeover; client_max_window_bits",
        "> Authorization: [not shown]",
        ">",
        "< HTTP/1.1 101 Switching Protocols",
        "< Upgrade: websocket",
        "< Connection: Upgrade",
        "< Set-Cookie: [not shown]",
        "< X-Y: z",
        "<",
        &format!("* connected to {url}"),
        "> frame text len=5 fin masked",
        "< frame ping len=1 fin",
        "* ping \"p\"",
        "> frame pong len=1 fin masked",
        "< frame text len=200 fin",
        "> frame close len=2 fin masked code=1000",
        "< frame close len=5 fin code=1000 reason=\"bye\"",
        "* closed with 1000 \"bye\"",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_refusal_is_shown_too() {
    let server = Server::start(&[]);
    let url = server.url("/nothing-there");
    let ended = run(&["connect", &url, "-v"], "");
    assert_eq!(ended.code, Some(1));
    let shown = "< HTTP/1.1 404 Not Found\n";
    assert!(ended.stderr.contains(shown), "{}", ended.stderr);
    let ended = run(&["ping", &server.url("/echo"), "-c", "1", "-v"], "");
    let shown = "> frame ping len=56 fin masked\n< frame pong len=56 fin\n";
    assert!(ended.stderr.contains(shown), "{}", ended.stderr);
    assert!(!ended.text().contains("frame"));
}

#[test]
fn urls_with_passwords_are_not_shown_with_them() {
    let server = Server::start(&[]);
    let url = format!("ws://bob:secret@{}/echo", server.address());
    for command in [
        &["connect", &url, "-v"][..],
        &["ping", &url, "-c", "1", "-v"],
    ] {
        let ended = run(command, "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let all = ended.stderr.clone() + ended.text();
        assert!(
            !all.contains("secret") && all.contains(server.address()),
            "{all}"
        );
    }
}

#[test]
fn the_time_of_a_ping_is_that_of_its_way_there_and_back() {
    let host = Host::new();
    let begun = Instant::now();
    let mut running = Running::start(&["ping", &host.url(), "-c", "2", "-i", "0.001"]);
    let output = lines(running.stdout());
    let mut peer = host.accept_socket();
    for _ in 0..2 {
        let ping = peer.receive().unwrap();
        let received = Instant::now();
        // So long that what else takes time does not matter.
        while received.elapsed().as_millis() < 50 {
            thread::yield_now();
        }
        let held = received.elapsed();
        peer.send(PONG, &ping.data);
        let line = loop {
            let line = output.recv_timeout(PATIENCE).unwrap();
            if line.contains(" time=") {
                break line;
            }
        };
        let time = line.rsplit("time=").next().unwrap();
        let time: f64 = time.strip_suffix(" ms").unwrap().parse().unwrap();
        assert!(time >= held.as_secs_f64() * 1000.0, "{line}");
        assert!(time <= begun.elapsed().as_secs_f64() * 1000.0, "{line}");
    }
    peer.receive_close();
    let mut rest = Vec::new();
    peer.send(CLOSE, close(1000, ""));
    drop(peer.stream.shutdown(std::net::Shutdown::Write));
    drop(peer.stream.read_to_end(&mut rest));
    drop(peer);
    assert_eq!(running.wait().0.code(), Some(0));
}
