//! An echo server with a thread for each connection.
//!
//! ```text
//! blocking_server [ADDRESS]
//! ```

use std::io;
use std::net::TcpListener;

use sockeye::CloseCode;
use sockeye::blocking::{self, Error, WebSocket};

/// Sends every message back until the client has closed.
fn echo(websocket: &mut WebSocket) -> Result<(), Error> {
    while let Some(received) = websocket.next_message()? {
        if let Some(message) = received.message() {
            websocket.send(message)?;
        }
    }
    websocket.close(CloseCode::NORMAL, "").map(drop)
}

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:7681"))?;
    println!("listening on ws://{}/echo", listener.local_addr()?);
    blocking::serve(listener.incoming(), |mut websocket| {
        if let Err(error) = echo(&mut websocket) {
            eprintln!("{}: {error}", websocket.peer().addr());
        }
    })
}
