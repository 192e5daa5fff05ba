//! What the tests need besides the library: pairs of WebSockets, an engine that echoes, limits that
//! end soon.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use sockeye::blocking::{self, Acceptor, Connector, TimedStream, WebSocket};
use sockeye::net::LocalAddr;
use sockeye::{Engine, Handle, Limits, on_message};

/// Longer than anything here takes, and short enough to fail before anybody loses patience.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// A deadline that is meant to pass.
pub(crate) const SHORT: Duration = Duration::from_millis(120);

pub(crate) fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    (near, far)
}

/// A client and a server that have shaken hands, with these limits on both sides.
pub(crate) fn open_with<C, S>(client: C, server: S, limits: &Limits) -> (WebSocket<C>, WebSocket<S>)
where
    C: TimedStream,
    S: TimedStream + Send,
{
    let connector = Connector::new().limits(limits.clone());
    let acceptor = Acceptor::new().limits(limits.clone());
    thread::scope(|scope| {
        let server = scope.spawn(move || acceptor.accept(server).unwrap());
        let client = connector.handshake(client, "ws://localhost/").unwrap();
        (client, server.join().unwrap())
    })
}

pub(crate) fn open<C, S>(client: C, server: S) -> (WebSocket<C>, WebSocket<S>)
where
    C: TimedStream,
    S: TimedStream + Send,
{
    open_with(client, server, &Limits::default())
}

pub(crate) fn unix() -> (WebSocket<UnixStream>, WebSocket<UnixStream>) {
    unix_with(&Limits::default())
}

pub(crate) fn unix_with(limits: &Limits) -> (WebSocket<UnixStream>, WebSocket<UnixStream>) {
    let (near, far) = UnixStream::pair().unwrap();
    open_with(near, far, limits)
}

/// A client over a raw stream: what the server sends is up to the test.
pub(crate) fn client_of_raw(limits: Limits) -> (WebSocket<UnixStream>, UnixStream) {
    let (near, mut far) = UnixStream::pair().unwrap();
    let connector = Connector::new().limits(limits);
    let client = thread::scope(|scope| {
        scope.spawn(|| {
            let mut server = blocking::accept(far.try_clone().unwrap()).unwrap();
            server.flush().unwrap();
            assert!(server.into_parts().input.is_empty());
        });
        connector.handshake(near, "ws://localhost/").unwrap()
    });
    far.flush().unwrap();
    (client, far)
}

/// An engine that echoes on a thread of its own until it is dropped.
pub(crate) struct Echo {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
    pub(crate) local: LocalAddr,
}

impl Echo {
    pub(crate) fn start(bind: &str) -> Self {
        Self::start_with(bind, |engine| engine)
    }

    pub(crate) fn start_with(
        bind: &str,
        set_up: impl FnOnce(Engine) -> Engine + Send + 'static,
    ) -> Self {
        Self::listening(bind, set_up, |listener| listener)
    }

    pub(crate) fn listening(
        bind: &str,
        set_up: impl FnOnce(Engine) -> Engine + Send + 'static,
        listen: impl FnOnce(sockeye::ListenerMut<'_>) -> sockeye::ListenerMut<'_> + Send + 'static,
    ) -> Self {
        let (sender, receiver) = std::sync::mpsc::channel();
        let bind = bind.to_owned();
        let thread = thread::spawn(move || {
            let mut engine = set_up(Engine::new().unwrap());
            let echo = engine.host(on_message(|conn, message| {
                conn.send(message);
            }));
            let listener = engine.listen(bind.as_str()).unwrap().route("/echo", echo);
            let listener = listen(listener).subprotocol("echo.v1", echo);
            let local = listener.local_addr();
            sender.send((engine.handle(), local)).unwrap();
            engine.run().unwrap();
        });
        let (handle, local) = receiver.recv().unwrap();
        Self {
            handle,
            thread: Some(thread),
            local,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.local.tcp().unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        match &self.local {
            LocalAddr::Unix(path) => path.clone(),
            LocalAddr::Tcp(_) => panic!("no Unix socket"),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO).unwrap();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking());
    }
}

/// Passes one byte a call, of whatever a stream reads or writes.
#[derive(Debug)]
pub(crate) struct Trickle<S>(pub(crate) S);

impl<S: Read> Read for Trickle<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.read(&mut buffer[..len])
    }
}

impl<S: Write> Write for Trickle<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(&bytes[..bytes.len().min(1)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Trickles over a socket, and can be waited for like one.
#[derive(Debug)]
pub(crate) struct TimedTrickle<S>(pub(crate) S);

impl<S: TimedStream> TimedStream for TimedTrickle<S> {
    fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(1);
        self.0.try_read(&mut buffer[..len])
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(&bytes[..bytes.len().min(1)])
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.0.shutdown_write()
    }

    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.fd()
    }

    fn peer(&self) -> io::Result<sockeye::Peer> {
        self.0.peer()
    }
}

/// Bytes that show where one is missing.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * n / 7 + n) as u8).collect()
}
