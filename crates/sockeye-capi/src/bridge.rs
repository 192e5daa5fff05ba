//! What the engine calls: one protocol for all of a context's connections. It lends the core to the
//! program and tells it what happened in the words of 2011.
//!
//! Nothing is decided here; each event goes to the module that it is the subject of.

use std::sync::{Arc, Weak};

use sockeye::{
    Accepted, Bytes, Chunk, CloseInfo, Conn, ConnectError, Core, Delivery, Exchange, Peer,
    Prepared, Protocol, Reject, Request, Response,
};

use crate::context::{Entered, Home};
use crate::handshake::Choice;
use crate::record::Record;

/// The engine's way to its context.
#[derive(Debug)]
pub(crate) struct Bridge {
    home: Weak<Home>,
    /// What the program said about the handshake at hand.
    choice: Option<Choice>,
}

impl Bridge {
    pub(crate) fn new(home: Weak<Home>) -> Self {
        Self { home, choice: None }
    }

    fn with_home<R>(&self, f: impl FnOnce(&Entered<'_>) -> R) -> Option<R> {
        let home = self.home.upgrade()?;
        let context = home.enter();
        (!context.is_over.get()).then(|| f(&context))
    }
}

impl Protocol for Bridge {
    type Session = Arc<Record>;

    fn on_upgrade(&mut self, http: &mut Exchange<'_>, request: &Request<'_>) {
        let id = http.id();
        let choice = self.with_home(|context| {
            context.lend(http.core(), || context.filter_protocol(id, request))
        });
        self.choice = choice.flatten();
        if self.choice.is_none() {
            http.core().hang_up(id, None);
        }
    }

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<Arc<Record>>, Reject> {
        let refused = || Reject::status(500);
        let choice = self.choice.take().ok_or_else(refused)?;
        let begun = self.with_home(|context| context.begin_session(&choice.record));
        if begun != Some(true) {
            return Err(refused());
        }
        let accepted = Accepted::new(choice.record).delivery(Delivery::Streaming);
        Ok(match choice.subprotocol {
            Some(name) => accepted.subprotocol(name),
            None => accepted,
        })
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, record: &mut Arc<Record>) {
        let subprotocol = conn.subprotocol().map(str::to_owned);
        self.with_home(|context| {
            context.lend(conn.core(), || {
                context.opened(record, subprotocol.as_deref());
            });
        });
    }

    fn on_chunk(&mut self, conn: &mut Conn<'_>, record: &mut Arc<Record>, chunk: Chunk<'_>) {
        let record = &Arc::clone(record);
        self.with_home(|context| context.lend(conn.core(), || context.received(record, &chunk)));
    }

    fn on_pong(&mut self, conn: &mut Conn<'_>, record: &mut Arc<Record>, data: Bytes<'_>) {
        let record = &Arc::clone(record);
        self.with_home(|context| context.lend(conn.core(), || context.ponged(record, &data)));
    }

    fn on_bus_message(&mut self, core: &mut Core, message: &Prepared) -> bool {
        self.with_home(|context| {
            context.lend(core, || {
                context.broadcast_of_another_process(message.data())
            });
        });
        false
    }

    fn on_bus_end(&mut self, _: &mut Core) {
        self.with_home(|context| context.is_deserted.set(true));
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, record: Arc<Record>, _: &CloseInfo) {
        self.with_home(|context| context.lend(conn.core(), || context.ended(&record)));
    }

    fn on_connect_error(&mut self, core: &mut Core, record: Arc<Record>, error: &ConnectError) {
        record.refusal.replace(Some(error.to_string()));
        // The program is told of the descriptor, and nothing else.
        self.with_home(|context| context.lend(core, || context.tell_news()));
    }

    fn on_request(&mut self, http: &mut Exchange<'_>, request: &Request<'_>, _: &[u8]) {
        if request.method() != "GET" {
            http.respond(Response::method_not_allowed("GET"));
            return;
        }
        let id = http.id();
        self.with_home(|context| context.lend(http.core(), || context.requested(id, request)));
    }
}
