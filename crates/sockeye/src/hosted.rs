//! Type erasure of protocols: a protocol and its sessions behind one virtual call an event.
//!
//! Sessions of one protocol lie side by side; a connection knows its session's index. Knows nothing
//! of sockets and stages.

use std::any::{Any, TypeId};
use std::num::NonZeroU32;

use sockeye_proto::http::Request;
use sockeye_proto::ws::{Chunk, Prepared};
use sockeye_proto::{Bytes, Text};

use crate::chunk::Chunks;
use crate::client::{Attempt, ConnectError, UplinkId};
use crate::conn::Conn;
use crate::core::Core;
use crate::exchange::Exchange;
use crate::id::ConnId;
use crate::protocol::{AcceptOptions, CloseInfo, Peer, Protocol, Reject};

/// Number of a session within its protocol, from one on: so that a connection keeps in a word that
/// it has none.
pub(crate) type SessionIndex = NonZeroU32;

pub(crate) trait DynProtocol: Any {
    /// The type of the protocol.
    fn kind(&self) -> TypeId;
    fn upgrade(&mut self, http: Exchange<'_>, request: &Request<'_>);
    fn accept(
        &mut self,
        id: ConnId,
        request: &Request<'_>,
        peer: &Peer,
    ) -> Result<(SessionIndex, AcceptOptions), Reject>;
    /// Takes the session of an outgoing connection, which its `connect` call gave.
    fn adopt(&mut self, id: ConnId, session: Box<dyn Any>) -> Option<SessionIndex>;
    fn connect_error(&mut self, core: &mut Core, session: Box<dyn Any>, error: &ConnectError);
    /// Asks for the session of an uplink's next attempt.
    fn uplink(&mut self, core: &mut Core, attempt: &mut Attempt) -> Option<Box<dyn Any>>;
    fn uplink_end(&mut self, core: &mut Core, uplink: UplinkId);
    /// Drops a session that was never opened.
    fn discard(&mut self, session: SessionIndex);
    fn open(&mut self, conn: Conn<'_>, session: SessionIndex);
    fn text(&mut self, conn: Conn<'_>, session: SessionIndex, text: Text<'_>);
    fn binary(&mut self, conn: Conn<'_>, session: SessionIndex, data: Bytes<'_>);
    fn chunk(&mut self, conn: Conn<'_>, session: SessionIndex, chunk: Chunk<'_>);
    fn writable(&mut self, conn: Conn<'_>, session: SessionIndex);
    fn ping(&mut self, conn: Conn<'_>, session: SessionIndex, data: Bytes<'_>);
    fn pong(&mut self, conn: Conn<'_>, session: SessionIndex, data: Bytes<'_>);
    fn timeout(&mut self, conn: Conn<'_>, session: SessionIndex);
    fn broadcast(&mut self, core: &mut Core, message: &Prepared);
    /// Something came from another process. Says whether all connections are to be told.
    fn bus_message(&mut self, core: &mut Core, message: &Prepared) -> bool;
    fn bus_end(&mut self, core: &mut Core);
    fn close(&mut self, conn: Conn<'_>, session: SessionIndex, info: &CloseInfo);
    fn body_limit(&mut self, request: &Request<'_>) -> u64;
    fn request(&mut self, http: Exchange<'_>, request: &Request<'_>, body: &[u8]);
    /// The connections of this protocol.
    fn connections(&self, out: &mut Vec<ConnId>);
    fn as_any(&mut self) -> &mut dyn Any;
}

struct Seat<S> {
    id: ConnId,
    session: S,
}

pub(crate) struct Hosted<P: Protocol> {
    pub(crate) protocol: P,
    seats: Chunks<Option<Seat<P::Session>>>,
    vacant: Vec<SessionIndex>,
}

impl<P: Protocol> Hosted<P> {
    pub(crate) fn new(protocol: P) -> Self {
        Self {
            protocol,
            seats: Chunks::new(),
            vacant: Vec::new(),
        }
    }

    fn seat(&mut self, id: ConnId, session: P::Session) -> SessionIndex {
        let seat = Some(Seat { id, session });
        if let Some(index) = self.vacant.pop()
            && let Some(vacant) = self.place(index)
        {
            *vacant = seat;
            return index;
        }
        self.seats.push(seat);
        // There are at most as many as connections, and of these at most 2³¹.
        SessionIndex::MIN.saturating_add(self.seats.len() as u32 - 1)
    }

    fn place(&mut self, index: SessionIndex) -> Option<&mut Option<Seat<P::Session>>> {
        self.seats.get_mut(index.get() - 1)
    }

    fn unseat(&mut self, index: SessionIndex) -> Option<P::Session> {
        let seat = self.place(index)?.take()?;
        self.vacant.push(index);
        Some(seat.session)
    }

    /// The protocol, and the session of one of its connections.
    pub(crate) fn with_session(
        &mut self,
        index: SessionIndex,
    ) -> Option<(&mut P, &mut P::Session)> {
        let seat = self.seats.get_mut(index.get() - 1)?.as_mut()?;
        Some((&mut self.protocol, &mut seat.session))
    }
}

impl<P: Protocol> DynProtocol for Hosted<P> {
    fn kind(&self) -> TypeId {
        TypeId::of::<P>()
    }

    fn upgrade(&mut self, mut http: Exchange<'_>, request: &Request<'_>) {
        self.protocol.on_upgrade(&mut http, request);
    }

    fn accept(
        &mut self,
        id: ConnId,
        request: &Request<'_>,
        peer: &Peer,
    ) -> Result<(SessionIndex, AcceptOptions), Reject> {
        let accepted = self.protocol.accept(request, peer)?;
        Ok((self.seat(id, accepted.session), accepted.options))
    }

    fn adopt(&mut self, id: ConnId, session: Box<dyn Any>) -> Option<SessionIndex> {
        let session = session.downcast::<P::Session>().ok()?;
        Some(self.seat(id, *session))
    }

    fn connect_error(&mut self, core: &mut Core, session: Box<dyn Any>, error: &ConnectError) {
        if let Ok(session) = session.downcast::<P::Session>() {
            self.protocol.on_connect_error(core, *session, error);
        }
    }

    fn uplink(&mut self, core: &mut Core, attempt: &mut Attempt) -> Option<Box<dyn Any>> {
        let session = self.protocol.on_uplink(core, attempt)?;
        Some(Box::new(session))
    }

    fn uplink_end(&mut self, core: &mut Core, uplink: UplinkId) {
        self.protocol.on_uplink_end(core, uplink);
    }

    fn discard(&mut self, session: SessionIndex) {
        drop(self.unseat(session));
    }

    fn open(&mut self, mut conn: Conn<'_>, session: SessionIndex) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_open(&mut conn, session);
        }
    }

    fn text(&mut self, mut conn: Conn<'_>, session: SessionIndex, text: Text<'_>) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_text(&mut conn, session, text);
        }
    }

    fn binary(&mut self, mut conn: Conn<'_>, session: SessionIndex, data: Bytes<'_>) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_binary(&mut conn, session, data);
        }
    }

