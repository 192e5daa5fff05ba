//! `sockeye bench`: what it counts, what it notices, what it prints, and its status.

use std::net::TcpListener;
use std::thread::{self, JoinHandle};

use rustix::process::Signal;
use serde_json::Value;

use crate::certificate::Folder;
use crate::peer::{BINARY, CLOSE, Frame, Host, TEXT, close};
use crate::process::{Ended, Running, Server, read_all, run};
use crate::prompt::Session;

/// Runs with `--json`; returns the status and the report.
fn bench(args: &[&str]) -> (i32, Value) {
    let ended = run(&[&["bench", "--json"], args].concat(), "");
    assert_eq!(ended.stderr, "", "{}", ended.text());
    (
        ended.code.unwrap(),
        serde_json::from_slice(&ended.stdout).unwrap(),
    )
}

/// Runs against a server that must pass; returns the report.
fn passes(args: &[&str]) -> Value {
    let (code, report) = bench(args);
    assert_eq!(
        (code, &report["errors"]["total"]),
        (0, &0.into()),
        "{report:#}"
    );
    report
}

/// The errors of a run that must not pass.
fn errors(args: &[&str]) -> Value {
    let (code, mut report) = bench(args);
    assert_eq!(code, 1, "{report:#}");
    report["errors"].take()
}

/// No frame: the end of the connection.
const GONE: Frame = Frame {
    opcode: CLOSE,
    last: false,
    data: Vec::new(),
};

/// A peer for one connection, on a thread: `answer` gets each message, and whatever it gives is sent.
/// It goes when the other side closes, or when `answer` gives a Close or [`GONE`].
fn peer(
    mut answer: impl FnMut(usize, Frame) -> Vec<Frame> + Send + 'static,
) -> (String, JoinHandle<()>) {
    let host = Host::new();
    let url = host.url();
    let serve = move || {
        let mut peer = host.accept_socket();
        for number in 0.. {
            let Some(frame) = peer.receive() else { return };
            let answers = match frame.opcode {
                CLOSE => vec![frame],
                _ => answer(number, frame),
            };
            for frame in answers {
                if frame == GONE {
                    return;
                }
                // It may have seen enough.
                if peer.try_send(frame.opcode, &frame.data).is_err() || frame.opcode == CLOSE {
                    return;
                }
            }
        }
    };
    (url, thread::spawn(serve))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn every_echo_is_counted() {
    let server = Server::start(&[]);
    let report = passes(&[
        &server.url("/echo"),
        "-c",
        "4",
        "-n",
        "200",
        "--pipeline",
        "3",
    ]);
    assert_eq!(report["mode"], "echo");
    assert_eq!(report["load"]["connections"], 4);
    assert_eq!(report["load"]["pipeline"], 3);
    assert_eq!(report["load"]["kind"], "binary");
    assert_eq!(report["connections"]["opened"], 4);
    assert_eq!(report["connections"]["open_us"]["count"], 4);
    for field in ["sent", "expected", "received"] {
        assert_eq!(report["messages"][field], 200, "{field}");
    }
    assert!(number(&report["messages"]["per_s"]) > 0.0);
    let payload = number(&report["messages"]["per_s"]) * 64.0;
    assert!((number(&report["messages"]["payload_bytes_per_s"]) - payload).abs() < 1.0);
    let latency = &report["latency_us"];
    assert_eq!(latency["count"], 200);
    let fields = [
        "min", "p50", "p75", "p90", "p95", "p99", "p99_9", "p99_99", "max",
    ];
    let values = fields.map(|field| number(&latency[field]));
    assert!(values.is_sorted() && values[0] > 0.0, "{latency}");
    assert_eq!(report["open_loop"], Value::Null);
    assert_eq!(report["interrupted"], false);
    assert!(number(&report["generator"]["cpu_of_core"]) >= 0.0);
    assert_eq!(report["server"], Value::Null);
}

#[test]
fn the_report_is_readable() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let ended = run(&["bench", &url, "-n", "1000", "-s", "100-2K", "--text"], "");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for part in [
        &*format!("echo {url}\n"),
        "10 connections, text messages of 100-2K bytes, one in flight on each\n",
        " messages/s, ",
        "iB/s of payload each way\n",
        "1,000 sent, 1,000 came back as they were sent\n",
        "  99 %  ",
        "99.9 %  ",
        "longest  ",
        "10 opened in ",
        "generator  took ",
        "errors  none\n",
    ] {
        assert!(
            ended.text().contains(part),
            "{part:?} is not in {}",
            ended.text()
        );
    }
    // So many values say nothing about that.
    assert!(!ended.text().contains("99.99 %"), "{}", ended.text());
    assert!(!ended.text().contains('\x1b'));
}

