//! Reading: from a link into its stage, and what may not be looked at yet into the stash.
//!
//! One read a report; the poller is level-triggered and reports again. What came first goes first:
//! nothing is read while something is stashed.

use std::io;
use std::io::ErrorKind::{Interrupted, WouldBlock};

use sockeye_proto::Cx;

use crate::core::Deferred;
use crate::engine::Engine;
use crate::entry::{Stage, Stash};
use crate::id::ConnId;
#[cfg(feature = "uring")]
use crate::link::Link;
use crate::protocol::CloseCause;
use crate::tls::TlsError;

impl Engine {
    pub(crate) fn read(&mut self, id: ConnId, hangup: bool) {
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        if !entry.may_read() || entry.flags.eof {
            if hangup {
                // Nobody is at the other end any more, and waiting to read would only spin.
                self.lost(id, CloseCause::Io(io::ErrorKind::ConnectionReset));
            }
            return;
        }
        #[cfg(feature = "uring")]
        if let Link::Ring(stream) = &entry.link
            && !stream.reads_socket()
        {
            return self.read_ring(id);
        }
        let mut buffer = std::mem::take(&mut self.read_buf);
        match entry.link.read(&mut buffer) {
            Ok(0) => self.end_of_stream(id),
            Ok(len) => {
                self.received(id, &mut buffer[..len]);
                self.core.flush(id);
                self.read_on(id);
            }
            Err(error) => self.not_read(id, error),
        }
        self.read_buf = buffer;
    }

    /// Reads everything that the ring has for a connection, where it lies.
    #[cfg(feature = "uring")]
    fn read_ring(&mut self, id: ConnId) {
        let mut has_more = true;
        while has_more
            && let Some(entry) = self.core.conns.get_mut(id)
            && entry.may_read()
            && let Link::Ring(stream) = &mut entry.link
        {
            let taken = stream.take();
            has_more = stream.has_more();
            match taken {
                Ok(None) => return self.end_of_stream(id),
                Ok(Some(mut bytes)) => self.received(id, bytes.bytes()),
                Err(error) => return self.not_read(id, error),
            }
        }
        self.core.flush(id);
    }

    fn received(&mut self, id: ConnId, bytes: &mut [u8]) {
        let left = self.feed(id, bytes);
        if left > 0
            && let Some(entry) = self.core.conns.get_mut(id)
        {
            entry.rare().stash.push(&bytes[bytes.len() - left..]);
        }
    }

    fn not_read(&mut self, id: ConnId, error: io::Error) {
        if !matches!(error.kind(), WouldBlock | Interrupted) {
            return self.read_failed(id, error);
        }
        if let Some(entry) = self.core.conns.get(id)
            && entry.link.wants_write()
        {
            self.core.flush(id);
        }
    }

    /// Sees to it that what a decorator has decrypted is read: the poller knows nothing of it. While
    /// the connection may not be read it stays there, and this is called again when it may.
    fn read_on(&mut self, id: ConnId) {
        if let Some(entry) = self.core.conns.get(id)
            && entry.may_read()
            && entry.link.has_buffered_input()
        {
            self.core.deferred.push(Deferred::Read(id));
        }
    }

    fn read_failed(&mut self, id: ConnId, error: io::Error) {
        match TlsError::from_io(error) {
            Err(error) => self.lost(id, CloseCause::Io(error.kind())),
            Ok(error) if self.core.is_connecting(id) => self.connecting_tls_failed(id, error),
            Ok(TlsError::Truncated) => self.lost(id, CloseCause::Truncated),
            Ok(_) => self.lost(id, CloseCause::Io(io::ErrorKind::InvalidData)),
        }
    }

    /// Hands received bytes to the stage, again after each change of stage, until the stage has no
    /// more to say. Returns how many bytes at the end may not be looked at yet.
    fn feed(&mut self, id: ConnId, mut input: &mut [u8]) -> usize {
        loop {
            let Some(entry) = self.core.conns.get_mut(id) else {
                return 0;
            };
            if entry.flags.doomed {
                return 0;
            }
            // Between two messages, not only between two reads: a short request may have a long
            // answer.
            if entry.outbox.len() > self.core.limits.high_water || self.core.pressed {
                entry.choke();
            }
            if !entry.is_receiving() {
                return input.len();
            }
            let more = match entry.stage {
                Stage::WebSocket(_) => self.feed_websocket(id, &mut input),
                Stage::Http(_) => self.feed_http(id, &mut input),
                Stage::Connect(_) => self.feed_connecting(id, &mut input),
                Stage::Attempt(_) | Stage::Gone => false,
            };
            if !more {
                return 0;
            }
        }
    }

    fn end_of_stream(&mut self, id: ConnId) {
        let now = self.core.now();
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        entry.flags.eof = true;
        match &mut entry.stage {
            Stage::WebSocket(ws) => {
                let output = entry.outbox.tail(&mut self.core.pool);
                let shared = &mut self.core.shared;
                let blocked = entry.flags.blocked;
                let event = ws.receive_eof(&mut Cx {
                    now,
                    output,
                    shared,
                    blocked,
                });
                if let Some(event) = event {
                    self.websocket_event(id, event);
                }
                self.core.flush(id);
            }
            Stage::Http(_) => self.http_end_of_stream(id),
            Stage::Connect(_) => self.connecting_end_of_stream(id),
            Stage::Attempt(_) | Stage::Gone => {}
        }
    }

    /// Looks at the bytes that had to wait, now that they may be looked at.
    pub(crate) fn feed_stash(&mut self, id: ConnId) {
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        if entry.is_receiving() {
            let mut stash = match &mut entry.rare {
                Some(rare) => std::mem::take(&mut rare.stash),
                None => Stash::default(),
            };
            let left = self.feed(id, stash.bytes());
            if left > 0
                && let Some(entry) = self.core.conns.get_mut(id)
            {
                stash.keep(left);
                entry.rare().stash = stash;
            }
        }
        self.read_on(id);
        self.core.flush(id);
    }
}
