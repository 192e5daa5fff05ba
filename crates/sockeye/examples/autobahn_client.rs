//! The client that the Autobahn testsuite's fuzzing server tests: it echoes, case by case.
//!
//! ```text
//! AUTOBAHN_URL=ws://127.0.0.1:9001 autobahn_client [AGENT]
//! ```
//!
//! With a `wss://` address, `AUTOBAHN_CA` names the PEM file of who vouches for the server, and
//! `AUTOBAHN_TLS_BACKEND` the library to use: `rustls` or `openssl`.

use std::error::Error;

use sockeye::tls::{Backend, ClientTls, ClientTlsOptions, Roots};
use sockeye::{
    Bytes, Conn, ConnectError, ConnectOptions, Core, Engine, Limits, Protocol, ProtocolKey, Text,
};

/// The largest message of the suite (cases 9.1.6 and 9.2.6).
const LARGEST_MESSAGE: usize = 16 * 1024 * 1024;

#[derive(Default)]
struct Echo {
    answer: String,
    error: Option<String>,
}

/// What a connection is for.
enum Visit {
    Ask,
    Case,
}

impl Protocol for Echo {
    type Session = Visit;

    fn on_text(&mut self, conn: &mut Conn<'_>, visit: &mut Visit, text: Text<'_>) {
        match visit {
            Visit::Ask => self.answer = text.into_string(),
            Visit::Case => drop(conn.send(&text)),
        }
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, _: &mut Visit, data: Bytes<'_>) {
        conn.send(&data);
    }

    fn on_connect_error(&mut self, _: &mut Core, _: Visit, error: &ConnectError) {
        self.error = Some(error.to_string());
    }
}

/// Opens a connection and stays until it is over, TCP included. Returns the answer to `Ask`.
fn stay(
    engine: &mut Engine,
    echo: ProtocolKey<Echo>,
    options: ConnectOptions,
    visit: Visit,
) -> Result<String, Box<dyn Error>> {
    engine.connect(echo, options, visit)?;
    while engine.core().connection_count() > 0 {
        engine.turn(None)?;
    }
    let Echo { answer, error } = std::mem::take(engine.protocol(echo).ok_or("not hosted")?);
    match error {
        None => Ok(answer),
        Some(error) => Err(error.into()),
    }
}

/// What the environment says about TLS.
fn tls() -> Result<Option<ClientTls>, Box<dyn Error>> {
    let Some(ca) = std::env::var_os("AUTOBAHN_CA") else {
        return Ok(None);
    };
    let backend = match std::env::var("AUTOBAHN_TLS_BACKEND").as_deref() {
        Err(_) => Backend::default(),
        Ok("rustls") => Backend::Rustls,
        Ok("openssl") => Backend::OpenSsl,
        Ok(other) => return Err(format!("there is no backend {other}").into()),
    };
    let roots = Roots::none().with_pem_file(ca)?;
    let options = ClientTlsOptions::new(roots).backend(backend);
    Ok(Some(ClientTls::new(options)?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::var("AUTOBAHN_URL").map_err(|_| "AUTOBAHN_URL is not set")?;
    let base = base.trim_end_matches('/');
    let agent = std::env::args().nth(1).unwrap_or_else(|| "sockeye".into());

    let limits = Limits {
        message_len: LARGEST_MESSAGE,
        ..Limits::default()
    };
    let mut engine = Engine::builder().limits(limits).build()?;
    let echo = engine.host(Echo::default());

    let tls = tls()?;
    let options = |query: &str| -> Result<ConnectOptions, Box<dyn Error>> {
        let options = ConnectOptions::new(&format!("{base}/{query}"))?;
        Ok(match &tls {
            Some(tls) => options.tls(tls.clone()),
            None => options,
        })
    };

    let count = stay(&mut engine, echo, options("getCaseCount")?, Visit::Ask)?;
    let count: u32 = count.parse()?;
    for case in 1..=count {
        println!("case {case} of {count}");
        let query = format!("runCase?case={case}&agent={agent}");
        stay(&mut engine, echo, options(&query)?, Visit::Case)?;
    }
    let query = format!("updateReports?agent={agent}");
    stay(&mut engine, echo, options(&query)?, Visit::Ask)?;
    Ok(())
}
