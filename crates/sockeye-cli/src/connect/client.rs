//! The protocol of `sockeye connect`: input goes out as fast as the server takes it, messages go
//! to the output as fast as that takes them, and the end comes in order.
//!
//! Invariants: no more input is taken while bytes wait for the server, so that what waits is
//! bounded; but the connection is never choked for it, because a server that waits for us to read
//! would wait for ever. While the connection is away, a pipe is not read; a user at a prompt is, and
//! what he types is kept in bounds. Everything runs on the loop's thread; other threads get here by
//! [`Handle::call`].

use std::fmt;
use std::io;
use std::mem;
use std::time::Duration;

use futures_channel::mpsc::Receiver;
use sockeye::deflate::{Settings, WindowBits};
use sockeye::{
    Attempt, Bytes, CloseCode, CloseInfo, Conn, ConnId, ConnectError, Core, Handle, Limits,
    Message, Protocol, Sent, Text, UplinkId, UplinkQueue,
};

use super::input::Input;
use super::output::{Output, Report};
use super::piece::{Cutter, Piece};
use super::show::Show;
use crate::args::ConnectArgs;
use crate::failure::Failure;
use crate::{remote, terminal};

/// Bytes that may wait for the server before no more input is taken.
const ROOM: usize = 256 * 1024;
/// How long the server may be silent after our Close when it may have much left to read and to
/// answer.
const DRAIN: Duration = Duration::from_secs(30);
/// How long the server may take to answer a Close when nobody wants what else it has.
const CLOSE: Duration = Duration::from_secs(5);
/// How long the server may take to close TCP once both have said goodbye.
const LINGER: Duration = Duration::from_secs(1);
/// How long a server that has said goodbye may keep TCP open when nobody waits for it any more.
const LEFTOVER: Duration = Duration::from_secs(120);
/// What a user at a prompt may say while the connection is away.
pub(super) const AWAY_ROOM: UplinkQueue = UplinkQueue {
    messages: 1000,
    bytes: 1024 * 1024,
};
/// How long the server may take nothing. Longer than a server would wait for a client: it may be
/// the output here that is paused.
const STALL: Duration = Duration::from_secs(120);
/// As good as never, for what this protocol watches itself.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The engine's limits for this protocol.
pub(super) fn limits(args: &ConnectArgs) -> Limits {
    let defaults = Limits::default();
    let high_water = defaults.backlog_len;
    Limits {
        message_len: args.max_message,
        frame_len: args.max_message as u64,
        // See the invariants: reading never stops for what waits to be written.
        high_water,
        // "Writable" is when all is written: then a Close begins its time with nothing before it.
        low_water: 0,
        backlog_len: high_water + args.max_message,
        write_stall_timeout: STALL,
        close_timeout: match args.reconnect {
            true => LEFTOVER,
            false => NEVER,
        },
        connect_timeout: args.remote.timeout,
        ..defaults
    }
}

/// Where the end of the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Open,
    /// It was open, and will be again.
    Away,
    /// The input has ended: a Close follows when all is written.
    Flushing,
    /// Our Close is out and what still comes is wanted; `heard` since the last look.
    Draining {
        heard: bool,
    },
    /// Our Close is out and what still comes is not wanted.
    Closing,
    Closed,
}

/// Begins with input and output.
pub(super) type Start = dyn FnOnce() -> Result<Receiver<Input>, Failure>;

/// The one connection, its input and its output.
pub(super) struct Client {
    stage: Stage,
    /// The connection, while it is there.
    conn: Option<ConnId>,
    /// What brings it back.
    uplink: Option<UplinkId>,
    /// The last reason for being away, as it was told.
    trouble: String,
    /// Input that the connection did not take in its end.
    unsent: Option<Piece>,
    /// A line that is partly sent goes on.
    line_begun: bool,
    /// The rest of a line whose beginning is lost is passed over.
    line_lost: bool,
    /// Lines that wait for the connection to come back.
    waiting: usize,
    /// The input has ended while the connection was away.
    input_ended: bool,
    handle: Handle,
    start: Option<Box<Start>>,
    input: Option<Receiver<Input>>,
    cutter: Cutter,
    output: Output,
    show: Show,
    url: String,
    /// Messages to print before closing.
    wanted: Option<usize>,
    wait: bool,
    outcome: Result<(), Failure>,
    /// The outcome is what it is, however the connection ends.
    decided: bool,
}

