//! Whole connections after the handshake, of either role, with compression and without, and in the
//! versions before RFC 6455.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cuts;
use crate::close::CloseCode;
use crate::deflate::Settings;
use crate::drafts::{Version, Wire};
use crate::frame::{FrameHeader, Opcode};
use crate::limits::Limits;
use crate::violation::Violation;
use crate::ws::{Chunk, Config, Delivery, Event, Fate, Message, Role, WebSocket};
use crate::{Bytes, Cx, Shared, Text};

/// Any bytes as what a peer sends. The first byte chooses role, delivery, compression, whether
/// messages are echoed, and what the program did before; the second cuts, and chooses the limits.
///
/// # Panics
/// If what is reported or put out depends on how the input is cut; if nothing final is reported, or
/// something behind it, or more than a message may have; if the machine puts out what its like does
/// not understand, or never comes to an end.
pub fn conversation(data: &[u8]) {
    if let [choice, seed, bytes @ ..] = data {
        run(&Circumstances::choose(*choice, *seed), *seed, bytes);
    }
}

/// The same in an old version, which a byte in front chooses; these do not compress.
///
/// # Panics
/// As [`conversation`], but that nobody looks at the frames themselves.
pub fn draft(data: &[u8]) {
    let [version, choice, seed, bytes @ ..] = data else {
        return;
    };
    let versions = Version::ALL.into_iter().take(6);
    let Some(version) = versions.cycle().nth(usize::from(*version)) else {
        return;
    };
    let mut circumstances = Circumstances::choose(*choice, *seed);
    circumstances.wire = Wire::new(version, [0x5a; 20]);
    circumstances.deflate = None;
    // Where there are no pings nothing else ends a connection at rest.
    circumstances.limits.idle_timeout = Some(Duration::from_secs(60));
    run(&circumstances, *seed, bytes);
}

fn run(circumstances: &Circumstances, seed: u8, bytes: &[u8]) {
    let [whole, others @ ..] = &cuts(bytes, seed).map(|pieces| Outcome::of(circumstances, &pieces));
    for other in others {
        assert_eq!(other, whole, "in other pieces");
    }
    whole.judge(circumstances);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    Close,
    Drain,
}

struct Circumstances {
    role: Role,
    delivery: Delivery,
    wire: Wire,
    deflate: Option<Settings>,
    /// Messages are sent back; only whole ones, as pieces depend on the cut.
    echo: bool,
    before: Before,
    /// The peer ends the stream; otherwise it falls silent.
    eof: bool,
    limits: Limits,
}

impl Circumstances {
    fn choose(choice: u8, seed: u8) -> Self {
        let eager = |settings| Settings {
            min_len: 0,
            ..settings
        };
        let small = seed & 1 == 0;
        Self {
            role: match choice & 1 {
                0 => Role::Server,
                _ => Role::Client,
            },
            delivery: match choice & 2 {
                0 => Delivery::Whole,
                _ => Delivery::Streaming,
            },
            wire: Wire::default(),
            deflate: match choice >> 2 & 3 {
                0 => None,
                1 => Some(eager(Settings::default())),
                2 => Some(eager(Settings::takeover())),
                _ => Some(Settings {
                    max_ratio: Some(3),
                    ..Settings::takeover()
                }),
            },
            before: match choice >> 4 & 3 {
                0 | 1 => Before::Nothing,
                2 => Before::Close,
                _ => Before::Drain,
            },
            echo: choice & 64 != 0,
            eof: choice & 128 != 0,
            limits: Limits {
                message_len: if small { 300 } else { 60_000 },
                frame_len: if small { 200 } else { 60_000 },
                fragment_count: if small { 4 } else { 1000 },
                ..Limits::default()
            },
        }
    }

    fn config(&self) -> Arc<Config> {
        let mut config = Config::new(self.limits.clone(), self.delivery);
        config.deflate = self.deflate;
        Arc::new(config)
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Event(Event<'static>),
    Violation(Violation),
}

impl Seen {
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Event(Event::Close(_) | Event::Lost(_)) | Self::Violation(_)
        )
    }
}

/// What a machine reported and put out.
#[derive(Debug, PartialEq)]
struct Outcome {
    seen: Vec<Seen>,
    output: Vec<u8>,
    /// What was sent back, as it should arrive.
    sent: Vec<Event<'static>>,
}

struct Run<'c> {
    circumstances: &'c Circumstances,
    socket: WebSocket,
    now: Instant,
    shared: Shared,
    outcome: Outcome,
}

impl Run<'_> {
    fn with<T>(&mut self, call: impl FnOnce(&mut WebSocket, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            output: &mut self.outcome.output,
            shared: &mut self.shared,
            blocked: false,
        };
        call(&mut self.socket, &mut cx)
    }

    fn receive(&mut self, piece: &[u8]) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match self.with(|socket, cx| socket.receive(&mut input, cx)) {
                Ok(Some(event)) => self.event(event),
                Ok(None) => break,
                Err(violation) => self.outcome.seen.push(Seen::Violation(violation)),
            }
        }
        assert!(input.is_empty(), "input is left");
    }

    fn event(&mut self, event: Event<'_>) {
        if self.circumstances.echo {
            let sent = match &event {
                Event::Text(text) => self.with(|socket, cx| socket.send(Message::Text(text), cx)),
                Event::Binary(data) => {
                    self.with(|socket, cx| socket.send(Message::Binary(data), cx))
                }
                _ => Err(crate::Misuse::NotOpen),
            };
            if sent.is_ok() {
                self.outcome.sent.push(owned(&event));
            }
        }
        self.outcome.report(event.into_owned());
    }

    /// Lets time pass until the owner would close the socket.
    fn fall_silent(&mut self) {
        for _ in 0..10 {
            if self.socket.fate() == Fate::Close {
                return;
            }
            let Some(due) = self.socket.next_timeout() else {
                panic!("{:?} waits for nothing", self.socket);
            };
            self.now = self.now.max(due);
            if let Some(event) = self.with(|socket, cx| socket.handle_timeout(cx)) {
                self.event(event);
            }
        }
        panic!("{:?} does not come to an end", self.socket);
    }
}

