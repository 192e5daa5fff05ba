//! What `--verbose` shows of a connection: heads as they were sent, TLS, a line for each frame.
//!
//! Reads along in both directions and never fails: what cannot be understood is counted. Holds a
//! head at most, and no payload. Credentials are left out.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use anstyle::Style;
use sockeye::Trace;
use sockeye::proto::{FrameHeader, Opcode};
use sockeye::tls::TlsInfo;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::terminal;

/// A longer head is not waited for. The engine takes none of this length either.
const HEAD_LEN: usize = 64 * 1024;
/// The most of a frame that is looked at: its header, and the payload of a Close.
const SHOWN_LEN: usize = FrameHeader::MAX_LEN + FrameHeader::MAX_CONTROL_LEN;
/// Fields whose values nobody should see over a shoulder or find in a log.
const SECRETS: [&str; 4] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
];

/// Tells what goes over one connection, and over those that come after it.
pub(crate) struct Narrator<S> {
    say: S,
    ways: Mutex<Ways>,
}

#[derive(Default)]
struct Ways {
    sent: Way,
    received: Way,
}

/// One direction.
#[derive(Default)]
struct Way {
    reading: Reading,
    /// The beginning of a head, or of a frame's header and what of its payload is shown.
    begun: Vec<u8>,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Reading {
    #[default]
    Head,
    Frame,
    /// So much of a frame's payload.
    Payload(u64),
    /// What is no head and no frames, of any length.
    Other,
}

impl<S: Fn(Style, &str)> Narrator<S> {
    pub(crate) fn new(say: S) -> Self {
        Self {
            say,
            ways: Mutex::default(),
        }
    }

    pub(crate) fn tell(&self, trace: Trace<'_>) {
        // It is whole whoever panicked, or shows less.
        let mut ways = self.ways.lock().unwrap_or_else(PoisonError::into_inner);
        match trace {
            Trace::Connected(peer) => {
                *ways = Ways::default();
                self.note(&format!("reached {peer}"));
            }
            Trace::Opening => *ways = Ways::default(),
            Trace::Secured(info) => self.secured(info),
            Trace::Sent(bytes) => ways.sent.read(bytes, &mut |line| {
                (self.say)(terminal::SENT, format!("> {line}").trim_end());
            }),
            Trace::Received(bytes) => {
                ways.received.read(bytes, &mut |line| {
                    (self.say)(terminal::RECEIVED, format!("< {line}").trim_end());
                });
            }
            _ => {}
        }
    }

    fn note(&self, text: &str) {
        (self.say)(terminal::STATE, &format!("* {text}"));
    }

    fn secured(&self, info: &TlsInfo) {
        let mut text = info.version.unwrap_or("TLS").to_owned();
        if let Some(suite) = &info.cipher_suite {
            text = format!("{text}, {suite}");
        }
        if let Some(alpn) = &info.alpn {
            text = format!("{text}, {}", String::from_utf8_lossy(alpn));
        }
        self.note(&text);
        if let Some(der) = info.peer_certificates.first() {
            self.note(&match Certificate::from_der(der) {
                Ok(certificate) => {
                    let certificate = certificate.tbs_certificate();
                    format!(
                        "certificate of {}, by {}, until {}",
                        certificate.subject(),
                        certificate.issuer(),
                        certificate.validity().not_after
                    )
                }
                Err(_) => format!("certificate of {} bytes that is not understood", der.len()),
            });
        }
    }
}

impl Way {
    fn read(&mut self, mut bytes: &[u8], say: &mut dyn FnMut(&str)) {
        while !bytes.is_empty() {
            bytes = match self.reading {
                Reading::Head => self.head(bytes, say),
                Reading::Frame => self.frame(bytes, say),
                Reading::Payload(left) => {
                    let len = usize::try_from(left).map_or(bytes.len(), |it| it.min(bytes.len()));
                    self.reading = match left - len as u64 {
                        0 => Reading::Frame,
                        left => Reading::Payload(left),
                    };
                    &bytes[len..]
                }
                Reading::Other => {
                    say(&format!("[{} bytes]", bytes.len()));
                    &[]
                }
            };
        }
    }

