//! The protocol of all modes: leads a run through its phases, and passes on what happens to the
//! [`Work`] of the mode.
//!
//! Everything runs on the loop's thread. [`Load::tick`] is called after every turn, and says when it
//! wants to be called again at the latest.

use sockeye::{
    Chunk, CloseInfo, Conn, ConnId, ConnectError, ConnectOptions, Core, Delivery, Protocol,
    ProtocolKey,
};

use super::broadcast::Broadcast;
use super::churn::Churn;
use super::clock::Clock;
use super::course::{Course, Phase};
use super::echo::Echo;
use super::fault::Fault;
use super::fleet::Fleet;
use super::plan::{Mode, Plan};
use super::tally::Tally;
use super::watch::Meter;
use crate::failure::Failure;
use crate::remote;

/// Bytes that may wait for the server on a connection before no more is sent on it.
pub(super) const ROOM: usize = 256 * 1024;
/// Messages of an open loop that may be in flight on a connection (of a sender) before no more are
/// sent on it: those that are due wait, and their latency counts from when they were due.
pub(super) const IN_FLIGHT: usize = 4096;

/// What a connection is to the load.
#[derive(Debug)]
pub(super) struct Session {
    /// Its place in the fleet.
    pub(super) lane: usize,
    /// When it was meant to begin.
    pub(super) due: u64,
}

/// What the work of every mode needs.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) course: Course,
    pub(super) tally: Tally,
    pub(super) messages: Option<u64>,
    pub(super) clock: Clock,
}

impl Shared {
    /// Whether a message that is due then may still be sent.
    pub(super) fn admits(&self, due: u64) -> bool {
        self.course.end().is_none_or(|end| due < end)
            && !(self.course.counts(due) && self.is_all_sent())
    }

    /// All that was asked for by number.
    pub(super) fn is_all_sent(&self) -> bool {
        self.messages.is_some_and(|count| self.tally.sent >= count)
    }
}

/// What a mode does with open connections.
#[derive(Debug)]
enum Work {
    Echo(Echo),
    Broadcast(Broadcast),
    Churn(Churn),
    Idle,
}

#[derive(Debug)]
pub(super) struct Load {
    pub(super) shared: Shared,
    pub(super) fleet: Fleet,
    work: Work,
    ramps_load: bool,
    wait: u64,
    /// What is spent in the window.
    pub(super) meter: Meter,
    /// What compression the server agreed to, of the first connection.
    pub(super) deflate: Option<sockeye::deflate::Settings>,
    pub(super) subprotocol: Option<String>,
}

impl Load {
    pub(super) fn new(plan: &Plan, options: ConnectOptions) -> Result<Self, Failure> {
        // Pieces are compared as they come: no message is ever put together.
        let options = options.delivery(Delivery::Streaming);
        let work = match plan.mode {
            Mode::Echo => Work::Echo(Echo::new(plan)),
            Mode::Broadcast { senders, to_others } => {
                Work::Broadcast(Broadcast::new(plan, senders, to_others))
            }
            Mode::Connect => Work::Churn(Churn::new(plan)),
            Mode::Idle => Work::Idle,
        };
        let planned = match plan.mode {
            Mode::Connect => 0,
            _ => plan.connections,
        };
        Ok(Self {
            shared: Shared {
                course: Course::new(plan),
                tally: Tally::new()?,
                messages: plan.messages,
                clock: Clock::start(),
            },
            fleet: Fleet::new(options, planned, plan.concurrency, plan.ramp_up),
            work,
            ramps_load: plan.ramps_load(),
            wait: super::clock::nanos(plan.wait),
            meter: Meter::new(plan.watch)?,
            deflate: None,
            subprotocol: None,
        })
    }

    pub(super) fn now(&self) -> u64 {
        self.shared.clock.now()
    }

    /// Ctrl-C.
    pub(super) fn interrupt(&mut self) {
        let now = self.now();
        self.shared.course.interrupt(now);
        self.meter.stop();
    }

