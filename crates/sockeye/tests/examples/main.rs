//! Every example does what it says, as a program of its own.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod conversation;
mod process;
#[path = "../visitor/mod.rs"]
mod visitor;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use sockeye::{
    Accepted, CloseCode, Conn, Engine, Peer, PollerKind, Protocol, ProtocolKey, Reject, Request,
    Text, on_message,
};

use self::process::{Example, command};
use self::visitor::{Visit, Visitor, until};

fn client() -> (Engine, ProtocolKey<Visitor>) {
    let mut engine = Engine::new().unwrap();
    let visitor = engine.host(Visitor);
    (engine, visitor)
}

/// One HTTP exchange; the request must ask for the end of the connection.
fn http(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn echo_converses() {
    let (_example, address) = Example::serve("echo");
    conversation::hold(address);
}

#[test]
fn external_loop_converses() {
    let (_example, address) = Example::serve("external_loop");
    conversation::hold(address);
}

#[test]
fn tokio_loop_converses() {
    let (_example, address) = Example::serve("tokio_loop");
    conversation::hold(address);
}

/// The judge of the foreign loops judges the engine's own pollers too; epoll is in `echo`.
#[test]
fn the_portable_poller_converses() {
    let (sender, receiver) = mpsc::channel();
    let server = thread::spawn(move || {
        let builder = Engine::builder().poller(PollerKind::Poll);
        let mut engine = builder.build().unwrap();
        let echo = engine.host(on_message(|conn, message| {
            conn.send(message);
        }));
        let listener = engine.listen("127.0.0.1:0").unwrap().route("/echo", echo);
        let address = listener.local_addr().tcp().unwrap();
        sender.send((engine.handle(), address)).unwrap();
        engine.run().unwrap();
    });
    let (handle, address) = receiver.recv().unwrap();
    conversation::hold(address);
    handle.shutdown(Duration::from_secs(10)).unwrap();
    server.join().unwrap();
}

#[test]
fn echo_is_fifteen_lines() {
    let source = include_str!("../../examples/echo.rs");
    let code = source
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("//!"));
    assert!(code.count() <= 15);
}

#[test]
fn external_loop_passes_datagrams_on() {
    let (mut example, address) = Example::serve("external_loop");
    let line = example.line();
    let (_, datagrams) = line.split_once("datagrams to ").unwrap();
    let (mut engine, visitor) = client();
    let feed = format!("ws://{address}/feed");
    let readers = [(); 2].map(|()| Visit::open(&mut engine, visitor, &feed));

    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for datagram in ["one", "two"] {
        udp.send_to(datagram.as_bytes(), datagrams).unwrap();
        for reader in &readers {
            reader.expect(&mut engine, datagram);
        }
    }
}

#[test]
fn tokio_loop_serves_a_task_of_tokio() {
    let (_example, address) = Example::serve("tokio_loop");
    let (mut engine, visitor) = client();
    let clock = Visit::open(&mut engine, visitor, &format!("ws://{address}/clock"));
    for _ in 0..2 {
        let tick = clock.got(&mut engine);
        assert!(format!("{tick:?}").contains("up for"), "{tick:?}");
    }
}

#[test]
fn chat_has_rooms() {
    let (_example, address) = Example::serve("chat");
    let (mut engine, visitor) = client();
    let enter = |engine: &mut Engine, path: &str| {
        Visit::open(engine, visitor, &format!("ws://{address}/rooms/{path}"))
    };
    let ada = enter(&mut engine, "kitchen?name=Ada");
    ada.expect(&mut engine, "* welcome to kitchen: 1 here");
    let bob = enter(&mut engine, "kitchen?name=B%C3%B6b");
    bob.expect(&mut engine, "* welcome to kitchen: 2 here");
    ada.expect(&mut engine, "* Böb came in");
    let eve = enter(&mut engine, "cellar?name=Eve");
    eve.expect(&mut engine, "* welcome to cellar: 1 here");

    engine.core().send(bob.id, "hello");
    for visit in [&ada, &bob] {
        visit.expect(&mut engine, "Böb: hello");
    }
    engine.core().close(bob.id, CloseCode::NORMAL, "");
    assert!(bob.closed(&mut engine).clean);
    ada.expect(&mut engine, "* Böb left");

    engine.core().send(eve.id, "echo");
    eve.expect(&mut engine, "Eve: echo");
    assert_eq!(eve.take(), [], "what is said in the kitchen stays there");

    for path in ["kitchen", "kitchen?name=%0A", "a%2Fb?name=Ada"] {
        let url = format!("ws://{address}/rooms/{path}");
        let visit = Visit::begin(&mut engine, visitor, url.try_into().unwrap());
        let error = visit.error(&mut engine);
        assert!(error.contains("400"), "{error}");
    }
}

#[test]
fn bus_brings_news_from_another_process() {
    let mut command = command("bus");
    let mut example = Example::start(command.arg("127.0.0.1:0").stdin(Stdio::piped()));
    let line = example.line();
    let (_, url) = line.split_once("listening on ").unwrap();
    let (mut engine, visitor) = client();
    let readers = [(); 2].map(|()| Visit::open(&mut engine, visitor, url));
    let mut stdin = example.stdin();
    for news in ["one", "two", "drei für alle"] {
        writeln!(stdin, "{news}").unwrap();
        for reader in &readers {
            reader.expect(&mut engine, news);
        }
    }
    drop(stdin);
    for reader in &readers {
        assert!(reader.closed(&mut engine).clean, "the server ends in order");
    }
    assert!(example.succeeds());
}

