//! The WebSocket stage: frames in, callbacks out.

use sockeye_proto::Cx;
use sockeye_proto::ws::Event;

use crate::conn::Conn;
use crate::engine::Engine;
use crate::entry::{SessionRef, Stage};
use crate::id::ConnId;
use crate::protocol::{CloseCause, CloseInfo};

impl Engine {
    /// Takes at most one event out of the input. Returns whether to go on.
    pub(crate) fn feed_websocket(&mut self, id: ConnId, input: &mut &mut [u8]) -> bool {
        let now = self.core.now();
        let Some(entry) = self.core.conns.get_mut(id) else {
            return false;
        };
        let Stage::WebSocket(ws) = &mut entry.stage else {
            return true;
        };
        let output = entry.outbox.tail(&mut self.core.pool);
        let shared = &mut self.core.shared;
        let session = entry.session;
        let mut cx = Cx {
            now,
            output,
            shared,
            blocked: entry.flags.blocked,
        };
        match ws.receive(input, &mut cx) {
            Ok(Some(event)) => {
                if let Some(session) = session {
                    self.session_event(id, session, event);
                }
                !input.is_empty()
            }
            Ok(None) => false,
            Err(violation) => {
                self.close_session(id, &CloseInfo::unclean(CloseCause::Violation(violation)));
                true
            }
        }
    }

    /// Passes an event of a WebSocket on. Kept apart from [`feed_websocket`](Self::feed_websocket)
    /// because deadlines and the end of the stream bring events too.
    pub(crate) fn websocket_event(&mut self, id: ConnId, event: Event<'_>) {
        let entry = self.core.conns.get(id);
        if let Some(session) = entry.and_then(|entry| entry.session) {
            self.session_event(id, session, event);
        }
    }

    /// As [`websocket_event`](Self::websocket_event), for those who have the entry at hand.
    fn session_event(&mut self, id: ConnId, session: SessionRef, event: Event<'_>) {
        let index = session.index;
        let protocol = &mut self.protocols[usize::from(session.protocol)];
        let conn = Conn::new(&mut self.core, id);
        match event {
            Event::Text(text) => protocol.text(conn, index, text),
            Event::Binary(data) => protocol.binary(conn, index, data),
            Event::Chunk(chunk) => protocol.chunk(conn, index, chunk),
            // The Pong is already in the outbox.
            Event::Ping(data) => protocol.ping(conn, index, data),
            Event::Pong(data) => protocol.pong(conn, index, data),
            Event::Close(frame) => {
                let info = CloseInfo::handshake(frame.code, frame.reason.into_string());
                self.close_session(id, &info);
            }
            Event::Lost(lost) => {
                self.close_session(id, &CloseInfo::unclean(CloseCause::Lost(lost)))
            }
            _ => {}
        }
    }
}
