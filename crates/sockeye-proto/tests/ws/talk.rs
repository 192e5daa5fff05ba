//! Reads a `.talk` file: a dialogue between a peer and a machine, with what the machine must
//! report and answer.
//!
//! ```text
//! # comment
//! role server              who the machine is: server or client
//! version hybi-05          an old version; the key of hybi-04 is that of its draft's example
//! set ping_interval 10s    a limit; `none` where there may be none
//! delivery streaming       otherwise whole
//! <  81 82 <mask> "hi"     the peer sends these bytes (<mask>: a key, the rest is masked;
//!                          <mask+3>: masked on, from the third byte of a payload that was cut)
//! !  send text "hi"        the application calls; also: fragment text "a", last text "a", ping "x",
//!                          pong "x", close 1000 "bye", drain 1000 "bye" (= close_sending), eof,
//!                          block, unblock, bare (mask no more)
//! @  +20s                  time passes; deadlines on the way are handled
//! >  8a 02 "hi"            the machine puts out exactly this (<mask>: any key, the rest unmasked)
//! =  text "hi"             the machine reports exactly this: text, binary, chunk KIND [first]
//!                          [last] REMAINING, ping, pong, close CODE "reason", lost How,
//!                          violation Which, misuse Which
//! ?  fate keep             keep, await-eof, half-close or close
//! ?  timeout 20s           the next deadline from now; or none
//! ```
//! Before hybi-07 the key of a client comes first: `<mask> 84 02 "hi"`. `<mask04>` masks as hybi-04
//! has it, `<bare04>` as an old library understood that; the peer only.
//!
//! Bytes are hex pairs and strings with `\n`, `\"`, `\\`, `\xNN`; `*N` behind either repeats it.

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;
use std::time::Duration;

use sockeye_proto::Limits;
use sockeye_proto::ws::{Delivery, Kind, Role};

use crate::rig::Seen;

/// A dialogue.
pub(crate) struct Talk {
    pub(crate) role: Role,
    /// The number of an old version.
    pub(crate) version: Option<u8>,
    pub(crate) limits: Limits,
    pub(crate) delivery: Delivery,
    pub(crate) turns: Vec<Turn>,
}

/// Something that happens to the machine, and all that must come of it.
pub(crate) struct Turn {
    pub(crate) line: usize,
    pub(crate) act: Act,
    pub(crate) reports: Vec<Seen>,
    pub(crate) answers: Vec<Pattern>,
    pub(crate) checks: Vec<Check>,
}

#[derive(Debug, Clone)]
pub(crate) enum Act {
    Receive(Vec<u8>),
    Send(Kind, Vec<u8>),
    Fragment(Kind, Vec<u8>, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close {
        code: u16,
        reason: String,
        drain: bool,
    },
    Eof,
    Block(bool),
    Bare,
    Pass(Duration),
}

/// A line of bytes: what stands before the mask, and what is masked.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) plain: Vec<u8>,
    pub(crate) masked: Option<Vec<u8>>,
    /// Where a payload goes on whose key is already sent.
    offset: Option<usize>,
    /// What masks it besides the plain key.
    stream: Option<[u8; 20]>,
}

impl Pattern {
    pub(crate) fn new(plain: Vec<u8>, masked: Option<Vec<u8>>) -> Self {
        Self {
            plain,
            masked,
            offset: None,
            stream: None,
        }
    }

