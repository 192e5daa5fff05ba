//! Plain HTTP through the engine: order, bodies, later answers, streams, files.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use sockeye::sim::{Faults, Network, Remote};
use sockeye::{Body, ConnId, Exchange, FileBody, Files, Limits, Request, Response, Sent};

use crate::support::{Bench, HANDSHAKE, Script, echo, frame, seconds};

const KIB: usize = 1024;

fn bench(request: impl FnMut(&mut Exchange<'_>, &Request<'_>, &[u8]) + 'static) -> Bench {
    let mut script = Script::new(echo);
    script.request = Box::new(request);
    script.body_limit = 100;
    Bench::with(Limits::default(), script)
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n").into_bytes()
}

/// Answers one after the other: status and body, as their heads announce them.
fn answers(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut answers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = rest.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = std::str::from_utf8(&rest[..end]).unwrap().to_lowercase();
        let status: u16 = head[9..12].parse().unwrap();
        rest = &rest[end..];
        let value = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(|value| value.trim().to_owned())
        };
        let mut body = Vec::new();
        if let Some(len) = value("content-length:") {
            let len = len.parse::<usize>().unwrap().min(rest.len());
            body.extend_from_slice(&rest[..len]);
            rest = &rest[len..];
        } else if value("transfer-encoding:").is_some() {
            loop {
                let line = rest.windows(2).position(|w| w == b"\r\n").unwrap();
                let digits = std::str::from_utf8(&rest[..line]).unwrap();
                let len = usize::from_str_radix(digits, 16).unwrap();
                body.extend_from_slice(&rest[line + 2..line + 2 + len]);
                rest = &rest[line + 2 + len + 2..];
                if len == 0 {
                    break;
                }
            }
        }
        answers.push((status, body));
    }
    answers
}

fn bodies(remote: &Remote) -> Vec<String> {
    answers(&remote.read())
        .into_iter()
        .map(|(_, body)| String::from_utf8(body).unwrap())
        .collect()
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let mut bench = bench(|http, request, _| {
        http.respond(Response::text(request.path().to_owned()));
    });
    let remote = bench.remote();
    let paths: Vec<String> = (0..100).map(|n| format!("/{n}")).collect();
    for path in &paths {
        remote.write(&get(path));
    }
    bench.run();
    assert_eq!(bodies(&remote), paths);
    remote.write(&get("/more"));
    bench.run();
    assert_eq!(bodies(&remote), ["/more"], "and the connection lives on");
}

#[test]
fn pipelining_goes_on_behind_long_answers_and_slow_readers() {
    for window in [1000, 64 * KIB, 100 * KIB * KIB] {
        let mut bench = bench(|http, request, _| {
            let len: usize = request.path()[1..].parse().unwrap();
            http.respond(Response::text(vec![b'x'; len]));
        });
        bench.network.set_faults(Faults::none().window(window));
        let remote = bench.remote();
        let lens = [10, 3_000_000, 20, 100_000, 1024 * KIB, 30, 2_000_000, 0, 5];
        for len in lens {
            remote.write(&get(&format!("/{len}")));
        }
        bench.run();
        let answered: Vec<usize> = answers(&remote.read())
            .iter()
            .map(|(_, body)| body.len())
            .collect();
        assert_eq!(answered, lens, "window {window}");
        // One that arrives while the answer before it is still on its way.
        remote.stall();
        remote.write(&get("/200000"));
        bench.run();
        remote.write(&get("/7"));
        bench.run();
        remote.unstall();
        bench.run();
        let answered: Vec<usize> = answers(&remote.read())
            .iter()
            .map(|(_, body)| body.len())
            .collect();
        assert_eq!(answered, [200_000, 7], "window {window}");
    }
}

#[test]
fn pipelined_requests_do_not_pile_up_answers() {
    let mut bench = bench(|http, _, _| {
        http.respond(Response::text(vec![b'x'; 100_000]));
    });
    let remote = bench.remote();
    remote.stall();
    for _ in 0..1000 {
        remote.write(&get("/"));
    }
    bench.run();
    let written = remote.moved();
    assert!(written < 300 * KIB as u64, "{written}");
    remote.unstall();
    bench.run();
    assert_eq!(answers(&remote.read()).len(), 1000);
}

#[test]
fn head_and_close_are_kept() {
    let mut bench = bench(|http, _, _| {
        http.respond(Response::text("content"));
    });
    let remote = bench.remote();
    remote.write(b"HEAD / HTTP/1.1\r\nHost: sim\r\n\r\n");
    bench.run();
    let head = String::from_utf8(remote.read()).unwrap();
    assert!(head.to_lowercase().contains("content-length: 7\r\n") && head.ends_with("\r\n\r\n"));
    remote.write(b"GET / HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n");
    remote.write(&get("/never"));
    bench.run();
    assert_eq!(bodies(&remote), ["content"]);
    assert!(remote.is_ended());
    remote.close();
    bench.run();
    bench.assert_empty();
}

