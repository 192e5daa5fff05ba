//! What peers on tokio share: a runtime of one thread, TLS by rustls, and everybody who is to get what
//! is sent to all. What a peer does with a stream is its own.

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_rustls::TlsAcceptor;

use crate::{announce, certificate, listen, locked, rustls_server};

/// A stream of bytes, with TLS or without.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// A WebSocket library on tokio.
pub trait Library: Clone + Send + 'static {
    /// The name of its crate.
    const NAME: &'static str;

    /// Name and version.
    #[must_use]
    fn version() -> String {
        locked(Self::NAME)
    }

    /// Serves one connection, from the request on.
    fn serve(self, stream: impl Stream) -> impl Future<Output = ()> + Send;
}

/// Serves with a library until the process is killed.
///
/// # Errors
///
/// It cannot begin.
pub fn run<L: Library>(library: &L) -> Result<(), Box<dyn Error>> {
    let mut version = format!("{}, {}", L::version(), locked("tokio"));
    let tls = match certificate()? {
        None => None,
        Some(files) => {
            version = format!("{version}, {}, {}", locked("rustls"), locked("ring"));
            Some(TlsAcceptor::from(rustls_server(&files)?))
        }
    };
    let listener = listen()?;
    let port = listener.local_addr()?.port();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        announce(port, &version)?;
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                continue;
            };
            drop(stream.set_nodelay(true));
            let library = library.clone();
            match tls.clone() {
                None => drop(tokio::spawn(library.serve(stream))),
                Some(tls) => drop(tokio::spawn(async move {
                    if let Ok(stream) = tls.accept(stream).await {
                        library.serve(stream).await;
                    }
                })),
            }
        }
    })
}

/// The path of those who get what each of them sends.
pub const BROADCAST: &str = "/broadcast";

/// Everybody who gets what is sent to all.
#[derive(Debug)]
pub struct Room<M> {
    senders: Arc<Mutex<Vec<UnboundedSender<M>>>>,
}

impl<M> Clone for Room<M> {
    fn clone(&self) -> Self {
        let senders = Arc::clone(&self.senders);
        Self { senders }
    }
}

impl<M> Default for Room<M> {
    fn default() -> Self {
        let senders = Arc::default();
        Self { senders }
    }
}

impl<M: Clone> Room<M> {
    /// One more, who leaves when the receiver is dropped.
    #[must_use]
    pub fn join(&self) -> UnboundedReceiver<M> {
        let (sender, receiver) = unbounded_channel();
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.push(sender);
        receiver
    }

    /// Sends to all.
    pub fn publish(&self, message: &M) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.retain(|sender| sender.send(message.clone()).is_ok());
    }
}
