//! The whole engine as a guest in a loop of the program's own: one `poll(2)` array holds its
//! descriptors next to a UDP socket that the engine knows nothing of. Each datagram goes to every
//! WebSocket at `/feed`; `/echo` echoes.
//!
//! ```text
//! external_loop [ADDRESS]
//! ```

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::time::Instant;

use libc::{POLLERR, POLLHUP, POLLIN, POLLOUT, pollfd};
use sockeye::poll::{Interest, Ready, Registrar, Token};
use sockeye::{Accepted, Conn, Engine, Peer, Prepared, Protocol, Reject, Request, on_message};

const FEED: &str = "feed";

/// The program's array, and what the engine calls the descriptors in it.
#[derive(Default)]
struct Watched {
    array: Vec<pollfd>,
    /// `None`: the program's own.
    tokens: Vec<Option<Token>>,
}

impl Watched {
    fn push(&mut self, fd: RawFd, events: i16, token: Option<Token>) {
        self.array.push(pollfd {
            fd,
            events,
            revents: 0,
        });
        self.tokens.push(token);
    }

    fn position(&self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        // A negative number is how `poll(2)` is told to skip an entry.
        let matches = |entry: &pollfd| entry.fd == fd.as_raw_fd() || entry.fd == !fd.as_raw_fd();
        let position = self.array.iter().position(matches);
        position.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Registrar for Watched {
    fn add(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        if self.position(fd).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.push(fd.as_raw_fd(), 0, Some(token));
        self.modify(fd, token, interest)
    }

    fn modify(&mut self, fd: BorrowedFd<'_>, token: Token, interest: Interest) -> io::Result<()> {
        let position = self.position(fd)?;
        self.tokens[position] = Some(token);
        let entry = &mut self.array[position];
        // No interest means that not even a hangup is reported, which `poll(2)` always does.
        entry.fd = match interest.is_none() {
            true => !fd.as_raw_fd(),
            false => fd.as_raw_fd(),
        };
        entry.events = 0;
        if interest.readable {
            entry.events |= POLLIN;
        }
        if interest.writable {
            entry.events |= POLLOUT;
        }
        Ok(())
    }

    fn remove(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let position = self.position(fd)?;
        self.array.swap_remove(position);
        self.tokens.swap_remove(position);
        Ok(())
    }
}

/// Waits until something is ready or the deadline has come.
fn wait(array: &mut [pollfd], deadline: Option<Instant>) -> io::Result<()> {
    let timeout = deadline.map_or(-1, |deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        // Rounded up: a loop that wakes before the deadline would spin until it has come.
        i32::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
    });
    let len = array.len() as libc::nfds_t;
    #[allow(unsafe_code)]
    // SAFETY: pointer and length are those of a slice that is borrowed for the call.
    let count = unsafe { libc::poll(array.as_mut_ptr(), len, timeout) };
    if count >= 0 {
        return Ok(());
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
        error => Err(error),
    }
}

fn ready(entry: &pollfd, token: Token) -> Option<Ready> {
    (entry.revents != 0).then_some(Ready {
        token,
        readable: entry.revents & POLLIN != 0,
        writable: entry.revents & POLLOUT != 0,
        hangup: entry.revents & (POLLHUP | POLLERR) != 0,
    })
}

struct Feed;

impl Protocol for Feed {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe(FEED);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let udp = UdpSocket::bind("127.0.0.1:0")?;
    udp.set_nonblocking(true)?;

    let watched = Rc::new(RefCell::new(Watched::default()));
    watched.borrow_mut().push(udp.as_raw_fd(), POLLIN, None);

    let mut engine = Engine::builder().registrar(Rc::clone(&watched)).build()?;
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
    }));
    let feed = engine.host(Feed);
    let listener = engine
        .listen(address.as_deref().unwrap_or("127.0.0.1:7681"))?
        .route("/echo", echo)
        .route("/feed", feed);
    println!("listening on ws://{}/feed", listener.local_addr());
    println!("datagrams to {}", udp.local_addr()?);

    let mut found = Vec::new();
    let mut datagram = [0; 65_536];
    loop {
        let mut shared = watched.borrow_mut();
        let Watched { array, tokens } = &mut *shared;
        wait(array, engine.next_deadline())?;
        found.clear();
        let reports = array.iter().zip(&*tokens);
        found.extend(reports.filter_map(|(entry, token)| ready(entry, (*token)?)));
        drop(shared);

        // The program's own business. What it sends goes out when the engine is served.
        while let Ok(len) = udp.recv(&mut datagram) {
            let message = Prepared::text(&String::from_utf8_lossy(&datagram[..len]));
            engine.core().publish(FEED, &message);
        }
        engine.service(&found, Instant::now());
    }
}
