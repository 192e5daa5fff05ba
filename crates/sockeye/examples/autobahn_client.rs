//! The client that the Autobahn testsuite's fuzzing server tests: it echoes, case by case.
//!
//! ```text
//! AUTOBAHN_URL=ws://127.0.0.1:9001 autobahn_client [AGENT]
//! ```
//!
//! For a `wss://` address `AUTOBAHN_CA` names a file with the certificates to trust, and
//! `AUTOBAHN_TLS` may be `openssl`.

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
    url: &str,
    tls: Option<&ClientTls>,
    visit: Visit,
) -> Result<String, Box<dyn Error>> {
    let mut options = ConnectOptions::new(url)?;
    if let Some(tls) = tls {
        options = options.tls(tls.clone());
    }
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

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::var("AUTOBAHN_URL").map_err(|_| "AUTOBAHN_URL is not set")?;
    let base = base.trim_end_matches('/');
    let agent = std::env::args().nth(1).unwrap_or_else(|| "sockeye".into());

    let tls = match std::env::var_os("AUTOBAHN_CA") {
        None => None,
        Some(file) => {
            let mut options = ClientTlsOptions::new(Roots::none().with_pem_file(file)?);
            if std::env::var_os("AUTOBAHN_TLS").is_some_and(|name| name == "openssl") {
                options = options.backend(Backend::OpenSsl);
            }
            Some(ClientTls::new(options)?)
        }
    };
    let tls = tls.as_ref();

    let limits = Limits {
        message_len: LARGEST_MESSAGE,
        ..Limits::default()
    };
    let mut engine = Engine::builder().limits(limits).build()?;
    let echo = engine.host(Echo::default());

    let count = stay(
        &mut engine,
        echo,
        &format!("{base}/getCaseCount"),
        tls,
        Visit::Ask,
    )?;
    let count: u32 = count.parse()?;
    for case in 1..=count {
        println!("case {case} of {count}");
        let url = format!("{base}/runCase?case={case}&agent={agent}");
        stay(&mut engine, echo, &url, tls, Visit::Case)?;
    }
    let url = format!("{base}/updateReports?agent={agent}");
    stay(&mut engine, echo, &url, tls, Visit::Ask)?;
    Ok(())
}
