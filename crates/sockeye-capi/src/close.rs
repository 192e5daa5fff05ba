//! Ends of connections, whoever begins them: the descriptor is taken back, then `CLOSED` is told if
//! there was anything to close, then the handle names nothing any more.

use std::os::fd::RawFd;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sockeye::CloseCode;

use crate::abi::{
    CloseStatus, LWS_CALLBACK_CLOSED, LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE, NO_PENDING_TIMEOUT,
    PendingTimeout,
};
use crate::context::Context;
use crate::record::{CONNECTIONS, Record, Side, State};
use crate::watch::Kind;

/// What goes into a Close for a status of the API; `None`: no code.
pub(crate) fn close_code(status: CloseStatus) -> Option<CloseCode> {
    if status == LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE {
        // What the number means today.
        return Some(CloseCode::TOO_BIG);
    }
    CloseCode::try_from(u16::try_from(status).ok()?).ok()
}

impl Context {
    /// The program, a timeout or the end of the context ends a connection.
    pub(crate) fn end(&self, record: &Arc<Record>, code: Option<CloseCode>) {
        let Some(id) = record.conn.get().filter(|_| !record.is_over()) else {
            return;
        };
        let was_open = record.is_established();
        record.state.set(State::Over);
        self.watch.borrow_mut().hide(id.into());
        self.take_back(record);
        self.with_core(|core| match record.side {
            // A handshake that was not accepted has nothing to say goodbye to.
            Side::Client if !was_open => core.abort(id),
            _ => core.hang_up(id, code),
        });
        self.close(record, was_open);
    }

    /// Ends a connection that the program does not want, or that cannot go on, before it was
    /// established.
    pub(crate) fn drop_connection(&self, record: &Arc<Record>) {
        self.end(record, None);
    }

    /// The engine says that an open connection is over.
    pub(crate) fn ended(&self, record: &Arc<Record>) {
        let Some(id) = record.conn.get().filter(|_| !record.is_over()) else {
            return;
        };
        let was_open = record.is_established();
        record.state.set(State::Over);
        self.watch.borrow_mut().hide(id.into());
        self.take_back(record);
        self.close(record, was_open);
    }

    /// Tells the program that it has nothing to do with the descriptor any more. The handle still
    /// names the connection.
    fn take_back(&self, record: &Arc<Record>) {
        self.set_deadline(record, None);
        self.tell_news();
    }

    fn close(&self, record: &Arc<Record>, was_open: bool) {
        if was_open {
            self.tell(record, LWS_CALLBACK_CLOSED, ptr::null_mut(), 0);
        }
        self.retire(record);
    }

    /// Ends the connection that has this descriptor.
    pub(crate) fn hang_up_on(&self, fd: RawFd) {
        let shown = self.watch.borrow().shown(fd);
        if let Some((token, Kind::Connection)) = shown
            && let Some(record) = self.record_of(token.into())
        {
            self.end(&record, None);
        }
    }

    /// Sets when a connection is to be ended, or takes that back.
    pub(crate) fn set_timeout(&self, record: &Record, reason: PendingTimeout, secs: i32) {
        if record.is_over() || record.conn.get().is_none() {
            return;
        }
        let after = Duration::from_secs(u64::try_from(secs).unwrap_or(0));
        let deadline = match reason {
            NO_PENDING_TIMEOUT => None,
            _ => Instant::now().checked_add(after),
        };
        self.set_deadline(record, deadline);
    }

    /// Ends the connections whose time has come.
    pub(crate) fn expire(&self, now: Instant) {
        loop {
            let due = self.timeouts.borrow().first().copied();
            let Some((deadline, handle)) = due.filter(|(deadline, _)| *deadline <= now) else {
                return;
            };
            self.timeouts.borrow_mut().remove(&(deadline, handle));
            if let Some(record) = CONNECTIONS.get(handle) {
                record.deadline.set(None);
                self.end(&record, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{LWS_CLOSE_STATUS_GOINGAWAY, LWS_CLOSE_STATUS_NOSTATUS};

    #[test]
    fn statuses_become_codes_that_may_travel() {
        assert_eq!(close_code(LWS_CLOSE_STATUS_NOSTATUS), None);
        assert_eq!(
            close_code(LWS_CLOSE_STATUS_GOINGAWAY),
            Some(CloseCode::GOING_AWAY)
        );
        let too_large = close_code(LWS_CLOSE_STATUS_PAYLOAD_TOO_LARGE);
        assert_eq!(too_large.map(u16::from), Some(1009));
        for status in [-1, 1, 1005, 1006, 65_536 + 1000, i32::MAX] {
            assert_eq!(close_code(status), None, "{status}");
        }
    }
}