#[test]
fn an_open_loop_sends_exactly_what_is_due() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let report = passes(&[&url, "-c", "3", "--rate", "500", "-d", "0.5"]);
    // Due at 0, 2, 4, … 498 ms.
    assert_eq!(report["messages"]["sent"], 250);
    assert_eq!(report["messages"]["received"], 250);
    assert_eq!(report["latency_us"]["count"], 250);
    assert_eq!(report["load"]["rate_per_s"], 500.0);
    assert_eq!(report["measured_s"], 0.5);
    assert!(report["open_loop"]["late"].is_u64());
    // What is sent in ramp-up and warm-up does not count.
    let args = [
        "-c",
        "5",
        "--rate",
        "500",
        "--ramp-up",
        "0.1",
        "--warm-up",
        "0.1",
        "-n",
        "100",
    ];
    let report = passes(&[&[&*url][..], &args].concat());
    assert_eq!(report["messages"]["sent"], 100);
    assert!(number(&report["connections"]["opening_took_s"]) >= 0.08);
}

#[test]
fn a_late_answer_counts_from_when_the_message_was_due() {
    // Nothing is answered before the fifth message is there.
    let mut kept = Vec::new();
    let (url, peer) = peer(move |number, frame| {
        kept.push(frame);
        if number < 4 {
            Vec::new()
        } else {
            kept.split_off(0)
        }
    });
    let report = passes(&[&url, "-c", "1", "--rate", "100", "-n", "5"]);
    peer.join().unwrap();
    // Each was due 10 ms before the next.
    let latency = &report["latency_us"];
    assert!(number(&latency["max"]) >= 40_000.0 * 0.999, "{latency}");
    assert!(number(&latency["p50"]) >= 20_000.0 * 0.999, "{latency}");
}

#[test]
fn text_compression_and_tls() {
    let folder = Folder::new().server("server");
    let (cert, key) = (folder.path("server.pem"), folder.path("server.key"));
    let server = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    let url = server.listening[0].replace("listening on https", "wss") + "echo";
    let args = [
        "-c",
        "2",
        "-n",
        "50",
        "-s",
        "1,64K",
        "--text",
        "--deflate=takeover",
    ];
    let ca = folder.path("ca.pem");
    let report = passes(&[&[&*url, "--ca", &ca][..], &args].concat());
    assert_eq!(report["load"]["deflate"], "takeover");
    // This server keeps nothing between messages, but compresses.
    assert_eq!(report["load"]["deflate_agreed"], true);
    assert_eq!(report["load"]["kind"], "text");
    let kinds = &errors(&[&[&*url][..], &args].concat())["kinds"];
    assert_eq!(kinds["connect"], 2);
}

