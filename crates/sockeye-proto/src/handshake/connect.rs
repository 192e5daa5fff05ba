//! The client's side: writes the request (RFC 6455 §4.1), judges the answer (§4.1, §4.2.2).
//!
//! Knows one handshake. Whom to connect to, TLS, proxies, redirects and credentials are the
//! caller's business.
//!
//! Invariants: the key is new for each handshake, from the loop's random stream; every way the
//! answer can be wrong, or end, is an error at once; one deadline covers all of it, and bytes
//! that arrive do not extend it.

use std::sync::Arc;
use std::time::Instant;

use ::http::{HeaderMap, StatusCode, header};

use super::error::{HandshakeError, Refusal};
use super::key::{AcceptKey, accept_key, encode_key};
use crate::Cx;
use crate::http::{
    BodyReader, Misuse, Piece, Reply, ReplyBody, Scanner, Version, is_authority, is_token,
    take_front, write_field,
};
use crate::ws::Config;

/// What to ask for.
#[derive(Clone, Debug, Default)]
pub struct ConnectRequest {
    /// The value of Host: `host` or `host:port`, IPv6 addresses in brackets, the default port
    /// left out.
    pub host: String,
    /// Path and query, beginning with `/`.
    pub target: String,
    /// The value of Origin, for a client that acts for a page.
    pub origin: Option<String>,
    /// The subprotocols that the client speaks, the best first.
    pub subprotocols: Vec<String>,
    /// More headers, such as User-Agent, Authorization and Cookie.
    pub headers: HeaderMap,
    /// The compression that the client offers. Context takeover is offered only within
    /// [`takeover_count`](crate::Limits::takeover_count) and
    /// [`takeover_len`](crate::Limits::takeover_len).
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::deflate::Settings>,
    /// The version to speak. Those before RFC 6455 have no compression.
    #[cfg(feature = "drafts")]
    pub version: crate::Version,
}

/// What the server agreed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// One of the subprotocols that were offered, or none.
    pub subprotocol: Option<String>,
    /// All headers of the 101.
    pub headers: HeaderMap,
    /// How messages may be compressed: for the [`Config`] of the
    /// [`WebSocket`](crate::ws::WebSocket).
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::deflate::Agreed>,
    /// What is spoken from here on: for [`WebSocket`](crate::ws::WebSocket::with_wire).
    #[cfg(feature = "drafts")]
    pub wire: crate::drafts::Wire,
}

#[derive(Debug)]
enum State {
    Head(Scanner),
    /// A 101 of hixie-76: what proves it comes behind the head.
    #[cfg(feature = "drafts")]
    Challenge(Box<Reply>),
    /// The body of an answer other than 101.
    Refusal(BodyReader, Box<Refusal>),
    /// The answer was handed out.
    Done,
}

/// The client side of an opening handshake, without I/O.
#[derive(Debug)]
pub struct Connect {
    config: Arc<Config>,
    accept_key: AcceptKey,
    subprotocols: Vec<String>,
    #[cfg(feature = "deflate")]
    offered: Option<crate::deflate::Agreed>,
    deadline: Option<Instant>,
    state: State,
    /// The head as far as it came, when it was split over reads.
    partial: Vec<u8>,
    /// There for versions other than RFC 6455.
    #[cfg(feature = "drafts")]
    draft: Option<Box<super::draft_connect::Expected>>,
}

impl Connect {
    /// Writes the request to `cx.output`. The answer must come within
    /// `Limits::connect_timeout` of `cx.now`; see [`with_deadline`](Self::with_deadline).
    ///
    /// # Errors
    /// [`Misuse`] when the request cannot be written as it is; nothing is written then.
    pub fn new(
        request: ConnectRequest,
        config: Arc<Config>,
        cx: &mut Cx<'_>,
    ) -> Result<Self, Misuse> {
        check(&request)?;
        let key = encode_key(cx.shared.nonce());
        #[cfg(feature = "drafts")]
        if request.version != crate::Version::Rfc6455 {
            return Ok(Self::of_draft(request, config, &key, cx));
        }
        #[cfg(feature = "deflate")]
        let (offered, extension) = request
            .deflate
            .map(|wish| crate::deflate::offer(&wish, &config.limits, &cx.shared.budget))
            .unzip();
        #[cfg(not(feature = "deflate"))]
        let extension = None;
        write_request(&request, &key, extension, cx.output);
        Ok(Self {
            #[cfg(feature = "deflate")]
            offered,
            deadline: cx.now.checked_add(config.limits.connect_timeout),
            config,
            accept_key: accept_key(key.as_bytes()),
            subprotocols: request.subprotocols,
            state: State::Head(Scanner::response()),
            partial: Vec::new(),
            #[cfg(feature = "drafts")]
            draft: None,
        })
    }

