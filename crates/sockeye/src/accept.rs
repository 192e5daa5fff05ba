//! Taking connections in: from a listener's queue to an entry that speaks HTTP.
//!
//! Bounded a turn, and never spinning: without room or descriptors the listener falls silent until
//! there is some.

use sockeye_proto::http::Server;

use crate::draft;
use crate::engine::Engine;
use crate::entry::Stage;
use crate::link::Link;
use crate::listener::Arrival;
use crate::net::PeerAddr;
use crate::net::listener::AcceptFailure;
use crate::poll::Interest;
use crate::protocol::Peer;
use crate::stage::http::HttpStage;
use crate::tls::ServerTls;

impl Engine {
    pub(crate) fn accept(&mut self, index: usize) {
        for _ in 0..self.core.limits.accepts_per_turn {
            if self.core.conns.is_full() {
                return self
                    .core
                    .listeners
                    .pause(index, self.core.driver.registrar());
            }
            let Some(listener) = self.core.listeners.get_mut(index) else {
                return;
            };
            match listener.accept() {
                Ok((link, addr)) => self.admit(index, link, addr),
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::Empty => return,
                    AcceptFailure::Connection => {}
                    AcceptFailure::Exhausted | AcceptFailure::Listener => {
                        self.core.stats.refused += 1;
                        let resume_at = self.core.now().checked_add(self.core.limits.accept_pause);
                        let registrar = self.core.driver.registrar();
                        self.core
                            .listeners
                            .out_of_descriptors(index, resume_at, registrar);
                        return;
                    }
                },
            }
        }
    }

    fn admit(&mut self, listener: usize, link: Link, addr: PeerAddr) {
        let peer = Peer::new(addr, None);
        let front = &mut self.fronts[listener];
        let address = peer
            .ip()
            .filter(|_| self.core.limits.connections_per_address.is_some());
        let crowded = address.is_some_and(|address| {
            let count = self.core.per_address.get(&address).copied().unwrap_or(0);
            Some(count) >= self.core.limits.connections_per_address
        });
        if crowded || front.filter.as_mut().is_some_and(|filter| !filter(&peer)) {
            self.core.stats.refused += 1;
            return;
        }
        let arrival = Arrival {
            peer: &peer,
            fd: link.fd(),
        };
        if let Some(gate) = &mut front.gate
            && !gate(&mut self.core, &arrival)
        {
            self.core.stats.refused += 1;
            return;
        }
        let link = match front.tls.as_ref().map(ServerTls::accept) {
            None => link,
            Some(Ok(session)) => link.secure(session),
            Some(Err(_)) => {
                self.core.stats.refused += 1;
                return;
            }
        };
        let mut machine = Server::new(self.core.config(Default::default()), self.core.now());
        draft::prepare(&mut machine, front.drafts);
        let stage = Stage::Http(Box::new(HttpStage::new(machine, addr)));
        // A registrar that refuses has lost this connection only.
        let Ok(id) = self.core.admit(link, stage, Interest::READ) else {
            self.core.stats.refused += 1;
            return;
        };
        self.core.stats.accepted += 1;
        if let Some(entry) = self.core.conns.get_mut(id) {
            entry.listener = listener as u16;
            if let Some(address) = address {
                entry.rare().address = Some(address);
                *self.core.per_address.entry(address).or_insert(0) += 1;
            }
        }
    }
}