    /// The bytes as a peer sends them.
    fn masked_bytes(self) -> Vec<u8> {
        let mut bytes = self.plain;
        if self.masked.is_some() && self.offset.is_none() {
            bytes.extend(KEY);
        }
        let stream = self.stream.as_ref().map_or(&KEY[..], |stream| stream);
        let keys = stream.iter().cycle().skip(self.offset.unwrap_or(0));
        bytes.extend(
            self.masked
                .unwrap_or_default()
                .iter()
                .zip(keys)
                .map(|(a, b)| a ^ b),
        );
        bytes
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.plain.escape_ascii())?;
        match &self.masked {
            Some(masked) => write!(f, " <mask> \"{}\"", masked.escape_ascii()),
            None => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) enum Check {
    Fate(String),
    Timeout(Option<Duration>),
}

/// The key that `<mask>` stands for in what the peer sends.
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The key of a connection of hybi-04, from the example of its draft.
pub(crate) const WIRE_KEY: [u8; 20] = [
    0x5f, 0xd8, 0x88, 0xf7, 0x0d, 0x56, 0x9d, 0x0e, 0x57, 0x02, 0xee, 0x32, 0x23, 0xf9, 0xa2, 0xb7,
    0xb2, 0x98, 0x0d, 0x91,
];
/// The key of a frame that comes with [`KEY`] there.
const DRAFT_KEY: [u8; 20] = [
    0x7b, 0x20, 0x45, 0x27, 0x85, 0x88, 0xd5, 0xa0, 0x13, 0x77, 0x6a, 0x78, 0xef, 0xdf, 0x9c, 0x6d,
    0xfc, 0xa2, 0x8b, 0x7f,
];

impl Talk {
    pub(crate) fn parse(source: &str) -> Self {
        let mut talk = Self {
            role: Role::Server,
            version: None,
            limits: Limits::default(),
            delivery: Delivery::Whole,
            turns: Vec::new(),
        };
        for (number, line) in source.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            talk.line(number + 1, word, rest.trim());
        }
        talk
    }

    fn line(&mut self, line: usize, word: &str, rest: &str) {
        let act = match word {
            "role" => {
                self.role = match rest {
                    "server" => Role::Server,
                    "client" => Role::Client,
                    _ => panic!("line {line}: role {rest}?"),
                };
                return;
            }
            "version" => {
                let number = rest.rsplit('-').next().unwrap().parse().unwrap();
                self.version = Some(if number == 76 { 0 } else { number });
                return;
            }
            "set" => return self.set(line, rest),
            "delivery" => {
                assert_eq!(rest, "streaming", "line {line}");
                self.delivery = Delivery::Streaming;
                return;
            }
            ">" => {
                self.turn(line).answers.push(pattern(rest));
                return;
            }
            "=" => {
                self.turn(line).reports.push(report(line, rest));
                return;
            }
            "?" => {
                self.turn(line).checks.push(check(line, rest));
                return;
            }
            "<" => Act::Receive(pattern(rest).masked_bytes()),
            "!" => act(line, rest),
            "@" => Act::Pass(duration(rest.trim_start_matches('+'))),
            _ => panic!("line {line}: what is {word}?"),
        };
        self.act(line, act);
    }

    fn act(&mut self, line: usize, act: Act) -> &mut Turn {
        let (reports, answers, checks) = (Vec::new(), Vec::new(), Vec::new());
        self.turns.push(Turn {
            line,
            act,
            reports,
            answers,
            checks,
        });
        self.turn(line)
    }

    /// The last turn; at the front of a dialogue one in which nothing happens.
    fn turn(&mut self, line: usize) -> &mut Turn {
        match self.turns.len().checked_sub(1) {
            Some(last) => &mut self.turns[last],
            None => self.act(line, Act::Pass(Duration::ZERO)),
        }
    }

    fn set(&mut self, line: usize, rest: &str) {
        let (name, value) = rest.split_once(' ').unwrap();
        let limits = &mut self.limits;
        match name {
            "message_len" => limits.message_len = value.parse().unwrap(),
            "frame_len" => limits.frame_len = value.parse().unwrap(),
            "fragment_count" => limits.fragment_count = value.parse().unwrap(),
            "ping_interval" => limits.ping_interval = maybe(value),
            "pong_timeout" => limits.pong_timeout = duration(value),
            "idle_timeout" => limits.idle_timeout = maybe(value),
            "close_timeout" => limits.close_timeout = duration(value),
            _ => panic!("line {line}: limit {name}?"),
        }
    }
}

fn act(line: usize, rest: &str) -> Act {
    let (words, data) = words_and_data(rest);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", of] => Act::Send(kind(of), data),
        ["fragment", of] => Act::Fragment(kind(of), data, false),
        ["last", of] => Act::Fragment(kind(of), data, true),
        ["ping"] => Act::Ping(data),
        ["pong"] => Act::Pong(data),
        [how @ ("close" | "drain"), code] => Act::Close {
            code: code.parse().unwrap(),
            reason: String::from_utf8(data).unwrap(),
            drain: how == "drain",
        },
        ["eof"] => Act::Eof,
        ["block"] => Act::Block(true),
        ["unblock"] => Act::Block(false),
        ["bare"] => Act::Bare,
        _ => panic!("line {line}: how does one {rest}?"),
    }
}

