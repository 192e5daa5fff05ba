//! `serve --threads`: one server, whichever thread has a connection.

use std::fs;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;

use crate::peer::{BINARY, CLOSE, Peer, TEXT, close, open};
use crate::process::{PATIENCE, Server, run};

/// So many that no thread is left out, but for one run in thousands. Nothing here depends on it.
const CROWD: usize = 16;

fn crowd(server: &Server, path: &str) -> Vec<Peer<TcpStream>> {
    (0..CROWD).map(|_| open(server.connect(), path)).collect()
}

fn thread_names(server: &Server) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.id())).unwrap();
    tasks
        .map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| name.starts_with("engine-"))
        .collect()
}

#[test]
fn what_one_sends_reaches_all() {
    let server = Server::start(&["--threads", "2"]);
    assert_eq!(thread_names(&server), ["engine-1"], "beside the first one");
    for path in ["/broadcast", "/mirror"] {
        let mut peers = crowd(&server, path);
        for sender in 0..CROWD {
            let message = format!("from {sender}");
            let (opcode, long) = match sender % 2 {
                0 => (TEXT, 1),
                _ => (BINARY, 10_000),
            };
            let message = message.repeat(long);
            // In lockstep, so that the order is known.
            peers[sender].send(opcode, &message);
            for peer in &mut peers {
                peer.expect(opcode, &message);
            }
        }
    }
    let mut counter = open(server.connect(), "/increment");
    for number in 0..3 {
        counter.expect(TEXT, number.to_string());
    }
    run(&["connect", &server.url("/echo")], "hello\n").assert_success("hello\n");
}

#[test]
fn a_signal_ends_all_threads_and_is_told_once() {
    let mut server = Server::start(&["--threads", "3"]);
    let mut mute = crowd(&server, "/echo");
    let mut polite = crowd(&server, "/mirror");
    server.signal(Signal::TERM);
    for peer in mute.iter_mut().chain(&mut polite) {
        assert_eq!(peer.receive_close(), 1001);
    }
    for peer in &mut polite {
        peer.send(CLOSE, close(1001, ""));
        assert_eq!(peer.receive(), None);
    }
    assert!(TcpStream::connect(server.address()).is_err());
    assert!(server.is_running());
    server.signal(Signal::TERM);
    let (code, lines, stderr) = server.wait();
    assert_eq!((code, lines.len()), (Some(0), 0));
    let cut = format!("connections cut: {CROWD}\n");
    assert_eq!(stderr.matches(&cut).count(), 1, "{stderr}");
}

#[test]
fn all_threads_listen_on_what_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let unix = format!("unix:{}", path.display());
    let listeners = ["127.0.0.1:0", "127.0.0.1:0", "[::1]:0", &unix];
    let server = Server::start_on(&listeners, &["--threads", "2"]);
    let [first, second, v6, socket] = &server.listening[..] else {
        panic!("{:?}", server.listening);
    };
    assert_ne!(first, second);
    assert!(v6.starts_with("listening on http://[::1]:"), "{v6}");
    assert_eq!(*socket, format!("listening on {unix}"));
    for line in [first, second, v6] {
        let addr = line.strip_prefix("listening on http://").unwrap();
        for _ in 0..CROWD {
            let stream = TcpStream::connect(addr.trim_end_matches('/')).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            open(stream, "/echo");
        }
    }
    for _ in 0..CROWD {
        let stream = UnixStream::connect(&path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        open(stream, "/echo");
    }
    // The address is taken, as ever.
    let taken = server.address().to_owned();
    run(&["serve", "--threads", "2", "--listen", &taken], "").assert_failure(&taken);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0, Some(0));
    assert!(!path.exists());
}

#[test]
fn how_many_is_checked() {
    for count in ["-1", "1025", "many", ""] {
        let ended = run(&["serve", "--threads", count], "");
        assert_eq!(ended.code, Some(2), "{count}: {ended:?}");
    }
    for count in ["0", "auto"] {
        let server = Server::start(&["--threads", count]);
        let cores = std::thread::available_parallelism().unwrap().get();
        assert_eq!(thread_names(&server).len(), cores - 1);
    }
}