#[test]
fn broadcasts_reach_everybody() {
    let server = Server::start(&[]);
    for (path, text) in [("/broadcast", "-q"), ("/mirror", "--text")] {
        let url = server.url(path);
        let load = [
            "--broadcast",
            "-c",
            "5",
            "--senders",
            "2",
            "-n",
            "20",
            "-s",
            "16-300",
        ];
        let report = passes(&[&[&*url, text][..], &load].concat());
        assert_eq!(report["mode"], "broadcast");
        assert_eq!(report["load"]["senders"], 2);
        assert_eq!(report["messages"]["sent"], 20);
        assert_eq!(report["messages"]["expected"], 100);
        assert_eq!(report["messages"]["received"], 100);
        assert_eq!(report["latency_us"]["count"], 100);
    }
    let url = server.url("/broadcast");
    let load = ["--broadcast", "-c", "5", "--rate", "200", "-d", "0.2"];
    let report = passes(&[&[&*url][..], &load].concat());
    assert_eq!(report["messages"]["received"], 200);
    // An echo is no broadcast; and a broadcast to others does not come back.
    let echo = server.url("/echo");
    let few = ["--broadcast", "-c", "2", "-n", "1", "-W", "2"];
    assert_eq!(
        errors(&[&[&*echo][..], &few].concat())["kinds"]["missing"],
        1
    );
    let kinds = &errors(&[&[&*url, "--to-others"][..], &few].concat())["kinds"];
    assert_eq!(kinds["unasked"], 1);
}

#[test]
fn connections_come_and_go() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let report = passes(&[&url, "--connect", "-n", "50", "--concurrency", "8"]);
    assert_eq!(report["mode"], "connect");
    assert_eq!(report["connections"]["opened"], 50);
    assert_eq!(report["connections"]["open_us"]["count"], 50);
    assert!(number(&report["connections"]["per_s"]) > 0.0);
    assert_eq!(report["latency_us"]["count"], 50);
    assert_eq!(report["messages"], Value::Null);
    let report = passes(&[&url, "--connect", "--rate", "100", "-d", "0.3"]);
    assert_eq!(report["latency_us"]["count"], 30);
    let kinds = &errors(&[&server.url("/nowhere"), "--connect", "-n", "500"])["kinds"];
    assert!(kinds["connect"].as_u64().unwrap() >= 64, "{kinds}");
}

#[test]
fn idle_connections_are_held() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let pid = server.id().to_string();
    let report = passes(&[&url, "--idle", "-c", "30", "-d", "0.2", "--watch", &pid]);
    assert_eq!(report["server"]["pid"], server.id());
    assert!(number(&report["server"]["resident_bytes"]) > 100_000.0);
    assert!(report["server"]["grown_bytes_per_connection"].is_f64());
    assert_eq!(report["connections"]["opened"], 30);
    assert_eq!(report["connections"]["lost"], 0);
    assert_eq!(report["measured_s"], 0.2);
}

#[test]
fn a_wrong_echo_is_told() {
    let wrong = |change: fn(&mut Frame)| {
        let (url, peer) = peer(move |number, mut frame| {
            if number == 1 {
                change(&mut frame);
            }
            vec![frame]
        });
        let errors = errors(&[&url, "-c", "1", "-n", "3"]);
        peer.join().unwrap();
        assert_eq!(errors["total"], 1, "{errors:#}");
        errors
    };
    let errors = wrong(|frame| frame.data[63] ^= 1);
    assert_eq!(errors["kinds"]["wrong_content"], 1);
    assert_eq!(errors["details"][0]["text"], "connection 0, message 1");
    let errors = wrong(|frame| frame.data.truncate(63));
    assert_eq!(errors["kinds"]["wrong_length"], 1);
    let text = "connection 0, message 1: 63 bytes instead of 64";
    assert_eq!(errors["details"][0]["text"], text);
    assert_eq!(
        wrong(|frame| frame.data.push(0))["kinds"]["wrong_length"],
        1
    );
    // Binary sent, text received: 64 blanks are both.
    let errors = wrong(|frame| *frame = Frame::new(TEXT, [b' '; 64]));
    assert_eq!(errors["kinds"]["wrong_content"], 1);
}

#[test]
fn the_kind_of_an_echo_matters() {
    let (url, peer) = peer(|_, frame| vec![Frame::new(BINARY, frame.data)]);
    let errors = errors(&[&url, "-c", "1", "-n", "1", "--text"]);
    peer.join().unwrap();
    assert_eq!(errors["kinds"]["wrong_kind"], 1);
}

