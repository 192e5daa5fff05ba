//! The server's side of one HTTP/1.1 connection.
//!
//! It knows the order of things: a head, its body, its answer, then the next head; what may
//! follow and for how long; when the connection must end. It does not know what is asked or
//! answered, and it never holds a byte of either, but for a head that was split over reads.
//!
//! ```text
//!             head                    body read             answer finished
//!   Head ─────────────▶ Body / Rest ─────────────▶ Rest ────────────────────▶ Head (keep-alive)
//!     │ HttpError          │ HttpError, limit                  │ or
//!     └────────────────────┴───────────────────────────────────┴───────────▶ Discard
//! ```
//!
//! Invariants: one request at a time (what is pipelined behind it stays in the input); an answer
//! is written whole and once; after an [`HttpError`] nothing that arrives is run (RFC 9112 §6.1,
//! §11.2); every state that waits for the peer has a deadline that single bytes do not extend.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::body::{BodyLength, BodyReader, Piece, take_front};
use super::error::HttpError;
use super::request::{Request, Version};
use super::scan::Scanner;
use crate::ws::{Config, Fate};
use crate::{Bytes, Cx, Limits};

/// What arrived.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'b> {
    /// A whole head. It is to be answered with [`Server::respond`]. If the body matters, call
    /// [`Server::want_body`] before the next [`Server::receive`].
    Request(Request<'b>),
    /// A piece of a wanted body, never empty.
    Body(Bytes<'b>),
    /// The wanted body is complete.
    End,
}

/// Which deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timeout {
    /// No request came: close without a word.
    Idle,
    /// A head came only in part: answer 408.
    Head,
    /// A wanted body came only in part: answer 408, if no answer has begun.
    Body,
    /// The peer did not go away after our last answer, or did not end an unwanted body.
    Linger,
}

impl Timeout {
    /// The error to answer with, as for an error of [`Server::receive`].
    pub fn error(self) -> Option<HttpError> {
        match self {
            Self::Head => Some(HttpError::HeadTimeout),
            Self::Body => Some(HttpError::BodyTimeout),
            Self::Idle | Self::Linger => None,
        }
    }
}

impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "no request in time",
            Self::Head => "no whole request head in time",
            Self::Body => "no whole request body in time",
            Self::Linger => "the peer did not close in time",
        })
    }
}

impl Error for Timeout {}

/// What is read now.
#[derive(Debug)]
pub(super) enum Intake {
    Head(Scanner),
    Body(BodyReader, Want),
    /// The body is read; `end_due` if its reader has not been told yet.
    Rest {
        end_due: bool,
    },
    /// Whatever comes is dropped.
    Discard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Read past; so many bytes, framing included, were dropped so far.
    No {
        dropped: u64,
    },
    Yes,
    /// Wanted, but longer than that: 413 at the next call.
    TooLong,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is nothing to answer.
    None,
    Due,
    /// The head is written, and this much of the body is left.
    Known(u64),
    Chunked,
    UntilClose,
    /// There is no body, whatever is given.
    Bodyless,
}

/// The server side of one HTTP/1.1 connection, without I/O.
///
/// Feed it with [`receive`](Self::receive) until that says `None`, also when the input is empty
/// (a body that is wanted may be over, or too long, at once); answer each
/// [`Event::Request`] with [`respond`](Self::respond), [`send_body`](Self::send_body),
/// [`finish`](Self::finish); then call `receive` again with what is left of the input, for the
/// next request may be in it. Each call may append to `cx.output`; once that is written, do as
/// [`fate`](Self::fate) says. When `receive` gives an [`HttpError`], answer it in the same way
/// while [`can_respond`](Self::can_respond).
///
/// To upgrade, write the 101 with [`Accept::respond`](crate::handshake::Accept::respond) and drop
/// the machine: it took no byte behind the head, so what is left of the input are frames.
#[derive(Debug)]
pub struct Server {
    pub(super) config: Arc<Config>,
    pub(super) intake: Intake,
    /// A head that was split over reads, as far as it came.
    pub(super) partial: Vec<u8>,
    pub(super) answer: Answer,
    pub(super) deadline: Option<Instant>,
    pub(super) version: Version,
    /// The connection ends after the current answer.
    pub(super) closing: bool,
    pub(super) fate: Fate,
    pub(super) head_request: bool,
    /// `100 Continue` is waited for.
    pub(super) expects_continue: bool,
    /// The peer sends no more.
    pub(super) ended: bool,
    /// No request yet: the deadline of the first head counts from the connection's start.
    pub(super) first: bool,
    #[cfg(feature = "drafts")]
    pub(super) challenge: super::challenge::Due,
}

