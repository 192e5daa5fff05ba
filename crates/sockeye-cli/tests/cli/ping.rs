//! `sockeye ping`: its lines, its statistics and its status.

use rustix::process::Signal;

use crate::peer::{CLOSE, Host, PING, PONG, TEXT, close};
use crate::process::{Running, Server, lines, run};

/// Whether the text is like this, where `#` stands for a number.
fn is_like(text: &str, like: &str) -> bool {
    let mut shape = String::new();
    let mut digits = false;
    for c in text.chars() {
        let digit = c.is_ascii_digit() || digits && c == '.';
        if !digit {
            shape.push(c);
        } else if !digits {
            shape.push('#');
        }
        digits = digit;
    }
    shape == like
}

fn assert_like(text: &str, like: &[&str]) {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), like.len(), "{text}");
    for (line, like) in lines.iter().zip(like) {
        assert!(is_like(line, like), "{line:?} is not like {like:?}");
    }
}

const REPLY: &str = "# bytes from #: seq=# time=# ms";
const SUMMARY: &str = "# packets transmitted, # received, #% packet loss, time #ms";
const TIMES: &str = "rtt min/avg/max/mdev = #/#/#/# ms";

#[test]
fn it_looks_like_ping() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let ended = run(&["ping", &url, "-c", "3", "-i", "0.01"], "");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let header = "PING ws://#:#/echo (#): # bytes of data";
    let title = "--- ws://#:#/echo ping statistics ---";
    let all = [header, REPLY, REPLY, REPLY, "", title, SUMMARY, TIMES];
    assert_like(ended.text(), &all);
    assert!(
        ended
            .text()
            .contains("\n56 bytes from 127.0.0.1: seq=1 time=")
    );
    assert!(
        ended
            .text()
            .contains("\n3 packets transmitted, 3 received, 0% packet loss, time ")
    );
    let numbers = ended.text().rsplit("= ").next().unwrap();
    let numbers = numbers.strip_suffix(" ms\n").unwrap();
    let numbers: Vec<f64> = numbers.split('/').map(|it| it.parse().unwrap()).collect();
    assert!(numbers[0] <= numbers[1] && numbers[1] <= numbers[2]);

    let ended = run(&["ping", &url, "-q", "-c", "2", "-i", "0.01"], "");
    assert_like(ended.text(), &[header, "", title, SUMMARY, TIMES]);
}

#[test]
fn every_size_is_matched_in_order() {
    let server = Server::start(&[]);
    for size in ["0", "1", "7", "8", "125"] {
        let url = server.url("/echo");
        let ended = run(&["ping", &url, "-s", size, "-c", "5", "-i", "0.001"], "");
        assert_eq!(ended.code, Some(0));
        for number in 1..=5 {
            let line = format!("\n{size} bytes from 127.0.0.1: seq={number} time=");
            assert!(ended.text().contains(&line), "{}", ended.text());
        }
    }
    assert_eq!(run(&["ping", "x", "-s", "126"], "").code, Some(2));
}

#[test]
fn ctrl_c_ends_it_with_the_statistics() {
    let host = Host::new();
    let mut running = Running::start(&["ping", &host.url(), "-i", "60"]);
    let output = lines(running.stdout());
    let mut peer = host.accept_socket();
    let ping = peer.receive().unwrap();
    assert_eq!((ping.opcode, ping.data.len()), (PING, 56));
    peer.send(PONG, &ping.data);
    let shown: Vec<String> = output.iter().take(2).collect();
    assert!(shown[1].starts_with("56 bytes from 127.0.0.1: seq=1 "));
    running.signal(Signal::INT);
    assert_eq!(peer.receive().unwrap().close_code(), 1000);
    peer.send(CLOSE, close(1000, ""));
    drop(peer);
    let rest: Vec<String> = output.iter().collect();
    assert_like(&rest[2..].join("\n"), &[SUMMARY, TIMES]);
    assert_eq!(running.wait().0.code(), Some(0));
}

#[test]
fn answers_that_do_not_come_are_counted_as_lost() {
    let host = Host::new();
    let mut running = Running::start(&["ping", &host.url(), "-c", "2", "-i", "0.01", "-W", "0.1"]);
    let output = lines(running.stdout());
    let mut peer = host.accept_socket();
    peer.receive_close();
    drop(peer);
    let text: Vec<String> = output.iter().collect();
    let expected = "2 packets transmitted, 0 received, 100% packet loss, time ";
    assert!(text.last().unwrap().starts_with(expected), "{text:?}");
    let (status, stderr) = running.wait();
    assert_eq!((status.code(), &*stderr), (Some(1), ""));
}

#[test]
fn a_peer_that_answers_only_the_newest_ping_loses_the_others() {
    let host = Host::new();
    let mut running = Running::start(&["ping", &host.url(), "-c", "3", "-i", "0.01"]);
    let output = lines(running.stdout());
    let mut peer = host.accept_socket();
    let pings: Vec<_> = (0..3).map(|_| peer.receive().unwrap().data).collect();
    peer.send(TEXT, "not your business");
    peer.send(PONG, "unasked");
    peer.send(PONG, &pings[1]);
    // Too late: the order of a stream says that it was passed over.
    peer.send(PONG, &pings[0]);
    peer.send(PONG, &pings[2]);
    assert_eq!(peer.receive_close(), 1000);
    drop(peer);
    let text: Vec<String> = output.iter().collect();
    assert!(
        text[1].contains(" seq=2 ") && text[2].contains(" seq=3 "),
        "{text:?}"
    );
    let expected = "3 packets transmitted, 2 received, 33.33% packet loss, time ";
    assert!(text[5].starts_with(expected), "{text:?}");
    assert_eq!(running.wait().0.code(), Some(0));
}

#[test]
fn a_server_that_leaves_ends_it() {
    for (replies, code) in [(1, 0), (0, 1)] {
        let host = Host::new();
        let mut running = Running::start(&["ping", &host.url(), "-i", "60"]);
        let output = lines(running.stdout());
        let mut peer = host.accept_socket();
        let ping = peer.receive().unwrap();
        for _ in 0..replies {
            peer.send(PONG, &ping.data);
        }
        peer.send(CLOSE, close(1011, "tired"));
        peer.receive_close();
        drop(peer);
        let (status, stderr) = running.wait();
        assert_eq!(status.code(), Some(code));
        assert_eq!(stderr, "sockeye: the server closed with 1011 \"tired\"\n");
        let text: Vec<String> = output.iter().collect();
        let expected = format!("1 packets transmitted, {replies} received, ");
        assert!(
            text.iter().any(|line| line.starts_with(&expected)),
            "{text:?}"
        );
    }
    // Nobody listens there once the listener is gone.
    let url = Host::new().url();
    run(&["ping", &url], "").assert_failure("refused");
}

#[test]
fn ctrl_c_while_it_connects_ends_it_too() {
    let host = Host::new();
    let running = Running::start(&["ping", &host.url()]);
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
fn a_reader_that_leaves_ends_it() {
    let host = Host::new();
    let mut running = Running::start(&["ping", &host.url(), "-i", "60"]);
    let mut peer = host.accept_socket();
    let ping = peer.receive().unwrap();
    drop(running.stdout());
    peer.send(PONG, &ping.data);
    assert_eq!(peer.receive_close(), 1000);
    drop(peer);
    let (status, stderr) = running.wait();
    assert_eq!((status.code(), &*stderr), (Some(0), ""));
}
