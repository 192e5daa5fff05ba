//! The connections of a run: opens them, as fast as is good or spread over a time, and knows which
//! are there.

use std::time::Duration;

use sockeye::{CloseCode, ConnId, ConnectOptions, Core, ProtocolKey};

use super::clock::nanos;
use super::fault::Fault;
use super::load::{Load, Session};
use super::tally::Tally;

#[derive(Debug)]
pub(super) struct Fleet {
    options: ConnectOptions,
    planned: usize,
    concurrency: usize,
    ramp_up: Option<u64>,
    /// When the first one was begun.
    begun: Option<u64>,
    /// When the last one had opened, or failed.
    settled: Option<u64>,
    started: usize,
    opening: usize,
    failed: usize,
    /// Of all lanes that were started, those that are open now.
    lanes: Vec<Option<ConnId>>,
    open: usize,
    opened: usize,
}

impl Fleet {
    pub(super) fn new(
        options: ConnectOptions,
        planned: usize,
        concurrency: usize,
        ramp_up: Option<Duration>,
    ) -> Self {
        Self {
            options,
            planned,
            concurrency,
            ramp_up: ramp_up.map(nanos),
            begun: None,
            settled: None,
            started: 0,
            opening: 0,
            failed: 0,
            lanes: Vec::new(),
            open: 0,
            opened: 0,
        }
    }

    pub(super) fn planned(&self) -> usize {
        self.planned
    }

    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// How many have ever been open.
    pub(super) fn opened(&self) -> usize {
        self.opened
    }

    pub(super) fn failed(&self) -> usize {
        self.failed
    }

    /// How long it took until all were open or had failed.
    pub(super) fn took(&self) -> Option<Duration> {
        let (begun, settled) = self.begun.zip(self.settled)?;
        Some(Duration::from_nanos(settled.saturating_sub(begun)))
    }

    /// The open connections, each with its lane.
    pub(super) fn connections(&self) -> impl Iterator<Item = (usize, ConnId)> {
        let lanes = self.lanes.iter().enumerate();
        lanes.filter_map(|(lane, id)| id.map(|id| (lane, id)))
    }

    /// Nobody is on the way any more.
    pub(super) fn is_settled(&self) -> bool {
        self.opening == 0 && (self.started == self.planned || self.is_hopeless())
    }

    /// So many have failed that the others would too.
    fn is_hopeless(&self) -> bool {
        self.opened == 0 && self.failed >= self.concurrency
    }

    /// When the next one is due, if that is a matter of time.
    pub(super) fn due(&self) -> Option<u64> {
        let may_start = self.started < self.planned && self.opening < self.concurrency;
        let (begun, ramp_up) = self.begun.zip(self.ramp_up)?;
        let offset = u128::from(ramp_up) * self.started as u128 / self.planned.max(1) as u128;
        may_start.then(|| begun.saturating_add(u64::try_from(offset).unwrap_or(u64::MAX)))
    }

    /// Begins those that are due.
    pub(super) fn step(
        &mut self,
        key: ProtocolKey<Load>,
        core: &mut Core,
        now: u64,
        tally: &mut Tally,
    ) {
        self.begun.get_or_insert(now);
        while self.started < self.planned
            && self.opening < self.concurrency
            && !self.is_hopeless()
            && self.due().is_none_or(|due| due <= now)
        {
            let session = Session {
                lane: self.started,
                due: now,
            };
            self.started += 1;
            self.lanes.push(None);
            match self.connect(key, core, session) {
                Ok(_) => self.opening += 1,
                Err(error) => {
                    self.failed += 1;
                    tally.faults.add(Fault::Connect, error);
                }
            }
        }
        if self.is_settled() {
            self.settled.get_or_insert(now);
        }
    }

    /// Begins one that is none of the fleet's.
    pub(super) fn connect(
        &self,
        key: ProtocolKey<Load>,
        core: &mut Core,
        session: Session,
    ) -> Result<ConnId, sockeye::Error> {
        core.connect(key, self.options.clone(), session)
    }

    pub(super) fn on_open(&mut self, lane: usize, id: ConnId) {
        self.opening -= 1;
        self.open += 1;
        self.opened += 1;
        if let Some(slot) = self.lanes.get_mut(lane) {
            *slot = Some(id);
        }
    }

    pub(super) fn on_failed(&mut self) {
        self.opening -= 1;
        self.failed += 1;
    }

    pub(super) fn on_close(&mut self, lane: usize) {
        self.open -= 1;
        if let Some(slot) = self.lanes.get_mut(lane) {
            *slot = None;
        }
    }

    /// Says goodbye to everybody.
    pub(super) fn close(&self, core: &mut Core) {
        for (_, id) in self.connections() {
            core.close(id, CloseCode::NORMAL, "");
        }
    }
}
