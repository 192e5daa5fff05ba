//! The HTTP stage: requests of a server connection are routed, answered, or become WebSockets.
//!
//! The machine of the protocol core frames heads and bodies; this stage finds who answers and feeds
//! bodies from files piece by piece, only while there is room in the outbox.

use http::{StatusCode, header};
use sockeye_proto::handshake::HandshakeError;
use sockeye_proto::http::{BodyPlan, Event, HttpError, Request, ResponseHead, Server, Timeout};
use sockeye_proto::ws::{Fate, Role};
use sockeye_proto::{CloseCode, Cx};

use crate::by_hand::OwnWords;
use crate::compression;
use crate::conn::{Conn, Refusal, Sent};
use crate::core::{Core, Deferred};
use crate::draft;
use crate::engine::Engine;
use crate::entry::{SessionRef, Stage};
use crate::exchange::Exchange;
use crate::files::FileRequest;
use crate::http::{Body, FileBody, Response};
use crate::id::ConnId;
use crate::net::PeerAddr;
use crate::protocol::CloseCause;
use crate::route::Target;

/// A file is read in pieces of this size: large enough that the calls do not show, small enough
/// that slow disks do not hold the loop.
pub(crate) const FILE_PIECE_LEN: usize = 64 * 1024;

/// A server connection that speaks HTTP.
#[derive(Debug)]
pub(crate) struct HttpStage {
    pub(crate) machine: Server,
    /// As the listener told it: asking the socket would be a system call for each request.
    pub(crate) peer: PeerAddr,
    /// The file that is being sent.
    file: Option<FileBody>,
    /// Whether more of the file was already asked for.
    refill_queued: bool,
    /// A request whose body is being collected.
    collecting: Option<Box<Collecting>>,
    /// What the program writes past the machine, if it does.
    pub(crate) own_words: Option<Box<OwnWords>>,
}

/// A request that waits for its body.
#[derive(Debug)]
struct Collecting {
    request: Request<'static>,
    protocol: u16,
    body: Vec<u8>,
}

impl HttpStage {
    pub(crate) fn new(machine: Server, peer: PeerAddr) -> Self {
        Self {
            machine,
            peer,
            file: None,
            refill_queued: false,
            collecting: None,
            own_words: None,
        }
    }

    /// Whether a piece of a file should be read, asked once until it was.
    pub(crate) fn wants_refill(&mut self) -> bool {
        (self.file.is_some() || self.has_own_words())
            && !std::mem::replace(&mut self.refill_queued, true)
    }

    /// Whether something waits that the program wrote past the machine.
    pub(crate) fn has_own_words(&self) -> bool {
        self.own_words.as_ref().is_some_and(|own| !own.is_empty())
    }

    /// What to do with the socket once all output is written.
    pub(crate) fn fate(&self) -> Fate {
        match self.has_own_words() {
            true => Fate::Keep,
            false => self.machine.fate(),
        }
    }
}

impl Engine {
    /// Takes at most one event out of the input. Returns whether to go on.
    pub(crate) fn feed_http(&mut self, id: ConnId, input: &mut &mut [u8]) -> bool {
        let Some((stage, mut cx)) = self.core.http_stage(id) else {
            return false;
        };
        match stage.machine.receive(input, &mut cx) {
            Ok(None) => {
                if !input.is_empty() {
                    // A pipelined request: it waits until the one before it is answered, and until
                    // there is room for its own answer.
                    self.core.hold(id);
                }
                return !input.is_empty();
            }
            Ok(Some(Event::Request(request))) => self.request(id, request),
            Ok(Some(Event::Body(piece))) => {
                if let Some(collecting) = &mut stage.collecting {
                    collecting.body.extend_from_slice(&piece);
                }
            }
            Ok(Some(Event::End)) => {
                if let Some(collected) = stage.collecting.take() {
                    let protocol = &mut self.protocols[usize::from(collected.protocol)];
                    let http = Exchange::new(&mut self.core, id);
                    protocol.request(http, &collected.request, &collected.body);
                }
            }
            Ok(Some(_)) => {}
            Err(error) => self.core.respond_error(id, error),
        }
        true
    }

    fn request(&mut self, id: ConnId, request: Request<'_>) {
        if request.is_upgrade() {
            return self.upgrade(id, &request);
        }
        let Some(listener) = self.core.conns.get(id).map(|e| usize::from(e.listener)) else {
            return;
        };
        match self.fronts[listener].routes.find(request.path()) {
            None => {
                self.core
                    .respond(id, Response::status(StatusCode::NOT_FOUND));
            }
            Some(Target::Files { files, mount }) => {
                let wall = self.core.clock.wall();
                let asked = FileRequest::new(request.method(), request.path(), wall)
                    .with_query(request.query())
                    .with_headers(request.headers())
                    .below(mount);
                let response = files.respond(asked);
                self.core.respond(id, response);
            }
            Some(&Target::Protocol(index)) => {
                let protocol = &mut self.protocols[usize::from(index)];
                let wanted = match request.body().is_empty() {
                    true => 0,
                    false => protocol.body_limit(&request),
                };
                if wanted == 0 {
                    return protocol.request(Exchange::new(&mut self.core, id), &request, &[]);
                }
                let Some((stage, mut cx)) = self.core.http_stage(id) else {
                    return;
                };
                stage.machine.want_body(wanted, &mut cx);
                let request = request.into_owned();
                let body = Vec::new();
                stage.collecting = Some(Box::new(Collecting {
                    request,
                    protocol: index,
                    body,
                }));
            }
        }
    }

