//! Real sockets for tests: an engine on a thread of its own under any driver, and blocking peers.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sockeye::poll::{Epoll, Interest, Poller, Portable, Ready, Registrar, Token};
use sockeye::{Engine, Handle, Limits, ShutdownReport};

/// After this long, what is waited for will not come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What waits for the engine's descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    Epoll,
    Portable,
    #[cfg(feature = "uring")]
    Uring,
    /// A `poll(2)` array that is the test's own.
    Foreign,
}

pub(crate) const DRIVERS: &[Driver] = &[
    Driver::Epoll,
    Driver::Portable,
    #[cfg(feature = "uring")]
    Driver::Uring,
    Driver::Foreign,
];

/// An engine on its own thread; shut down and joined by [`Server::stop`].
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) turns: Arc<AtomicUsize>,
    thread: JoinHandle<ShutdownReport>,
}

impl Server {
    /// Starts an engine; `set_up` hosts and listens, and says where.
    pub(crate) fn start(
        driver: Driver,
        limits: Limits,
        set_up: impl FnOnce(&mut Engine) -> SocketAddr + Send + 'static,
    ) -> Self {
        let turns = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&turns);
        let (ready, started) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let array = Rc::new(RefCell::new(Array::default()));
            let builder = Engine::builder().limits(limits);
            let builder = match driver {
                Driver::Epoll => {
                    builder.custom_poller(Counting(Epoll::new().unwrap(), Arc::clone(&counter)))
                }
                Driver::Portable => {
                    builder.custom_poller(Counting(Portable::new(), Arc::clone(&counter)))
                }
                #[cfg(feature = "uring")]
                Driver::Uring => builder.poller(sockeye::PollerKind::Uring),
                Driver::Foreign => builder.registrar(Rc::clone(&array)),
            };
            let mut engine = builder.build().unwrap();
            let addr = set_up(&mut engine);
            ready.send((addr, engine.handle())).unwrap();
            if driver != Driver::Foreign {
                return engine.run().unwrap();
            }
            loop {
                let ready = Array::wait(&array, engine.next_deadline());
                counter.fetch_add(1, Ordering::Relaxed);
                engine.service(&ready, Instant::now());
                if let Some(report) = engine.shutdown_report() {
                    return report;
                }
            }
        });
        let (addr, handle) = started.recv_timeout(PATIENCE).unwrap();
        Self {
            addr,
            handle,
            turns,
            thread,
        }
    }

    /// Turns so far.
    pub(crate) fn turns(&self) -> usize {
        self.turns.load(Ordering::Relaxed)
    }

    /// Runs something on the engine's thread and gives back what it says.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut sockeye::Core) -> T + Send + 'static,
    ) -> T {
        let (answer, answered) = mpsc::channel();
        self.handle
            .with_core(move |core| drop(answer.send(ask(core))))
            .unwrap();
        answered.recv_timeout(PATIENCE).unwrap()
    }

    /// Waits until the engine has this many connections.
    pub(crate) fn wait_for(&self, connections: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let count = self.ask(|core| core.connection_count());
            if count == connections {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{count} connections, not {connections}"
            );
            std::thread::yield_now();
        }
    }

    pub(crate) fn stop(self) -> ShutdownReport {
        // It may have been told already.
        let _ = self.handle.shutdown(Duration::from_secs(5));
        self.thread.join().unwrap()
    }
}

struct Counting<P>(P, Arc<AtomicUsize>);

impl<P: Registrar> Registrar for Counting<P> {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.0.add(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        self.0.modify(fd, token, interest)
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.remove(fd)
    }
}

impl<P: Poller> Poller for Counting<P> {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.wait(ready, timeout)
    }
}

/// The simplest foreign loop there is: every descriptor in one array, made anew for each wait.
#[derive(Default)]
struct Array {
    entries: Vec<(i32, Token, Interest)>,
}

impl Array {
    fn find(&self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        self.entries
            .iter()
            .position(|(entry, ..)| *entry == fd.as_raw_fd())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn wait(array: &RefCell<Self>, deadline: Option<Instant>) -> Vec<Ready> {
        let watched: Vec<_> = array
            .borrow()
            .entries
            .iter()
            .copied()
            .filter(|(.., interest)| !interest.is_none())
            .collect();
        let mut polled: Vec<libc::pollfd> = watched
            .iter()
            .map(|(fd, _, interest)| libc::pollfd {
                fd: *fd,
                events: if interest.readable { libc::POLLIN } else { 0 }
                    | if interest.writable { libc::POLLOUT } else { 0 },
                revents: 0,
            })
            .collect();
        let timeout = deadline.map_or(-1, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
        });
        #[allow(unsafe_code)]
        // SAFETY: pointer and length are those of a slice that is borrowed for the call.
        let count =
            unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
        assert!(count >= 0 || io::Error::last_os_error().kind() == io::ErrorKind::Interrupted);
        watched
            .iter()
            .zip(&polled)
            .filter(|(_, polled)| count > 0 && polled.revents != 0)
            .map(|((_, token, _), polled)| Ready {
                token: *token,
                readable: polled.revents & libc::POLLIN != 0,
                writable: polled.revents & libc::POLLOUT != 0,
                hangup: polled.revents & (libc::POLLHUP | libc::POLLERR) != 0,
            })
            .collect()
    }
}

impl Registrar for Array {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        if self.find(fd).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.entries.push((fd.as_raw_fd(), token, interest));
        Ok(())
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let index = self.find(fd)?;
        self.entries[index] = (fd.as_raw_fd(), token, interest);
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let index = self.find(fd)?;
        self.entries.swap_remove(index);
        Ok(())
    }
}

/// A blocking peer that speaks just enough.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Connects, and speaks no word.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Connects and opens a WebSocket at a path.
    pub(crate) fn open(addr: SocketAddr, path: &str) -> Self {
        let mut peer = Self::connect(addr);
        peer.write(handshake(path).as_bytes());
        let head = peer.read_head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        peer
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads up to the end of an HTTP head.
    pub(crate) fn read_head(&mut self) -> String {
        loop {
            let end = self.received.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.received.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.fill() > 0, "the stream ended in a head");
        }
    }

    /// Reads so many bytes.
    pub(crate) fn read_exact(&mut self, len: usize) -> Vec<u8> {
        while self.received.len() < len {
            assert!(self.fill() > 0, "the stream ended");
        }
        self.received.drain(..len).collect()
    }

    /// Sends a frame, masked with zeros.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        let frame = frame(opcode, payload);
        self.write(&frame);
    }

    /// The next frame: opcode and payload.
    pub(crate) fn receive(&mut self) -> (u8, Vec<u8>) {
        let head = self.read_exact(2);
        let len = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.read_exact(2).try_into().unwrap())),
            127 => u64::from_be_bytes(self.read_exact(8).try_into().unwrap()),
            len => u64::from(len),
        };
        (head[0] & 15, self.read_exact(len as usize))
    }

    pub(crate) fn receive_text(&mut self) -> String {
        let (opcode, payload) = self.receive();
        assert_eq!(opcode, 1, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// Whether the stream has ended, which is waited for.
    pub(crate) fn is_ended(&mut self) -> bool {
        self.received.is_empty() && self.fill() == 0
    }

    fn fill(&mut self) -> usize {
        let start = self.received.len();
        self.received.resize(start + 16 * 1024, 0);
        let read = self.stream.read(&mut self.received[start..]);
        let len = match read {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        };
        self.received.truncate(start + len);
        len
    }
}

pub(crate) fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ ..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// A figure of this process out of `/proc/self/status`, in KiB.
pub(crate) fn memory_kib(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
