//! Connections that come and go: TCP, TLS if there is, opening handshake, closing handshake, again.

use sockeye::{CloseCode, CloseInfo, ConnId, Core};

use super::course::{Course, Phase};
use super::fault::Fault;
use super::load::{Session, Shared};
use super::plan::{Pace, Plan};
use super::schedule::{Schedule, Share};

/// Connections that the server has not ended though both have said goodbye, for each that may be
/// under way. The server closes TCP first (RFC 6455 §7.1.1); if it does not, no more are begun.
const LINGERING: usize = 4;
/// Failures before anything succeeded after which the others are not tried.
const HOPELESS: u64 = 64;

#[derive(Debug)]
pub(super) struct Churn {
    pace: Pace,
    concurrency: usize,
    /// Of an open loop, once it has begun.
    schedule: Option<(Schedule, Share)>,
    begun: bool,
    /// Under way.
    active: usize,
    succeeded: bool,
    failed: u64,
    /// The server has to end some before more are begun.
    full: bool,
    /// This side can begin no more.
    stuck: bool,
}

impl Churn {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            pace: plan.pace,
            concurrency: plan.concurrency,
            schedule: None,
            begun: false,
            active: 0,
            succeeded: false,
            failed: 0,
            full: false,
            stuck: false,
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.active
    }

    /// Nothing more will succeed.
    pub(super) fn is_hopeless(&self) -> bool {
        self.stuck || !self.succeeded && self.failed >= HOPELESS
    }

    pub(super) fn begin(&mut self, now: u64) {
        if let Pace::Open(rate) = self.pace {
            let schedule = Schedule::new(now, rate);
            self.schedule = Some((schedule, Share::new(&schedule, 0, 1, now)));
        }
        self.begun = true;
    }

    /// When an open loop has one to begin.
    pub(super) fn due(&self, course: &Course) -> Option<u64> {
        let (schedule, share) = self.schedule.as_ref()?;
        let due = share.due(schedule);
        let admits = course.end().is_none_or(|end| due < end);
        let may_begin = self.active < self.concurrency && !self.full && !self.is_hopeless();
        (admits && may_begin).then_some(due)
    }

    /// Begins those that are due.
    pub(super) fn tick(
        &mut self,
        shared: &mut Shared,
        core: &mut Core,
        now: u64,
        connect: &mut dyn FnMut(&mut Core, Session) -> Result<ConnId, sockeye::Error>,
    ) {
        if !self.begun || self.is_hopeless() {
            return;
        }
        let most = self.concurrency.saturating_mul(LINGERING);
        while self.active < self.concurrency {
            self.full = core.connection_count() >= most;
            if self.full {
                return;
            }
            let due = match &self.schedule {
                Some((schedule, share)) => share.due(schedule),
                None if shared.course.phase() >= Phase::Draining => return,
                None => now,
            };
            if due > now || !shared.admits(due) {
                return;
            }
            match connect(core, Session { lane: 0, due }) {
                Ok(_) => {
                    shared.tally.send(&shared.course, due, now, false, 1);
                    self.active += 1;
                }
                Err(error) => {
                    shared.tally.faults.add(Fault::Connect, error);
                    self.stuck = true;
                    return;
                }
            }
            if let Some((_, share)) = &mut self.schedule {
                share.advance();
            }
        }
    }

    /// One is over.
    pub(super) fn on_close(&mut self, shared: &mut Shared, due: u64, info: &CloseInfo, now: u64) {
        self.active -= 1;
        self.succeeded = true;
        if info.clean && info.code == CloseCode::NORMAL {
            shared.tally.complete(&shared.course, due, now, 0);
        } else {
            shared.tally.fail(now, Fault::Lost, info);
        }
    }

    /// One has not even begun.
    pub(super) fn on_failed(
        &mut self,
        shared: &mut Shared,
        why: &crate::failure::Failure,
        now: u64,
    ) {
        self.active -= 1;
        self.failed += 1;
        shared.tally.fail(now, Fault::Connect, why);
    }

    /// Those that were due in the window and were not begun.
    pub(super) fn unsent(&self, course: &Course) -> u64 {
        let Some(((schedule, share), end)) = self.schedule.as_ref().zip(course.end()) else {
            return 0;
        };
        share.unsent(schedule, end)
    }
}