    fn upgrade(&mut self, id: ConnId, request: &Request<'_>) {
        let Some(entry) = self.core.conns.get(id) else {
            return;
        };
        let Some(peer) = self.core.peer(id) else {
            // It is gone already, which the next read will tell.
            return self.core.doom(id, CloseCause::Aborted);
        };
        let front = &self.fronts[usize::from(entry.listener)];
        let offered: Vec<&str> = request.subprotocols().collect();
        let Some((index, subprotocol)) = front.routes.find_socket(request.path(), &offered) else {
            self.core
                .respond(id, Response::status(StatusCode::NOT_FOUND));
            return;
        };
        self.protocols[usize::from(index)].upgrade(Exchange::new(&mut self.core, id), request);
        if !self.core.awaits_answer(id) {
            return;
        }
        let mut accept = match draft::judge(
            request,
            &front.origin,
            front.drafts,
            front.tls.is_some(),
            &mut self.core.shared,
        ) {
            Ok(accept) => accept,
            Err(error) => {
                self.core.respond(id, refusal(&error));
                return;
            }
        };
        let protocol = &mut self.protocols[usize::from(index)];
        let (session, options) = match protocol.accept(id, request, &peer) {
            Ok(accepted) => accepted,
            Err(reject) => {
                self.core.respond(id, *reject.response);
                return;
            }
        };
        let outcome = compression::negotiate(
            &mut accept,
            &front.compression,
            &self.core.limits,
            &self.core.shared,
        );
        let subprotocol = options.subprotocol.as_deref().or(subprotocol);
        let spoken = subprotocol.map(Box::from);
        let Some((_, mut cx)) = self.core.http_stage(id) else {
            return;
        };
        if accept
            .respond(subprotocol, &options.headers, &mut cx)
            .is_err()
        {
            protocol.discard(session);
            self.core
                .respond(id, Response::status(StatusCode::INTERNAL_SERVER_ERROR));
            return;
        }
        let wire = draft::granted(&accept);
        let now = self.core.now();
        let socket = self
            .core
            .websocket(Role::Server, options.delivery, outcome, wire, now);
        let Some(entry) = self.core.conns.get_mut(id) else {
            return;
        };
        entry.stage = Stage::WebSocket(socket);
        entry.session = Some(SessionRef {
            protocol: index,
            index: session,
        });
        entry.overflow = options.overflow;
        if spoken.is_some() {
            entry.rare().subprotocol = spoken;
        }
        protocol.open(Conn::new(&mut self.core, id), session);
        if self.stopping.is_some() {
            self.core.close(id, CloseCode::GOING_AWAY, "");
        }
    }

    /// Moves the next piece of a file into the outbox.
    pub(crate) fn refill(&mut self, id: ConnId) {
        let mut piece = std::mem::take(&mut self.piece);
        piece.clear();
        self.core.refill_from_file(id, &mut piece);
        self.piece = piece;
        self.core.flush(id);
    }

    pub(crate) fn http_end_of_stream(&mut self, id: ConnId) {
        let Some((stage, mut cx)) = self.core.http_stage(id) else {
            return;
        };
        if let Err(error) = stage.machine.receive_eof(&mut cx) {
            self.core.respond_error(id, error);
        }
        self.core.flush(id);
    }

    pub(crate) fn http_timeout(&mut self, id: ConnId) {
        let Some((stage, mut cx)) = self.core.http_stage(id) else {
            return;
        };
        if let Some(error) = stage
            .machine
            .handle_timeout(&mut cx)
            .and_then(Timeout::error)
        {
            self.core.respond_error(id, error);
        }
    }
}

impl Core {
    /// The HTTP stage of a connection, and what its machine writes with.
    pub(crate) fn http_stage(&mut self, id: ConnId) -> Option<(&mut HttpStage, Cx<'_>)> {
        let now = self.clock.now();
        let entry = self.conns.get_mut(id)?;
        let Stage::Http(stage) = &mut entry.stage else {
            return None;
        };
        // Answers that pile up within a turn count as waiting, though nothing was written yet.
        let blocked = entry.flags.blocked || entry.outbox.len() > self.limits.high_water;
        let output = entry.outbox.tail(&mut self.pool);
        let shared = &mut self.shared;
        Some((
            stage,
            Cx {
                now,
                output,
                shared,
                blocked,
            },
        ))
    }