fn owned(event: &Event<'_>) -> Event<'static> {
    match event {
        Event::Text(text) => Event::Text(Text::Owned(text.to_string())),
        Event::Binary(data) => Event::Binary(Bytes::Owned(data.to_vec())),
        other => panic!("{other:?} is no message"),
    }
}

impl Outcome {
    fn of(circumstances: &Circumstances, pieces: &[&[u8]]) -> Self {
        #[expect(clippy::disallowed_methods, reason = "the base of simulated time")]
        let now = Instant::now();
        let mut run = Run {
            circumstances,
            socket: WebSocket::with_wire(
                circumstances.role,
                circumstances.config(),
                circumstances.wire,
                now,
            ),
            now,
            shared: Shared::from_seed([0; 32]),
            outcome: Self {
                seen: Vec::new(),
                output: Vec::new(),
                sent: Vec::new(),
            },
        };
        let began = match circumstances.before {
            Before::Nothing => Ok(()),
            Before::Close => run.with(|socket, cx| socket.close(CloseCode::NORMAL, "", cx)),
            Before::Drain => run.with(|socket, cx| socket.close_sending(CloseCode::NORMAL, "", cx)),
        };
        assert_eq!(began, Ok(()));
        for piece in pieces {
            run.receive(piece);
        }
        if circumstances.eof
            && let Some(event) = run.with(|socket, cx| socket.receive_eof(cx))
        {
            run.event(event);
        }
        run.fall_silent();
        run.outcome
    }

    /// Notes an event; the pieces of a streamed message as one.
    fn report(&mut self, event: Event<'static>) {
        if let (
            Some(Seen::Event(Event::Chunk(before))),
            Event::Chunk(Chunk {
                first: false,
                last,
                data,
                ..
            }),
        ) = (self.seen.last_mut(), &event)
        {
            assert!(!before.last, "a piece behind the last one");
            let mut joined = std::mem::replace(&mut before.data, Bytes::Borrowed(b"")).into_vec();
            joined.extend_from_slice(data);
            before.data = Bytes::Owned(joined);
            before.last = *last;
            return;
        }
        self.seen.push(match event {
            // How much of a frame was needed for what stands before an error depends on the cut.
            Event::Chunk(chunk) => Seen::Event(Event::Chunk(Chunk {
                frame_remaining: 0,
                ..chunk
            })),
            event => Seen::Event(event),
        });
    }

    fn judge(&self, circumstances: &Circumstances) {
        let finals = self.seen.iter().filter(|seen| seen.is_final()).count();
        assert_eq!(finals, 1, "{:?}", self.seen);
        assert!(self.seen.last().is_some_and(Seen::is_final));
        let most = circumstances.limits.message_len;
        for seen in &self.seen {
            match seen {
                Seen::Event(Event::Text(text)) => assert!(text.len() <= most),
                Seen::Event(Event::Binary(data)) => assert!(data.len() <= most),
                Seen::Event(Event::Ping(data) | Event::Pong(data)) => {
                    assert!(data.len() <= FrameHeader::MAX_CONTROL_LEN);
                }
                _ => {}
            }
        }
        if circumstances.wire.version() == Version::Rfc6455 {
            self.judge_output(circumstances);
        }
        self.judge_echo(circumstances);
    }

    /// Whole frames, masked by a client only, with one Close at most and only pongs behind it.
    fn judge_output(&self, circumstances: &Circumstances) {
        let mut rest = &self.output[..];
        let mut closed = false;
        while !rest.is_empty() {
            let Ok(Some((header, len))) = FrameHeader::decode(rest) else {
                panic!("no whole frame: {}", rest.escape_ascii());
            };
            assert_eq!(header.mask.is_some(), circumstances.role == Role::Client);
            assert!(!header.rsv1 || circumstances.deflate.is_some());
            assert!(!closed || header.opcode == Opcode::Pong, "behind a Close");
            closed |= header.opcode == Opcode::Close;
            let len = len as u64 + header.payload_len;
            rest = usize::try_from(len)
                .ok()
                .and_then(|len| rest.get(len..))
                .unwrap_or_else(|| panic!("no whole payload: {}", rest.escape_ascii()));
        }
    }

    /// The other role understands all that this one put out, and gets what it was sent.
    fn judge_echo(&self, circumstances: &Circumstances) {
        let role = match circumstances.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let peer = Circumstances {
            role,
            delivery: Delivery::Whole,
            wire: circumstances.wire,
            echo: false,
            before: Before::Nothing,
            eof: true,
            limits: Limits::default(),
            // What is compressed at all may be compressed well.
            deflate: circumstances.deflate.map(|settings| Settings {
                max_ratio: None,
                ..settings
            }),
        };
        let heard = Self::of(&peer, &[&self.output]);
        let messages: Vec<Event<'static>> = heard
            .seen
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Event(event @ (Event::Text(_) | Event::Binary(_))) => Some(event),
                Seen::Event(_) => None,
                Seen::Violation(violation) => panic!("{violation:?}"),
            })
            .collect();
        assert_eq!(messages, self.sent);
    }
}