#[test]
fn client_talks_to_echo() {
    let (_echo, address) = Example::serve("echo");
    let url = format!("ws://{address}/echo");
    let mut client = Example::start(command("client").arg(url).stdin(Stdio::piped()));
    let mut stdin = client.stdin();
    stdin.write_all("first\n".as_bytes()).unwrap();
    assert_eq!(client.line(), "first");
    stdin.write_all("second\nläßt grüßen".as_bytes()).unwrap();
    drop(stdin);
    assert_eq!(client.line(), "second");
    assert_eq!(client.line(), "läßt grüßen");
    assert_eq!(client.line(), "", "nothing more");
    assert!(client.succeeds());
}

#[test]
fn client_fails_where_nobody_listens() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let mut command = command("client");
    command
        .arg(format!("ws://{address}/echo"))
        .stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains(&address.to_string()), "{told}");
}

#[test]
fn site_has_files_a_socket_and_json() {
    let (_example, address) = Example::serve("site");
    let ask = |request: &str| {
        let (line, rest) = request.split_once('\n').unwrap_or((request, ""));
        let rest = if rest.is_empty() { "\r\n" } else { rest };
        let head = "Host: localhost\r\nConnection: close\r\n";
        http(address, &format!("{line} HTTP/1.1\r\n{head}{rest}"))
    };
    let page = ask("GET /");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(page.contains("<h1>A site</h1>"), "{page}");
    assert!(ask("GET /none").starts_with("HTTP/1.1 404 "));
    assert!(ask("GET /live").starts_with("HTTP/1.1 426 "));
    assert!(ask("DELETE /api/say").starts_with("HTTP/1.1 405 "));

    let (mut engine, visitor) = client();
    let reader = Visit::open(&mut engine, visitor, &format!("ws://{address}/live"));
    reader.expect(&mut engine, "connected");
    let said = ask("POST /api/say\nContent-Length: 5\r\n\r\nhello");
    assert!(said.contains("application/json"), "{said}");
    assert!(said.ends_with(r#"{"readers":1}"#), "{said}");
    reader.expect(&mut engine, "hello");
    let status = ask("GET /api/status");
    assert!(status.ends_with(r#"{"readers":1,"said":1}"#), "{status}");

    let long = format!(
        "POST /api/say\nContent-Length: 1025\r\n\r\n{}",
        "x".repeat(1025)
    );
    assert!(ask(&long).starts_with("HTTP/1.1 413 "));
}

/// What the fuzzing server of Autobahn looks like to a client, with three cases.
struct Suite {
    echoes: Vec<String>,
    reports: u32,
}

enum Page {
    Count,
    Case(u32),
    Reports,
}

impl Protocol for Suite {
    type Session = Page;

    fn accept(&mut self, request: &Request<'_>, _: &Peer) -> Result<Accepted<Page>, Reject> {
        let page = match (request.path(), request.query()) {
            ("/getCaseCount", None) => Page::Count,
            ("/runCase", Some("case=1&agent=tester")) => Page::Case(1),
            ("/runCase", Some("case=2&agent=tester")) => Page::Case(2),
            ("/runCase", Some("case=3&agent=tester")) => Page::Case(3),
            ("/updateReports", Some("agent=tester")) => Page::Reports,
            _ => return Err(Reject::status(404)),
        };
        Ok(Accepted::new(page))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, page: &mut Page) {
        match page {
            Page::Count => {
                conn.send("3");
                conn.close(CloseCode::NORMAL, "");
            }
            // A case may end without a word.
            Page::Case(2) => conn.abort(),
            Page::Case(case) => drop(conn.send(&format!("case {case}"))),
            Page::Reports => {
                self.reports += 1;
                conn.close(CloseCode::NORMAL, "");
            }
        }
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, _: &mut Page, text: Text<'_>) {
        self.echoes.push(text.into_string());
        conn.close(CloseCode::NORMAL, "");
    }
}

#[test]
fn autobahn_client_visits_every_case() {
    let mut engine = Engine::new().unwrap();
    let suite = engine.host(Suite {
        echoes: Vec::new(),
        reports: 0,
    });
    let listener = engine.listen("127.0.0.1:0").unwrap().route("/*", suite);
    let url = format!("ws://{}", listener.local_addr());
    let mut client = Example::start(
        command("autobahn_client")
            .arg("tester")
            .env("AUTOBAHN_URL", url),
    );
    until(&mut engine, "the reports", |engine| {
        engine.protocol(suite).unwrap().reports == 1
    });
    engine.shutdown(Duration::from_secs(10));
    engine.run().unwrap();
    assert_eq!(client.line(), "case 1 of 3");
    assert!(client.succeeds());
    let suite = engine.protocol(suite).unwrap();
    assert_eq!(suite.echoes, ["case 1", "case 3"]);
}

/// An idle loop sleeps: those of somebody else are where this goes wrong.
#[test]
fn idle_servers_use_no_processor_time() {
    const WHILE: Duration = Duration::from_millis(400);
    for name in ["echo", "external_loop", "tokio_loop"] {
        let (example, address) = Example::serve(name);
        let (mut engine, visitor) = client();
        let url = format!("ws://{address}/echo");
        let visit = Visit::open(&mut engine, visitor, &url);
        engine.core().send(visit.id, "hello");
        visit.expect(&mut engine, "hello");
        let _silent = TcpStream::connect(address).unwrap();
        let before = example.processor_time();
        let end = Instant::now() + WHILE;
        while Instant::now() < end {
            engine
                .turn(Some(end.saturating_duration_since(Instant::now())))
                .unwrap();
        }
        let used = example.processor_time() - before;
        assert!(used < WHILE / 4, "{name} used {used:?}");
    }
}
