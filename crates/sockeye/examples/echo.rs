//! An echo server: every message comes back, of the same kind.

use sockeye::{Engine, Error, on_message};

fn main() -> Result<(), Error> {
    let mut engine = Engine::new()?;
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
    }));
    let listener = engine.listen("127.0.0.1:7681")?.route("/echo", echo);
    println!("listening on ws://{}/echo", listener.local_addr());
    engine.run().map(drop)
}
