//! A WebSocket client at the test's end of a connection, on the machines of the protocol core.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use sockeye_proto::handshake::{Connect, ConnectRequest, HandshakeError};
use sockeye_proto::ws::{self, Config, Event, Fate, Lost, Message, Role};
use sockeye_proto::{CloseCode, Cx, Limits, Misuse, Violation};

use super::remote::Remote;
use super::state::State;

/// Something that a simulated client received.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// The handshake was accepted, with this subprotocol.
    Open(Option<String>),
    /// The handshake was refused with this status, or came to nothing (`None`).
    Refused(Option<u16>),
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A Ping, which was answered.
    Ping(Vec<u8>),
    /// A Pong.
    Pong(Vec<u8>),
    /// The peer's Close frame.
    Close(CloseCode, String),
    /// The end, without a Close frame.
    Lost(Lost),
    /// The engine broke the protocol.
    Violation(Violation),
}

/// The client's state, which the network moves on by itself in every step.
pub(super) struct Talk {
    wire: usize,
    handshake: Option<Connect>,
    machine: ws::WebSocket,
    received: Vec<Received>,
    over: bool,
}

/// A WebSocket client of the simulated network. It answers Pings and Closes by itself, while the
/// network runs.
pub struct WebSocket {
    remote: Remote,
    talk: Rc<RefCell<Talk>>,
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl WebSocket {
    pub(super) fn new(remote: Remote, path: &str, subprotocols: &[&str]) -> Self {
        let config = Arc::new(Config {
            limits: Limits {
                ping_interval: None,
                message_len: 1 << 30,
                frame_len: 1 << 30,
                ..Limits::default()
            },
            ..Config::default()
        });
        let request = ConnectRequest {
            host: "sim".to_owned(),
            target: path.to_owned(),
            subprotocols: subprotocols.iter().map(ToString::to_string).collect(),
            ..ConnectRequest::default()
        };
        let mut output = Vec::new();
        let talk = {
            let mut state = remote.state.borrow_mut();
            let mut cx = Cx {
                now: state.now,
                output: &mut output,
                shared: &mut state.shared,
                blocked: false,
            };
            let handshake = Connect::new(request, Arc::clone(&config), &mut cx);
            let machine = ws::WebSocket::new(Role::Client, config, cx.now);
            let received = match handshake {
                Ok(_) => Vec::new(),
                Err(_) => vec![Received::Refused(None)],
            };
            let talk = Rc::new(RefCell::new(Talk {
                wire: remote.wire,
                over: handshake.is_err(),
                handshake: handshake.ok(),
                machine,
                received,
            }));
            state.talks.push(Rc::downgrade(&talk));
            talk
        };
        remote.write(&output);
        Self { remote, talk }
    }

    /// Sends a message; before the handshake is answered it goes out right behind it.
    ///
    /// # Errors
    ///
    /// [`Misuse`] once a Close has gone out or come in.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Misuse> {
        self.put(|machine, cx| machine.send(message.into(), cx))
    }

    /// Sends a fragment of a message.
    ///
    /// # Errors
    ///
    /// [`Misuse`] as for [`send`](Self::send), or for a fragment of the other kind.
    pub fn send_fragment<'m>(
        &self,
        fragment: impl Into<Message<'m>>,
        last: bool,
    ) -> Result<(), Misuse> {
        self.put(|machine, cx| machine.send_fragment(fragment.into(), last, cx))
    }

    /// Sends a Ping.
    ///
    /// # Errors
    ///
    /// [`Misuse`] as for [`send`](Self::send), or for more than 125 bytes.
    pub fn ping(&self, data: &[u8]) -> Result<(), Misuse> {
        self.put(|machine, cx| machine.ping(data, cx))
    }

    /// Begins the closing handshake. Messages that still arrive are received.
    ///
    /// # Errors
    ///
    /// [`Misuse`] as for [`send`](Self::send), or for a code that must not be sent.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        self.put(|machine, cx| machine.close_sending(code, reason, cx))
    }

    /// Takes everything that was received and not taken before.
    pub fn received(&self) -> Vec<Received> {
        {
            let mut state = self.remote.state.borrow_mut();
            state.deliver();
            self.talk.borrow_mut().step(&mut state);
        }
        std::mem::take(&mut self.talk.borrow_mut().received)
    }

    /// The texts among what was [received](Self::received); everything else is dropped.
    pub fn texts(&self) -> Vec<String> {
        self.received()
            .into_iter()
            .filter_map(|received| match received {
                Received::Text(text) => Some(text),
                _ => None,
            })
            .collect()
    }

    /// Whether messages can be sent.
    pub fn is_open(&self) -> bool {
        let talk = self.talk.borrow();
        talk.handshake.is_none() && !talk.over && talk.machine.is_open()
    }

    /// The connection below, to stall, reset or inspect it. Bytes read there are missing here.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    fn put(
        &self,
        put: impl FnOnce(&mut ws::WebSocket, &mut Cx<'_>) -> Result<(), Misuse>,
    ) -> Result<(), Misuse> {
        let mut output = Vec::new();
        let outcome = {
            let mut state = self.remote.state.borrow_mut();
            let mut cx = Cx {
                now: state.now,
                output: &mut output,
                shared: &mut state.shared,
                blocked: false,
            };
            put(&mut self.talk.borrow_mut().machine, &mut cx)
        };
        self.remote.write(&output);
        outcome
    }
}