    #[cfg(feature = "drafts")]
    fn of_draft(request: ConnectRequest, config: Arc<Config>, key: &str, cx: &mut Cx<'_>) -> Self {
        let expected = super::draft_connect::Expected::begin(&request, key, cx);
        Self {
            #[cfg(feature = "deflate")]
            offered: None,
            deadline: cx.now.checked_add(config.limits.connect_timeout),
            config,
            accept_key: accept_key(key.as_bytes()),
            subprotocols: request.subprotocols,
            state: State::Head(Scanner::response()),
            partial: Vec::new(),
            draft: Some(Box::new(expected)),
        }
    }

    /// With the deadline of a caller that has already spent time on connecting: one timer is for
    /// all of it.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Takes bytes of the answer from the front of the input. `None`: more are needed, and all
    /// input is used up. After an [`Answer`] what is left of the input are frames.
    ///
    /// # Errors
    /// The handshake failed: close the connection.
    pub fn receive(
        &mut self,
        input: &mut &mut [u8],
        _cx: &mut Cx<'_>,
    ) -> Result<Option<Answer>, HandshakeError> {
        let result = self.advance(input);
        if !matches!(result, Ok(None)) {
            self.state = State::Done;
            self.partial = Vec::new();
            self.deadline = None;
        }
        result
    }

    fn advance(&mut self, input: &mut &mut [u8]) -> Result<Option<Answer>, HandshakeError> {
        while let State::Head(_) = self.state {
            let Some(reply) = self.receive_head(input)? else {
                return Ok(None);
            };
            if reply.status == StatusCode::SWITCHING_PROTOCOLS {
                #[cfg(feature = "drafts")]
                if self.behind_head() > 0 {
                    self.state = State::Challenge(Box::new(reply));
                    return self.receive_challenge(input);
                }
                return self.judge(reply, &[]).map(Some);
            }
            // RFC 9110 §15.2: any number of interim answers may come before the final one. They
            // share the limits of one head.
            if !reply.status.is_informational() {
                self.begin_refusal(reply)?;
            }
        }
        #[cfg(feature = "drafts")]
        if let State::Challenge(_) = self.state {
            return self.receive_challenge(input);
        }
        self.receive_refusal(input)?;
        Ok(None)
    }

    #[cfg(feature = "drafts")]
    fn behind_head(&self) -> usize {
        let draft = self.draft.as_ref();
        draft.map_or(0, |expected| expected.behind_head())
    }

    /// Takes what belongs to the answer behind its head.
    #[cfg(feature = "drafts")]
    fn receive_challenge(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<Answer>, HandshakeError> {
        let missing = self.behind_head().saturating_sub(self.partial.len());
        self.partial.extend_from_slice(take_front(input, missing));
        if self.partial.len() < self.behind_head() {
            return Ok(None);
        }
        match std::mem::replace(&mut self.state, State::Done) {
            State::Challenge(reply) => {
                let behind = std::mem::take(&mut self.partial);
                self.judge(*reply, &behind).map(Some)
            }
            State::Head(_) | State::Refusal(..) | State::Done => Ok(None),
        }
    }

    fn receive_head(&mut self, input: &mut &mut [u8]) -> Result<Option<Reply>, HandshakeError> {
        let State::Head(scanner) = &mut self.state else {
            return Ok(None);
        };
        let scanned = scanner
            .scan(input, &self.config.limits)
            .map_err(HandshakeError::Malformed)?;
        let Some(len) = scanned else {
            self.partial
                .extend_from_slice(take_front(input, usize::MAX));
            return Ok(None);
        };
        let scanner = *scanner;
        let front = take_front(input, len);
        let reply = if self.partial.is_empty() {
            Reply::from_head(front, &scanner)
        } else {
            self.partial.extend_from_slice(front);
            Reply::from_head(&std::mem::take(&mut self.partial), &scanner)
        };
        let reply = reply.map_err(HandshakeError::Malformed)?;
        self.state = State::Head(scanner.again());
        Ok(Some(reply))
    }

    /// RFC 6455 §4.1: what the client must validate. `behind` is what belongs to the answer behind
    /// its head.
    fn judge(&self, reply: Reply, behind: &[u8]) -> Result<Answer, HandshakeError> {
        if reply.version < Version::Http11 {
            return Err(HandshakeError::AnswerVersion);
        }
        let upgrades: Vec<&[u8]> = reply.elements(&header::UPGRADE).collect();
        if !matches!(upgrades[..], [one] if one.eq_ignore_ascii_case(b"websocket")) {
            return Err(HandshakeError::AnswerUpgrade);
        }
        let mut options = reply.elements(&header::CONNECTION);
        if !options.any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
            return Err(HandshakeError::AnswerConnection);
        }
        drop(options);
        #[cfg(feature = "drafts")]
        let wire = self.judge_proof(&reply, behind)?;
        #[cfg(not(feature = "drafts"))]
        self.judge_proof(&reply, behind)?;
        #[cfg(feature = "deflate")]
        let deflate = self.judge_extensions(&reply)?;
        #[cfg(not(feature = "deflate"))]
        self.judge_extensions(&reply)?;
        let subprotocols: Vec<&[u8]> = reply.values(&header::SEC_WEBSOCKET_PROTOCOL).collect();
        let subprotocol = match subprotocols[..] {
            [] => None,
            [chosen] => Some(
                self.subprotocols
                    .iter()
                    .find(|offered| offered.as_bytes() == chosen)
                    .ok_or(HandshakeError::AnswerSubprotocol)?
                    .clone(),
            ),
            _ => return Err(HandshakeError::AnswerSubprotocol),
        };
        Ok(Answer {
            subprotocol,
            headers: reply.headers,
            #[cfg(feature = "deflate")]
            deflate,
            #[cfg(feature = "drafts")]
            wire,
        })
    }