#[test]
fn order_matters() {
    let mut kept = Vec::new();
    let (url, peer) = peer(move |number, frame| {
        kept.push(frame);
        if number % 2 == 0 {
            return Vec::new();
        }
        kept.reverse();
        kept.split_off(0)
    });
    let errors = errors(&[&url, "-c", "1", "-n", "2", "--pipeline", "2"]);
    peer.join().unwrap();
    assert_eq!(errors["kinds"], serde_json::json!({ "out_of_order": 1 }));
}

#[test]
fn what_nobody_sent_and_what_is_missing_is_told() {
    let (url, peer) = peer(|number, frame| match number {
        // Twice, then never.
        0 => vec![Frame::new(BINARY, &frame.data), frame],
        1 => Vec::new(),
        _ => vec![frame],
    });
    let errors = errors(&[&url, "-c", "1", "-n", "3", "--pipeline", "3", "-W", "2"]);
    peer.join().unwrap();
    let kinds = serde_json::json!({ "missing": 1, "unasked": 1 });
    assert_eq!(errors["kinds"], kinds, "{errors:#}");
}

#[test]
fn silence_is_not_waited_for_for_ever() {
    let (url, peer) = peer(|number, frame| match number {
        0 => vec![frame],
        _ => Vec::new(),
    });
    let errors = errors(&[&url, "-c", "1", "-n", "5", "-W", "0.2"]);
    peer.join().unwrap();
    assert_eq!(
        errors["kinds"],
        serde_json::json!({ "missing": 1, "stalled": 1 })
    );
}

#[test]
fn a_server_that_takes_nothing_is_not_sent_everything() {
    let host = Host::new();
    let url = host.url();
    let args = [
        "bench", "--json", &url, "-c", "1", "--rate", "1M", "-W", "0.5", "-s", "4K",
    ];
    let mut running = Running::start(&args);
    let stdout = read_all(running.stdout());
    let peer = host.accept_socket();
    // What could be sent has gone out when nothing was answered for so long.
    let (status, _) = running.wait();
    drop(peer);
    let report: Value = serde_json::from_slice(&stdout.join().unwrap()).unwrap();
    assert_eq!(status.code(), Some(1), "{report:#}");
    let kinds = &report["errors"]["kinds"];
    let [missing, unsent] = ["missing", "unsent"].map(|kind| kinds[kind].as_u64().unwrap());
    // As many as may be in flight at most, and far more are due.
    assert!((1..=4096).contains(&missing), "{report:#}");
    assert!(unsent >= 400_000, "{report:#}");
    assert_eq!(report["messages"]["sent"], missing);
    assert!(report["open_loop"]["held_back"].is_u64());
}

#[test]
fn a_server_that_goes_is_told() {
    for how in ["close", "cut"] {
        let (url, peer) = peer(move |number, frame| match (number, how) {
            (0 | 1, _) => vec![frame],
            (_, "close") => vec![Frame::new(CLOSE, close(1011, "tired"))],
            _ => vec![GONE],
        });
        let ended = run(&["bench", "--json", &url, "-c", "1", "-d", "60"], "");
        peer.join().unwrap();
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(ended.code, Some(1), "{report:#}");
        assert_eq!(report["messages"]["received"], 2);
        assert_eq!(report["connections"]["lost"], 1);
        assert_eq!(
            report["errors"]["kinds"],
            serde_json::json!({ "lost": 1, "missing": 1 })
        );
        let text = report["errors"]["details"][0]["text"].as_str().unwrap();
        match how {
            "close" => assert_eq!(text, "the server closed with 1011 \"tired\""),
            _ => assert!(text.starts_with("connection lost: "), "{text}"),
        }
        assert!(number(&report["measured_s"]) < 60.0);
    }
}