    /// Takes from a head, and returns what is behind it.
    fn head<'b>(&mut self, bytes: &'b [u8], say: &mut dyn FnMut(&str)) -> &'b [u8] {
        let before = self.begun.len();
        self.begun.extend_from_slice(bytes);
        // No HTTP, as SOCKS is none.
        let strange = self
            .begun
            .first()
            .is_some_and(|byte| !byte.is_ascii_graphic());
        let Some(end) = find(&self.begun, b"\r\n\r\n") else {
            if strange || self.begun.len() > HEAD_LEN {
                say(&format!("[{} bytes]", self.begun.len()));
                self.begun.clear();
            }
            return &[];
        };
        let head = String::from_utf8_lossy(&self.begun[..end]).into_owned();
        for line in head.split("\r\n") {
            say(&terminal::harmless(&without_secret(line)).replace('\n', " "));
        }
        say("");
        self.begun.clear();
        let mut words = head.split(' ');
        self.reading = match (words.next(), words.next()) {
            (Some("CONNECT"), _) => Reading::Head,
            (Some("GET"), _) | (_, Some("101")) => Reading::Frame,
            (_, Some(status)) if status.starts_with('1') => Reading::Head,
            _ => Reading::Other,
        };
        &bytes[(end + 4).saturating_sub(before)..]
    }

    /// Takes from a frame's header, and from the payload of a Close; returns what is behind it.
    fn frame<'b>(&mut self, bytes: &'b [u8], say: &mut dyn FnMut(&str)) -> &'b [u8] {
        let before = self.begun.len();
        let wanted = (SHOWN_LEN - before).min(bytes.len());
        self.begun.extend_from_slice(&bytes[..wanted]);
        let (header, len) = match FrameHeader::decode(&self.begun) {
            Ok(None) => return &[],
            Ok(Some(decoded)) => decoded,
            Err(violation) => {
                say(&format!("no frame: {violation}"));
                self.begun.clear();
                self.reading = Reading::Other;
                return &[];
            }
        };
        let payload = &mut self.begun[len..];
        let shown = match header.opcode {
            Opcode::Close => header.payload_len,
            _ => 0,
        };
        let shown = usize::try_from(shown).unwrap_or(usize::MAX);
        let Some(payload) = payload.get_mut(..shown) else {
            return &[];
        };
        if let Some(mask) = header.mask {
            mask.apply(payload, 0);
        }
        say(&describe(&header, payload));
        self.begun.clear();
        self.reading = match header.payload_len - shown as u64 {
            0 => Reading::Frame,
            left => Reading::Payload(left),
        };
        &bytes[(len + shown).saturating_sub(before)..]
    }
}

fn describe(header: &FrameHeader, close: &[u8]) -> String {
    let opcode = match header.opcode {
        Opcode::Continuation => "continuation",
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Close => "close",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
    };
    let mut text = format!("frame {opcode} len={}", header.payload_len);
    for (flag, set) in [
        ("fin", header.fin),
        ("rsv1", header.rsv1),
        ("masked", header.mask.is_some()),
    ] {
        if set {
            text.push(' ');
            text.push_str(flag);
        }
    }
    if let Some((code, reason)) = close.split_first_chunk() {
        // Writing to a string cannot fail.
        let _ = write!(text, " code={}", u16::from_be_bytes(*code));
        if !reason.is_empty() {
            let _ = write!(text, " reason={:?}", String::from_utf8_lossy(reason));
        }
    }
    text
}

