//! A server of threads: one for each connection, and no more than so many.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::accept::Acceptor;
use super::stream::Stream;
use super::tls::TlsStream;
use super::websocket::WebSocket;
use crate::net::listener::AcceptFailure;
use crate::tls::ServerTls;

/// How many connections are served at once, unless said otherwise.
const THREADS: usize = 256;

/// Serves each connection on a thread of its own.
///
/// For some hundred connections at most: an [`Engine`](crate::Engine) serves any number.
///
/// ```no_run
/// use std::net::TcpListener;
/// use sockeye::CloseCode;
/// use sockeye::blocking::Server;
///
/// let listener = TcpListener::bind("127.0.0.1:7681")?;
/// Server::new().threads(16).serve(listener.incoming(), |mut websocket| {
///     while let Ok(Some(received)) = websocket.next_message() {
///         if let Some(message) = received.message()
///             && websocket.send(message).is_err()
///         {
///             return;
///         }
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Server {
    acceptor: Acceptor,
    tls: Option<ServerTls>,
    threads: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            acceptor: Acceptor::default(),
            tls: None,
            threads: THREADS,
        }
    }
}

impl Server {
    /// With the default [`Acceptor`], without TLS, for 256 connections at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// What becomes a WebSocket, and within which limits.
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// Speaks TLS with all clients.
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// How many connections are served at once, at least one. Further ones wait in the listener's
    /// queue.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// Serves what comes in, until nothing does; waits for the last connection to end. `handler` is
    /// called for each WebSocket that opens, on that connection's thread, and is the one to
    /// [`close`](WebSocket::close) it. A panic in it ends that connection only. Clients that do not
    /// make it to a WebSocket are answered and forgotten.
    ///
    /// `incoming` is what [`TcpListener::incoming`](std::net::TcpListener::incoming) and
    /// [`UnixListener::incoming`](std::os::unix::net::UnixListener::incoming) give, or any other
    /// source of connections.
    ///
    /// # Errors
    ///
    /// The listener is broken, or there are no descriptors or threads for even one connection.
    pub fn serve<S, H>(
        &self,
        incoming: impl IntoIterator<Item = io::Result<S>>,
        handler: H,
    ) -> io::Result<()>
    where
        S: Into<Stream>,
        H: Fn(WebSocket<Stream>) + Sync,
    {
        let seats = Seats::new(self.threads);
        let handler = &handler;
        thread::scope(|scope| {
            let mut seat = seats.take();
            for stream in incoming {
                let stream = match stream {
                    Ok(stream) => stream.into(),
                    Err(error) => match AcceptFailure::of(&error) {
                        AcceptFailure::Connection => continue,
                        // The next one that leaves makes room.
                        AcceptFailure::Exhausted if seats.wait_for_leaver() => continue,
                        _ => return Err(error),
                    },
                };
                let work = move || {
                    // The hook has reported it; the others go on.
                    drop(catch_unwind(AssertUnwindSafe(|| {
                        self.visit(stream, handler)
                    })));
                    drop(seat);
                };
                let thread = thread::Builder::new().name("websocket".to_owned());
                if let Err(error) = thread.spawn_scoped(scope, work)
                    && !seats.wait_for_leaver()
                {
                    return Err(error);
                }
                seat = seats.take();
            }
            Ok(())
        })
    }

    fn visit(&self, stream: Stream, handler: impl Fn(WebSocket<Stream>)) {
        if let Stream::Tcp(socket) = &stream {
            // Whoever sends two short messages means both to arrive now; not worth failing for.
            let _ = socket.set_nodelay(true);
        }
        let stream = match &self.tls {
            None => stream,
            Some(tls) => match TlsStream::accept(stream, tls) {
                Ok(stream) => stream.into(),
                Err(_) => return,
            },
        };
        if let Ok(websocket) = self.acceptor.accept(stream) {
            handler(websocket);
        }
    }
}

/// The places for connections that are served at once.
struct Seats {
    free: Mutex<Free>,
    left: Condvar,
}

struct Free {
    now: usize,
    total: usize,
    /// How many have left ever.
    leavers: u64,
}

struct Seat<'s>(&'s Seats);

impl Seats {
    fn new(total: usize) -> Self {
        Self {
            free: Mutex::new(Free {
                now: total,
                total,
                leavers: 0,
            }),
            left: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free seat.
    fn take(&self) -> Seat<'_> {
        let mut free = self
            .left
            .wait_while(self.lock(), |free| free.now == 0)
            .unwrap_or_else(PoisonError::into_inner);
        free.now -= 1;
        Seat(self)
    }

    /// Waits until somebody leaves. `false`: nobody is there but the one who asks.
    fn wait_for_leaver(&self) -> bool {
        let free = self.lock();
        if free.now + 1 >= free.total {
            return false;
        }
        let before = free.leavers;
        drop(
            self.left
                .wait_while(free, |free| free.leavers == before)
                .unwrap_or_else(PoisonError::into_inner),
        );
        true
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut free = self.0.lock();
        free.now += 1;
        free.leavers += 1;
        drop(free);
        self.0.left.notify_all();
    }
}
