//! `sockeye serve`: its lines, its files and page, its limits, and how it ends.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rustix::process::{Signal, geteuid};

use crate::peer::{CLOSE, TEXT, close, field, open, read_head};
use crate::process::{PATIENCE, Server, run};

/// The head and the body of an answer.
fn request(server: &Server, request: &str) -> (String, Vec<u8>) {
    let mut stream = server.connect();
    let request = format!("{request}Host: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let head = read_head(&mut stream);
    let mut body = Vec::new();
    stream.read_to_end(&mut body).unwrap();
    (head, body)
}

#[test]
fn it_prints_one_line_for_each_listener_and_serves_on_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let mut server = Server::start_on(&["127.0.0.1:0", "[::1]:0", &unix], &[]);
    let [v4, v6, socket] = &server.listening[..] else {
        panic!("{:?}", server.listening);
    };
    assert!(v4.starts_with("listening on http://127.0.0.1:"), "{v4}");
    assert!(v6.starts_with("listening on http://[::1]:"), "{v6}");
    assert_eq!(*socket, format!("listening on {unix}"));

    let v6 = v6.strip_prefix("listening on http://").unwrap();
    let v6 = TcpStream::connect(v6.trim_end_matches('/')).unwrap();
    v6.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut v6 = open(v6, "/echo");
    let unix_stream = UnixStream::connect(&path).unwrap();
    unix_stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut unix_peer = open(unix_stream, "/echo");
    v6.send(TEXT, "six");
    v6.expect(TEXT, "six");
    unix_peer.send(TEXT, "unix");
    unix_peer.expect(TEXT, "unix");

    let url = format!("{unix}:/echo");
    run(&["connect", &url], "over unix\n").assert_success("over unix\n");

    assert!(server.is_running());
    server.signal(Signal::TERM);
    for code in [v6.receive_close(), unix_peer.receive_close()] {
        assert_eq!(code, 1001);
    }
    v6.send(CLOSE, close(1001, ""));
    unix_peer.send(CLOSE, close(1001, ""));
    let (code, lines, _) = server.wait();
    assert_eq!((code, lines.len()), (Some(0), 0));
    assert!(!path.exists());
}

#[test]
fn a_signal_drains_and_a_second_one_cuts() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(&[]);
        let mut polite = open(server.connect(), "/echo");
        let mut mute = open(server.connect(), "/echo");
        server.signal(signal);
        assert_eq!(polite.receive_close(), 1001);
        assert_eq!(mute.receive_close(), 1001);
        polite.send(CLOSE, close(1001, ""));
        assert_eq!(polite.receive(), None);
        // The other one does not answer, and is waited for.
        assert!(TcpStream::connect(server.address()).is_err());
        assert!(server.is_running());
        server.signal(signal);
        assert_eq!(mute.receive(), None);
        let (code, _, stderr) = server.wait();
        assert_eq!(code, Some(0));
        assert!(stderr.contains("connections cut: 1"), "{stderr}");
    }
}