    /// Answers an HTTP request, in the callback or later. Returns whether the connection is there
    /// and its request was still without an answer.
    ///
    /// A body of [`Body::Stream`] is written by [`send_body`](Self::send_body) and ended by
    /// [`finish_body`](Self::finish_body).
    pub fn respond(&mut self, id: ConnId, response: Response) -> bool {
        let date = self.clock.date();
        let Response {
            status,
            mut headers,
            body,
        } = response;
        if !headers.contains_key(header::DATE) {
            headers.insert(header::DATE, date);
        }
        let Some((stage, mut cx)) = self.http_stage(id) else {
            self.stats.stale += 1;
            return false;
        };
        if !stage.machine.can_respond() {
            return false;
        }
        stage.collecting = None;
        let plan = match body.len() {
            None => BodyPlan::Stream,
            Some(0) => BodyPlan::None,
            Some(len) => BodyPlan::Known(len),
        };
        if stage
            .machine
            .respond(&ResponseHead { status, headers }, plan, &mut cx)
            .is_err()
        {
            return false;
        }
        let head_only = stage.machine.is_head_request();
        match body {
            Body::File(file) if !head_only => {
                stage.file = Some(file);
                self.mark_dirty(id);
                return true;
            }
            Body::Stream if !head_only => {
                self.mark_dirty(id);
                return true;
            }
            body => {
                // The machine drops what it must not send, and knows the length to be right.
                let _ = body
                    .bytes()
                    .map(|bytes| stage.machine.send_body(bytes, &mut cx));
                let _ = stage.machine.finish(&mut cx);
            }
        }
        self.answered(id);
        true
    }

    /// Writes a piece of a streamed body.
    pub fn send_body(&mut self, id: ConnId, data: &[u8]) -> Sent {
        let backlog_len = self.limits.backlog_len;
        let waiting = self.backlog(id);
        let Some((stage, mut cx)) = self.http_stage(id) else {
            self.stats.stale += 1;
            return Sent::Refused(Refusal::Gone);
        };
        if waiting > 0 && waiting + data.len() > backlog_len {
            self.doom(id, CloseCause::Backlog);
            return Sent::Refused(Refusal::Backlog);
        }
        if stage.file.is_some() || stage.machine.send_body(data, &mut cx).is_err() {
            return Sent::Refused(Refusal::NoAnswer);
        }
        self.queued(id)
    }

    /// Ends a streamed body. Returns whether there was one to end.
    pub fn finish_body(&mut self, id: ConnId) -> bool {
        let Some((stage, mut cx)) = self.http_stage(id) else {
            return false;
        };
        if stage.file.is_some() || stage.machine.finish(&mut cx).is_err() {
            return false;
        }
        self.answered(id);
        true
    }

    fn respond_error(&mut self, id: ConnId, error: HttpError) {
        let response = explain(error.response(), &error.to_string());
        self.respond(id, response);
        self.mark_dirty(id);
    }

    fn refill_from_file(&mut self, id: ConnId, piece: &mut Vec<u8>) {
        let Some((stage, mut cx)) = self.http_stage(id) else {
            return;
        };
        stage.refill_queued = false;
        if stage.has_own_words() {
            return self.refill_from_own_words(id, piece);
        }
        let Some(file) = &mut stage.file else { return };
        let read = file.read_piece(piece, FILE_PIECE_LEN);
        let more = file.remaining() > 0;
        if read.is_err() || stage.machine.send_body(piece, &mut cx).is_err() {
            // The file is shorter now than was announced: the peer must not take it for whole.
            stage.machine.abort();
        } else if more {
            return;
        } else {
            let _ = stage.machine.finish(&mut cx);
        }
        stage.file = None;
        self.answered(id);
    }

    fn hold(&mut self, id: ConnId) {
        if let Some(entry) = self.conns.get_mut(id) {
            entry.flags.held = true;
        }
    }

    /// An answer is complete: the next request may be looked at.
    fn answered(&mut self, id: ConnId) {
        if let Some(entry) = self.conns.get_mut(id)
            && std::mem::take(&mut entry.flags.held)
        {
            self.deferred.push(Deferred::Resume(id));
        }
        self.mark_dirty(id);
    }
}

fn refusal(error: &HandshakeError) -> Response {
    explain(error.response(), &error.to_string())
}

/// A page with an explanation, and the fields that the machine wants in the head, but for the type
/// of the machine's own text.
fn explain(head: ResponseHead, explanation: &str) -> Response {
    let ResponseHead {
        status,
        mut headers,
    } = head;
    headers.remove(header::CONTENT_TYPE);
    let mut response = Response::error(status, explanation);
    response.headers.extend(headers);
    response
}