    fn chunk(&mut self, mut conn: Conn<'_>, session: SessionIndex, chunk: Chunk<'_>) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_chunk(&mut conn, session, chunk);
        }
    }

    fn writable(&mut self, mut conn: Conn<'_>, session: SessionIndex) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_writable(&mut conn, session);
        }
    }

    fn ping(&mut self, mut conn: Conn<'_>, session: SessionIndex, data: Bytes<'_>) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_ping(&mut conn, session, data);
        }
    }

    fn pong(&mut self, mut conn: Conn<'_>, session: SessionIndex, data: Bytes<'_>) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_pong(&mut conn, session, data);
        }
    }

    fn timeout(&mut self, mut conn: Conn<'_>, session: SessionIndex) {
        if let Some((protocol, session)) = self.with_session(session) {
            protocol.on_timeout(&mut conn, session);
        }
    }

    fn broadcast(&mut self, core: &mut Core, message: &Prepared) {
        for seat in self.seats.iter_mut().flatten() {
            if core.is_open(seat.id) {
                let mut conn = Conn::new(core, seat.id);
                self.protocol
                    .on_broadcast(&mut conn, &mut seat.session, message);
            }
        }
    }

    fn bus_message(&mut self, core: &mut Core, message: &Prepared) -> bool {
        self.protocol.on_bus_message(core, message)
    }

    fn bus_end(&mut self, core: &mut Core) {
        self.protocol.on_bus_end(core);
    }

    fn close(&mut self, mut conn: Conn<'_>, session: SessionIndex, info: &CloseInfo) {
        if let Some(session) = self.unseat(session) {
            self.protocol.on_close(&mut conn, session, info);
        }
    }

    fn body_limit(&mut self, request: &Request<'_>) -> u64 {
        self.protocol.body_limit(request)
    }

    fn request(&mut self, mut http: Exchange<'_>, request: &Request<'_>, body: &[u8]) {
        self.protocol.on_request(&mut http, request, body);
    }

    fn connections(&self, out: &mut Vec<ConnId>) {
        out.extend(self.seats.iter().flatten().map(|seat| seat.id));
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_little_more_than_its_session() {
        assert!(size_of::<Option<Seat<()>>>() <= 12);
        assert!(size_of::<Option<Seat<Box<u8>>>>() <= 16);
    }
}
