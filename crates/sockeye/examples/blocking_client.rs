//! A client of two threads: one sends each line of the input as a message, the other prints what
//! comes back.
//!
//! ```text
//! blocking_client [URL]
//! printf 'one\ntwo\n' | blocking_client ws://127.0.0.1:7681/echo
//! ```

use std::error::Error;
use std::io::{self, BufRead};
use std::thread;

use sockeye::CloseCode;
use sockeye::blocking::{self, Received, Writer};

fn send_lines(writer: &Writer) -> Result<(), blocking::Error> {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        writer.send(&line)?;
    }
    // Unlike `close`, this lets the answers to the last lines still come in.
    writer.close_sending(CloseCode::NORMAL, "")
}

fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    let url = url.as_deref().unwrap_or("ws://127.0.0.1:7681/echo");
    let (mut reader, writer) = blocking::connect(url)?.split()?;
    // When the connection is over, so is the program: whatever this thread waits for.
    thread::spawn(move || send_lines(&writer));
    while let Some(received) = reader.next_message()? {
        match received {
            Received::Text(text) => println!("{text}"),
            Received::Binary(data) => println!("{} bytes", data.len()),
            _ => {}
        }
    }
    Ok(())
}