    /// Whether nothing is sent.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.work, Work::Idle)
    }

    /// Whether the run is over.
    pub(super) fn is_over(&self) -> bool {
        self.shared.course.phase() == Phase::Over
    }

    /// Does what is due; returns when something will be, if that is a matter of time.
    pub(super) fn tick(&mut self, key: ProtocolKey<Self>, core: &mut Core) -> Option<u64> {
        let now = self.now();
        // A phase may be over as soon as it has begun.
        loop {
            let phase = self.shared.course.phase();
            self.step(key, core, now);
            if self.shared.course.phase() == phase {
                break;
            }
        }
        let course = &self.shared.course;
        let work = match (&self.work, course.phase()) {
            (_, Phase::Closing | Phase::Over) => None,
            (Work::Echo(echo), _) => echo.due(course),
            (Work::Broadcast(broadcast), _) => broadcast.due(course),
            (Work::Churn(churn), _) => churn.due(course),
            (Work::Idle, _) => None,
        };
        let fleet = match course.phase() {
            Phase::Opening => self.fleet.due(),
            _ => None,
        };
        let stall = self.is_waiting().then(|| self.patience());
        [work, fleet, course.until(), stall]
            .into_iter()
            .flatten()
            .min()
    }

    fn step(&mut self, key: ProtocolKey<Self>, core: &mut Core, now: u64) {
        if self.shared.course.phase() == Phase::Opening {
            self.open(key, core, now);
        }
        if self.shared.course.begins(now) {
            self.meter.start();
        }
        if self.shared.course.is_due(now) {
            self.drain(now);
        }
        match &mut self.work {
            Work::Echo(echo) => echo.tick(&mut self.shared, core, now),
            Work::Broadcast(broadcast) => broadcast.tick(&mut self.shared, core, now),
            Work::Churn(churn) => {
                let mut connect = |core: &mut Core, session| self.fleet.connect(key, core, session);
                churn.tick(&mut self.shared, core, now, &mut connect);
            }
            Work::Idle => {}
        }
        let over = self.shared.course.until().is_some_and(|until| until <= now);
        match self.shared.course.phase() {
            Phase::Measuring => self.watch(now),
            Phase::Draining if over || self.is_done() => self.close(core, now),
            Phase::Closing if over || self.fleet.open() == 0 => self.shared.course.finish(),
            _ => {}
        }
    }

    /// Gets the connections, and begins with the load when it is time.
    fn open(&mut self, key: ProtocolKey<Self>, core: &mut Core, now: u64) {
        self.fleet.step(key, core, now, &mut self.shared.tally);
        if self.ramps_load
            && let Work::Echo(echo) = &mut self.work
        {
            echo.begin_early(self.fleet.planned(), now);
        }
        if !self.fleet.is_settled() {
            return;
        }
        let planned = self.fleet.planned();
        if planned > 0 && self.fleet.open() == 0 {
            return self.close(core, now);
        }
        self.shared.course.load(now);
        match &mut self.work {
            Work::Echo(echo) => echo.begin(&self.fleet, now),
            Work::Broadcast(broadcast) => broadcast.begin(&self.fleet, now),
            Work::Churn(churn) => churn.begin(now),
            Work::Idle => {}
        }
    }

    /// Ends measuring when there is no more to come, or nothing comes.
    fn watch(&mut self, now: u64) {
        let left = match &self.work {
            Work::Churn(churn) => churn.is_hopeless(),
            _ => self.fleet.open() == 0,
        };
        let all_sent = self.shared.is_all_sent();
        let late = self.is_waiting() && self.patience() <= now;
        // The last answer ends the window, however long others were waited for.
        let last = self
            .shared
            .tally
            .heard
            .map_or(now, |heard| heard.saturating_add(1));
        if left || all_sent && self.is_done() {
            self.drain(last.min(now));
        } else if late {
            if !all_sent {
                let seconds = self.wait as f64 / 1e9;
                let text = format!("no answer for {seconds} s");
                self.shared.tally.faults.add(Fault::Stalled, text);
            }
            self.drain(if all_sent { last.min(now) } else { now });
            self.shared.course.stop_waiting(now);
        }
    }

    /// Whether answers are due.
    fn is_waiting(&self) -> bool {
        self.shared.course.phase() == Phase::Measuring && self.outstanding() > 0
    }

    /// When the server will have been silent for too long.
    fn patience(&self) -> u64 {
        let begin = self.shared.course.begin().unwrap_or_default();
        let heard = self.shared.tally.heard.unwrap_or_default().max(begin);
        heard.saturating_add(self.wait)
    }

    fn outstanding(&self) -> usize {
        match &self.work {
            Work::Echo(echo) => echo.outstanding(),
            Work::Broadcast(broadcast) => broadcast.outstanding(),
            Work::Churn(churn) => churn.outstanding(),
            Work::Idle => 0,
        }
    }

    /// Whether nothing that counts is to be sent or to come any more.
    fn is_done(&self) -> bool {
        self.outstanding() == 0 && self.unsent() == 0
    }

    /// Messages that were due in the window and could not be sent.
    fn unsent(&self) -> u64 {
        if self.shared.is_all_sent() {
            return 0;
        }
        match &self.work {
            Work::Echo(echo) => echo.unsent(&self.shared.course),
            Work::Broadcast(broadcast) => broadcast.unsent(&self.shared.course),
            Work::Churn(churn) => churn.unsent(&self.shared.course),
            Work::Idle => 0,
        }
    }

    fn drain(&mut self, now: u64) {
        self.shared.course.drain(now);
        self.meter.stop();
    }

    /// Nothing more is waited for.
    fn close(&mut self, core: &mut Core, now: u64) {
        let unsent = self.unsent();
        self.shared.course.close(now);
        self.meter.stop();
        let missing = match &mut self.work {
            Work::Echo(echo) => echo.give_up(),
            Work::Broadcast(broadcast) => broadcast.give_up(),
            Work::Churn(churn) => churn.outstanding() as u64,
            Work::Idle => 0,
        };
        let faults = &mut self.shared.tally.faults;
        // Who ends early by hand does not blame the server for what was under way.
        if !self.shared.course.is_interrupted() {
            faults.add_many(Fault::Missing, missing);
            faults.add_many(Fault::Unsent, unsent);
        }
        self.fleet.close(core);
    }
}

