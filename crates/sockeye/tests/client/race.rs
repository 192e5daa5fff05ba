//! Several addresses for one host, on real sockets.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use sockeye::{ConnectOptions, Engine, Limits, PollerKind, Step};

use super::support::{Client, Recorder, Seen, good_answer, greet, options, read_head, serve};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// `server.test` with these addresses.
fn known(port: u16, addresses: &[&str]) -> ConnectOptions {
    addresses.iter().fold(
        options(&format!("ws://server.test:{port}/")),
        |options, one| options.resolve("server.test", port, address(one)),
    )
}

/// A port that nobody has on this address. Each test has addresses of its own, so that nobody takes
/// it in between.
fn free_port(host: &str) -> u16 {
    let free = TcpListener::bind((host, 0)).unwrap();
    free.local_addr().unwrap().port()
}

/// A listener that answers to no more connections: its queue is full, and the kernel drops what
/// comes.
struct BlackHole {
    listener: TcpListener,
    queue: Vec<TcpStream>,
}

impl BlackHole {
    fn new(at: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
        let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&descriptor, true).unwrap();
        bind(&descriptor, &at).unwrap();
        listen(&descriptor, 0).unwrap();
        let mut queue = Vec::new();
        // A queue of length 0 takes one; see that nobody gets in any more.
        while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(100)) {
            queue.push(stream);
        }
        Self {
            listener: descriptor.into(),
            queue,
        }
    }

    /// Takes what waits and one connection more, which it greets.
    fn relent(self) -> std::thread::JoinHandle<()> {
        let Self { listener, queue } = self;
        std::thread::spawn(move || {
            for _ in &queue {
                listener.accept().unwrap();
            }
            greet(listener.accept().unwrap().0);
        })
    }
}

#[test]
fn the_next_address_joins_when_the_first_is_silent() {
    for poller in [PollerKind::Epoll, PollerKind::Poll] {
        let server = serve("127.0.0.1:0", greet);
        let _hole = BlackHole::new(SocketAddr::new(address("127.0.0.2"), server.port()));
        let engine = Engine::builder().poller(poller).build().unwrap();
        let mut client = Client::new(engine, Recorder::default());
        let begun = Instant::now();
        client.connect(known(server.port(), &["127.0.0.2", "127.0.0.1"]));
        assert!(matches!(client.next(), Seen::Open(..)));
        assert!(
            begun.elapsed() >= Duration::from_millis(250),
            "the first has its time"
        );
        assert!(matches!(client.next(), Seen::Text(text) if text == "hello"));
        // The losers are gone.
        assert_eq!(client.engine.core().connection_count(), 1);
    }
}

/// The second address joins and is silent, too; then the first one's queue gets room again, which
/// the kernel finds out when it repeats its SYN after a second.
#[test]
fn the_first_may_still_win() {
    let port = free_port("127.0.0.15");
    let first = BlackHole::new(SocketAddr::new(address("127.0.0.15"), port));
    let _second = BlackHole::new(SocketAddr::new(address("127.0.0.16"), port));
    let mut client = Client::real();
    client.connect(known(port, &["127.0.0.15", "127.0.0.16"]));
    let until = Instant::now() + Duration::from_millis(300);
    while Instant::now() < until {
        client.engine.turn(Some(Duration::from_millis(50))).unwrap();
    }
    let thread = first.relent();
    assert!(matches!(client.next(), Seen::Open(..)));
    assert!(matches!(client.next(), Seen::Text(text) if text == "hello"));
    assert_eq!(client.engine.core().connection_count(), 1);
    drop(client);
    thread.join().unwrap();
}

#[test]
fn a_refusal_makes_room_at_once() {
    let server = serve("127.0.0.1:0", greet);
    let mut client = Client::real();
    let refused = ["127.0.0.4", "127.0.0.5", "127.0.0.6", "127.0.0.1"];
    client.connect(known(server.port(), &refused));
    assert!(matches!(client.next(), Seen::Open(..)));
}

#[test]
fn refused_everywhere() {
    let port = free_port("127.0.0.9");
    let mut client = Client::real();
    client.connect(known(port, &["127.0.0.8", "127.0.0.9"]));
    let failure = client.next_failure();
    assert_eq!(failure.step, Step::Connect);
    let expected = format!("connect server.test:{port}: Connection refused");
    assert!(failure.text.starts_with(&expected), "{failure:?}");
    assert_eq!(client.engine.core().connection_count(), 0);
}

#[test]
fn silent_everywhere_runs_into_the_deadline() {
    let port = free_port("127.0.0.10");
    let _holes = ["127.0.0.10", "127.0.0.11"]
        .map(|host| BlackHole::new(SocketAddr::new(address(host), port)));
    let mut client = Client::real();
    let wanted = known(port, &["127.0.0.10", "127.0.0.11"]);
    client.connect(wanted.timeout(Duration::from_millis(400)));
    let failure = client.next_failure();
    assert_eq!(
        failure.text,
        format!("connect server.test:{port}: timed out")
    );
    // Its slots are free again.
    client.engine.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.engine.core().connection_count(), 0);
}

