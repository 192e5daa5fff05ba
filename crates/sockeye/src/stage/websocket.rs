//! The WebSocket stage: frames in, callbacks out.

use sockeye_proto::Cx;

use crate::engine::Engine;
use crate::entry::Stage;
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
}
