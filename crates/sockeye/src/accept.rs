//! Taking connections in: from a listener's queue to an entry that speaks HTTP.
//!
//! Bounded a turn, and never spinning: without room or descriptors the listener falls silent until
//! there is some.

use sockeye_proto::http::Server;

use crate::draft;
use crate::engine::Engine;
use crate::entry::Stage;
use crate::id::ConnId;
use crate::link::Link;
use crate::listener::{Arrival, Listener};
use crate::net::PeerAddr;
use crate::net::listener::AcceptFailure;
use crate::poll::Interest;
use crate::protocol::Peer;
use crate::stage::http::HttpStage;

impl Engine {
    pub(crate) fn accept(&mut self, index: usize) {
        for _ in 0..self.core.limits.accepts_per_turn {
            if self.core.conns.is_full() {
                return self
                    .core
                    .listeners
                    .pause(index, self.core.driver.registrar());
            }
            if !self.core.reserve() {
                // Nobody tells when a connection of another engine has ended.
                let resume_at = self.core.now().checked_add(self.core.limits.accept_pause);
                return self
                    .core
                    .listeners
                    .rest(index, resume_at, self.core.driver.registrar());
            }
            let accepted = self.core.listeners.get_mut(index).map(Listener::accept);
            if !matches!(accepted, Some(Ok(_))) {
                self.core.release();
            }
            match accepted {
                None => return,
                Some(Ok((link, addr))) => {
                    if self.admit(index, link, addr).is_none() {
                        self.core.stats.refused += 1;
                        self.core.release();
                    }
                }
                Some(Err(error)) => match AcceptFailure::of(&error) {
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

    /// Takes a connection in, unless its address has too many or somebody refuses it.
    fn admit(&mut self, listener: usize, link: Link, addr: PeerAddr) -> Option<ConnId> {
        let peer = Peer::new(addr, None);
        let limit = self.core.limits.connections_per_address;
        let counted = peer.ip().zip(limit);
        if counted.is_some_and(|(address, limit)| !self.core.census.enter(address, limit)) {
            return None;
        }
        let id = self.open_front(listener, link, &peer);
        match id.and_then(|id| self.core.conns.get_mut(id)) {
            Some(entry) => {
                self.core.stats.accepted += 1;
                entry.listener = listener as u16;
                if let Some((address, _)) = counted {
                    entry.rare().address = Some(address);
                }
            }
            None => {
                if let Some((address, _)) = counted {
                    self.core.census.leave(address);
                }
            }
        }
        id
    }

    /// Asks those who may refuse a connection, and lets it begin.
    fn open_front(&mut self, listener: usize, link: Link, peer: &Peer) -> Option<ConnId> {
        let front = &mut self.fronts[listener];
        if front.filter.as_mut().is_some_and(|filter| !filter(peer)) {
            return None;
        }
        let arrival = Arrival {
            peer,
            fd: link.fd(),
        };
        if let Some(gate) = &mut front.gate
            && !gate(&mut self.core, &arrival)
        {
            return None;
        }
        let link = match &front.tls {
            None => self.core.driver.adopt(link),
            // Records have to be copied before they are decrypted: better from the kernel's memory.
            Some(tls) => link.secure(tls.accept().ok()?),
        };
        let mut machine = Server::new(self.core.config(Default::default()), self.core.now());
        draft::prepare(&mut machine, front.drafts);
        let stage = Stage::Http(Box::new(HttpStage::new(machine, *peer.addr())));
        // A registrar that refuses has lost this connection only.
        self.core.admit(link, stage, Interest::READ).ok()
    }
}
