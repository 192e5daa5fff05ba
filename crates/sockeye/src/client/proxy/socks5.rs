//! SOCKS5 (RFC 1928) with a user name and password (RFC 1929), or without.
//!
//! ```text
//! greeting ──▶ method ──▶ (user and password ──▶ verdict) ──▶ request ──▶ reply
//! ```
//! Every answer has a length that its first bytes tell; none is longer than 262 bytes.

use std::net::IpAddr;

use super::{ProxyError, SocksReply};
use crate::client::credentials::Credentials;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

#[derive(Debug)]
pub(crate) struct Socks5 {
    state: State,
    credentials: Option<Credentials>,
    request: Vec<u8>,
    /// The answer that is due, as far as it came.
    answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Method,
    Verdict,
    Reply,
    Open,
}

/// Whether SOCKS5 can carry these.
pub(super) fn check(credentials: &Credentials) -> Result<(), &'static str> {
    let fits = |text: &str| (1..=255).contains(&text.len());
    match fits(&credentials.user) && fits(&credentials.password) {
        true => Ok(()),
        false => Err("SOCKS5 takes user names and passwords of 1 to 255 bytes (RFC 1929 §2)"),
    }
}

impl Socks5 {
    pub(super) fn new(
        host: &str,
        port: u16,
        credentials: Option<&Credentials>,
        output: &mut Vec<u8>,
    ) -> Result<Self, ProxyError> {
        let mut request = vec![VERSION, CONNECT, 0];
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        match bare.unwrap_or(host).parse() {
            Ok(IpAddr::V4(address)) => {
                request.push(IPV4);
                request.extend_from_slice(&address.octets());
            }
            Ok(IpAddr::V6(address)) => {
                request.push(IPV6);
                request.extend_from_slice(&address.octets());
            }
            Err(_) => {
                let len = u8::try_from(host.len()).map_err(|_| ProxyError::NameTooLong)?;
                request.extend_from_slice(&[NAME, len]);
                request.extend_from_slice(host.as_bytes());
            }
        }
        request.extend_from_slice(&port.to_be_bytes());
        if credentials.is_some_and(|credentials| check(credentials).is_err()) {
            return Err(ProxyError::Credentials);
        }
        match credentials {
            None => output.extend_from_slice(&[VERSION, 1, NO_AUTHENTICATION]),
            Some(_) => output.extend_from_slice(&[VERSION, 2, NO_AUTHENTICATION, PASSWORD]),
        }
        Ok(Self {
            state: State::Method,
            credentials: credentials.cloned(),
            request,
            answer: Vec::new(),
        })
    }