impl Client {
    pub(super) fn new(
        args: &ConnectArgs,
        url: String,
        handle: Handle,
        output: Output,
        show: Show,
    ) -> Self {
        Self {
            stage: Stage::Connecting,
            conn: None,
            uplink: None,
            trouble: String::new(),
            unsent: None,
            line_begun: false,
            line_lost: false,
            waiting: 0,
            input_ended: false,
            handle,
            start: None,
            input: None,
            cutter: Cutter::new(args.binary),
            output,
            show,
            url,
            wanted: args.count,
            wait: args.wait,
            outcome: Ok(()),
            decided: false,
        }
    }

    /// How to begin with input and output, once the connection is open.
    pub(super) fn set_start(&mut self, start: Box<Start>) {
        self.start = Some(start);
    }

    /// Which connection it is, before that is open.
    pub(super) fn set_connection(&mut self, conn: ConnId) {
        self.conn = Some(conn);
    }

    /// How it went.
    pub(super) fn take_outcome(&mut self) -> Result<(), Failure> {
        mem::replace(&mut self.outcome, Ok(()))
    }

    /// Ctrl-C: closes in order.
    pub(super) fn interrupt(&mut self, core: &mut Core) {
        match (self.stage, self.conn) {
            (Stage::Open | Stage::Flushing, Some(id)) => {
                self.close(core, id, CloseCode::GOING_AWAY);
            }
            // Our Close is out, but what still comes is not waited for any more.
            (Stage::Draining { .. }, Some(id)) => {
                self.stage = Stage::Closing;
                core.set_timeout(id, Some(CLOSE));
            }
            (Stage::Closing | Stage::Closed, _) => {}
            _ => {
                self.tell_unsent();
                self.decide(Err(Failure::Interrupted));
                self.end(Duration::ZERO);
            }
        }
    }

    /// What the output's thread has to say.
    pub(super) fn hear_output(&mut self, core: &mut Core, report: Report) {
        if let Some(id) = self.conn {
            core.resume(id);
        }
        match report {
            Report::Drained => {}
            Report::Broken(error) => {
                self.decide(match error.kind() {
                    // Who reads us wants no more: that ends us, but it is no failure.
                    io::ErrorKind::BrokenPipe => Ok(()),
                    _ => Err(Failure::io("write to standard output", error)),
                });
                self.interrupt(core);
            }
        }
    }

    /// Sends input until the server has enough, or there is no more for now.
    pub(super) fn pump(&mut self, core: &mut Core) {
        loop {
            let conn = match self.stage {
                Stage::Open => self.conn,
                // A pipe waits, a user does not.
                Stage::Away if self.show.is_prompt() => None,
                _ => return,
            };
            if let Some(id) = conn
                && core.backlog(id) > ROOM
            {
                return core.request_writable(id);
            }
            let piece = match self.unsent.take() {
                Some(piece) => Ok(Some(piece)),
                None => self.cutter.next(),
            };
            match (piece, conn) {
                (Ok(Some(piece)), Some(id)) => {
                    if !self.send(core, id, piece) {
                        // The connection is ending: `on_close` says how.
                        return;
                    }
                }
                (Ok(Some(piece)), None) => self.keep(core, piece),
                (Ok(None), _) => {
                    let Some(input) = self.input.as_mut().and_then(|it| it.try_recv().ok()) else {
                        return;
                    };
                    self.take(core, input);
                }
                (Err(error), _) => return self.refuse_line(core, error.line),
            }
        }
    }

    /// Sends a piece of input; returns whether it is sent.
    fn send(&mut self, core: &mut Core, id: ConnId, piece: Piece) -> bool {
        let last = piece.is_last();
        if self.line_lost {
            self.line_lost = !last;
            return true;
        }
        let sent = match &piece {
            Piece::Binary(data) => core.send(id, data),
            Piece::Text { text, last } => core.send_fragment(id, Message::Text(text), *last),
        };
        match sent {
            Sent::Refused(_) => {
                self.unsent = Some(piece);
                false
            }
            _ => {
                self.line_begun = !last;
                true
            }
        }
    }

    /// Keeps a line until the connection is back, or says that it cannot.
    fn keep(&mut self, core: &mut Core, piece: Piece) {
        let last = piece.is_last();
        if self.line_lost {
            self.line_lost = !last;
            return;
        }
        let (Piece::Text { text, last: true }, Some(uplink)) = (&piece, self.uplink) else {
            self.line_lost = !last;
            return self.tell("not sent: a line too long to wait");
        };
        match core.send_uplink(uplink, text.as_str()) {
            Sent::Refused(_) => self.tell(format_args!(
                "not sent, for {} lines wait already: {text}",
                self.waiting
            )),
            _ => self.waiting += 1,
        }
    }

