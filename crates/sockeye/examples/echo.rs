//! An echo server: every message comes back, of the same kind.

use sockeye::{Engine, Error, on_message};

fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1);
    let mut engine = Engine::new()?;
    let echo = engine.host(on_message(|conn, message| {
        conn.send(message);
    }));
    let listener = engine.listen(address.as_deref().unwrap_or("127.0.0.1:7681"))?;
    println!("listening on ws://{}/echo", listener.local_addr());
    listener.route("/echo", echo);
    engine.run().map(drop)
}
