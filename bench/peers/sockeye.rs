//! Ours: the engine with an echo protocol, all settings at their defaults.
#![forbid(unsafe_code)]

use std::error::Error;

use sockeye::net::LocalAddr;
use sockeye::tls::{Identity, ServerTls, ServerTlsOptions};
use sockeye::{Accepted, Bytes, Conn, Engine, Peer, Protocol, Reject, Request, Text};
use sockeye_bench::{ANY_PORT, announce, certificate, locked};

struct Echo;

impl Protocol for Echo {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        conn.send(&text);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        conn.send(&data);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let tls = match certificate()? {
        None => None,
        Some(files) => {
            let identity = Identity::from_pem_files(files.chain, files.key)?;
            Some(ServerTls::new(ServerTlsOptions::new(identity))?)
        }
    };
    let version = match &tls {
        None => locked("sockeye"),
        Some(_) => format!(
            "{}, {}, {}",
            locked("sockeye"),
            locked("rustls"),
            locked("ring")
        ),
    };
    let mut engine = Engine::new()?;
    let echo = engine.host(Echo);
    let mut listener = engine
        .listen(ANY_PORT.to_string().as_str())?
        .route("/", echo);
    if let Some(tls) = tls {
        listener = listener.tls(tls);
    }
    let LocalAddr::Tcp(address) = listener.local_addr() else {
        return Err("not a TCP listener".into());
    };
    announce(address.port(), &version)?;
    engine.run()?;
    Ok(())
}