fn without_secret(line: &str) -> String {
    match line.split_once(':') {
        Some((name, _)) if SECRETS.iter().any(|it| name.eq_ignore_ascii_case(it)) => {
            format!("{name}: [not shown]")
        }
        _ => line.to_owned(),
    }
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    type Lines = Arc<Mutex<Vec<String>>>;

    fn narrator() -> (Narrator<impl Fn(Style, &str)>, Lines) {
        let lines = Lines::default();
        let ours = Arc::clone(&lines);
        let say = move |_, line: &str| ours.lock().unwrap().push(line.to_owned());
        (Narrator::new(say), lines)
    }

    fn told(traces: &[Trace<'_>]) -> Vec<String> {
        let (narrator, lines) = narrator();
        for trace in traces {
            narrator.tell(trace.clone());
        }
        let lines = lines.lock().unwrap();
        lines.clone()
    }

    const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: a\r\nCookie: id=7\r\n\r\n";
    const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

    #[test]
    fn heads_and_frames_however_they_are_cut() {
        let sent = [
            REQUEST,
            b"\x81\x82abcd\x09\x0b",
            b"\x88\x85\0\0\0\0\x03\xe8bye",
        ]
        .concat();
        let long = [b"\x02\x7e\x01\x00".as_slice(), &[0x88; 256]].concat();
        let received = [ANSWER, &long, b"\x80\0\x89\x01p\xc1\x01a\x88\0"].concat();
        let expected = [
            "> GET /a HTTP/1.1",
            "> Host: a",
            "> Cookie: [not shown]",
            ">",
            "> frame text len=2 fin masked",
            "> frame close len=5 fin masked code=1000 reason=\"bye\"",
            "< HTTP/1.1 101 Switching Protocols",
            "< Upgrade: websocket",
            "<",
            "< frame binary len=256",
            "< frame continuation len=0 fin",
            "< frame ping len=1 fin",
            "< frame text len=1 fin rsv1",
            "< frame close len=0 fin",
        ];
        for size in [1, 2, 3, 7, 64, 1000] {
            let mut traces = vec![Trace::Opening];
            traces.extend(sent.chunks(size).map(Trace::Sent));
            traces.extend(received.chunks(size).map(Trace::Received));
            assert_eq!(told(&traces), expected, "{size}");
        }
    }

    #[test]
    fn a_proxy_comes_before_the_server() {
        let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
        let lines = told(&[
            Trace::Sent(b"CONNECT a:80 HTTP/1.1\r\nProxy-Authorization: Basic eDp5\r\n\r\n"),
            Trace::Received(established),
            Trace::Opening,
            Trace::Sent(REQUEST),
            Trace::Received(ANSWER),
            Trace::Received(b"\x81\0"),
        ]);
        assert_eq!(lines[1], "> Proxy-Authorization: [not shown]");
        assert_eq!(lines[3], "< HTTP/1.1 200 Connection established");
        assert_eq!(lines[5], "> GET /a HTTP/1.1");
        assert_eq!(lines.last().unwrap(), "< frame text len=0 fin");
        let lines = told(&[
            Trace::Sent(b"\x05\x01\0"),
            Trace::Received(b"\x05\0"),
            Trace::Sent(b"\x05\x01\0\x03\x01a\0\x50"),
            Trace::Received(b"\x05\0\0\x01\0\0\0\0\0\0"),
            Trace::Opening,
            Trace::Sent(REQUEST),
        ]);
        let expected = ["> [3 bytes]", "< [2 bytes]", "> [8 bytes]", "< [10 bytes]"];
        assert_eq!(lines[..4], expected);
        assert_eq!(lines[4], "> GET /a HTTP/1.1");
    }

    #[test]
    fn strange_servers_are_shown_harmlessly_and_in_bounds() {
        let refusal = b"HTTP/1.1 404 \x1b[2J\r\nX: y\xff\r\n\r\nbody";
        let lines = told(&[Trace::Received(refusal)]);
        let expected = [
            "< HTTP/1.1 404 \\u{1b}[2J",
            "< X: y\u{fffd}",
            "<",
            "< [4 bytes]",
        ];
        assert_eq!(lines, expected);
        let lines = told(&[Trace::Received(ANSWER), Trace::Received(b"\x83\0rest")]);
        assert!(lines[3].starts_with("< no frame: "), "{lines:?}");
        let (narrator, lines) = narrator();
        for _ in 0..1000 {
            narrator.tell(Trace::Received(&[b'a'; 1000]));
        }
        assert!(narrator.ways.lock().unwrap().received.begun.len() <= HEAD_LEN + 1000);
        assert!(lines.lock().unwrap()[0].ends_with(" bytes]"));
    }
}