#[test]
fn a_wanted_body_is_collected_and_a_larger_one_refused() {
    let mut bench = bench(|http, _, body| {
        http.respond(Response::text(body.to_vec()));
    });
    let remote = bench.remote();
    let post = |len: usize, extra: &str| {
        format!("POST / HTTP/1.1\r\nHost: sim\r\nContent-Length: {len}\r\n{extra}\r\n").into_bytes()
    };
    for cut in 0..100 {
        remote.write(&post(100, ""));
        remote.write(&[b'a'; 100][..cut]);
        bench.run();
        remote.write(&[b'a'; 100][cut..]);
        bench.run();
        assert_eq!(bodies(&remote), ["a".repeat(100)]);
    }
    remote.write(&post(3, "Expect: 100-continue\r\n"));
    bench.run();
    assert_eq!(remote.read(), b"HTTP/1.1 100 Continue\r\n\r\n");
    remote.write(b"abc");
    remote.write(b"POST / HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n");
    remote.write(b"3\r\nxyz\r\n0\r\n\r\n");
    bench.run();
    assert_eq!(bodies(&remote), ["abc", "xyz"]);
    remote.write(&post(101, ""));
    bench.run();
    assert_eq!(answers(&remote.read())[0].0, 413);
    assert!(remote.is_ended());
}

#[test]
fn an_answer_may_come_later() {
    let asked = Rc::new(RefCell::new(Vec::<ConnId>::new()));
    let ids = Rc::clone(&asked);
    let mut bench = bench(move |http, _, _| ids.borrow_mut().push(http.id()));
    let remote = bench.remote();
    remote.write(&get("/1"));
    remote.write(&get("/2"));
    bench.advance(seconds(100));
    assert_eq!(asked.borrow().len(), 1, "one at a time");
    let id = asked.borrow()[0];
    let core = bench.engine.core();
    assert!(core.respond(id, Response::text("one")));
    assert!(!core.respond(id, Response::text("again")), "once");
    bench.run();
    assert_eq!(bodies(&remote), ["one"]);
    assert!(bench.engine.core().respond(id, Response::text("two")));
    bench.run();
    assert_eq!(bodies(&remote), ["two"]);
    remote.write(&get("/3"));
    bench.run();
    remote.reset();
    bench.run();
    assert!(!bench.engine.core().respond(id, Response::text("three")));
    bench.assert_empty();
}

#[test]
fn a_client_that_only_listens_gets_its_answer() {
    let asked = Rc::new(RefCell::new(None));
    let id = Rc::clone(&asked);
    let mut bench = bench(move |http, _, _| *id.borrow_mut() = Some(http.id()));
    let remote = bench.remote();
    remote.write(&get("/"));
    remote.close();
    bench.advance(seconds(1));
    let id = asked.borrow().unwrap();
    assert!(bench.engine.core().respond(id, Response::text("for you")));
    bench.run();
    assert_eq!(bodies(&remote), ["for you"]);
    bench.assert_empty();
}

#[test]
fn a_streamed_body_goes_out_piece_by_piece() {
    let asked = Rc::new(RefCell::new(None));
    let id = Rc::clone(&asked);
    let mut bench = bench(move |http, _, _| {
        *id.borrow_mut() = Some(http.id());
        http.respond(Response::text(Body::Stream));
    });
    let remote = bench.remote();
    remote.write(&get("/"));
    remote.write(&get("/next"));
    bench.run();
    let id = asked.borrow().unwrap();
    for piece in ["one ", "", "two ", "three"] {
        assert_eq!(
            bench.engine.core().send_body(id, piece.as_bytes()),
            Sent::Clear
        );
        bench.run();
    }
    assert!(bench.engine.core().finish_body(id));
    assert!(!bench.engine.core().finish_body(id));
    assert!(!bench.engine.core().send_body(id, b"late").is_sent());
    bench.run();
    assert!(bench.engine.core().finish_body(id), "the next one, empty");
    bench.run();
    assert_eq!(bodies(&remote), ["one two three", ""]);
}