    pub(super) fn receive(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<bool, ProxyError> {
        for &byte in input {
            if self.state == State::Open {
                return Err(ProxyError::EarlyData);
            }
            self.answer.push(byte);
            if self.is_complete()? {
                self.answered(output)?;
                self.answer.clear();
            }
        }
        Ok(self.state == State::Open)
    }

    /// Whether the answer is there. What cannot become one is an error at its first wrong byte.
    fn is_complete(&self) -> Result<bool, ProxyError> {
        let len = match (self.state, &self.answer[..]) {
            (State::Verdict, [version, ..]) if *version != 1 => return Err(ProxyError::NotSocks5),
            (State::Method | State::Reply, [version, ..]) if *version != VERSION => {
                return Err(ProxyError::NotSocks5);
            }
            (State::Method | State::Verdict, _) => 2,
            // Some proxies send nothing behind the code of a refusal.
            (State::Reply, [_, code, ..]) if *code != 0 => {
                return Err(ProxyError::Reply(SocksReply::from_code(*code)));
            }
            (State::Reply, [_, _, reserved, ..]) if *reserved != 0 => {
                return Err(ProxyError::NotSocks5);
            }
            (State::Reply, [_, _, _, kind, rest @ ..]) => match (*kind, rest) {
                (IPV4, _) => 10,
                (IPV6, _) => 22,
                (NAME, [len, ..]) => 7 + usize::from(*len),
                (NAME, []) => 7,
                _ => return Err(ProxyError::NotSocks5),
            },
            (State::Reply | State::Open, _) => 10,
        };
        Ok(self.answer.len() >= len)
    }

    fn answered(&mut self, output: &mut Vec<u8>) -> Result<(), ProxyError> {
        let [_, code, ..] = self.answer[..] else {
            return Err(ProxyError::NotSocks5);
        };
        self.state = match (self.state, code, &self.credentials) {
            (State::Method, PASSWORD, Some(Credentials { user, password })) => {
                output.push(1);
                for text in [user, password] {
                    // `new` has checked that it fits.
                    output.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
                    output.extend_from_slice(text.as_bytes());
                }
                State::Verdict
            }
            (State::Method, NO_AUTHENTICATION, _) | (State::Verdict, 0, _) => {
                output.extend_from_slice(&self.request);
                State::Reply
            }
            (State::Method, _, _) => return Err(ProxyError::NoMethod),
            (State::Verdict, _, _) => return Err(ProxyError::Credentials),
            (State::Reply | State::Open, _, _) => State::Open,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            user: "me".to_owned(),
            password: "pw".to_owned(),
        }
    }

    /// What comes of the proxy's bytes and what is written: the same however they are cut.
    fn talk(
        host: &str,
        credentials: Option<&Credentials>,
        from_proxy: &[u8],
    ) -> (Result<bool, ProxyError>, Vec<u8>) {
        let run = |parts: &[&[u8]]| {
            let mut output = Vec::new();
            let mut machine = Socks5::new(host, 258, credentials, &mut output).unwrap();
            let mut last = Ok(false);
            for part in parts {
                last = machine.receive(part, &mut output);
                if last.is_err() {
                    break;
                }
            }
            (last, output)
        };
        let whole = run(&[from_proxy]);
        for at in 0..from_proxy.len() {
            assert_eq!(
                run(&[&from_proxy[..at], &from_proxy[at..]]),
                whole,
                "cut at {at}"
            );
        }
        assert_eq!(run(&from_proxy.chunks(1).collect::<Vec<_>>()).0, whole.0);
        whole
    }

    #[test]
    fn through() {
        let ipv4 = [5, 0, 0, 1, 127, 0, 0, 1, 1, 2];
        let ipv6 = [[5, 0, 0, 4].as_slice(), &[0; 18]].concat();
        let name = [5, 0, 0, 3, 2, b'x', b'y', 1, 2];
        let empty_name = [5, 0, 0, 3, 0, 1, 2];
        for reply in [&ipv4[..], &ipv6, &name, &empty_name] {
            let (outcome, output) = talk("a.b", None, &[&[5, 0], reply].concat());
            assert_eq!(outcome, Ok(true));
            assert_eq!(output, b"\x05\x01\x00\x05\x01\x00\x03\x03a.b\x01\x02");
            let short = [&[5, 0], &reply[..reply.len() - 1]].concat();
            assert_eq!(talk("a.b", None, &short).0, Ok(false));
            let glued = [&[5, 0], reply, b"x"].concat();
            assert_eq!(talk("a.b", None, &glued).0, Err(ProxyError::EarlyData));
        }
    }

    #[test]
    fn addresses_are_sent_as_such() {
        let (_, output) = talk("10.0.0.1", None, &[5, 0]);
        assert_eq!(output[3..], [5, 1, 0, 1, 10, 0, 0, 1, 1, 2]);
        let (_, output) = talk("[::1]", None, &[5, 0]);
        let expected = [[5, 1, 0, 4].as_slice(), &[0; 15], &[1, 1, 2]].concat();
        assert_eq!(output[3..], expected);
    }

    #[test]
    fn user_and_password() {
        let me = credentials();
        let (outcome, output) = talk("a", Some(&me), &[5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(outcome, Ok(true));
        assert_eq!(
            output,
            b"\x05\x02\x00\x02\x01\x02me\x02pw\x05\x01\x00\x03\x01a\x01\x02"
        );
        let (_, output) = talk("a", Some(&me), &[5, 0]);
        assert!(
            !output.contains(&b'w'),
            "a password that nobody wants is not sent"
        );
    }

    #[test]
    fn refusals() {
        let me = credentials();
        for (from_proxy, credentials, expected) in [
            (&[5, 0xff][..], None, ProxyError::NoMethod),
            (&[5, 0xff], Some(&me), ProxyError::NoMethod),
            (&[5, 2], None, ProxyError::NoMethod),
            (&[5, 1], Some(&me), ProxyError::NoMethod),
            (&[5, 2, 1, 1], Some(&me), ProxyError::Credentials),
            (&[5, 2, 5, 0], Some(&me), ProxyError::NotSocks5),
            (b"HTTP/1.1 400", None, ProxyError::NotSocks5),
            (&[4, 0], None, ProxyError::NotSocks5),
            (&[5, 0, 0, 90], None, ProxyError::NotSocks5),
            (&[5, 0, 5, 0, 1, 1], None, ProxyError::NotSocks5),
            (&[5, 0, 5, 0, 0, 2], None, ProxyError::NotSocks5),
        ] {
            assert_eq!(
                talk("a", credentials, from_proxy).0,
                Err(expected),
                "{from_proxy:?}"
            );
        }
        for code in 1..=255 {
            let expected = Err(ProxyError::Reply(SocksReply::from_code(code)));
            assert_eq!(talk("a", None, &[5, 0, 5, code]).0, expected);
        }
    }

    #[test]
    fn names_are_bounded() {
        let begin = |len| Socks5::new(&"n".repeat(len), 1, None, &mut Vec::new()).map(drop);
        assert_eq!(begin(255), Ok(()));
        assert_eq!(begin(256), Err(ProxyError::NameTooLong));
        let long = Credentials {
            user: "u".repeat(256),
            ..credentials()
        };
        assert!(check(&long).is_err());
    }
}