impl Server {
    /// For a connection that was accepted just now.
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        Self {
            deadline: now.checked_add(config.limits.handshake_timeout),
            config,
            intake: Intake::Head(Scanner::request()),
            partial: Vec::new(),
            answer: Answer::None,
            version: Version::Http11,
            closing: false,
            fate: Fate::Keep,
            head_request: false,
            expects_continue: false,
            ended: false,
            first: true,
            #[cfg(feature = "drafts")]
            challenge: super::challenge::Due::NEVER,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    /// Takes bytes from the front of the input, until there is an event. `None`: nothing more can
    /// be done now; what is left of the input then is for later, when the current answer is
    /// finished, or when `cx` has room for output again (not [blocked](Cx::blocked), and less
    /// than `Limits::high_water` in it).
    ///
    /// # Errors
    /// The peer broke a rule. Nothing that it sends is run any more; what it gets is the error's
    /// response if [`can_respond`](Self::can_respond), and the connection ends.
    pub fn receive<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &mut Cx<'_>,
    ) -> Result<Option<Event<'b>>, HttpError> {
        let result = match &mut self.intake {
            Intake::Head(_) => self.receive_head(input, cx),
            Intake::Body(..) => self.receive_body(input, cx),
            Intake::Rest {
                end_due: end_due @ true,
            } => {
                *end_due = false;
                return Ok(Some(Event::End));
            }
            Intake::Rest { .. } => Ok(None),
            Intake::Discard => {
                take_front(input, usize::MAX);
                Ok(None)
            }
        };
        if let Err(error) = result {
            self.fail(cx.now);
            take_front(input, usize::MAX);
            return Err(error);
        }
        result
    }

    fn receive_head<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &Cx<'_>,
    ) -> Result<Option<Event<'b>>, HttpError> {
        let Intake::Head(scanner) = &mut self.intake else {
            return Ok(None);
        };
        if cx.blocked || cx.output.len() >= self.config.limits.high_water {
            return Ok(None);
        }
        #[cfg(feature = "drafts")]
        if self.challenge.is_due() {
            return self.receive_challenge(input, cx.now);
        }
        let started = scanner.is_started();
        let scanned = scanner.scan(input, &self.config.limits);
        let len = match scanned {
            Ok(Some(len)) => len,
            Ok(None) => {
                if !started && scanner.is_started() && !self.first {
                    self.deadline = cx.now.checked_add(self.config.limits.handshake_timeout);
                }
                let front = take_front(input, usize::MAX);
                // An empty line before the head is not worth a buffer.
                if scanner.is_started() {
                    self.partial.extend_from_slice(front);
                }
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let scanner = *scanner;
        let head = take_front(input, len);
        let head = if self.partial.is_empty() {
            Bytes::Borrowed(head)
        } else {
            self.partial.extend_from_slice(head);
            Bytes::Owned(std::mem::take(&mut self.partial))
        };
        let request = Request::from_head(head, &scanner)?;
        // After a 101 no body could follow, and before it frames would be taken for one.
        if request.is_upgrade() && !request.body().is_empty() {
            return Err(HttpError::UpgradeBody);
        }
        #[cfg(feature = "drafts")]
        if self.challenge != super::challenge::Due::NEVER && request.awaits_challenge() {
            self.expect_challenge(request);
            return self.receive_challenge(input, cx.now);
        }
        self.begin(&request, cx.now);
        Ok(Some(Event::Request(request)))
    }

    pub(super) fn begin(&mut self, request: &Request<'_>, now: Instant) {
        self.first = false;
        self.answer = Answer::Due;
        self.head_request = request.method() == "HEAD";
        self.version = request.version();
        self.expects_continue = request.expects_continue();
        // RFC 9112 §9.3. An upgrade that is refused ends the connection too, for frames may
        // already be on their way.
        self.closing = self.closing
            || request.is_upgrade()
            || request.has_token("connection", "close")
            || (request.version() == Version::Http10
                && !request.has_token("connection", "keep-alive"));
        let reader = match request.body() {
            BodyLength::None | BodyLength::Known(0) => {
                self.intake = Intake::Rest { end_due: false };
                self.deadline = None;
                return;
            }
            BodyLength::Known(len) => BodyReader::Known(len),
            BodyLength::Chunked => BodyReader::chunked(u64::MAX),
        };
        self.intake = Intake::Body(reader, Want::No { dropped: 0 });
        self.deadline = now.checked_add(self.limits().unwanted_body_timeout);
    }

    fn receive_body<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        cx: &Cx<'_>,
    ) -> Result<Option<Event<'b>>, HttpError> {
        let limits = &self.config.limits;
        loop {
            let Intake::Body(reader, want) = &mut self.intake else {
                return Ok(None);
            };
            if *want == Want::TooLong {
                return Err(HttpError::BodyTooLong);
            }
            let read = match want {
                Want::No { dropped } => skip(reader, dropped, input, limits),
                Want::Yes | Want::TooLong => reader.read(input, limits),
            };
            let piece = match read {
                // The answer is on its way, and nobody wanted the body.
                Err(_) if *want != Want::Yes && self.answer != Answer::Due => {
                    self.give_up_reading(cx.now);
                    take_front(input, usize::MAX);
                    return Ok(None);
                }
                read => read?,
            };
            if matches!(want, Want::No { dropped } if *dropped > limits.unwanted_body_len) {
                self.give_up_reading(cx.now);
                take_front(input, usize::MAX);
                return Ok(None);
            }
            let wanted = *want == Want::Yes;
            match piece {
                Piece::Data(data) => {
                    if wanted {
                        self.credit(data.len(), cx.now);
                        return Ok(Some(Event::Body(Bytes::Borrowed(data))));
                    }
                }
                Piece::More => return Ok(None),
                Piece::End => {
                    self.deadline = None;
                    self.intake = Intake::Rest { end_due: false };
                    if self.answer == Answer::None && self.closing {
                        self.linger(cx.now);
                        take_front(input, usize::MAX);
                        return Ok(None);
                    }
                    if self.answer == Answer::None {
                        self.next_request(cx.now);
                        return self.receive_head(input, cx);
                    }
                    return Ok(wanted.then_some(Event::End));
                }
            }
        }
    }

    /// A body that keeps coming may take longer, but never stand still for long.
    fn credit(&mut self, len: usize, now: Instant) {
        let limits = &self.config.limits;
        let rate = u64::from(limits.request_body_rate.max(1));
        let credit = Duration::from_nanos((len as u64).saturating_mul(1_000_000_000) / rate);
        let later = self
            .deadline
            .and_then(|deadline| deadline.checked_add(credit));
        let latest = now.checked_add(limits.request_body_timeout);
        self.deadline = match (later, latest) {
            (Some(later), Some(latest)) => Some(later.min(latest)),
            (later, latest) => later.or(latest),
        };
    }

    /// Says that the body of the current request is to be delivered, up to so many bytes; writes
    /// `100 Continue` if the client waits for it. A longer body makes the next
    /// [`receive`](Self::receive) fail with 413. Without this call, or with it after the body
    /// began to be dropped, the body is read past, within `Limits::unwanted_body_len` and
    /// `unwanted_body_timeout`; beyond them the connection ends with the answer. A wanted body has
    /// `Limits::request_body_timeout`, and longer as long as it keeps to
    /// `Limits::request_body_rate`.
    ///
    /// A request without a body gives [`Event::End`] at once.
    pub fn want_body(&mut self, max_len: u64, cx: &mut Cx<'_>) {
        if self.answer == Answer::None {
            return;
        }
        match &mut self.intake {
            Intake::Rest { end_due } => *end_due = true,
            Intake::Body(reader, want @ Want::No { dropped: 0 }) => {
                *want = Want::Yes;
                match reader {
                    BodyReader::Known(len) if *len > max_len => *want = Want::TooLong,
                    BodyReader::Chunked(chunks) => chunks.set_allowance(max_len),
                    BodyReader::Known(_) | BodyReader::UntilClose => {}
                }
                if self.expects_continue && self.answer == Answer::Due && *want == Want::Yes {
                    cx.output
                        .extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
                self.expects_continue = false;
                self.deadline = cx.now.checked_add(self.limits().request_body_timeout);
            }
            Intake::Head(_) | Intake::Body(..) | Intake::Discard => {}
        }
    }

    /// Gives the connection up in the middle of an answer: the peer must not take what it has
    /// for the whole.
    pub fn abort(&mut self) {
        self.answer = Answer::None;
        self.intake = Intake::Discard;
        self.partial = Vec::new();
        self.deadline = None;
        self.fate = Fate::Close;
    }

    /// Ends the connection after the current answer, or now if there is none to give: for a
    /// server that shuts down.
    pub fn drain(&mut self) {
        self.closing = true;
        let idle = matches!(&self.intake, Intake::Head(scanner) if !scanner.is_started());
        if idle {
            self.abort();
        }
    }

    /// The peer will send no more. An answer that is still due can be written all the same.
    ///
    /// # Errors
    /// [`HttpError::EndOfStream`] when a head or a wanted body was cut off.
    pub fn receive_eof(&mut self, cx: &mut Cx<'_>) -> Result<(), HttpError> {
        self.closing = true;
        self.ended = true;
        let cut = match &self.intake {
            Intake::Head(scanner) => scanner.is_started(),
            Intake::Body(_, want) => *want == Want::Yes,
            Intake::Rest { .. } | Intake::Discard => false,
        };
        if cut {
            self.fail(cx.now);
            return Err(HttpError::EndOfStream);
        }
        if self.answer == Answer::None {
            self.abort();
        } else {
            self.deadline = None;
            if !matches!(self.intake, Intake::Rest { .. }) {
                self.intake = Intake::Discard;
            }
        }
        Ok(())
    }

    /// Whether an answer can be given now: a request waits for one, or an error came before one
    /// had begun.
    pub fn can_respond(&self) -> bool {
        self.answer == Answer::Due
    }

    /// Whether a request, or an error, has no finished answer yet. If
    /// [`receive`](Self::receive) leaves input while this is false, it waits for room in the
    /// output.
    pub fn is_answering(&self) -> bool {
        self.answer != Answer::None
    }

    /// Whether the current request is a HEAD, so that a body need not be produced.
    pub fn is_head_request(&self) -> bool {
        self.head_request
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// To be called when the deadline has passed; before that it does nothing. What it returns
    /// with an [error](Timeout::error) is answered as an error of [`receive`](Self::receive); then
    /// it is for [`fate`](Self::fate) to say what becomes of the connection.
    ///
    /// While output waits for the peer ([`Cx::blocked`]), nothing that it sends may be read, so
    /// the deadline starts anew, and the owner's write timeout is what watches the peer.
    pub fn handle_timeout(&mut self, cx: &mut Cx<'_>) -> Option<Timeout> {
        if self.deadline.is_none_or(|deadline| cx.now < deadline) {
            return None;
        }
        if cx.blocked {
            self.deadline = cx.now.checked_add(self.patience());
            return None;
        }
        self.deadline = None;
        match &self.intake {
            Intake::Head(scanner) if scanner.is_started() => {
                self.fail(cx.now);
                Some(Timeout::Head)
            }
            Intake::Head(_) => {
                self.abort();
                Some(Timeout::Idle)
            }
            Intake::Body(_, Want::Yes) => {
                self.fail(cx.now);
                Some(Timeout::Body)
            }
            // The answer comes first; then the connection ends.
            Intake::Body(..) if self.answer != Answer::None => {
                self.give_up_reading(cx.now);
                None
            }
            Intake::Body(..) | Intake::Rest { .. } | Intake::Discard => {
                self.abort();
                Some(Timeout::Linger)
            }
        }
    }

    /// How long the present state waits for the peer.
    fn patience(&self) -> Duration {
        let limits = self.limits();
        match &self.intake {
            Intake::Head(scanner) if scanner.is_started() => limits.handshake_timeout,
            Intake::Head(_) => limits.keep_alive_timeout,
            Intake::Body(_, Want::Yes) => limits.request_body_timeout,
            Intake::Body(..) | Intake::Rest { .. } | Intake::Discard => {
                limits.unwanted_body_timeout
            }
        }
    }

    /// What to do with the socket once all output is written.
    pub fn fate(&self) -> Fate {
        self.fate
    }

    /// Nothing that arrives counts any more, but an answer that has not begun can be given.
    fn fail(&mut self, now: Instant) {
        self.partial = Vec::new();
        self.closing = true;
        let in_head = if let Intake::Head(scanner) = &self.intake {
            self.head_request = scanner.is_head_request();
            true
        } else {
            false
        };
        self.intake = Intake::Discard;
        // Should the owner never answer, the connection ends all the same.
        self.deadline = now.checked_add(self.patience());
        match self.answer {
            Answer::None if in_head => {
                self.answer = Answer::Due;
                self.version = Version::Http11;
            }
            Answer::Due => {}
            // What it has of the answer must not look like the whole.
            _ => self.abort(),
        }
    }

    /// The rest of an unwanted body is not worth reading.
    fn give_up_reading(&mut self, now: Instant) {
        self.closing = true;
        self.intake = Intake::Discard;
        self.deadline = None;
        if self.answer == Answer::None {
            self.linger(now);
        }
    }

    /// The last answer is written. A close while bytes arrive would reset the connection before
    /// the peer has read it (RFC 9112 §9.6), so half-close and wait for the peer's end.
    pub(super) fn linger(&mut self, now: Instant) {
        if self.ended {
            return self.abort();
        }
        self.intake = Intake::Discard;
        self.deadline = now.checked_add(self.limits().unwanted_body_timeout);
        self.fate = Fate::HalfClose;
    }

    pub(super) fn next_request(&mut self, now: Instant) {
        self.intake = Intake::Head(Scanner::request());
        self.head_request = false;
        self.deadline = now.checked_add(self.limits().keep_alive_timeout);
    }
}

/// Reads of a body that nobody wants, and counts. It stops at the first byte that is too much: what
/// stands behind that matters no more, wherever the input was cut.
fn skip(
    reader: &mut BodyReader,
    dropped: &mut u64,
    input: &mut &mut [u8],
    limits: &Limits,
) -> Result<Piece<'static>, HttpError> {
    let room = limits.unwanted_body_len.saturating_sub(*dropped);
    let most = usize::try_from(room)
        .unwrap_or(usize::MAX)
        .saturating_add(1);
    let len = input.len().min(most);
    let mut front = input.get_mut(..len).unwrap_or_default();
    let piece = match reader.read(&mut front, limits)? {
        Piece::Data(_) => Piece::Data(&[]),
        Piece::More => Piece::More,
        Piece::End => Piece::End,
    };
    let taken = len - front.len();
    *dropped = dropped.saturating_add(taken as u64);
    take_front(input, taken);
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shared;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "virtual time has to start somewhere"
    )]
    fn a_connection_at_rest_is_small_and_owns_no_buffer() {
        assert!(size_of::<Server>() <= 128, "{}", size_of::<Server>());
        let now = Instant::now();
        let mut server = Server::new(Arc::default(), now);
        let mut output = Vec::new();
        let mut cx = Cx {
            now,
            output: &mut output,
            shared: &mut Shared::from_seed([0; 32]),
            blocked: false,
        };
        for piece in ["GET / HT", "TP/1.1\r\nHost: x\r\n\r\n", "\r", "\n"] {
            let mut bytes = piece.as_bytes().to_vec();
            let mut input = &mut bytes[..];
            let event = server.receive(&mut input, &mut cx).unwrap();
            if let Some(Event::Request(request)) = event {
                assert!(matches!(request.into_owned().header("host"), Some(b"x")));
                let head = crate::http::ResponseHead::new(::http::StatusCode::OK);
                let plan = crate::http::BodyPlan::None;
                server.respond(&head, plan, &mut cx).unwrap();
                server.finish(&mut cx).unwrap();
            } else {
                assert_eq!(server.partial.capacity() > 0, piece.len() > 1);
            }
        }
        assert_eq!(server.partial.capacity(), 0);
    }
}