    fn judge_accept(&self, reply: &Reply) -> Result<(), HandshakeError> {
        let accepts: Vec<&[u8]> = reply.values(&header::SEC_WEBSOCKET_ACCEPT).collect();
        match accepts[..] {
            [] => Err(HandshakeError::AcceptMissing),
            [accept] if accept == self.accept_key => Ok(()),
            _ => Err(HandshakeError::AcceptWrong),
        }
    }

    #[cfg(not(feature = "drafts"))]
    fn judge_proof(&self, reply: &Reply, _behind: &[u8]) -> Result<(), HandshakeError> {
        self.judge_accept(reply)
    }

    #[cfg(feature = "drafts")]
    fn judge_proof(
        &self,
        reply: &Reply,
        behind: &[u8],
    ) -> Result<crate::drafts::Wire, HandshakeError> {
        let draft = self.draft.as_ref();
        if draft.is_none_or(|expected| expected.has_accept()) {
            self.judge_accept(reply)?;
        }
        draft.map_or(Ok(crate::drafts::Wire::default()), |expected| {
            expected.judge(reply, behind)
        })
    }

    #[cfg(feature = "deflate")]
    fn judge_extensions(
        &self,
        reply: &Reply,
    ) -> Result<Option<crate::deflate::Agreed>, HandshakeError> {
        let values = reply.values(&header::SEC_WEBSOCKET_EXTENSIONS);
        let Some(offered) = &self.offered else {
            return unasked(reply).map(|()| None);
        };
        crate::deflate::judge(values, offered).map_err(|wrong| match wrong {
            crate::deflate::Wrong::Extension => HandshakeError::AnswerExtension,
            crate::deflate::Wrong::Parameter => HandshakeError::AnswerDeflate,
        })
    }

    #[cfg(not(feature = "deflate"))]
    fn judge_extensions(&self, reply: &Reply) -> Result<(), HandshakeError> {
        unasked(reply)
    }

    fn begin_refusal(&mut self, reply: Reply) -> Result<(), HandshakeError> {
        let reader = match reply.body {
            ReplyBody::None => Some(BodyReader::Known(0)),
            ReplyBody::Known(len) => Some(BodyReader::Known(len)),
            ReplyBody::Chunked => Some(BodyReader::chunked(u64::MAX)),
            ReplyBody::UntilClose => Some(BodyReader::UntilClose),
            ReplyBody::Unclear => None,
        };
        let refusal = Box::new(Refusal {
            status: reply.status,
            headers: reply.headers,
            body: Vec::new(),
            truncated: reader.is_none(),
        });
        let Some(reader) = reader else {
            return Err(HandshakeError::Refused(refusal));
        };
        self.state = State::Refusal(reader, refusal);
        Ok(())
    }

    fn receive_refusal(&mut self, input: &mut &mut [u8]) -> Result<(), HandshakeError> {
        let limits = &self.config.limits;
        let State::Refusal(reader, refusal) = &mut self.state else {
            return Ok(());
        };
        let truncated = loop {
            let room = limits.refusal_body_len.saturating_sub(refusal.body.len());
            match reader.read(input, limits) {
                Ok(Piece::More) => return Ok(()),
                Ok(Piece::Data(data)) => {
                    refusal
                        .body
                        .extend_from_slice(data.get(..room).unwrap_or(data));
                    if data.len() > room {
                        break true;
                    }
                }
                Ok(Piece::End) => break false,
                Err(_) => break true,
            }
        };
        Err(self.give_up(HandshakeError::EndOfStream, truncated))
    }