    fn take(&mut self, core: &mut Core, input: Input) {
        match input {
            Input::Chunk(chunk) => self.cutter.feed(chunk),
            Input::Interrupt => self.interrupt(core),
            Input::Failed(error) => {
                self.decide(Err(Failure::io("read standard input", error)));
                self.leave(core);
            }
            Input::End => match (self.cutter.finish(), self.stage, self.conn) {
                (Ok(piece), Stage::Open, Some(id)) => {
                    if let Some(piece) = piece {
                        self.send(core, id, piece);
                    }
                    self.input_ended = true;
                    if self.ends_with_input() {
                        self.stage = Stage::Flushing;
                        core.request_writable(id);
                    }
                }
                (Ok(piece), ..) => {
                    if let Some(piece) = piece {
                        self.keep(core, piece);
                    }
                    self.input_ended = true;
                    if self.ends_with_input() && self.waiting == 0 {
                        self.decide(Ok(()));
                        self.end(Duration::ZERO);
                    }
                }
                (Err(error), ..) => self.refuse_line(core, error.line),
            },
        }
    }

    fn ends_with_input(&self) -> bool {
        !self.wait && self.wanted.is_none()
    }

    fn refuse_line(&mut self, core: &mut Core, line: u64) {
        self.decide(Err(Failure::Input(format!(
            "line {line} of the input is not UTF-8: send such input with --binary"
        ))));
        self.leave(core);
    }

    /// Closes because nothing more can be done here.
    fn leave(&mut self, core: &mut Core) {
        match (self.stage, self.conn) {
            (Stage::Open, Some(id)) => self.close(core, id, CloseCode::GOING_AWAY),
            _ => self.end(Duration::ZERO),
        }
    }

    /// A message has come. `write` puts it into the output.
    fn receive(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        match &mut self.stage {
            Stage::Draining { heard } => *heard = true,
            Stage::Open | Stage::Flushing => {}
            Stage::Connecting | Stage::Away | Stage::Closing | Stage::Closed => return,
        }
        if !self.output.push(|out| self.show.message(message, out)) {
            conn.pause();
        }
        if let Some(wanted) = &mut self.wanted {
            *wanted -= 1;
            if *wanted == 0 {
                let id = conn.id();
                self.close(conn.core(), id, CloseCode::NORMAL);
            }
        }
    }

    /// Closes, and wants nothing more.
    fn close(&mut self, core: &mut Core, id: ConnId, code: CloseCode) {
        self.stage = Stage::Closing;
        core.close(id, code, "");
        core.set_timeout(id, Some(CLOSE));
    }

    fn decide(&mut self, outcome: Result<(), Failure>) {
        if !self.decided {
            self.outcome = outcome;
            self.decided = true;
        }
    }

    fn end(&self, limit: Duration) {
        // It fails if the engine has ended, which is what is wanted.
        let _ = self.handle.shutdown(limit);
    }

    fn note(&self, note: impl fmt::Display, style: anstyle::Style) {
        self.show.note(&self.output, style, note);
    }

    /// Tells something about being away, whoever listens.
    fn tell(&self, note: impl fmt::Display) {
        self.show.tell(&self.output, terminal::STATE, note);
    }

    /// Tells why the connection is away, but not the same again and again.
    fn tell_trouble(&mut self, trouble: String) {
        if trouble != self.trouble {
            self.tell(format_args!("{trouble}; trying again"));
            self.trouble = trouble;
        }
    }

    /// Tells what waits and will never be sent.
    fn tell_unsent(&self) {
        if self.waiting > 0 {
            self.tell(format_args!("not sent: {} lines", self.waiting));
        }
    }

    /// The connection is lost, and comes back.
    fn go_away(&mut self, conn: &Conn<'_>, info: &CloseInfo) {
        self.stage = Stage::Away;
        self.conn = None;
        self.tell_trouble(info.to_string());
        let lost = conn.backlog();
        // Before a Close that was answered, everything has gone out.
        if !info.clean && lost > 0 {
            self.tell(format_args!("{lost} bytes that had not gone out are lost"));
        }
        if mem::take(&mut self.line_begun) {
            self.line_lost = true;
            self.tell("a long line was cut off: the rest of it is not sent");
        }
    }
}

