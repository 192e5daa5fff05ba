//! A client: sends each line of its input as a message and prints what comes back.
//!
//! ```text
//! client [URL]
//! printf 'one\ntwo\n' | client ws://127.0.0.1:7681/echo
//! ```

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use sockeye::{
    Bytes, CloseCode, CloseInfo, Conn, ConnId, ConnectError, Core, Engine, Error, Handle,
    HandleError, Protocol, Text,
};

/// How long the last word may take once the connection is over.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Terminal {
    failed: bool,
}

impl Protocol for Terminal {
    /// By which another thread reaches the loop: reading lines blocks.
    type Session = Handle;

    fn on_open(&mut self, conn: &mut Conn<'_>, handle: &mut Handle) {
        let (handle, id) = (handle.clone(), conn.id());
        thread::spawn(move || send_lines(&handle, id));
    }

    fn on_text(&mut self, _: &mut Conn<'_>, _: &mut Handle, text: Text<'_>) {
        println!("{text}");
    }

    fn on_binary(&mut self, _: &mut Conn<'_>, _: &mut Handle, data: Bytes<'_>) {
        println!("{} bytes", data.len());
    }

    fn on_close(&mut self, _: &mut Conn<'_>, handle: Handle, info: &CloseInfo) {
        eprintln!("{info}");
        self.failed = !info.clean;
        end(&handle);
    }

    fn on_connect_error(&mut self, _: &mut Core, handle: Handle, error: &ConnectError) {
        eprintln!("{error}");
        self.failed = true;
        end(&handle);
    }
}

fn send_lines(handle: &Handle, id: ConnId) {
    for line in std::io::stdin().lines().map_while(Result::ok) {
        while handle.send(id, &line) == Err(HandleError::Full) {
            thread::sleep(Duration::from_millis(1));
        }
    }
    // Unlike `close`, this lets the answers to the last lines still come in. If it fails, the
    // connection is over already.
    let _ = handle.with_core(move |core| {
        core.close_sending(id, CloseCode::NORMAL, "");
    });
}

fn end(handle: &Handle) {
    // It can only fail because the engine has ended.
    let _ = handle.shutdown(GRACE);
}

fn main() -> Result<ExitCode, Error> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("ws://127.0.0.1:7681/echo");
    let mut engine = Engine::new()?;
    let handle = engine.handle();
    let terminal = engine.host(Terminal::default());
    engine.connect(terminal, url, handle)?;
    engine.run()?;
    let failed = engine.protocol(terminal).is_none_or(|it| it.failed);
    Ok(ExitCode::from(u8::from(failed)))
}