impl Protocol for Load {
    type Session = Session;

    fn on_open(&mut self, conn: &mut Conn<'_>, session: &mut Session) {
        let now = self.now();
        let elapsed = now.saturating_sub(session.due);
        if self.deflate.is_none() {
            self.deflate = conn.deflate();
        }
        if self.subprotocol.is_none() {
            self.subprotocol = conn.subprotocol().map(str::to_owned);
        }
        let id = conn.id();
        if let Work::Churn(_) = self.work {
            if self.shared.course.counts(session.due) {
                self.shared.tally.opening.saturating_record(elapsed);
            }
            conn.close(sockeye::CloseCode::NORMAL, "");
            return;
        }
        self.shared.tally.opening.saturating_record(elapsed);
        self.fleet.on_open(session.lane, id);
        if self.shared.course.phase() >= Phase::Closing {
            conn.close(sockeye::CloseCode::NORMAL, "");
        } else if let Work::Echo(echo) = &mut self.work {
            echo.on_open(&mut self.shared, conn.core(), session.lane, id, now);
        }
    }

    fn on_chunk(&mut self, conn: &mut Conn<'_>, session: &mut Session, chunk: Chunk<'_>) {
        if self.shared.course.phase() >= Phase::Closing {
            return;
        }
        let core = conn.core();
        match &mut self.work {
            Work::Echo(echo) => echo.on_chunk(&mut self.shared, core, session.lane, &chunk),
            Work::Broadcast(work) => work.on_chunk(&mut self.shared, core, session.lane, &chunk),
            // A server may say hello to whoever comes.
            Work::Churn(_) | Work::Idle => {}
        }
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, session: &mut Session) {
        let now = self.now();
        match &mut self.work {
            Work::Echo(echo) => echo.pump(&mut self.shared, conn.core(), session.lane, now),
            Work::Broadcast(work) => work.pump(&mut self.shared, conn.core(), session.lane, now),
            Work::Churn(_) | Work::Idle => {}
        }
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, session: Session, info: &CloseInfo) {
        let now = self.now();
        let closing = self.shared.course.phase() >= Phase::Closing;
        if let Work::Churn(churn) = &mut self.work {
            if !closing {
                churn.on_close(&mut self.shared, session.due, info, now);
            }
            return;
        }
        self.fleet.on_close(session.lane);
        if closing {
            return;
        }
        let by = match info.clean {
            true => "the server ",
            false => "",
        };
        self.shared
            .tally
            .faults
            .add(Fault::Lost, format_args!("{by}{info}"));
        let core = conn.core();
        match &mut self.work {
            Work::Echo(echo) => echo.on_close(&mut self.shared, session.lane),
            Work::Broadcast(work) => work.on_close(&mut self.shared, core, session.lane, now),
            Work::Churn(_) | Work::Idle => {}
        }
    }

    fn on_connect_error(&mut self, _: &mut Core, _: Session, error: &ConnectError) {
        if self.shared.course.phase() >= Phase::Closing {
            return;
        }
        let now = self.now();
        let text = remote::failure(error);
        match &mut self.work {
            Work::Churn(churn) => churn.on_failed(&mut self.shared, &text, now),
            _ => {
                self.fleet.on_failed();
                self.shared.tally.faults.add(Fault::Connect, text);
            }
        }
    }
}

/// Sends on a connection if it has room; says whether it did, and asks to be told if not.
pub(super) fn has_room(core: &mut Core, id: ConnId) -> bool {
    let has_room = core.backlog(id) <= ROOM;
    if !has_room {
        core.request_writable(id);
    }
    has_room
}