#[test]
fn a_server_that_refuses_is_told() {
    let server = Server::start(&[]);
    run(&["bench", &server.url("/nowhere"), "-d", "60"], "").assert_failure("404 Not Found");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    run(&["bench", &url, "-d", "60"], "").assert_failure("refused");
    let (code, report) = bench(&[&url, "-c", "3", "-d", "60"]);
    assert_eq!(code, 1);
    assert_eq!(
        report["errors"]["kinds"],
        serde_json::json!({ "connect": 3 })
    );
    assert_eq!(report["connections"]["failed"], 3);
    assert_eq!(report["latency_us"], Value::Null);
}

/// Interrupts a run once the peer has seen some messages.
fn interrupt(args: &[&str], mute: bool) -> Ended {
    let host = Host::new();
    let url = host.url();
    let mut running = Running::start(&[&["bench", &url, "-c", "1", "-d", "600"], args].concat());
    let stdout = read_all(running.stdout());
    let mut peer = host.accept_socket();
    let mut sent = 0;
    loop {
        let frame = peer.receive().unwrap();
        if frame.opcode == CLOSE {
            assert_eq!(frame.close_code(), 1000);
            peer.send(CLOSE, frame.data);
            break;
        }
        sent += 1;
        if sent < 3 || !mute {
            peer.send(frame.opcode, frame.data);
        }
        if sent == 3 {
            running.signal(Signal::INT);
        }
    }
    drop(peer);
    let (status, stderr) = running.wait();
    Ended {
        code: status.code(),
        stdout: stdout.join().unwrap(),
        stderr,
    }
}

#[test]
fn ctrl_c_ends_early_with_the_figures_so_far() {
    for mute in [false, true] {
        let ended = interrupt(&["--json"], mute);
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{report:#}");
        assert_eq!(report["interrupted"], true);
        assert!(report["messages"]["received"].as_u64().unwrap() >= 2);
        assert!(number(&report["measured_s"]) < 600.0);
    }
    let ended = interrupt(&[], false);
    assert_eq!(ended.code, Some(0));
    assert!(
        ended.text().contains(", then interrupted\n"),
        "{}",
        ended.text()
    );
}

#[test]
fn at_a_terminal_it_shows_how_far_it_is() {
    let host = Host::new();
    let args = ["bench", &host.url(), "-c", "1", "-d", "600"];
    let mut session = Session::start(&args, false);
    let mut peer = host.accept_socket();
    let frame = peer.receive().unwrap();
    session.see(" 0 messages/s");
    peer.send(frame.opcode, frame.data);
    session.see(", 50 % ");
    session.press("\x03");
    assert_eq!(peer.receive_close(), 1000);
    peer.send(CLOSE, close(1000, ""));
    drop(peer);
    session.see("then interrupted");
    assert_eq!(session.end().0, Some(0));
}

#[test]
fn ctrl_c_before_anything_is_measured() {
    let host = Host::new();
    let running = Running::start(&["bench", &host.url()]);
    let stream = host.accept();
    running.signal(Signal::INT);
    let (status, stderr) = running.wait();
    assert_eq!(
        (status.code(), &*stderr),
        (Some(1), "sockeye: interrupted\n")
    );
    drop(stream);
}

#[test]
fn options_that_make_no_sense() {
    for args in [
        &["x", "--rate", "5", "--pipeline", "2"][..],
        &["x", "--size", "2-1"],
        &["x", "--broadcast", "--connect"],
        &["x", "--senders", "2"],
        &["x", "--connect", "--connections", "2"],
        &["x", "--idle", "--messages", "2"],
    ] {
        let ended = run(&[&["bench"], args].concat(), "");
        assert_eq!(ended.code, Some(2), "{args:?}");
    }
    for (args, problem) in [
        (&["-c", "2", "--senders", "3"][..], "--senders"),
        (&["-c", "1", "--to-others"], "--to-others"),
        (&["-s", "15"], "--size"),
    ] {
        let args = [&["bench", "127.0.0.1:1", "--broadcast"], args].concat();
        run(&args, "").assert_failure(problem);
    }
}
