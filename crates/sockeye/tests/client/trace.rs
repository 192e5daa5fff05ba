//! Watching a connection: all bytes either way, in order, with what they belong to.

use std::sync::{Arc, Mutex};

use sockeye::{ConnectOptions, Proxy, Trace};

use super::support::{Asked, Rig, options};

type Log = Arc<Mutex<Vec<String>>>;

/// Options with somebody who writes down what is told; bytes that follow each other the same way
/// are one entry.
fn watched(options: ConnectOptions) -> (ConnectOptions, Log) {
    let log = Log::default();
    let ours = Arc::clone(&log);
    let options = options.trace(move |trace| {
        let entry = match trace {
            Trace::Sent(bytes) => format!("> {}", bytes.escape_ascii()),
            Trace::Received(bytes) => format!("< {}", bytes.escape_ascii()),
            Trace::Connected(_) => "connected".to_owned(),
            other => format!("{other:?}"),
        };
        let mut log = ours.lock().unwrap();
        match log.last_mut() {
            Some(last) if entry.len() > 1 && last.get(..2) == entry.get(..2) => {
                last.push_str(&entry[2..]);
            }
            _ => log.push(entry),
        }
    });
    (options, log)
}

fn escaped(text: &str) -> String {
    text.as_bytes().escape_ascii().to_string()
}

#[test]
fn everything_is_told_and_nothing_changed() {
    let mut rig = Rig::new();
    let server = rig.network.server("a.test:80");
    let (wanted, log) = watched(options("ws://a.test/"));
    let asked = rig.connect(&server, wanted);
    let answer = asked.good_answer();
    asked.remote.write(answer.as_bytes());
    asked.remote.write(b"\x81\x02hi");
    rig.run();
    asked.remote.write(b"\x89\x01p");
    rig.run();
    let pong = asked.remote.read();
    let log = log.lock().unwrap();
    assert_eq!(log[..2], ["connected", "Opening"]);
    assert_eq!(log[2], format!("> {}", escaped(&asked.request)));
    let received = format!("< {}\\x81\\x02hi\\x89\\x01p", escaped(&answer));
    assert_eq!(log[3], received);
    assert_eq!(log[4], format!("> {}", pong.escape_ascii()));
    assert_eq!(log.len(), 5);
}

#[test]
fn what_is_said_to_a_proxy_comes_before_the_opening() {
    let mut rig = Rig::new();
    let server = rig.network.server("proxy.test:3128");
    let proxy: Proxy = "proxy.test:3128".parse().unwrap();
    let (wanted, log) = watched(options("ws://a.test/").proxy(proxy));
    rig.client.connect(wanted);
    rig.run();
    let remote = server.accept().unwrap();
    let connect = remote.read();
    remote.write(b"HTTP/1.1 200 OK\r\n\r\n");
    rig.run();
    let asked = Asked::new(remote);
    let expected = [
        "connected".to_owned(),
        format!("> {}", connect.escape_ascii()),
        "< HTTP/1.1 200 OK\\r\\n\\r\\n".to_owned(),
        "Opening".to_owned(),
        format!("> {}", escaped(&asked.request)),
    ];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn a_redirect_begins_anew() {
    let mut rig = Rig::new();
    let first = rig.network.server("a.test:80");
    let second = rig.network.server("b.test:80");
    let (wanted, log) = watched(options("ws://a.test/").max_redirects(1));
    let asked = rig.connect(&first, wanted);
    let found = b"HTTP/1.1 302 Found\r\nLocation: http://b.test/\r\nContent-Length: 0\r\n\r\n";
    asked.remote.write(found);
    rig.run();
    let asked = Asked::new(second.accept().unwrap());
    let log = log.lock().unwrap();
    assert!(log[3].starts_with("< HTTP/1.1 302 Found"), "{log:?}");
    assert_eq!(log[4..6], ["connected", "Opening"]);
    assert_eq!(log[6], format!("> {}", escaped(&asked.request)));
}
