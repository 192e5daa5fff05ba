//! Servers that break the rules: each is a clear error within the deadline, and nothing else.

use std::time::Duration;

use sockeye::sim::Faults;
use sockeye::{CloseCause, Limits, Lost, Step};

use super::support::{Recorder, Rig, Seen, options};

const URL: &str = "ws://server.test/feed";
const NAME: &str = "server.test:80";

/// What comes of an answer that is made of a good one; the server closes behind it.
fn outcome(answer: impl Fn(&str) -> Vec<u8>) -> Vec<Seen> {
    let mut rig = Rig::new();
    let server = rig.network.server(NAME);
    let asked = rig.connect(&server, options(URL).subprotocol("good"));
    asked.remote.write(&answer(&asked.good_answer()));
    asked.remote.close();
    rig.run();
    assert!(asked.remote.is_ended(), "the client keeps the connection");
    assert_eq!(rig.client.engine.core().connection_count(), 0);
    rig.client.seen()
}

fn error(answer: impl Fn(&str) -> Vec<u8>) -> String {
    match &outcome(answer)[..] {
        [Seen::Failed(failure)] => {
            assert_eq!(failure.step, Step::Handshake, "{failure:?}");
            let about = format!("WebSocket handshake with {NAME}: ");
            let cause = failure.text.strip_prefix(&about);
            cause.unwrap_or_else(|| panic!("{failure:?}")).to_owned()
        }
        other => panic!("no failure but {other:?}"),
    }
}

#[test]
fn wrong_answers() {
    let replaced = |from: &'static str, to: &'static str| {
        error(move |good| {
            assert!(good.contains(from), "{from}");
            good.replacen(from, to, 1).into_bytes()
        })
    };
    for (from, to, expected) in [
        ("Accept: ", "Accept: x", "Sec-WebSocket-Accept"),
        ("Sec-WebSocket-Accept", "X", "Sec-WebSocket-Accept"),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "Sec-WebSocket-Accept",
        ),
        ("Upgrade: websocket\r\n", "", "Upgrade"),
        ("Upgrade: websocket", "Upgrade: websocket, h2c", "Upgrade"),
        ("Upgrade: websocket", "Upgrade: websockets", "Upgrade"),
        ("Connection: Upgrade\r\n", "", "Connection"),
        ("Connection: Upgrade", "Connection: close", "Connection"),
        ("HTTP/1.1", "HTTP/1.0", "HTTP/1.1"),
        ("HTTP/1.1", "HTTP/2", "HTTP/1.1"),
        ("101", "1o1", "HTTP/1.1"),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: bad\r\n\r\n",
            "subprotocol",
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: GOOD\r\n\r\n",
            "subprotocol",
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: good, bad\r\n\r\n",
            "subprotocol",
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol:\r\n\r\n",
            "subprotocol",
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: good\r\nSec-WebSocket-Protocol: good\r\n\r\n",
            "subprotocol",
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: x-other; server_max_window_bits=99\r\n\r\n",
            "extension",
        ),
        ("\r\n\r\n", "\r\nno colon\r\n\r\n", "HTTP/1.1"),
        ("\r\n\r\n", "\r\n folded: x\r\n\r\n", "HTTP/1.1"),
        ("\r\n\r\n", "\r\nx: a\0b\r\n\r\n", "HTTP/1.1"),
        ("\r\n\r\n", "\n\n", "HTTP/1.1"),
    ] {
        let error = replaced(from, to);
        assert!(error.contains(expected), "{from:?} as {to:?}: {error}");
    }
}

