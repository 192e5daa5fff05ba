//! The server of threads.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use sockeye::CloseCode;
use sockeye::blocking::{self, Acceptor, Received, Server, WebSocket};

use crate::rig::{LONG, SHORT};

fn echo<S: blocking::TimedStream>(mut websocket: WebSocket<S>) {
    while let Ok(Some(received)) = websocket.next_message() {
        if let Some(message) = received.message()
            && websocket.send(message).is_err()
        {
            return;
        }
    }
}

#[test]
fn each_connection_has_a_thread() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    thread::scope(|scope| {
        let serving = scope.spawn(|| blocking::serve(listener.incoming().take(8), echo));
        let clients = [(); 8].map(|()| blocking::connect(url.as_str()).unwrap());
        for (number, mut client) in clients.into_iter().enumerate() {
            let text = format!("number {number}");
            client.send(&text).unwrap();
            assert_eq!(client.recv().unwrap(), Received::Text(text));
            assert!(client.close(CloseCode::NORMAL, "").unwrap().clean);
        }
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn no_more_threads_than_said() {
    let (sender, receiver) = mpsc::channel::<UnixStream>();
    let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        let server = Server::new().threads(2);
        let (inside, most) = (&inside, &most);
        let handler = move |websocket: WebSocket| {
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            echo(websocket);
            inside.fetch_sub(1, Ordering::SeqCst);
        };
        let serving = scope.spawn(move || server.serve(receiver.into_iter().map(Ok), handler));
        let begin = || {
            let (near, far) = UnixStream::pair().unwrap();
            sender.send(far).unwrap();
            near
        };
        let open = |stream| blocking::handshake(stream, "ws://localhost/").unwrap();
        let mut first = open(begin());
        let mut second = open(begin());
        let third = begin();
        // Nobody serves the third one while the other two are there.
        first.send("a").unwrap();
        second.send("b").unwrap();
        assert_eq!(first.recv().unwrap(), Received::Text("a".to_owned()));
        assert_eq!(second.recv().unwrap(), Received::Text("b".to_owned()));
        let options = sockeye::ConnectOptions::new("ws://localhost/").unwrap();
        let waiting = third.try_clone().unwrap();
        assert!(blocking::handshake(waiting, options.timeout(SHORT)).is_err());
        drop(third);
        first.close(CloseCode::NORMAL, "").unwrap();
        let mut fourth = open(begin());
        fourth.send("c").unwrap();
        assert_eq!(
            fourth.recv_timeout(LONG).unwrap(),
            Received::Text("c".to_owned())
        );
        drop((second, fourth));
        drop(sender);
        serving.join().unwrap().unwrap();
    });
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[test]
fn a_panic_ends_one_connection() {
    let (sender, receiver) = mpsc::channel::<UnixStream>();
    thread::scope(|scope| {
        let handler = |mut websocket: WebSocket| {
            if websocket.recv().unwrap() == Received::Text("panic".to_owned()) {
                // Without a message for the hook, which would end up in the report of the test.
                std::panic::resume_unwind(Box::new(()));
            }
            websocket.send("fine").unwrap();
        };
        let serving = scope.spawn(move || {
            let server = Server::new().threads(1);
            server.serve(receiver.into_iter().map(Ok), handler)
        });
        for (text, survives) in [("panic", false), ("anything", true)] {
            let (near, far) = UnixStream::pair().unwrap();
            sender.send(far).unwrap();
            let mut client = blocking::handshake(near, "ws://localhost/").unwrap();
            client.send(text).unwrap();
            assert_eq!(client.recv().is_ok(), survives);
        }
        drop(sender);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_broken_listener_ends_it_and_a_broken_client_does_not() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let broken = || std::io::Error::other("broken");
    let lost = || std::io::Error::from_raw_os_error(nix::errno::Errno::ECONNABORTED as i32);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let server = Server::new().acceptor(Acceptor::new().subprotocol("x"));
        let serving = scope.spawn(move || server.serve(receiver, echo));
        let take = || {
            let client = TcpStream::connect(address).unwrap();
            sender.send(listener.accept().map(|(s, _)| s)).unwrap();
            client
        };
        drop(take());
        sender.send(Err(lost())).unwrap();
        let client = take();
        let mut client = blocking::handshake(client, "ws://localhost/").unwrap();
        client.send("hello").unwrap();
        client.recv().unwrap();
        drop(client);
        sender.send(Err(broken())).unwrap();
        let error = serving.join().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "broken");
    });
}
