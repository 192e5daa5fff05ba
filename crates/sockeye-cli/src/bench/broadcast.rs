//! Broadcasts: what a sender publishes, every connection receives; each delivery is timed and
//! verified.
//!
//! A message begins with a stamp that says whose it is and its number; the rest [`Contents`] knows.
//! Messages of one sender must arrive in order, those of several may mix. A message is in flight
//! until its last receiver has it.

use std::collections::VecDeque;

use sockeye::{Chunk, ConnId, Core, Kind};

use super::contents::{Contents, STAMP, read_stamp};
use super::course::{Course, Phase};
use super::cue::Cue;
use super::fault::Fault;
use super::fleet::Fleet;
use super::load::{Shared, has_room};
use super::plan::{Pace, Plan};
use super::schedule::{Schedule, Share, Turns};

#[derive(Debug)]
pub(super) struct Broadcast {
    contents: Contents,
    pace: Pace,
    planned_senders: usize,
    to_others: bool,
    /// Of an open loop, once it has begun: whose turn it is.
    turns: Option<Turns>,
    senders: Vec<Sender>,
    /// By lane.
    receivers: Vec<Receiver>,
    /// Receivers that are there.
    open: usize,
    scratch: Vec<u8>,
}

/// A message that somebody has not received.
#[derive(Clone, Copy, Debug)]
struct Flight {
    /// When it was meant to be sent.
    due: u64,
    /// Receivers that do not have it.
    missing: usize,
}

#[derive(Debug)]
struct Sender {
    lane: usize,
    /// `None` once it is gone.
    id: Option<ConnId>,
    /// The number of the first message in flight.
    first: u64,
    flights: VecDeque<Flight>,
    cue: Cue,
}

impl Sender {
    /// The number of its next message.
    fn next(&self) -> u64 {
        self.first + self.flights.len() as u64
    }

    fn flight(&mut self, number: u64) -> Option<&mut Flight> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.flights.get_mut(place)
    }

    /// Forgets what everybody has.
    fn settle(&mut self) {
        while self
            .flights
            .front()
            .is_some_and(|flight| flight.missing == 0)
        {
            self.flights.pop_front();
            self.first += 1;
        }
    }
}

#[derive(Debug, Default)]
struct Receiver {
    /// Which of the senders it is.
    sender: Option<usize>,
    /// The number of the next message of each sender; empty once it is gone.
    expected: Vec<u64>,
    arriving: Arriving,
}

/// A message of which pieces have come.
#[derive(Clone, Copy, Debug, Default)]
struct Arriving {
    stamp: [u8; STAMP],
    len: usize,
    /// Whose it is, once the stamp has come and makes sense.
    whose: Option<(usize, u64)>,
    /// What came behind the stamp is not what is expected.
    wrong: bool,
}

impl Arriving {
    fn take(&mut self, contents: &Contents, mut data: &[u8]) {
        if let Some(missing) = self.stamp.get_mut(self.len..).filter(|it| !it.is_empty()) {
            let len = missing.len().min(data.len());
            let (stamp, rest) = data.split_at(len);
            missing[..len].copy_from_slice(stamp);
            self.len += len;
            data = rest;
            if self.len == STAMP {
                self.whose = read_stamp(&self.stamp);
            }
        }
        if let Some((sender, number)) = self.whose {
            let expected = contents.bytes(sender, number).get(self.len..);
            self.wrong |= !expected.unwrap_or_default().starts_with(data);
        }
        self.len += data.len();
    }
}

impl Broadcast {
    pub(super) fn new(plan: &Plan, senders: usize, to_others: bool) -> Self {
        Self {
            contents: Contents::new(&plan.sizes, plan.text),
            pace: plan.pace,
            planned_senders: senders,
            to_others,
            turns: None,
            senders: Vec::new(),
            receivers: Vec::new(),
            open: 0,
            scratch: Vec::new(),
        }
    }

    /// Messages that somebody has not received.
    pub(super) fn outstanding(&self) -> usize {
        self.senders.iter().map(|sender| sender.flights.len()).sum()
    }

