//! `sockeye connect --reconnect`: it comes back, loses nothing that it can keep, and says the rest.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, ChildStdin};
use std::sync::mpsc::Receiver;

use rustix::process::{Pid, Signal, kill_process};

use crate::peer::{CLOSE, Host, TEXT, close, read_head};
use crate::process::{PATIENCE, Server, lines, run, sockeye};
use crate::prompt::Session;

/// A client that writes to pipes.
struct Client {
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    said: Receiver<String>,
}

impl Client {
    fn start(args: &[&str]) -> Self {
        let mut child = sockeye(&[&["connect", "--reconnect"], args].concat())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take(),
            output: lines(child.stdout.take().unwrap()),
            said: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    fn say(&mut self, text: &str) {
        let input = self.input.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
    }

    fn expect(&self, line: &str) {
        assert_eq!(self.output.recv_timeout(PATIENCE).as_deref(), Ok(line));
    }

    /// Waits until it says something like that on standard error; what it says before is skipped.
    fn hear(&self, what: &str) -> String {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(what) => return line,
                Ok(_) => {}
                Err(_) => panic!("it does not say {what}"),
            }
        }
    }

    fn end(mut self) -> (Option<i32>, Vec<String>) {
        self.input.take();
        let rest = self.said.iter().collect();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn it_waits_for_a_server_and_comes_back_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", dir.path().join("socket").display());
    let mut client = Client::start(&[&format!("{socket}:/echo")]);
    client.say("first\n");
    client.hear("; trying again");
    let server = Server::start_on(&[&socket], &[]);
    client.hear("* connected to ");
    client.expect("first");

    server.signal(Signal::KILL);
    server.wait();
    client.hear("; trying again");
    client.say("while away\n");
    let server = Server::start_on(&[&socket], &[]);
    client.hear("* connected to ");
    client.expect("while away");
    client.say("last\n");
    client.expect("last");

    // A server that leaves in order is waited for too.
    server.signal(Signal::TERM);
    let line = client.hear("; trying again");
    assert!(line.contains("1001"), "{line}");
    server.wait();
    let _server = Server::start_on(&[&socket], &[]);
    client.hear("* connected to ");
    assert_eq!(client.end(), (Some(0), vec![]));
}

#[test]
fn trouble_is_told_once_and_not_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", dir.path().join("socket").display());
    let client = Client::start(&[&format!("{socket}:/echo")]);
    client.hear("; trying again");
    // That is at least two attempts more.
    let host = Host::new();
    let watch = Client::start(&[&host.url()]);
    for _ in 0..3 {
        // Unread, the request would turn the end into a reset at times, which is other trouble.
        read_head(&mut host.accept());
    }
    watch.hear("; trying again");
    assert!(watch.said.try_recv().is_err());
    kill_process(Pid::from_child(&client.child), Signal::INT).unwrap();
    let (code, said) = client.end();
    assert_eq!(
        (code, &*said),
        (Some(1), &["sockeye: interrupted".to_owned()][..])
    );
}

#[test]
fn a_server_that_never_lets_it_in_is_not_bothered_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = Client::start(&[&url]);
    let (mut stream, _) = listener.accept().unwrap();
    read_head(&mut stream);
    let answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(answer).unwrap();
    let (code, said) = client.end();
    assert_eq!(code, Some(1));
    assert!(said.len() == 1 && said[0].contains("403"), "{said:?}");
    assert_eq!(run(&["ping", "x", "--reconnect"], "").code, Some(2));
}

#[test]
fn the_rest_of_a_line_that_was_cut_off_is_not_sent_as_a_message() {
    let host = Host::new();
    let mut client = Client::start(&[&host.url(), "--count", "1"]);
    let mut peer = host.accept_socket();
    // Longer than a fragment, and the line goes on.
    let piece = "x".repeat(1024 * 1024);
    client.say(&piece);
    let frame = peer.receive().unwrap();
    assert!(frame.opcode == TEXT && !frame.last);
    drop(peer);
    client.hear("; trying again");
    client.hear("a long line was cut off");
    client.say("the end of it\nnext\n");
    let mut peer = host.accept_socket();
    peer.expect(TEXT, "next");
    peer.send(TEXT, "done");
    peer.receive_close();
    peer.send(CLOSE, close(1000, ""));
    drop(peer);
    client.expect("done");
    assert_eq!(client.end().0, Some(0));
}

#[test]
fn what_is_typed_while_away_is_kept_in_bounds() {
    let host = Host::new();
    let url = host.url();
    let args = ["connect", "--reconnect", "--timeout", "60", &url];
    let mut session = Session::start(&args, false);
    let peer = host.accept_socket();
    session.see("> ");
    drop(peer);
    session.see("; trying again");
    // Nobody is let in until all is typed.
    let mut typed = String::new();
    for number in 0..=1000 {
        typed.push_str(&format!("line {number}\r"));
    }
    session.press(&typed);
    session.see("* not sent, for 1000 lines wait already: line 1000");
    let mut peer = host.accept_socket();
    session.see("* connected to ");
    for number in 0..1000 {
        peer.expect(TEXT, format!("line {number}"));
    }
    session.press("\x04");
    assert_eq!(peer.receive_close(), 1000);
    peer.send(CLOSE, close(1000, ""));
    drop(peer);
    assert_eq!(session.end().0, Some(0));
}

#[test]
fn the_end_of_input_while_away_ends_it_once_all_is_sent() {
    for lines in [0, 2] {
        let host = Host::new();
        let url = host.url();
        let mut session = Session::start(&["connect", "--reconnect", &url], false);
        let peer = host.accept_socket();
        session.see("> ");
        drop(peer);
        session.see("; trying again");
        session.press(&"something\r".repeat(lines));
        session.press("\x04");
        if lines > 0 {
            let mut peer = host.accept_socket();
            for _ in 0..lines {
                peer.expect(TEXT, "something");
            }
            assert_eq!(peer.receive_close(), 1000);
            peer.send(CLOSE, close(1000, ""));
        }
        assert_eq!(session.end().0, Some(0));
    }
}
