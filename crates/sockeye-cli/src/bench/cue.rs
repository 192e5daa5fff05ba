//! When one connection is to send its next message: by its share of an open loop, or as soon as
//! less than so many are in flight.
//!
//! Knows neither messages nor connections.

use super::course::Phase;
use super::load::{IN_FLIGHT, Shared};
use super::plan::Pace;
use super::schedule::{Share, Turns};

#[derive(Debug, Default)]
pub(super) struct Cue {
    /// Of an open loop: what it is to send when.
    pub(super) share: Option<Share>,
    /// It could not send what was due.
    held: bool,
}

impl Cue {
    pub(super) fn new(share: Option<Share>) -> Self {
        Self { share, held: false }
    }

    /// When the message was due that may be sent now, if there is one.
    pub(super) fn due(
        &mut self,
        shared: &Shared,
        turns: Option<&Turns>,
        pace: Pace,
        in_flight: usize,
        now: u64,
    ) -> Option<u64> {
        match (&self.share, turns, pace) {
            (Some(share), Some(turns), _) => {
                let due = share.due(turns.schedule());
                if due > now || !shared.admits(due) {
                    self.held = false;
                    return None;
                }
                if in_flight >= IN_FLIGHT {
                    self.held = true;
                    return None;
                }
                Some(due)
            }
            (_, _, Pace::Closed(pipeline)) => {
                let over = shared.course.phase() >= Phase::Draining;
                (!over && in_flight < pipeline && shared.admits(now)).then_some(now)
            }
            _ => None,
        }
    }

    /// The connection does not take what is due.
    pub(super) fn hold(&mut self) {
        self.held = true;
    }

    /// Whether something due was held up since nothing was last due.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// What was due is sent.
    pub(super) fn sent(&mut self) {
        if let Some(share) = &mut self.share {
            share.advance();
        }
    }
}
