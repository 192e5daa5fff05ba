//! Ending an engine: stop accepting, say goodbye, wait a bounded time, cut the rest, report.

use std::time::{Duration, Instant};

use sockeye_proto::CloseCode;

use crate::core::Core;
use crate::engine::Engine;
use crate::entry::Stage;
use crate::id::ConnId;
use crate::protocol::CloseCause;

/// How a shutdown went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Connections that ended by themselves in time.
    pub closed: usize,
    /// Connections that were cut at the deadline.
    pub cut: usize,
}

/// A shutdown under way.
#[derive(Debug)]
pub(crate) struct Stopping {
    cut_at: Option<Instant>,
    begun_with: usize,
    cut: usize,
    over: bool,
}

impl Stopping {
    /// When the shutdown must be looked at again; `connections` are left.
    pub(crate) fn deadline(&self, connections: usize, now: Instant) -> Option<Instant> {
        match (self.over, connections) {
            (true, _) => None,
            (false, 0) => Some(now),
            (false, _) => self.cut_at,
        }
    }
}

impl Engine {
    /// Ends all business: closes the listeners, closes every WebSocket with 1001, lets answers that
    /// are being written end, and after `limit` cuts what is left. [`run`](Self::run) returns when
    /// all is over. A second call can only shorten the wait: zero cuts at once.
    pub fn shutdown(&mut self, limit: Duration) {
        let now = self.core.now();
        let cut_at = now.checked_add(limit);
        if let Some(stopping) = &mut self.stopping {
            stopping.cut_at = match (stopping.cut_at, cut_at) {
                (Some(old), Some(new)) => Some(old.min(new)),
                (old, new) => old.or(new),
            };
            return;
        }
        self.core.stopping = true;
        self.finish_inlets();
        self.core.listeners.close_all(self.core.driver.registrar());
        self.core.uplinks = None;
        let begun_with = self.core.connection_count();
        self.stopping = Some(Stopping {
            cut_at,
            begun_with,
            cut: 0,
            over: false,
        });
        for_each(&mut self.core, |core, id| {
            match core.conns.get_mut(id).map(|entry| &mut entry.stage) {
                Some(Stage::WebSocket(ws)) if ws.is_open() => {
                    core.close(id, CloseCode::GOING_AWAY, "");
                }
                Some(Stage::Http(stage)) => {
                    stage.machine.drain();
                    core.mark_dirty(id);
                }
                Some(Stage::Connect(_)) => core.doom(id, CloseCause::Aborted),
                _ => {}
            }
        });
    }

    /// The report, once a shutdown is over.
    pub fn shutdown_report(&self) -> Option<ShutdownReport> {
        let stopping = self.stopping.as_ref().filter(|stopping| stopping.over)?;
        let closed = stopping.begun_with.saturating_sub(stopping.cut);
        Some(ShutdownReport {
            closed,
            cut: stopping.cut,
        })
    }

    /// The part of a turn that a shutdown needs.
    pub(crate) fn step_shutdown(&mut self) {
        let now = self.core.now();
        let Some(stopping) = &mut self.stopping else {
            return;
        };
        if stopping.over {
            return;
        }
        if stopping.cut_at.is_some_and(|cut_at| cut_at <= now) {
            stopping.cut += self.core.connection_count();
            let mut ids = Vec::new();
            for_each(&mut self.core, |_, id| ids.push(id));
            for id in ids {
                self.lost(id, CloseCause::Aborted);
            }
        }
        let over = self.core.connection_count() == 0;
        if let Some(stopping) = &mut self.stopping {
            stopping.over = over;
        }
    }
}

fn for_each(core: &mut Core, mut each: impl FnMut(&mut Core, ConnId)) {
    let mut next = core.conns.next_after(None);
    while let Some(id) = next {
        if !matches!(
            core.conns.get(id).map(|entry| &entry.stage),
            None | Some(Stage::Attempt(_) | Stage::Gone)
        ) {
            each(core, id);
        }
        next = core.conns.next_after(Some(id.index()));
    }
}
