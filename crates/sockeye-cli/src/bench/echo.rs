//! Echoes: each message comes back on its connection, as it was sent and in order.
//!
//! Of a message in flight only its number and its time are kept: what it is made of, [`Contents`]
//! knows. Echoes are compared piece by piece as they arrive.

use std::collections::VecDeque;

use sockeye::{Chunk, ConnId, Core, Kind};

use super::contents::Contents;
use super::course::{Course, Phase};
use super::cue::Cue;
use super::fault::Fault;
use super::fleet::Fleet;
use super::load::{Shared, has_room};
use super::plan::{Pace, Plan};
use super::schedule::{Schedule, Share, Turns};

/// Messages of a connection that were passed over and are still waited for.
const MOST_SKIPPED: usize = 64;

#[derive(Debug)]
pub(super) struct Echo {
    contents: Contents,
    pace: Pace,
    /// Of an open loop, once it has begun: whose turn it is.
    turns: Option<Turns>,
    /// The connections that take turns.
    order: Vec<usize>,
    lanes: Vec<Lane>,
    /// Messages in flight or passed over.
    outstanding: usize,
}

/// A message that is not back.
#[derive(Clone, Copy, Debug)]
struct Flight {
    number: u64,
    /// When it was meant to be sent.
    due: u64,
}

#[derive(Debug, Default)]
struct Lane {
    id: Option<ConnId>,
    /// The number of the next message.
    number: u64,
    flights: VecDeque<Flight>,
    /// The number of the message that came back last.
    done: Option<u64>,
    /// Numbers of messages that were passed over and may still come.
    skipped: VecDeque<u64>,
    cue: Cue,
    echo: Arriving,
}

/// A message of which pieces have come.
#[derive(Clone, Copy, Debug)]
struct Arriving {
    len: usize,
    /// So far it is what is expected.
    right: bool,
}

impl Default for Arriving {
    fn default() -> Self {
        Self {
            len: 0,
            right: true,
        }
    }
}

