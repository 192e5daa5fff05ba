//! An echo server over TLS, whose certificate can be replaced while it runs.
//!
//! ```text
//! wss CERTIFICATE.pem KEY.pem [rustls|openssl]
//! ```
//!
//! Each line on standard input reads both files again. Connections that are open stay; new ones get
//! the new certificate, unless it is no good: then the old one stays, and the reason is told.

use std::error::Error;
use std::io::BufRead;

use sockeye::tls::{Backend, Identity, ServerTls, ServerTlsOptions, TlsError};
use sockeye::{Engine, on_message};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(certificate), Some(key)) = (arguments.next(), arguments.next()) else {
        return Err("usage: wss CERTIFICATE.pem KEY.pem [rustls|openssl]".into());
    };
    let backend = match arguments.next().as_deref() {
        None => Backend::default(),
        Some("rustls") => Backend::Rustls,
        Some("openssl") => Backend::OpenSsl,
        Some(other) => return Err(format!("there is no backend {other}").into()),
    };
    let options = move || -> Result<ServerTlsOptions, TlsError> {
        let identity = Identity::from_pem_files(&certificate, &key)?;
        Ok(ServerTlsOptions::new(identity).backend(backend))
    };
    let tls = ServerTls::new(options()?)?;

    let mut engine = Engine::new()?;
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
    }));
    let listener = engine
        .listen("127.0.0.1:7443")?
        .route("/echo", echo)
        .tls(tls.clone());
    println!("listening on wss://{}/echo", listener.local_addr());

    std::thread::spawn(move || {
        for _ in std::io::stdin().lock().lines() {
            match options().and_then(|options| tls.reload(options)) {
                Ok(()) => println!("reloaded"),
                Err(error) => eprintln!("not reloaded: {error}"),
            }
        }
    });
    engine.run()?;
    Ok(())
}
