//! `/echo`: every message back, of the same kind.

use sockeye::{Accepted, Bytes, Conn, Peer, Protocol, Reject, Request, Text};

#[derive(Debug)]
pub(super) struct Echo;

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