    /// Begins with the connections that are there.
    pub(super) fn begin(&mut self, fleet: &Fleet, now: u64) {
        if let Pace::Open(rate) = self.pace {
            let senders = self.planned_senders.min(fleet.open());
            self.turns = Some(Turns::new(Schedule::new(now, rate), senders));
        }
        self.open = fleet.open();
        for (place, (lane, id)) in fleet.connections().enumerate() {
            let mut receiver = Receiver {
                expected: vec![0; self.planned_senders],
                ..Receiver::default()
            };
            if place < self.planned_senders {
                let share = |turns: &Turns| {
                    let senders = self.planned_senders.min(fleet.open());
                    Share::new(turns.schedule(), place, senders, now)
                };
                self.senders.push(Sender {
                    lane,
                    id: Some(id),
                    first: 0,
                    flights: VecDeque::new(),
                    cue: Cue::new(self.turns.as_ref().map(share)),
                });
                receiver.sender = Some(place);
            }
            if self.receivers.len() <= lane {
                self.receivers.resize_with(lane + 1, Receiver::default);
            }
            if let Some(slot) = self.receivers.get_mut(lane) {
                *slot = receiver;
            }
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
            let last = shared.course.end().map(|end| end.saturating_sub(1));
            let until = last.map_or(now, |last| now.min(last));
            while let Some(place) = self.turns.as_mut().and_then(|turns| turns.take(until)) {
                self.publish(shared, core, place, now);
            }
        } else if shared.course.phase() < Phase::Draining && self.outstanding() == 0 {
            for place in 0..self.senders.len() {
                self.publish(shared, core, place, now);
            }
        }
    }

    /// Publishes on a connection, if it is a sender, as much as is due and as it takes.
    pub(super) fn pump(&mut self, shared: &mut Shared, core: &mut Core, lane: usize, now: u64) {
        if let Some(place) = self
            .receivers
            .get(lane)
            .and_then(|receiver| receiver.sender)
        {
            self.publish(shared, core, place, now);
        }
    }

    fn publish(&mut self, shared: &mut Shared, core: &mut Core, place: usize, now: u64) {
        let Some(sender) = self.senders.get_mut(place) else {
            return;
        };
        let Some(id) = sender.id else { return };
        // Who sends is no receiver then; nobody is left if it is alone.
        let receivers = self.open - usize::from(self.to_others);
        loop {
            let in_flight = sender.flights.len();
            let turns = self.turns.as_ref();
            let Some(due) = sender.cue.due(shared, turns, self.pace, in_flight, now) else {
                return;
            };
            if receivers == 0 {
                return;
            }
            if !has_room(core, id) {
                sender.cue.hold();
                return;
            }
            let message = self
                .contents
                .stamped(place, sender.next(), &mut self.scratch);
            if !core.send(id, message).is_sent() {
                // The connection is ending: `on_close` says how.
                return;
            }
            let (held, answers) = (sender.cue.is_held(), receivers as u64);
            shared.tally.send(&shared.course, due, now, held, answers);
            sender.flights.push_back(Flight {
                due,
                missing: receivers,
            });
            sender.cue.sent();
        }
    }

    pub(super) fn on_chunk(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        lane: usize,
        chunk: &Chunk<'_>,
    ) {
        let Some(receiver) = self.receivers.get_mut(lane) else {
            return;
        };
        if chunk.first {
            receiver.arriving = Arriving::default();
        }
        receiver.arriving.take(&self.contents, &chunk.data);
        if !chunk.last {
            return;
        }
        let now = shared.clock.now();
        let arriving = receiver.arriving;
        let whose = arriving.whose.and_then(|(place, number)| {
            let is_own = self.to_others && receiver.sender == Some(place);
            let sender = self.senders.get_mut(place).filter(|_| !is_own)?;
            let expected = receiver.expected.get_mut(place)?;
            (number < sender.next()).then_some((place, number, sender, expected))
        });
        let tally = &mut shared.tally;
        let Some((place, number, sender, expected)) = whose else {
            let text = format!("on connection {lane}, {} bytes", arriving.len);
            return tally.fail(now, Fault::Unasked, text);
        };
        let text = || format!("message {number} of sender {place} to connection {lane}");
        if number < *expected {
            return tally.fail(now, Fault::Unasked, text());
        }
        // What was passed over does not come any more.
        for passed in *expected..number {
            tally
                .faults
                .add(Fault::Missing, format!("before {}", text()));
            if let Some(flight) = sender.flight(passed) {
                flight.missing = flight.missing.saturating_sub(1);
            }
        }
        *expected = number + 1;
        let len = self.contents.bytes(place, number).len();
        if arriving.len != len {
            let text = format!("{}: {} bytes instead of {len}", text(), arriving.len);
            tally.fail(now, Fault::WrongLength, text);
        } else if arriving.wrong {
            tally.fail(now, Fault::WrongContent, text());
        } else if (chunk.kind == Kind::Text) != self.contents.is_text() {
            tally.fail(now, Fault::WrongKind, text());
        } else if let Some(flight) = sender.flight(number) {
            tally.complete(&shared.course, flight.due, now, len);
        }
        if let Some(flight) = sender.flight(number) {
            flight.missing = flight.missing.saturating_sub(1);
        }
        sender.settle();
        self.publish(shared, core, place, now);
    }

