//! The WebSocket stage: frames in, callbacks out.

use sockeye_proto::Cx;
use sockeye_proto::ws::Event;

use crate::conn::Conn;
use crate::engine::Engine;
use crate::entry::{SessionRef, Stage};
use crate::id::ConnId;
use crate::protocol::{CloseCause, CloseInfo};

impl Engine {
    /// Takes events out of the input, one after the other. Returns whether to go on: whether there
    /// is more, of which the stage is not the one to say what becomes of it.
    ///
    /// Whoever calls this flushes the connection afterwards.
    pub(crate) fn feed_websocket(&mut self, id: ConnId, input: &mut &mut [u8]) -> bool {
        let now = self.core.now();
        let high_water = self.core.limits.high_water;
        let mut first = true;
        loop {
            let core = &mut self.core;
            let Some(entry) = core.conns.get_mut(id) else {
                return false;
            };
            // Whether to go on is asked between two messages, not only between two reads.
            let halts = entry.flags.doomed
                || !entry.is_receiving()
                || entry.outbox.len() > high_water
                || core.pressed;
            if halts && !first {
                return true;
            }
            first = false;
            let Stage::WebSocket(ws) = &mut entry.stage else {
                return true;
            };
            let session = entry.session;
            // It is flushed anyway, and need not be in the list of those that are.
            entry.flags.dirty = true;
            let mut cx = Cx {
                now,
                output: entry.outbox.tail(&mut core.pool),
                shared: &mut core.shared,
                blocked: entry.flags.blocked,
            };
            match ws.receive(input, &mut cx) {
                Ok(Some(event)) => {
                    if let Some(session) = session {
                        self.session_event(id, session, event);
                    }
                }
                Ok(None) => return false,
                Err(violation) => {
                    self.close_session(id, &CloseInfo::unclean(CloseCause::Violation(violation)));
                    return true;
                }
            }
            if input.is_empty() {
                return false;
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
    #[inline(always)]
    fn session_event(&mut self, id: ConnId, session: SessionRef, event: Event<'_>) {
        let index = session.index;
        let protocol = &mut self.protocols[usize::from(session.protocol)];
        let conn = Conn::new(&mut self.core, id);
        match event {
            Event::Text(text) => protocol.text(conn, index, text),
            Event::Binary(data) => protocol.binary(conn, index, data),
            event => self.rare_event(id, session, event),
        }
    }

    #[inline(never)]
    fn rare_event(&mut self, id: ConnId, session: SessionRef, event: Event<'_>) {
        let index = session.index;
        let protocol = &mut self.protocols[usize::from(session.protocol)];
        let conn = Conn::new(&mut self.core, id);
        match event {
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