#[test]
fn the_subprotocol_that_was_offered_is_taken() {
    let seen = outcome(|good| {
        let answer = good.replacen("\r\n\r\n", "\r\nSec-WebSocket-Protocol: good\r\n\r\n", 1);
        answer.into_bytes()
    });
    let [Seen::Open(_, Some(subprotocol)), Seen::Closed(_)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(subprotocol, "good");
}

#[test]
fn garbage() {
    for garbage in [
        &b"\x15\x03\x01\x00\x02\x02\x28"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x81\x05hello",
        b"\r\n\r\n",
        b"HTTP/1.1 101\r\n\r\n",
        &[0; 100_000],
    ] {
        let error = error(|_| garbage.to_vec());
        assert!(!error.is_empty());
    }
    assert!(error(|_| Vec::new()).contains("closed the connection"));
}

#[test]
fn giant_heads() {
    let header = |len| format!("HTTP/1.1 101 X\r\nx: {}", "y".repeat(len)).into_bytes();
    assert!(error(|_| header(17 * 1024)).contains("long"));
    assert!(error(|_| header(10_000_000)).contains("long"));
    let lines = |count| {
        ["HTTP/1.1 101 X\r\n", &"x: y\r\n".repeat(count)]
            .concat()
            .into_bytes()
    };
    assert!(
        error(|_| lines(101)).contains("many"),
        "{}",
        error(|_| lines(101))
    );
    let interim = |count| {
        "HTTP/1.1 103 Early Hints\r\n\r\n"
            .repeat(count)
            .into_bytes()
    };
    assert!(error(|_| interim(10_000)).contains("long"));
}

#[test]
fn dropped_at_every_byte() {
    let len = {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        rig.connect(&server, options(URL)).good_answer().len()
    };
    for cut in 0..len {
        let ended = error(|good| good.as_bytes()[..cut].to_vec());
        assert!(
            ended.contains("closed the connection"),
            "cut at {cut}: {ended}"
        );
    }
    for cut in 0..len {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        let asked = rig.connect(&server, options(URL));
        asked.remote.write(&asked.good_answer().as_bytes()[..cut]);
        rig.run();
        asked.remote.reset();
        rig.run();
        let failure = rig.client.failure();
        assert!(failure.text.contains("reset"), "cut at {cut}: {failure:?}");
    }
    let seen = outcome(|good| good.as_bytes().to_vec());
    let [Seen::Open(..), Seen::Closed(info)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(info.cause, CloseCause::Lost(Lost::EndOfStream));
}

/// The answer with two frames glued behind it, cut in two at every byte, and byte by byte.
#[test]
fn frames_behind_the_answer_are_not_lost() {
    let frames = b"\x81\x05hello\x82\x03\x01\x02\x03";
    let run = |cuts: &dyn Fn(&[u8]) -> Vec<Vec<u8>>| {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        let asked = rig.connect(&server, options(URL));
        let bytes = [asked.good_answer().as_bytes(), frames].concat();
        for part in cuts(&bytes) {
            asked.remote.write(&part);
            rig.run();
        }
        let seen = rig.client.seen();
        let [Seen::Open(..), Seen::Text(text), Seen::Binary(data)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!((text.as_str(), &data[..]), ("hello", &[1, 2, 3][..]));
        bytes.len()
    };
    let len = run(&|bytes| vec![bytes.to_vec()]);
    for cut in 1..len {
        run(&|bytes| vec![bytes[..cut].to_vec(), bytes[cut..].to_vec()]);
    }
    run(&|bytes| bytes.chunks(1).map(<[u8]>::to_vec).collect());
}

/// A server that sends a byte every half second, and one that sends nothing: neither extends the
/// deadline of the whole.
#[test]
fn slow_servers() {
    let timeout = Duration::from_secs(4);
    for drips in [true, false] {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        let asked = rig.connect(&server, options(URL).timeout(timeout));
        let answer = asked.good_answer();
        let mut drops = answer.as_bytes().chunks(1);
        for _ in 0..7 {
            if drips {
                asked.remote.write(drops.next().unwrap());
            }
            rig.advance(Duration::from_millis(500));
        }
        rig.advance(Duration::from_millis(499));
        assert!(rig.client.seen().is_empty(), "not before its time");
        rig.advance(Duration::from_millis(1));
        let failure = rig.client.failure();
        assert_eq!(failure.step, Step::Handshake);
        assert!(failure.text.ends_with("timed out"), "{failure:?}");
        assert!(asked.remote.is_released());
    }
}

#[test]
fn a_server_that_reads_nothing() {
    let mut rig = Rig::new();
    rig.network.set_faults(Faults::none().window(10));
    let server = rig.network.server(NAME);
    rig.client
        .connect(options(URL).timeout(Duration::from_secs(2)));
    let remote = {
        rig.run();
        server.accept().unwrap()
    };
    remote.stall();
    rig.advance(Duration::from_secs(2));
    assert!(rig.client.failure().text.ends_with("timed out"));
}

#[test]
fn a_refusal_tells_status_headers_and_body() {
    let refused = |answer: Vec<u8>| {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        let asked = rig.connect(&server, options(URL));
        asked.remote.write(&answer);
        rig.run();
        rig.advance(Duration::from_secs(10));
        rig.client.failure()
    };
    let failure = refused(
        b"HTTP/1.1 403 Forbidden\r\nX-Why: because\r\nContent-Length: 5\r\n\r\nno...".to_vec(),
    );
    assert!(
        failure.text.contains("the server answered 403 Forbidden"),
        "{failure:?}"
    );
    let refusal = failure.refusal.unwrap();
    assert_eq!(refusal.headers["x-why"], "because");
    assert_eq!(
        (&refusal.body[..], refusal.truncated),
        (&b"no..."[..], false)
    );

    // Half of the body, and then nothing: what came is told at the deadline.
    let failure = refused(b"HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\nhalf".to_vec());
    let refusal = failure.refusal.unwrap();
    assert_eq!((&refusal.body[..], refusal.truncated), (&b"half"[..], true));

    // A body without end: 64 KiB of it.
    let mut endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    endless.extend(b"4\r\nmore\r\n".repeat(30_000));
    let refusal = refused(endless).refusal.unwrap();
    assert_eq!((refusal.body.len(), refusal.truncated), (64 * 1024, true));
}

#[test]
fn a_refusal_survives_a_reset() {
    let mut rig = Rig::new();
    let server = rig.network.server(NAME);
    let asked = rig.connect(&server, options(URL));
    asked
        .remote
        .write(b"HTTP/1.1 503 X\r\nContent-Length: 9\r\n\r\nbusy");
    rig.run();
    asked.remote.reset();
    rig.run();
    let refusal = rig.client.failure().refusal.unwrap();
    assert_eq!(
        (refusal.status.as_u16(), &refusal.body[..]),
        (503, &b"busy"[..])
    );
}

#[test]
fn broken_frames() {
    for (frame, code) in [
        (&b"\x81\x85\0\0\0\0hello"[..], 1002),
        (b"\x91\x00", 1002),
        (b"\x83\x00", 1002),
        (b"\x89\x7e\x00\x7e", 1002),
        (b"\x80\x00", 1002),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", 1002),
        (b"\x82\x7f\x40\0\0\0\0\0\0\0", 1009),
        (b"\x81\x02\xc3\x28", 1007),
        (b"\x88\x01\x03", 1002),
        (b"\x88\x02\x00\x00", 1002),
        (b"\x88\x02\x03\xed", 1002),
        (b"\x88\x02\x03\xee", 1002),
        (b"\x88\x02\x03\xf7", 1002),
        (b"\x88\x02\x13\x88", 1002),
        (b"\x88\x04\x03\xe8\xc3\x28", 1007),
    ] {
        let mut rig = Rig::new();
        let server = rig.network.server(NAME);
        let asked = rig.connect(&server, options(URL));
        asked
            .remote
            .write(&[asked.good_answer().as_bytes(), frame].concat());
        rig.run();
        let seen = rig.client.seen();
        let [Seen::Open(..), Seen::Closed(info)] = &seen[..] else {
            panic!("{frame:?}: {seen:?}");
        };
        assert!(matches!(info.cause, CloseCause::Violation(_)), "{info:?}");
        assert_eq!(u16::from(info.code), code, "{frame:?}");
        // One masked Close with that code, and then the server is not waited for without end.
        let reply = asked.remote.read();
        assert_eq!((reply[0], reply[1] & 0x80), (0x88, 0x80));
        let told = [reply[6] ^ reply[2], reply[7] ^ reply[3]];
        assert_eq!(u16::from_be_bytes(told), code, "{frame:?}");
        rig.advance(Duration::from_secs(10));
        assert!(asked.remote.is_released());
    }
}

#[test]
fn a_server_that_never_answers_the_close() {
    let recorder = Recorder {
        on_open: Box::new(|conn| {
            conn.close(sockeye::CloseCode::NORMAL, "");
        }),
        ..Recorder::default()
    };
    let mut rig = Rig::with(Limits::default(), recorder);
    let server = rig.network.server(NAME);
    let asked = rig.connect(&server, options(URL));
    asked.accept();
    rig.advance(Limits::default().close_timeout);
    let seen = rig.client.seen();
    let [Seen::Open(..), Seen::Closed(info)] = &seen[..] else {
        panic!("{seen:?}");
    };
    assert_eq!(info.cause, CloseCause::Lost(Lost::CloseTimeout));
    rig.advance(Duration::from_secs(10));
    assert!(asked.remote.is_released());
}

/// The same on a bad wire: short reads and writes, and delays.
#[test]
fn a_bad_wire_changes_nothing() {
    let mut rig = Rig::new();
    let faults = Faults::none().read_len(3).write_len(5).window(7);
    rig.network
        .set_faults(faults.delay(Duration::from_millis(1)));
    let server = rig.network.server(NAME);
    rig.client.connect(options(URL));
    rig.advance(Duration::from_secs(1));
    let asked = super::support::Asked::new(server.accept().unwrap());
    asked.accept();
    rig.advance(Duration::from_secs(1));
    assert!(matches!(rig.client.seen()[..], [Seen::Open(..)]));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let mut rig = Rig::new();
    let server = rig.network.server(NAME);
    rig.client.connect(options(URL).subprotocol("no token"));
    rig.run();
    let failure = rig.client.failure();
    assert_eq!(failure.step, Step::Handshake);
    let remote = server.accept().unwrap();
    assert!(remote.read().is_empty() && remote.is_released());
}