    /// The connection is gone, and all that it was to receive.
    pub(super) fn on_close(&mut self, shared: &mut Shared, core: &mut Core, lane: usize, now: u64) {
        let Some(receiver) = self.receivers.get_mut(lane) else {
            return;
        };
        let expected = std::mem::take(&mut receiver.expected);
        let own = receiver.sender.take();
        if expected.is_empty() {
            return;
        }
        self.open -= 1;
        for (place, (sender, expected)) in self.senders.iter_mut().zip(expected).enumerate() {
            if self.to_others && own == Some(place) {
                continue;
            }
            for number in expected.max(sender.first)..sender.next() {
                if let Some(flight) = sender.flight(number) {
                    flight.missing = flight.missing.saturating_sub(1);
                    shared.tally.faults.add_many(Fault::Missing, 1);
                }
            }
            sender.settle();
        }
        if let Some(sender) = self.senders.iter_mut().find(|sender| sender.lane == lane) {
            sender.id = None;
            sender.cue.share = None;
        }
        for place in 0..self.senders.len() {
            self.publish(shared, core, place, now);
        }
    }

    /// Messages that were due in the window and are not sent, of senders that are there.
    pub(super) fn unsent(&self, course: &Course) -> u64 {
        let (Some(turns), Some(end)) = (&self.turns, course.end()) else {
            return 0;
        };
        let shares = self
            .senders
            .iter()
            .filter_map(|sender| sender.cue.share.as_ref());
        shares
            .map(|share| share.unsent(turns.schedule(), end))
            .sum()
    }

    /// Forgets what is in flight; returns how many deliveries are missing.
    pub(super) fn give_up(&mut self) -> u64 {
        let flights = self
            .senders
            .iter_mut()
            .flat_map(|sender| sender.flights.drain(..));
        flights.map(|flight| flight.missing as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use sockeye::Message;

    use super::*;
    use crate::args::Sizes;

    fn message(contents: &Contents) -> Vec<u8> {
        match contents.stamped(3, 5, &mut Vec::new()) {
            Message::Text(text) => text.as_bytes().to_vec(),
            Message::Binary(data) => data.to_vec(),
        }
    }

    #[test]
    fn a_message_is_recognised_wherever_it_is_cut() {
        let sizes = Sizes {
            text: String::new(),
            ranges: vec![(40, 40)],
        };
        let contents = Contents::new(&sizes, false);
        let whole = message(&contents);
        for step in 1..=whole.len() {
            let mut arriving = Arriving::default();
            for piece in whole.chunks(step) {
                arriving.take(&contents, piece);
            }
            assert_eq!((arriving.whose, arriving.len), (Some((3, 5)), 40), "{step}");
            assert!(!arriving.wrong, "{step}");
        }
        for index in 0..whole.len() {
            let mut wrong = whole.clone();
            wrong[index] ^= 1;
            let mut arriving = Arriving::default();
            arriving.take(&contents, &wrong);
            assert!(arriving.wrong || arriving.whose != Some((3, 5)), "{index}");
        }
        let mut short = Arriving::default();
        short.take(&contents, &whole[..STAMP - 1]);
        assert_eq!(short.whose, None);
    }
}