#[test]
fn a_file_streams_with_little_in_memory() {
    let len = 3 * KIB * KIB;
    let mut bench = bench(move |http, _, _| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'f'; len]).unwrap();
        http.respond(Response::text(FileBody::new(file).unwrap()));
    });
    let remote = bench.remote();
    remote.stall();
    remote.write(&get("/"));
    remote.write(&get("/"));
    bench.run();
    let limits = Limits::default();
    assert!(remote.moved() < 70 * KIB as u64);
    let id = bench.engine.core();
    assert!(id.connection_count() == 1);
    let mut slow = 0;
    while slow < len {
        let sipped = remote.sip(10_000);
        assert!(sipped > 0, "it goes on");
        slow += sipped;
        bench.run();
    }
    assert!(limits.low_water < len);
    remote.unstall();
    bench.run();
    let answers = answers(&remote.read());
    assert_eq!(answers.len(), 2);
    assert!(
        answers
            .iter()
            .all(|(_, body)| body.len() == len && body.iter().all(|b| *b == b'f'))
    );
}

#[test]
fn a_file_that_shrinks_is_not_taken_for_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    std::fs::write(&path, vec![b'x'; KIB * KIB]).unwrap();
    let network = Network::new(1);
    let mut engine = network.engine().build().unwrap();
    let listener = network.listener();
    engine
        .listen_on(listener.acceptor())
        .unwrap()
        .files("/", Files::new(directory.path()).unwrap());
    let remote = network.connect(&listener);
    remote.stall();
    remote.write(&get("/log"));
    network.run_until_idle(&mut engine);
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(300_000)
        .unwrap();
    remote.unstall();
    network.run_until_idle(&mut engine);
    let received = remote.read();
    assert!(received.len() < 700_000);
    assert!(remote.is_ended(), "cut, so that the client knows");
    assert_eq!(engine.core().connection_count(), 0);
}

#[test]
fn a_shared_body_is_sent_to_many() {
    let body: Arc<[u8]> = vec![b's'; 200_000].into();
    let mut bench = bench(move |http, _, _| {
        http.respond(Response::text(Arc::clone(&body)));
    });
    let remotes: Vec<_> = (0..5).map(|_| bench.remote()).collect();
    for remote in &remotes {
        remote.write(&get("/"));
    }
    bench.run();
    for remote in &remotes {
        assert_eq!(answers(&remote.read())[0].1.len(), 200_000);
    }
}

#[test]
fn bad_requests_get_their_status_and_the_end() {
    let cases: [(&[u8], u16); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
    ];
    for (bytes, status) in cases {
        let mut bench = bench(|http, _, _| {
            http.respond(Response::text("served"));
        });
        let remote = bench.remote();
        remote.write(bytes);
        remote.write(&get("/smuggled"));
        bench.run();
        let answers = answers(&remote.read());
        let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [status], "{}", String::from_utf8_lossy(bytes));
        assert!(remote.is_ended());
        remote.close();
        bench.run();
        bench.assert_empty();
        assert!(!remote.is_reset());
    }
}

#[test]
fn an_upgrade_may_follow_requests_and_be_followed_by_frames() {
    let mut bench = bench(|http, _, _| {
        http.respond(Response::text("first"));
    });
    let whole = [&get("/")[..], HANDSHAKE, &frame(0x81, b"hello")].concat();
    for cut in 0..whole.len() {
        let remote = bench.remote();
        remote.write(&whole[..cut]);
        bench.run();
        remote.write(&whole[cut..]);
        bench.run();
        let output = remote.read();
        assert!(output.starts_with(b"HTTP/1.1 200 "));
        assert!(output.ends_with(b"\r\n\r\n\x81\x05hello"), "cut at {cut}");
    }
}

#[test]
fn a_protocol_that_wants_sockets_only_says_so() {
    let network = Network::new(1);
    let mut engine = network.engine().build().unwrap();
    let key = engine.host(sockeye::on_message(|_, _| ()));
    let listener = network.listener();
    engine
        .listen_on(listener.acceptor())
        .unwrap()
        .route("/", key);
    let remote = network.connect(&listener);
    remote.write(&get("/"));
    remote.write(&get("/missing"));
    network.run_until_idle(&mut engine);
    let statuses: Vec<_> = answers(&remote.read())
        .iter()
        .map(|(status, _)| *status)
        .collect();
    assert_eq!(statuses, [426, 404]);
}

#[test]
fn a_body_of_very_many_pieces_is_collected() {
    let mut script = Script::new(echo);
    script.body_limit = 50_000;
    script.request = Box::new(|http, _, body| {
        http.respond(Response::text(body.len().to_string()));
    });
    let mut bench = Bench::with(Limits::default(), script);
    let remote = bench.remote();
    remote.write(b"POST / HTTP/1.1\r\nHost: sim\r\nTransfer-Encoding: chunked\r\n\r\n");
    remote.write(&b"1\r\nx\r\n".repeat(40_000));
    remote.write(b"0\r\n\r\n");
    bench.run();
    assert_eq!(bodies(&remote), ["40000"]);
}