impl Talk {
    /// Looks at what has arrived, and answers.
    pub(super) fn step(&mut self, state: &mut State) {
        let (now, arrives) = (state.now, state.arrival(self.wire));
        let wire = &mut state.wires[self.wire];
        let mut bytes = std::mem::take(&mut wire.inbox);
        let ended = wire.to_remote.is_at_end(now) && wire.reading || wire.reset;
        let mut output = Vec::new();
        let mut cx = Cx {
            now,
            output: &mut output,
            shared: &mut state.shared,
            blocked: false,
        };
        let mut input = &mut bytes[..];
        self.receive(&mut input, &mut cx);
        if ended && !self.over {
            self.over = true;
            match self.handshake.take() {
                Some(mut handshake) => {
                    let error = handshake.receive_eof();
                    self.refused(&error);
                }
                None => {
                    if let Some(Event::Lost(lost)) = self.machine.receive_eof(&mut cx) {
                        self.received.push(Received::Lost(lost));
                    }
                }
            }
        }
        let fate = self.machine.fate();
        if !output.is_empty() {
            state.events += 1;
            let pipe = &mut state.wires[self.wire].to_engine;
            if !pipe.is_finished() {
                pipe.write(&output, now, arrives);
            }
        }
        let pipe = &mut state.wires[self.wire].to_engine;
        if (self.over || matches!(fate, Fate::Close | Fate::HalfClose)) && !pipe.is_finished() {
            pipe.finish(arrives);
            state.events += 1;
        }
    }

    fn receive(&mut self, input: &mut &mut [u8], cx: &mut Cx<'_>) {
        if let Some(handshake) = &mut self.handshake {
            match handshake.receive(input, cx) {
                Ok(None) => return,
                Ok(Some(answer)) => {
                    self.received.push(Received::Open(answer.subprotocol));
                    self.handshake = None;
                }
                Err(error) => {
                    self.refused(&error);
                    self.handshake = None;
                    self.over = true;
                }
            }
        }
        while !self.over {
            match self.machine.receive(input, cx) {
                Ok(None) => break,
                Ok(Some(event)) => self.received.extend(Received::of(event)),
                Err(violation) => self.received.push(Received::Violation(violation)),
            }
        }
    }

    fn refused(&mut self, error: &HandshakeError) {
        let status = match error {
            HandshakeError::Refused(refusal) => Some(refusal.status.as_u16()),
            _ => None,
        };
        self.received.push(Received::Refused(status));
    }
}

impl Received {
    fn of(event: Event<'_>) -> Option<Self> {
        Some(match event {
            Event::Text(text) => Self::Text(text.into_string()),
            Event::Binary(data) => Self::Binary(data.into_vec()),
            Event::Ping(data) => Self::Ping(data.into_vec()),
            Event::Pong(data) => Self::Pong(data.into_vec()),
            Event::Close(frame) => Self::Close(frame.code, frame.reason.into_string()),
            Event::Lost(lost) => Self::Lost(lost),
            _ => return None,
        })
    }
}
