//! What a program does past the engine's own ways: raw answers, parts of messages, ends that wait
//! for nobody, a word before a handshake is judged, a gate, connected streams.

use std::cell::Cell;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use sockeye::sim::Faults;
use sockeye::{
    CloseCause, CloseCode, ConnId, ConnectOptions, Engine, Exchange, FileBody, Kind, Limits,
    ProxyChoice, Refusal, Request, Response, Sent,
};

use crate::support::{Bench, HANDSHAKE, Happening, Script, echo, seconds};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: sim\r\n\r\n";

fn answering(request: impl FnMut(&mut Exchange<'_>) + 'static) -> Bench {
    let mut request = request;
    let mut script = Script::new(echo);
    script.request = Box::new(move |http, _, _| request(http));
    Bench::with(Limits::default(), script)
}

#[test]
fn an_answer_is_written_byte_for_byte_and_ends_the_connection() {
    let mut bench = answering(|http| {
        let id = http.id();
        let core = http.core();
        assert!(core.take_over(id));
        assert!(!core.take_over(id), "it is taken");
        assert!(!core.respond(id, Response::text("too late")));
        assert_eq!(core.send_raw(id, b"HTTP/0.9 anything\r\n"), Sent::Clear);
        core.send_raw(id, b"\r\nat all");
        core.finish_raw(id);
    });
    let remote = bench.remote();
    remote.write(&[GET, GET].concat());
    bench.run();
    assert_eq!(remote.read(), b"HTTP/0.9 anything\r\n\r\nat all");
    assert!(remote.is_ended());
    remote.close();
    bench.run();
    bench.assert_empty();
}

#[test]
fn an_answer_may_take_its_time() {
    let id = Rc::new(Cell::new(None::<ConnId>));
    let taken = Rc::clone(&id);
    let mut bench = answering(move |http| {
        taken.set(Some(http.id()));
        let id = http.id();
        http.core().take_over(id);
    });
    let remote = bench.remote();
    remote.write(GET);
    bench.advance(seconds(3600));
    let id = id.get().unwrap();
    assert_eq!(bench.connections(), 1, "nobody else ends it");
    bench.engine.core().send_raw(id, b"late");
    bench.engine.core().finish_raw(id);
    bench.run();
    assert_eq!(remote.read(), b"late");
    // A peer that does not end its side is not waited for without end.
    bench.advance(seconds(6));
    bench.assert_empty();
}

#[test]
fn files_go_out_between_bytes_as_the_peer_reads() {
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content).unwrap();
    for window in [1000, 1_000_000] {
        let file = file.try_clone().unwrap();
        let mut bench = answering(move |http| {
            let id = http.id();
            let core = http.core();
            core.take_over(id);
            core.send_raw(id, b"before");
            let body = FileBody::new(file.try_clone().unwrap()).unwrap();
            assert!(core.send_raw_file(id, body));
            core.send_raw(id, b"behind");
            core.finish_raw(id);
            assert!(core.backlog(id) < 1_000_000, "not all of it at once");
        });
        bench.network.set_faults(Faults::none().window(window));
        let remote = bench.remote();
        remote.write(GET);
        bench.run();
        let expected = [&b"before"[..], &content, b"behind"].concat();
        assert!(remote.read() == expected, "window {window}");
        assert!(remote.is_ended());
    }
}

#[test]
fn a_file_that_shrinks_cuts_the_answer() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[7; 1_000_000]).unwrap();
    let shrinking = file.try_clone().unwrap();
    let mut bench = answering(move |http| {
        let id = http.id();
        http.core().take_over(id);
        let body = FileBody::new(file.try_clone().unwrap()).unwrap();
        http.core().send_raw_file(id, body);
        http.core().finish_raw(id);
    });
    bench.network.set_faults(Faults::none().window(1000));
    let remote = bench.remote();
    remote.stall();
    remote.write(GET);
    bench.run();
    shrinking.set_len(10).unwrap();
    remote.unstall();
    bench.run();
    assert!(remote.read().len() < 1_000_000);
    assert!(remote.is_ended());
    bench.assert_empty();
}