    /// The server will send no more: always the end of the handshake.
    pub fn receive_eof(&mut self) -> HandshakeError {
        let complete = matches!(self.state, State::Refusal(BodyReader::UntilClose, _));
        self.give_up(HandshakeError::EndOfStream, !complete)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// To be called when the deadline has passed; before that it does nothing.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<HandshakeError> {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        Some(self.give_up(HandshakeError::TimedOut, true))
    }

    /// The end of the handshake. A refusal whose body is incomplete is still a refusal.
    fn give_up(&mut self, reason: HandshakeError, truncated: bool) -> HandshakeError {
        self.deadline = None;
        match std::mem::replace(&mut self.state, State::Done) {
            State::Refusal(_, mut refusal) => {
                refusal.truncated = truncated;
                HandshakeError::Refused(refusal)
            }
            #[cfg(feature = "drafts")]
            State::Challenge(_) => reason,
            State::Head(_) | State::Done => reason,
        }
    }
}

/// Without an offer there is nothing that the server may choose.
fn unasked(reply: &Reply) -> Result<(), HandshakeError> {
    match reply.elements(&header::SEC_WEBSOCKET_EXTENSIONS).next() {
        None => Ok(()),
        Some(_) => Err(HandshakeError::AnswerExtension),
    }
}

fn check(request: &ConnectRequest) -> Result<(), Misuse> {
    if !is_authority(&request.host) {
        return Err(Misuse::InvalidHost);
    }
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let target = &request.target;
    if !target.starts_with('/') || !printable(target) || target.contains('#') {
        return Err(Misuse::InvalidTarget);
    }
    if request
        .origin
        .as_ref()
        .is_some_and(|origin| origin.is_empty() || !printable(origin))
    {
        return Err(Misuse::InvalidOrigin);
    }
    let subprotocols = &request.subprotocols;
    let repeated = |(index, name): (usize, &String)| {
        subprotocols
            .iter()
            .skip(index + 1)
            .any(|other| other == name)
    };
    if !subprotocols.iter().all(|name| is_token(name.as_bytes()))
        || subprotocols.iter().enumerate().any(repeated)
    {
        return Err(Misuse::InvalidSubprotocol);
    }
    let reserved = [
        header::HOST,
        header::UPGRADE,
        header::CONNECTION,
        header::ORIGIN,
        header::SEC_WEBSOCKET_KEY,
        header::SEC_WEBSOCKET_VERSION,
        header::SEC_WEBSOCKET_PROTOCOL,
        header::SEC_WEBSOCKET_EXTENSIONS,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    #[cfg(feature = "drafts")]
    if super::draft::HEADERS
        .iter()
        .any(|name| request.headers.contains_key(name))
    {
        return Err(Misuse::ReservedHeader);
    }
    if reserved
        .iter()
        .any(|name| request.headers.contains_key(name))
    {
        return Err(Misuse::ReservedHeader);
    }
    Ok(())
}

fn write_request(
    request: &ConnectRequest,
    key: &str,
    extension: Option<String>,
    output: &mut Vec<u8>,
) {
    output.extend_from_slice(b"GET ");
    output.extend_from_slice(request.target.as_bytes());
    output.extend_from_slice(b" HTTP/1.1\r\n");
    write_field(&header::HOST, request.host.as_bytes(), output);
    output.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    write_field(&header::SEC_WEBSOCKET_KEY, key.as_bytes(), output);
    output.extend_from_slice(b"Sec-WebSocket-Version: 13\r\n");
    if let Some(origin) = &request.origin {
        write_field(&header::ORIGIN, origin.as_bytes(), output);
    }
    write_subprotocols(request, output);
    if let Some(extension) = extension {
        write_field(
            &header::SEC_WEBSOCKET_EXTENSIONS,
            extension.as_bytes(),
            output,
        );
    }
    write_extra(request, output);
    output.extend_from_slice(b"\r\n");
}

pub(super) fn write_subprotocols(request: &ConnectRequest, output: &mut Vec<u8>) {
    if !request.subprotocols.is_empty() {
        let list = request.subprotocols.join(", ");
        write_field(&header::SEC_WEBSOCKET_PROTOCOL, list.as_bytes(), output);
    }
}

/// The caller's headers.
pub(super) fn write_extra(request: &ConnectRequest, output: &mut Vec<u8>) {
    for (name, value) in &request.headers {
        write_field(name, value.as_bytes(), output);
    }
}
