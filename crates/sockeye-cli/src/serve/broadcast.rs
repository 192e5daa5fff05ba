//! `/broadcast`: every message to every connection of it, sender included.
//!
//! A message is framed once for all. Who cannot follow is cut by the engine, once its backlog is
//! full or it has taken nothing for long; nobody else waits for it.

use sockeye::{Accepted, Bytes, Conn, Peer, Protocol, Reject, Request, Text};

const TOPIC: &str = "broadcast";

#[derive(Debug)]
pub(super) struct Broadcast;

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