/// At the limit there is no second socket; when the first fails the next address gets its place.
#[test]
fn the_limit_of_connections_holds_for_attempts() {
    let server = serve("127.0.0.1:0", greet);
    let _hole = BlackHole::new(SocketAddr::new(address("127.0.0.2"), server.port()));
    let limits = Limits {
        connections: Some(1),
        ..Limits::default()
    };
    let engine = Engine::builder().limits(limits).build().unwrap();
    let mut client = Client::new(engine, Recorder::default());
    let wanted = known(server.port(), &["127.0.0.2", "127.0.0.1"]);
    client.connect(wanted.timeout(Duration::from_millis(600)));
    assert!(client.next_failure().text.ends_with("timed out"));
    client.engine.turn(Some(Duration::ZERO)).unwrap();
    client.connect(known(server.port(), &["127.0.0.7", "127.0.0.1"]));
    assert!(matches!(client.next(), Seen::Open(..)));
    assert!(
        client
            .engine
            .connect(client.key, "ws://127.0.0.1:1/", ())
            .is_err()
    );
}

#[test]
fn aborted_on_the_way() {
    let port = free_port("127.0.0.12");
    let _hole = BlackHole::new(SocketAddr::new(address("127.0.0.12"), port));
    let mut client = Client::real();
    let id = client.connect(known(port, &["127.0.0.12", "127.0.0.12"]));
    client
        .engine
        .turn(Some(Duration::from_millis(300)))
        .unwrap();
    client.engine.core().abort(id);
    assert!(
        client
            .next_failure()
            .text
            .ends_with("given up by this side")
    );
    client.engine.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(client.engine.core().connection_count(), 0);
}

#[test]
fn a_shutdown_amid_a_race() {
    let port = free_port("127.0.0.13");
    let _holes = ["127.0.0.13", "127.0.0.14"]
        .map(|host| BlackHole::new(SocketAddr::new(address(host), port)));
    for limit in [Duration::ZERO, Duration::from_secs(9)] {
        let mut client = Client::real();
        client.connect(known(port, &["127.0.0.13", "127.0.0.14"]));
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            client.engine.turn(Some(Duration::from_millis(50))).unwrap();
        }
        client.engine.shutdown(limit);
        let report = client.engine.run().unwrap();
        assert_eq!(report.closed + report.cut, 1);
        assert!(matches!(client.seen()[..], [Seen::Failed(_)]));
    }
}

#[test]
fn names_are_resolved_off_the_loop() {
    let server = serve("127.0.0.1:0", greet);
    let mut client = Client::real();
    client.connect(options(&format!("ws://localhost:{}/", server.port())));
    assert!(matches!(client.next(), Seen::Open(..)));
    client.connect(options("ws://no-such-host.invalid/"));
    loop {
        match client.next() {
            Seen::Failed(failure) => {
                assert_eq!(failure.step, Step::Resolve);
                let expected = "resolve no-such-host.invalid: ";
                break assert!(failure.text.starts_with(expected), "{failure:?}");
            }
            Seen::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        use std::io::{Read, Write};
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        let request = String::from_utf8(head).unwrap();
        stream.write_all(good_answer(&request).as_bytes()).unwrap();
        let _ = stream.read(&mut [0; 9]);
        request
    });
    let mut client = Client::real();
    let url = format!("ws+unix:{}:/feed?x", path.display());
    client.connect(ConnectOptions::new(&url).unwrap());
    assert!(matches!(client.next(), Seen::Open(..)));
    drop(client);
    assert!(
        thread
            .join()
            .unwrap()
            .starts_with("GET /feed?x HTTP/1.1\r\nHost: localhost\r\n")
    );

    let mut client = Client::real();
    let gone = folder.path().join("gone");
    let url = format!("ws+unix:{}", gone.display());
    client.connect(ConnectOptions::new(&url).unwrap());
    let failure = client.next_failure();
    assert!(
        failure
            .text
            .starts_with(&format!("connect unix:{}: No such", gone.display()))
    );
}

/// The first lines of a request for a URL with everything in it.
#[test]
fn what_is_asked() {
    let (send, asked) = std::sync::mpsc::channel();
    let server = serve("127.0.0.1:0", move |mut stream| {
        send.send(read_head(&mut stream)).unwrap();
    });
    let mut client = Client::real();
    let wanted = options(&format!("ws://me:p%40w@{server}/a?b"))
        .host("other.test")
        .cookie("c", "d")
        .unwrap();
    client.connect(wanted);
    client.next_failure();
    let request = asked.recv().unwrap();
    assert!(
        request.starts_with("GET /a?b HTTP/1.1\r\nHost: other.test\r\n"),
        "{request}"
    );
    assert!(
        request.contains("Authorization: Basic bWU6cEB3\r\n"),
        "{request}"
    );
    assert!(request.contains("Cookie: c=d\r\n"), "{request}");
}