impl Echo {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            contents: Contents::new(&plan.sizes, plan.text),
            pace: plan.pace,
            turns: None,
            order: Vec::new(),
            lanes: Vec::new(),
            outstanding: 0,
        }
    }

    /// Messages that are not back.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Begins before all connections are there; each joins in when it is open.
    pub(super) fn begin_early(&mut self, planned: usize, now: u64) {
        if self.order.is_empty() {
            self.order = (0..planned).collect();
            self.set_pace(now);
        }
    }

    /// Begins with the connections that are there.
    pub(super) fn begin(&mut self, fleet: &Fleet, now: u64) {
        if !self.order.is_empty() {
            return;
        }
        self.order = fleet.connections().map(|(lane, _)| lane).collect();
        self.set_pace(now);
        for place in 0..self.order.len() {
            self.join(place, now);
        }
    }

    fn set_pace(&mut self, now: u64) {
        if let Pace::Open(rate) = self.pace {
            let schedule = Schedule::new(now, rate);
            self.turns = Some(Turns::new(schedule, self.order.len()));
        }
    }

    /// Gives a connection its share of an open loop.
    fn join(&mut self, place: usize, now: u64) {
        let Some(lane) = self
            .order
            .get(place)
            .and_then(|lane| self.lanes.get_mut(*lane))
        else {
            return;
        };
        if let Some(turns) = &self.turns {
            lane.cue.share = Some(Share::new(turns.schedule(), place, self.order.len(), now));
        }
    }

    pub(super) fn on_open(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        lane: usize,
        id: ConnId,
        now: u64,
    ) {
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, Lane::default);
        }
        if let Some(slot) = self.lanes.get_mut(lane) {
            slot.id = Some(id);
        }
        if !self.order.is_empty() {
            // Early: the order is that of the lanes.
            self.join(lane, now);
            self.pump(shared, core, lane, now);
        }
    }

    /// When an open loop has something to send.
    pub(super) fn due(&self, course: &Course) -> Option<u64> {
        let due = self.turns.as_ref()?.due();
        course.end().is_none_or(|end| due < end).then_some(due)
    }

    /// Sends what is due: of an open loop whoever's turn it is, of a closed loop the first messages.
    pub(super) fn tick(&mut self, shared: &mut Shared, core: &mut Core, now: u64) {
        if self.turns.is_some() {
            // What is due after the end has nobody's turn.
            let last = shared.course.end().map(|end| end.saturating_sub(1));
            let until = last.map_or(now, |last| now.min(last));
            while let Some(place) = self.turns.as_mut().and_then(|turns| turns.take(until)) {
                if let Some(lane) = self.order.get(place).copied() {
                    self.pump(shared, core, lane, now);
                }
            }
        } else if self.outstanding == 0 && shared.course.phase() < Phase::Draining {
            for place in 0..self.order.len() {
                if let Some(lane) = self.order.get(place).copied() {
                    self.pump(shared, core, lane, now);
                }
            }
        }
    }

    /// Sends on a connection as much as is due and as it takes.
    pub(super) fn pump(&mut self, shared: &mut Shared, core: &mut Core, index: usize, now: u64) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let Some(id) = lane.id else { return };
        loop {
            let in_flight = lane.flights.len();
            let turns = self.turns.as_ref();
            let Some(due) = lane.cue.due(shared, turns, self.pace, in_flight, now) else {
                return;
            };
            if !has_room(core, id) {
                lane.cue.hold();
                return;
            }
            let number = lane.number;
            if !core
                .send(id, self.contents.message(index, number))
                .is_sent()
            {
                // The connection is ending: `on_close` says how.
                return;
            }
            let held = lane.cue.is_held();
            shared.tally.send(&shared.course, due, now, held, 1);
            lane.number += 1;
            lane.flights.push_back(Flight { number, due });
            self.outstanding += 1;
            lane.cue.sent();
        }
    }

    pub(super) fn on_chunk(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        index: usize,
        chunk: &Chunk<'_>,
    ) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        if chunk.first {
            lane.echo = Arriving::default();
        }
        let before = lane.flights.front().copied();
        let expected = match before {
            Some(flight) => self.contents.bytes(index, flight.number),
            None => &[],
        };
        let rest = expected.get(lane.echo.len..).unwrap_or_default();
        lane.echo.right &= rest.starts_with(&chunk.data);
        lane.echo.len += chunk.data.len();
        if !chunk.last {
            return;
        }
        let now = shared.clock.now();
        let is_kind = (chunk.kind == Kind::Text) == self.contents.is_text();
        match before {
            Some(flight) if lane.echo.right && lane.echo.len == expected.len() && is_kind => {
                lane.flights.pop_front();
                lane.done = Some(flight.number);
                self.outstanding -= 1;
                shared
                    .tally
                    .complete(&shared.course, flight.due, now, expected.len());
            }
            _ => self.judge(shared, index, chunk, now),
        }
        self.pump(shared, core, index, now);
    }

    /// What has come is not the echo that is due: which other one is it?
    fn judge(&mut self, shared: &mut Shared, index: usize, chunk: &Chunk<'_>, now: u64) {
        let Some(lane) = self.lanes.get_mut(index) else {
            return;
        };
        let echo = lane.echo;
        let is_kind = (chunk.kind == Kind::Text) == self.contents.is_text();
        let contents = &self.contents;
        let tally = &mut shared.tally;
        // Only of a message in one piece is all of it still there.
        let is = |number| chunk.first && is_kind && contents.bytes(index, number) == &*chunk.data;
        if let Some(place) = lane.skipped.iter().position(|number| is(*number)) {
            let number = lane.skipped.remove(place).unwrap_or_default();
            self.outstanding -= 1;
            let text = format!("connection {index}, message {number}");
            return tally.fail(now, Fault::OutOfOrder, text);
        }
        if lane.done.is_some_and(is) {
            let text = format!("connection {index}, once more");
            return tally.fail(now, Fault::Unasked, text);
        }
        let Some(due) = lane.flights.front().copied() else {
            let text = format!("connection {index}, {} bytes", echo.len);
            return tally.fail(now, Fault::Unasked, text);
        };
        if let Some(place) = lane.flights.iter().position(|flight| is(flight.number)) {
            // The echo itself is right; those before it may come yet, or never.
            let passed = lane.flights.drain(..place).map(|flight| flight.number);
            lane.skipped.extend(passed);
            while lane.skipped.len() > MOST_SKIPPED {
                let number = lane.skipped.pop_front().unwrap_or_default();
                let text = format!("connection {index}, message {number}");
                tally.faults.add(Fault::Missing, text);
                self.outstanding -= 1;
            }
            if let Some(flight) = lane.flights.pop_front() {
                lane.done = Some(flight.number);
                self.outstanding -= 1;
                tally.complete(&shared.course, flight.due, now, echo.len);
            }
            return;
        }
        lane.flights.pop_front();
        self.outstanding -= 1;
        let whose = format!("connection {index}, message {}", due.number);
        let len = contents.bytes(index, due.number).len();
        if echo.len != len {
            let text = format!("{whose}: {} bytes instead of {len}", echo.len);
            tally.fail(now, Fault::WrongLength, text);
        } else if echo.right && !is_kind {
            tally.fail(now, Fault::WrongKind, whose);
        } else {
            tally.fail(now, Fault::WrongContent, whose);
        }
    }

    /// The connection is gone, and what was in flight on it.
    pub(super) fn on_close(&mut self, shared: &mut Shared, index: usize) {
        if let Some(lane) = self.lanes.get_mut(index) {
            let lost = lane.flights.len() + lane.skipped.len();
            self.outstanding -= lost;
            shared.tally.faults.add_many(Fault::Missing, lost as u64);
            *lane = Lane::default();
        }
    }

    /// Messages that were due in the window and are not sent, of connections that are there.
    pub(super) fn unsent(&self, course: &Course) -> u64 {
        let (Some(turns), Some(end)) = (&self.turns, course.end()) else {
            return 0;
        };
        let shares = self.lanes.iter().filter_map(|lane| lane.cue.share.as_ref());
        shares
            .map(|share| share.unsent(turns.schedule(), end))
            .sum()
    }

    /// Forgets what is in flight; returns how much that is.
    pub(super) fn give_up(&mut self) -> u64 {
        for lane in &mut self.lanes {
            lane.flights.clear();
            lane.skipped.clear();
        }
        std::mem::take(&mut self.outstanding) as u64
    }
}