impl Protocol for Client {
    type Session = ();

    fn on_uplink(&mut self, _: &mut Core, attempt: &mut Attempt) -> Option<()> {
        self.uplink = Some(attempt.uplink());
        Some(())
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        self.stage = Stage::Open;
        self.conn = Some(conn.id());
        self.output.begin();
        let subprotocol = conn.subprotocol().map(|name| format!(", {name}"));
        let deflate = conn.deflate().map(compressed);
        let note = format!(
            "connected to {}{}{}",
            self.url,
            subprotocol.unwrap_or_default(),
            deflate.unwrap_or_default()
        );
        match self.trouble.is_empty() {
            true => self.note(note, terminal::STATE),
            // Whoever was told of the trouble is told of its end.
            false => self.tell(note),
        }
        self.trouble.clear();
        self.waiting = 0;
        if self.input_ended && self.ends_with_input() {
            self.stage = Stage::Flushing;
        }
        // What waited goes out first.
        conn.request_writable();
        match self.start.take().map(|start| start()) {
            Some(Ok(input)) => self.input = Some(input),
            Some(Err(failure)) => {
                self.decide(Err(failure));
                let id = conn.id();
                self.close(conn.core(), id, CloseCode::GOING_AWAY);
            }
            None => {}
        }
    }

    fn on_text(&mut self, conn: &mut Conn<'_>, (): &mut (), text: Text<'_>) {
        self.receive(conn, Message::Text(&text));
    }

    fn on_binary(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        self.receive(conn, Message::Binary(&data));
    }

    fn on_writable(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        match self.stage {
            Stage::Open => self.pump(conn.core()),
            Stage::Flushing => {
                self.stage = Stage::Draining { heard: false };
                conn.close_sending(CloseCode::NORMAL, "");
                conn.set_timeout(Some(DRAIN));
            }
            _ => {}
        }
    }

    fn on_ping(&mut self, _: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        self.note(pulse("ping", &data), terminal::PULSE);
    }

    fn on_pong(&mut self, _: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        self.note(pulse("pong", &data), terminal::PULSE);
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        match &mut self.stage {
            // While the output here is stopped, nothing can be heard.
            Stage::Draining { heard } if *heard || self.output.is_stopped() => {
                *heard = false;
                conn.set_timeout(Some(DRAIN));
            }
            _ => {
                self.decide(Err(Failure::NoClose));
                conn.abort();
            }
        }
    }

    fn on_close(&mut self, conn: &mut Conn<'_>, (): (), info: &CloseInfo) {
        if self.uplink.is_some() && self.stage == Stage::Open {
            return self.go_away(conn, info);
        }
        self.stage = Stage::Closed;
        if let Some(uplink) = self.uplink {
            conn.core().stop_uplink(uplink);
        }
        self.note(info, terminal::STATE);
        let clean = info.clean
            && [
                CloseCode::NORMAL,
                CloseCode::GOING_AWAY,
                CloseCode::NO_STATUS,
            ]
            .contains(&info.code);
        self.decide(match clean {
            true => Ok(()),
            false => Err(Failure::Closed(info.clone())),
        });
        self.end(LINGER);
    }

    fn on_connect_error(&mut self, core: &mut Core, (): (), error: &ConnectError) {
        if let Some(uplink) = self.uplink {
            // Who was let in once may be so again; who never was should look what is wrong.
            if self.stage == Stage::Away || !remote::is_final(error) {
                return self.tell_trouble(remote::failure(error).to_string());
            }
            core.stop_uplink(uplink);
        }
        self.stage = Stage::Closed;
        self.decide(Err(remote::failure(error)));
        self.end(Duration::ZERO);
    }
}

/// What was agreed on for compression.
fn compressed(settings: Settings) -> String {
    let takeover = match (
        settings.server_no_context_takeover,
        settings.client_no_context_takeover,
    ) {
        (true, true) => "",
        (false, false) => ", takeover",
        (false, true) => ", takeover by the server",
        (true, false) => ", takeover by this side",
    };
    let (server, client) = (
        settings.server_max_window_bits,
        settings.client_max_window_bits,
    );
    match server.min(client) {
        WindowBits::MAX => format!(", deflate{takeover}"),
        _ => format!(", deflate{takeover}, windows {server}/{client}"),
    }
}

fn pulse(name: &str, data: &[u8]) -> String {
    match data {
        [] => name.to_owned(),
        data => format!("{name} {:?}", String::from_utf8_lossy(data)),
    }
}