#[test]
fn raw_bytes_go_between_frames_and_to_nobody_who_is_gone() {
    let mut bench = Bench::new(|conn, happening| {
        if let Happening::Text(_) = happening {
            let id = conn.id();
            conn.send("a");
            conn.core().send_raw(id, b"\x81\x01b");
            conn.send("c");
            assert!(!conn.core().take_over(id));
            let file = FileBody::new(tempfile::tempfile().unwrap()).unwrap();
            assert!(
                !conn.core().send_raw_file(id, file),
                "a WebSocket has no place"
            );
        }
    });
    let client = bench.client();
    client.send("go").unwrap();
    bench.run();
    let received = client.received();
    let texts: Vec<String> = received
        .iter()
        .map(|message| format!("{message:?}"))
        .collect();
    assert_eq!(texts, [r#"Text("a")"#, r#"Text("b")"#, r#"Text("c")"#]);
    let id = bench.last_id();
    client.remote().reset();
    bench.run();
    let stale = bench.engine.core().send_raw(id, b"x");
    assert_eq!(stale, Sent::Refused(Refusal::Gone));
    bench.engine.core().finish_raw(id);
    bench.engine.core().hang_up(id, None);
    bench.run();
    bench.assert_empty();
}

#[test]
fn what_waits_raw_is_bounded() {
    let mut bench = Bench::with(
        Limits {
            message_len: 1000,
            high_water: 1000,
            low_water: 100,
            backlog_len: 10_000,
            ..Limits::default()
        },
        Script::new(echo),
    );
    let client = bench.client();
    client.remote().stall();
    let id = bench.last_id();
    let core = bench.engine.core();
    assert!(core.send_raw(id, &[0; 10_000]).is_sent());
    assert_eq!(core.send_raw(id, b"x"), Sent::Refused(Refusal::Backlog));
    bench.run();
    assert_eq!(bench.closes()[0].cause, CloseCause::Backlog);
}

#[test]
fn parts_of_a_text_need_not_be_utf8() {
    let mut bench = Bench::new(|conn, happening| {
        if let Happening::Text(_) = happening {
            let id = conn.id();
            assert!(
                conn.core()
                    .send_data(id, Kind::Text, b"gr\xc3", false)
                    .is_sent()
            );
            assert!(
                !conn
                    .core()
                    .send_data(id, Kind::Binary, b"x", true)
                    .is_sent()
            );
            assert!(
                conn.core()
                    .send_data(id, Kind::Text, b"\xbcn", true)
                    .is_sent()
            );
        }
    });
    let client = bench.client();
    client.send("go").unwrap();
    bench.run();
    assert_eq!(format!("{:?}", client.received()), r#"[Text("grün")]"#);
}

#[test]
fn hanging_up_tells_both_sides_and_waits_for_nobody() {
    for code in [None, Some(CloseCode::POLICY)] {
        let mut bench = Bench::new(echo);
        let remote = bench.remote();
        remote.write(HANDSHAKE);
        bench.run();
        remote.read();
        let id = bench.last_id();
        bench.happenings();
        let core = bench.engine.core();
        core.pause(id);
        core.send(id, "goodbye");
        core.hang_up(id, code);
        core.hang_up(id, code);
        assert!(!core.send(id, "too late").is_sent());
        remote.write(b"\x81\x80\0\0\0\0");
        bench.run();
        let close: &[u8] = match code {
            None => b"\x88\x00",
            Some(_) => b"\x88\x02\x03\xf0",
        };
        assert_eq!(remote.read(), [&b"\x81\x07goodbye"[..], close].concat());
        assert!(remote.is_ended());
        match &bench.happenings()[..] {
            [Happening::Close(info)] => assert_eq!(info.cause, CloseCause::Aborted),
            other => panic!("{other:?}"),
        }
        assert_eq!(bench.connections(), 1, "the peer has not ended its side");
        remote.close();
        bench.run();
        bench.assert_empty();
    }
}

#[test]
fn hanging_up_from_a_callback_is_the_last_word() {
    for at in ["open", "text"] {
        let mut bench = Bench::new(move |conn, happening| {
            let is_it = match happening {
                Happening::Open => at == "open",
                Happening::Text(_) => at == "text",
                _ => false,
            };
            if is_it {
                let id = conn.id();
                conn.core().hang_up(id, None);
            }
        });
        let remote = bench.remote();
        remote.write(HANDSHAKE);
        remote.write(b"\x81\x81\0\0\0\0a\x81\x81\0\0\0\0b");
        bench.run();
        let happenings = bench.happenings();
        let texts = happenings
            .iter()
            .filter(|it| matches!(it, Happening::Text(_)));
        assert_eq!(texts.count(), usize::from(at == "text"));
        assert!(matches!(happenings.last(), Some(Happening::Close(_))));
        // A peer that never ends its side is given up.
        bench.advance(seconds(6));
        bench.assert_empty();
    }
}

#[test]
fn hanging_up_on_a_request_sends_what_was_queued() {
    let mut bench = answering(|http| {
        let id = http.id();
        http.core().send_raw(id, b"no");
        http.core().hang_up(id, Some(CloseCode::NORMAL));
    });
    let remote = bench.remote();
    remote.write(GET);
    bench.run();
    assert_eq!(remote.read(), b"no");
    assert!(remote.is_ended());
    remote.close();
    bench.run();
    bench.assert_empty();
}

#[test]
fn hanging_up_on_who_is_not_connected_yet_fails_that() {
    let mut bench = Bench::new(echo);
    let _server = bench.network.server("there:80");
    let protocol = bench.engine.protocol(bench.key).unwrap();
    let (session, errors) = (protocol.session(), Rc::clone(&protocol.connect_errors));
    let id = bench
        .engine
        .connect(bench.key, "ws://there:80/", session)
        .unwrap();
    bench.engine.core().hang_up(id, None);
    bench.run();
    assert_eq!(errors.borrow().len(), 1);
    bench.assert_empty();
}

#[test]
fn a_close_without_a_code_is_answered_like_any_other() {
    let mut bench = Bench::new(|conn, happening| {
        if let Happening::Text(_) = happening {
            let id = conn.id();
            assert!(conn.core().close_without_code(id).is_sent());
            assert!(!conn.core().close_without_code(id).is_sent());
        }
    });
    let client = bench.client();
    client.send("go").unwrap();
    bench.run();
    let closes = bench.closes();
    assert!(closes[0].clean);
    assert_eq!(u16::from(closes[0].code), 1005);
    bench.assert_empty();
}

type Word = fn(&mut Exchange<'_>, &Request<'_>);

#[test]
fn a_word_before_a_handshake_is_judged() {
    let cases: [(Word, &str); 3] = [
        (
            |http, request| {
                assert!(request.is_upgrade() && http.peer().is_some());
                http.respond(Response::status(sockeye::StatusCode::UNAUTHORIZED));
            },
            "HTTP/1.1 401 ",
        ),
        (
            |http, _| {
                let id = http.id();
                http.core().hang_up(id, None);
            },
            "",
        ),
        (|_, _| (), "HTTP/1.1 101 "),
    ];
    for (word, expected) in cases {
        let mut script = Script::new(echo);
        script.upgrade = Box::new(word);
        let mut bench = Bench::with(Limits::default(), script);
        let remote = bench.remote();
        remote.write(HANDSHAKE);
        bench.run();
        let answer = String::from_utf8(remote.read()).unwrap();
        assert!(answer.starts_with(expected), "{answer}");
        let is_open = expected.contains("101");
        assert_eq!(bench.happenings().len(), usize::from(is_open));
        assert_eq!(remote.is_ended(), !is_open);
    }
    // It is heard before what is wrong with the request.
    let heard = Rc::new(Cell::new(0));
    let hears = Rc::clone(&heard);
    let mut script = Script::new(echo);
    script.upgrade = Box::new(move |_, _| hears.set(hears.get() + 1));
    let mut bench = Bench::with(Limits::default(), script);
    let remote = bench.remote();
    let unknown = String::from_utf8(HANDSHAKE.to_vec())
        .unwrap()
        .replace("13", "99");
    remote.write(unknown.as_bytes());
    bench.run();
    assert_eq!(heard.get(), 1);
    assert!(remote.read().starts_with(b"HTTP/1.1 426 "));
}

/// Turns until something is so.
fn until(engine: &mut Engine, mut is_so: impl FnMut(&mut Engine) -> bool) {
    let deadline = Instant::now() + seconds(20);
    while !is_so(engine) {
        assert!(Instant::now() < deadline, "it did not happen");
        engine.turn(Some(Duration::from_millis(50))).unwrap();
    }
}

#[test]
fn a_gate_sees_the_descriptor_and_reaches_the_core() {
    let mut engine = Engine::new().unwrap();
    let key = engine.host(Script::new(echo));
    let asked = Rc::new(Cell::new(0));
    let asks = Rc::clone(&asked);
    let listener =
        engine
            .listen("127.0.0.1:0")
            .unwrap()
            .route("*", key)
            .gate(move |core, arrival| {
                assert!(arrival.fd.is_some() && arrival.peer.ip().is_some());
                assert_eq!(core.connection_count(), asks.get());
                asks.set(asks.get() + 1);
                asks.get() < 2
            });
    let addr = listener.local_addr().tcp().unwrap();
    let _first = TcpStream::connect(addr).unwrap();
    until(&mut engine, |engine| engine.core().connection_count() == 1);
    let mut second = TcpStream::connect(addr).unwrap();
    until(&mut engine, |engine| engine.core().stats().refused == 1);
    assert_eq!((asked.get(), second.read(&mut [0]).unwrap()), (2, 0));
}

#[test]
fn a_connected_stream_becomes_a_client_with_a_target_as_it_is() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut engine = Engine::new().unwrap();
    let script = Script::new(echo);
    let (session, log) = (script.session(), Rc::clone(&script.log));
    let key = engine.host(script);
    let options = ConnectOptions::new("ws://nowhere.invalid/")
        .unwrap()
        .target("/./%7e?a=[b]")
        .host("here")
        .max_redirects(3)
        .proxy(ProxyChoice::Direct);
    let id = engine.connect_over(key, options, stream, session).unwrap();
    engine.flush(Instant::now());
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    assert!(
        request.starts_with("GET /./%7e?a=[b] HTTP/1.1\r\nHost: here\r\n"),
        "{request}"
    );
    let answer = crate::outgoing::answer_to(&request);
    server.write_all(answer.as_bytes()).unwrap();
    until(&mut engine, |_| !log.borrow().is_empty());
    assert_eq!(log.borrow()[0], (id, Happening::Open));
    // What is sent between turns need not wait for the next.
    engine.core().send(id, "now");
    engine.flush(Instant::now());
    let mut frame = [0; 9];
    server.read_exact(&mut frame).unwrap();
    assert_eq!(frame[..2], [0x81, 0x83]);
}

#[test]
fn time_can_be_told_between_turns() {
    let mut bench = Bench::new(echo);
    let before = bench.engine.core().now();
    let later = before + seconds(3);
    bench.engine.advance(later);
    assert_eq!(bench.engine.core().now(), later);
    bench.engine.advance(before);
    assert_eq!(
        bench.engine.core().now(),
        later,
        "it does not run backwards"
    );
}

#[test]
fn a_file_body_is_read_from_its_beginning() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"content").unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    let mut bench = answering(move |http| {
        let id = http.id();
        http.core().take_over(id);
        let body = FileBody::new(file.try_clone().unwrap()).unwrap();
        http.core().send_raw_file(id, body);
        http.core().finish_raw(id);
    });
    let remote = bench.remote();
    remote.write(GET);
    bench.run();
    assert_eq!(remote.read(), b"content");
}
