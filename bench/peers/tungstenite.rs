//! tokio-tungstenite, over tokio-rustls for TLS, on a runtime of one thread. The echo is that of
//! its own example: `forward` flushes when no message is left to read, not after each one.
#![forbid(unsafe_code)]

use std::error::Error;
use std::future;

use futures_util::{StreamExt as _, TryStreamExt as _};
use sockeye_bench::{announce, certificate, listen, locked, rustls_server};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) {
    let Ok(socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let (write, read) = socket.split();
    let messages =
        read.try_filter(|message| future::ready(message.is_text() || message.is_binary()));
    // A client that goes away is no news.
    drop(messages.forward(write).await);
}

async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        drop(stream.set_nodelay(true));
        match tls.clone() {
            None => drop(tokio::spawn(echo(stream))),
            Some(tls) => drop(tokio::spawn(async move {
                if let Ok(stream) = tls.accept(stream).await {
                    echo(stream).await;
                }
            })),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let files = certificate()?;
    let mut version = format!("{}, {}", locked("tokio-tungstenite"), locked("tokio"));
    let tls = match files {
        None => None,
        Some(files) => {
            version = format!("{version}, {}, {}", locked("rustls"), locked("ring"));
            Some(TlsAcceptor::from(rustls_server(&files)?))
        }
    };
    let listener = listen()?;
    let port = listener.local_addr()?.port();
    Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(async {
            let listener = TcpListener::from_std(listener)?;
            announce(port, &version)?;
            serve(listener, tls).await;
            Ok(())
        })
}
