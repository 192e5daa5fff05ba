//! Sending: what programs write, in the kinds that the API has.

use sockeye::proto::Version;
use sockeye::{CloseCode, ConnId, Core, Kind, Sent};

use crate::abi::{
    LWS_WRITE_BINARY, LWS_WRITE_CLIENT_IGNORE_XOR_MASK, LWS_WRITE_CLOSE, LWS_WRITE_HTTP,
    LWS_WRITE_NO_FIN, LWS_WRITE_PING, LWS_WRITE_PONG, LWS_WRITE_TEXT, WriteProtocol,
};
use crate::context::Context;
use crate::record::{Record, Side};

/// The bits that say what is written.
const KIND: WriteProtocol = 0xf;

impl Context {
    /// Queues bytes as they are or as a frame. Returns whether they will be sent.
    pub(crate) fn write(&self, record: &Record, data: &[u8], how: WriteProtocol) -> bool {
        let Some(id) = record.conn.get().filter(|_| record.may_write()) else {
            return false;
        };
        let kind = how & KIND;
        if kind == LWS_WRITE_HTTP {
            return data.is_empty()
                || self.with_core(|core| sent(core.send_raw(id, data))) == Some(true);
        }
        if !record.is_established() {
            return false;
        }
        if data.is_empty() && kind != LWS_WRITE_CLOSE {
            return (LWS_WRITE_TEXT..=LWS_WRITE_PONG).contains(&kind);
        }
        let as_it_is = how & LWS_WRITE_CLIENT_IGNORE_XOR_MASK != 0;
        let toggles = as_it_is && record.side == Side::Client && !self.unmasked.get();
        let written = self.with_core(|core| {
            if toggles {
                core.dangerously_unmask(id, true);
            }
            let written = write_frame(core, id, data, how);
            if toggles {
                core.dangerously_unmask(id, false);
            }
            written
        });
        written == Some(true)
    }
}

fn write_frame(core: &mut Core, id: ConnId, data: &[u8], how: WriteProtocol) -> bool {
    // hixie-76 has no parts: each write is a whole.
    let is_whole = core.version(id).is_some_and(Version::is_text_only);
    let last = is_whole || how & LWS_WRITE_NO_FIN == 0;
    sent(match how & KIND {
        LWS_WRITE_TEXT => core.send_data(id, Kind::Text, data, last),
        LWS_WRITE_BINARY => core.send_data(id, Kind::Binary, data, last),
        LWS_WRITE_PING => core.ping(id, data),
        LWS_WRITE_PONG => core.pong(id, data),
        LWS_WRITE_CLOSE => return write_close(core, id, data),
        _ => return false,
    })
}

/// A Close with what the program put together: a code and a reason, or nothing.
fn write_close(core: &mut Core, id: ConnId, data: &[u8]) -> bool {
    let Some((code, reason)) = data.split_first_chunk::<2>() else {
        return data.is_empty() && sent(core.close_without_code(id));
    };
    let code = CloseCode::try_from(u16::from_be_bytes(*code));
    let (Ok(code), Ok(reason)) = (code, str::from_utf8(reason)) else {
        return false;
    };
    reason.len() <= 123 && sent(core.close_sending(id, code, reason))
}

fn sent(sent: Sent) -> bool {
    sent.is_sent()
}
