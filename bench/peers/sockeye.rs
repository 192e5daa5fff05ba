//! Ours: the engine with an echo protocol, all settings at their defaults but those that are asked
//! for.
#![forbid(unsafe_code)]

use std::error::Error;

use sockeye::deflate::Settings;
use sockeye::net::LocalAddr;
use sockeye::tls::{Identity, ServerTls, ServerTlsOptions};
use sockeye::{Accepted, Bytes, Conn, Engine, Peer, PollerKind, Protocol, Reject, Request, Text};
use sockeye_bench::{ANY_PORT, Deflate, announce, locked, options};

struct Echo;

struct Broadcast;

const TOPIC: &str = "all";

impl Protocol for Broadcast {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Ok(Accepted::new(()))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        conn.subscribe(TOPIC);
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        conn.publish(TOPIC, &text);
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        conn.publish(TOPIC, &data);
    }
}

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

fn poller(driver: &str) -> Result<PollerKind, Box<dyn Error>> {
    Ok(match driver {
        "epoll" => PollerKind::Epoll,
        "poll" => PollerKind::Poll,
        "uring" => PollerKind::Uring,
        other => return Err(format!("no driver is called {other}").into()),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let tls = match options.certificate {
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
    let driver = options.driver.as_deref().unwrap_or("epoll");
    let mut builder = Engine::builder().poller(poller(driver)?);
    if let Some(mode) = options.deflate {
        builder = builder.deflate(match mode {
            Deflate::Pooled => Settings::default(),
            Deflate::Takeover => Settings::takeover(),
        });
    }
    let mut engine = builder.build()?;
    let echo = engine.host(Echo);
    let broadcast = engine.host(Broadcast);
    let mut listener = engine
        .listen(ANY_PORT.to_string().as_str())?
        .route("/", echo)
        .route("/broadcast", broadcast);
    if let Some(tls) = tls {
        listener = listener.tls(tls);
    }
    let LocalAddr::Tcp(address) = listener.local_addr() else {
        return Err("not a TCP listener".into());
    };
    announce(address.port(), &format!("{version}, {driver}"))?;
    engine.run()?;
    Ok(())
}