#[test]
fn quiet_is_quiet_and_verbose_tells_of_connections() {
    let server = Server::start(&["--quiet"]);
    run(&["connect", &server.url("/echo")], "a\n").assert_success("a\n");
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), (Some(0), vec![], String::new()));

    let server = Server::start(&["-v"]);
    run(&["connect", &server.url("/echo")], "a\n").assert_success("a\n");
    server.signal(Signal::TERM);
    let (_, _, stderr) = server.wait();
    for part in ["connection from 127.0.0.1:", " open", "closed with 1000"] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn the_page_is_strict_and_cached_by_its_tag() {
    let server = Server::start(&[]);
    let (head, body) = request(&server, "GET / HTTP/1.1\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(
        field(&head, "content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(field(&head, "cache-control"), Some("no-cache"));
    let policy = field(&head, "content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(body.starts_with(b"<!doctype html>"));

    let tag = field(&head, "etag").unwrap();
    let (head, body) = request(
        &server,
        &format!("GET / HTTP/1.1\r\nIf-None-Match: {tag}\r\n"),
    );
    assert!(head.starts_with("HTTP/1.1 304 "), "{head}");
    assert_eq!(field(&head, "etag"), Some(tag));
    assert!(body.is_empty());
    let (head, _) = request(&server, "GET /?x HTTP/1.1\r\nIf-None-Match: \"other\"\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (head, body) = request(&server, "HEAD / HTTP/1.1\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(body.is_empty());
    for (line, status) in [
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n", "405"),
        ("GET /else HTTP/1.1\r\n", "404"),
        ("GET /echo HTTP/1.1\r\n", "426"),
    ] {
        let (head, _) = request(&server, line);
        assert_eq!(head.split(' ').nth(1), Some(status), "{line}");
    }
}

#[test]
fn a_folder_takes_the_place_of_the_page_and_the_endpoints_stay() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("index.html"), "<p>mine").unwrap();
    fs::write(dir.path().join("a.txt"), "text").unwrap();
    let server = Server::start(&[
        dir.path().to_str().unwrap(),
        "--cache-control",
        "max-age=60",
    ]);
    let (head, body) = request(&server, "GET / HTTP/1.1\r\n");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(body, b"<p>mine");
    let (head, body) = request(&server, "GET /a.txt HTTP/1.1\r\n");
    assert_eq!(field(&head, "cache-control"), Some("max-age=60"));
    assert_eq!(body, b"text");
    let (head, _) = request(&server, "GET /b.txt HTTP/1.1\r\n");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let mut peer = open(server.connect(), "/echo");
    peer.send(TEXT, "still here");
    peer.expect(TEXT, "still here");
}

#[test]
fn limits_are_kept() {
    let server = Server::start(&["--max-message", "1K", "--max-connections", "1"]);
    let mut peer = open(server.connect(), "/echo");
    peer.send(TEXT, "a".repeat(1024));
    peer.expect(TEXT, "a".repeat(1024));
    // The next one is served when the first is over.
    let mut next = server.connect();
    next.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    peer.send(TEXT, "b");
    peer.expect(TEXT, "b");
    peer.send(TEXT, "a".repeat(1025));
    assert_eq!(peer.receive_close(), 1009);
    drop(peer);
    assert!(read_head(&mut next).starts_with("HTTP/1.1 200 "));
}

#[test]
fn large_messages_can_be_allowed() {
    let server = Server::start(&["--max-message", "40M"]);
    let input = "a".repeat(33 << 20);
    let args = ["connect", &server.url("/echo"), "--max-message", "40M"];
    let ended = run(&args, format!("{input}\n"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_eq!(ended.stdout.len(), input.len() + 1);
}

#[test]
fn the_user_is_changed_after_binding() {
    let args = ["--user", "65534", "--group", "65534"];
    if !geteuid().is_root() {
        let ended = run(
            &[&["serve", "--listen", "127.0.0.1:0"], &args[..]].concat(),
            "",
        );
        return ended.assert_failure("become");
    }
    let server = Server::start(&args);
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    for id in ["Uid:", "Gid:"] {
        let line = status.lines().find(|line| line.starts_with(id)).unwrap();
        let ids: Vec<&str> = line.split_whitespace().skip(1).collect();
        assert_eq!(ids, ["65534"; 4], "{line}");
    }
    run(&["connect", &server.url("/echo")], "a\n").assert_success("a\n");
}

#[test]
fn what_cannot_be_served_is_said_in_one_line() {
    let server = Server::start(&[]);
    let taken = server.address();
    run(&["serve", "--listen", taken], "").assert_failure(taken);
    run(&["serve", "no/such/folder", "--listen", "127.0.0.1:0"], "")
        .assert_failure("no/such/folder");
    run(&["serve", "--user", "no such user"], "").assert_failure("no such user");
    let origins = ["serve", "--origin", "same", "--origin", "https://a.example"];
    run(&origins, "").assert_failure("--origin");
}