fn report(line: usize, rest: &str) -> Seen {
    let (words, data) = words_and_data(rest);
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["chunk", of, ref flags @ .., remaining] => Seen::Chunk {
            kind: kind(of),
            first: flags.contains(&"first"),
            last: flags.contains(&"last"),
            remaining: remaining.parse().unwrap(),
            data,
        },
        ["close", code] => Seen::Close(code.parse().unwrap(), String::from_utf8(data).unwrap()),
        ["text"] => Seen::Event("text", data),
        ["binary"] => Seen::Event("binary", data),
        ["ping"] => Seen::Event("ping", data),
        ["pong"] => Seen::Event("pong", data),
        ["lost" | "violation" | "misuse", _] => Seen::Other(words.join(" ")),
        _ => panic!("line {line}: what is {rest}?"),
    }
}

fn check(line: usize, rest: &str) -> Check {
    match rest.split_once(' ') {
        Some(("fate", fate)) => Check::Fate(fate.trim().to_owned()),
        Some(("timeout", time)) => Check::Timeout(maybe(time.trim())),
        _ => panic!("line {line}: how does one check {rest}?"),
    }
}

fn kind(word: &str) -> Kind {
    match word {
        "text" => Kind::Text,
        "binary" => Kind::Binary,
        _ => panic!("kind {word}?"),
    }
}

fn maybe(value: &str) -> Option<Duration> {
    (value != "none").then(|| duration(value))
}

fn duration(value: &str) -> Duration {
    match value.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().unwrap()),
        None => Duration::from_secs(value.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

/// Words up to the first string or the end. Bytes of reports are always strings.
fn words_and_data(source: &str) -> (Vec<String>, Vec<u8>) {
    let (words, data) = source.split_at(source.find('"').unwrap_or(source.len()));
    (
        words.split_whitespace().map(str::to_owned).collect(),
        pattern(data).plain,
    )
}

fn pattern(source: &str) -> Pattern {
    let mut plain = Vec::new();
    let mut masked: Option<Vec<u8>> = None;
    let mut offset = None;
    let mut stream = None;
    let mut chars = source.chars().peekable();
    while let Some(next) = chars.peek() {
        let mut piece = match next {
            ' ' => {
                chars.next();
                continue;
            }
            '"' => string(&mut chars),
            '<' => {
                let tag: String = chars.by_ref().take_while(|next| *next != '>').collect();
                stream = match &tag[..] {
                    "<mask04" => Some(DRAFT_KEY),
                    "<bare04" => Some(WIRE_KEY),
                    _ => None,
                };
                assert!(stream.is_some() || tag.starts_with("<mask"), "{source}");
                offset = tag
                    .strip_prefix("<mask+")
                    .map(|offset| offset.parse().unwrap());
                masked = Some(Vec::new());
                continue;
            }
            _ => vec![pair(&mut chars)],
        };
        if chars.next_if_eq(&'*').is_some() {
            let mut count = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                count.push(digit);
            }
            piece = piece.repeat(count.parse().unwrap());
        }
        masked.as_mut().unwrap_or(&mut plain).extend(piece);
    }
    Pattern {
        plain,
        masked,
        offset,
        stream,
    }
}

fn string(chars: &mut Peekable<Chars<'_>>) -> Vec<u8> {
    chars.next();
    let mut bytes = Vec::new();
    loop {
        match chars.next().expect("a string ends") {
            '"' => return bytes,
            '\\' => match chars.next().unwrap() {
                'n' => bytes.push(b'\n'),
                'x' => bytes.push(pair(chars)),
                other => bytes.push(u8::try_from(other).unwrap()),
            },
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

fn pair(chars: &mut Peekable<Chars<'_>>) -> u8 {
    let digits: String = chars.by_ref().take(2).collect();
    u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("{digits} is no byte"))
}
