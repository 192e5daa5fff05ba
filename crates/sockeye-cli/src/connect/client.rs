//! The protocol of `sockeye connect`: input goes out as fast as the server takes it, messages go
//! to the output as fast as that takes them, and the end comes in order.
//!
//! Invariants: no more input is taken while bytes wait for the server, so that what waits is
//! bounded; but the connection is never choked for it, because a server that waits for us to read
//! would wait for ever. Everything runs on the loop's thread; other threads get here by
//! [`Handle::call`].

use std::fmt;
use std::io;
use std::mem;
use std::time::Duration;

use futures_channel::mpsc::Receiver;
use sockeye::{
    Accepted, Bytes, CloseCode, CloseInfo, Conn, ConnId, ConnectError, Core, Handle, Limits,
    Message, Peer, Protocol, Reject, Request, Sent, Text,
};

use super::input::Input;
use super::output::{Output, Report};
use super::piece::{Cutter, Piece};
use super::show::{Look, Show};
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
        close_timeout: NEVER,
        connect_timeout: args.remote.timeout,
        ..defaults
    }
}

/// Where the end of the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Open,
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
    pub(super) fn new(args: &ConnectArgs, handle: Handle, output: Output, look: Look) -> Self {
        Self {
            stage: Stage::Connecting,
            handle,
            start: None,
            input: None,
            cutter: Cutter::new(args.binary),
            output,
            show: Show {
                look,
                verbose: args.verbose,
            },
            url: remote::url(&args.remote.url),
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

    /// How it went.
    pub(super) fn take_outcome(&mut self) -> Result<(), Failure> {
        mem::replace(&mut self.outcome, Ok(()))
    }

    /// Ctrl-C: closes in order.
    pub(super) fn interrupt(&mut self, core: &mut Core, id: ConnId) {
        match self.stage {
            Stage::Connecting => {
                self.decide(Err(Failure::Interrupted));
                self.end(Duration::ZERO);
            }
            Stage::Open | Stage::Flushing => self.close(core, id, CloseCode::GOING_AWAY),
            // Our Close is out, but what still comes is not waited for any more.
            Stage::Draining { .. } => {
                self.stage = Stage::Closing;
                core.set_timeout(id, Some(CLOSE));
            }
            Stage::Closing | Stage::Closed => {}
        }
    }

    /// What the output's thread has to say.
    pub(super) fn hear_output(&mut self, core: &mut Core, id: ConnId, report: Report) {
        match report {
            Report::Drained => core.resume(id),
            Report::Broken(error) => {
                self.decide(match error.kind() {
                    // Who reads us wants no more: that ends us, but it is no failure.
                    io::ErrorKind::BrokenPipe => Ok(()),
                    _ => Err(Failure::io("write to standard output", error)),
                });
                core.resume(id);
                self.interrupt(core, id);
            }
        }
    }

    /// Sends input until the server has enough, or there is no more for now.
    pub(super) fn pump(&mut self, core: &mut Core, id: ConnId) {
        while self.stage == Stage::Open {
            if core.backlog(id) > ROOM {
                return core.request_writable(id);
            }
            let sent = match self.cutter.next() {
                Ok(Some(piece)) => send(core, id, &piece),
                Ok(None) => {
                    let Some(input) = self.input.as_mut().and_then(|it| it.try_recv().ok()) else {
                        return;
                    };
                    self.take(core, id, input);
                    continue;
                }
                Err(error) => return self.refuse_line(core, id, error.line),
            };
            if !sent.is_sent() {
                // The connection is ending: `on_close` says how.
                return;
            }
        }
    }

    fn take(&mut self, core: &mut Core, id: ConnId, input: Input) {
        match input {
            Input::Chunk(chunk) => self.cutter.feed(chunk),
            Input::Interrupt => self.interrupt(core, id),
            Input::Failed(error) => {
                self.decide(Err(Failure::io("read standard input", error)));
                self.close(core, id, CloseCode::GOING_AWAY);
            }
            Input::End => match self.cutter.finish() {
                Ok(piece) => {
                    if let Some(piece) = piece {
                        send(core, id, &piece);
                    }
                    if !self.wait && self.wanted.is_none() {
                        self.stage = Stage::Flushing;
                        core.request_writable(id);
                    }
                }
                Err(error) => self.refuse_line(core, id, error.line),
            },
        }
    }

    fn refuse_line(&mut self, core: &mut Core, id: ConnId, line: u64) {
        self.decide(Err(Failure::Input(format!(
            "line {line} of the input is not UTF-8: send such input with --binary"
        ))));
        self.close(core, id, CloseCode::GOING_AWAY);
    }

    /// A message has come. `write` puts it into the output.
    fn receive(&mut self, conn: &mut Conn<'_>, message: Message<'_>) {
        match &mut self.stage {
            Stage::Draining { heard } => *heard = true,
            Stage::Open | Stage::Flushing => {}
            Stage::Connecting | Stage::Closing | Stage::Closed => return,
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
}

fn send(core: &mut Core, id: ConnId, piece: &Piece) -> Sent {
    match piece {
        Piece::Binary(data) => core.send(id, data),
        Piece::Text { text, last } => core.send_fragment(id, Message::Text(text), *last),
    }
}

impl Protocol for Client {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(404))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        self.stage = Stage::Open;
        let subprotocol = conn.subprotocol().map(|name| format!(", {name}"));
        let note = format!(
            "connected to {}{}",
            self.url,
            subprotocol.unwrap_or_default()
        );
        self.note(note, terminal::STATE);
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
        let id = conn.id();
        match self.stage {
            Stage::Open => self.pump(conn.core(), id),
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

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        self.stage = Stage::Closed;
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

    fn on_connect_error(&mut self, _: &mut Core, (): (), error: &ConnectError) {
        self.stage = Stage::Closed;
        self.decide(Err(Failure::Connect(error.to_string())));
        self.end(Duration::ZERO);
    }
}

fn pulse(name: &str, data: &[u8]) -> String {
    match data {
        [] => name.to_owned(),
        data => format!("{name} {:?}", String::from_utf8_lossy(data)),
    }
}
