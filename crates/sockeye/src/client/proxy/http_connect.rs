//! HTTP CONNECT (RFC 9110 §9.3.6).
//!
//! Invariants: the head of the answer is bounded and searched only once, however it is cut; behind
//! it nothing may come, since the server speaks only when asked.

use http::StatusCode;
use sockeye_proto::Limits;

use super::ProxyError;
use crate::client::credentials::Credentials;

#[derive(Debug)]
pub(crate) struct HttpConnect {
    /// The answer as far as it came.
    head: Vec<u8>,
    head_len: usize,
    header_count: usize,
}

impl HttpConnect {
    pub(super) fn new(
        host: &str,
        port: u16,
        credentials: Option<&Credentials>,
        limits: &Limits,
        output: &mut Vec<u8>,
    ) -> Result<Self, ProxyError> {
        let request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
        output.extend_from_slice(request.as_bytes());
        if let Some(credentials) = credentials {
            let value = credentials.basic().map_err(|_| ProxyError::Credentials)?;
            output.extend_from_slice(b"Proxy-Authorization: ");
            output.extend_from_slice(value.as_bytes());
            output.extend_from_slice(b"\r\n");
        }
        output.extend_from_slice(b"\r\n");
        Ok(Self {
            head: Vec::new(),
            head_len: limits.request_head_len,
            header_count: limits.header_count,
        })
    }

    pub(super) fn receive(&mut self, mut input: &[u8]) -> Result<bool, ProxyError> {
        while let Some((&byte, rest)) = input.split_first() {
            input = rest;
            if self.head.len() >= self.head_len {
                return Err(ProxyError::HeadTooLong);
            }
            self.head.push(byte);
            // What does not begin so will never be an answer, however much of it may come.
            let begin = b"HTTP/1.";
            let seen = self.head.len().min(begin.len());
            if self.head[..seen] != begin[..seen] {
                return Err(ProxyError::NotHttp);
            }
            if byte != b'\n' || !(self.head.ends_with(b"\n\r\n") || self.head.ends_with(b"\n\n")) {
                continue;
            }
            let status = self.status()?;
            // All interim answers share the bound.
            self.head_len = self.head_len.saturating_sub(self.head.len());
            self.head.clear();
            // RFC 9110 §9.3.6: the tunnel begins right behind the head, whatever it says about a
            // body.
            match status.as_u16() {
                100..200 => {}
                200..300 if input.is_empty() => return Ok(true),
                200..300 => return Err(ProxyError::EarlyData),
                _ => return Err(ProxyError::Status(status)),
            }
        }
        Ok(false)
    }

    fn status(&self) -> Result<StatusCode, ProxyError> {
        let mut headers = vec![httparse::EMPTY_HEADER; self.header_count];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&self.head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(ProxyError::HeadTooLong),
            _ => return Err(ProxyError::NotHttp),
        }
        let code = response.code.ok_or(ProxyError::NotHttp)?;
        StatusCode::from_u16(code).map_err(|_| ProxyError::NotHttp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(limits: &Limits, credentials: Option<&Credentials>) -> (HttpConnect, String) {
        let mut output = Vec::new();
        let machine = HttpConnect::new("a.test", 81, credentials, limits, &mut output).unwrap();
        (machine, String::from_utf8(output).unwrap())
    }

    /// The outcome, which must be the same at whatever byte the answer is cut, and byte by byte.
    fn outcome(answer: &[u8]) -> Result<bool, ProxyError> {
        let limits = Limits::default();
        let run = |cuts: &[&[u8]]| {
            let (mut machine, _) = begin(&limits, None);
            let mut last = Ok(false);
            for part in cuts {
                last = machine.receive(part);
                if last != Ok(false) {
                    break;
                }
            }
            last
        };
        let whole = run(&[answer]);
        if whole != Err(ProxyError::EarlyData) {
            for at in 0..answer.len() {
                assert_eq!(run(&[&answer[..at], &answer[at..]]), whole, "cut at {at}");
            }
            assert_eq!(run(&answer.chunks(1).collect::<Vec<_>>()), whole);
        }
        whole
    }

    #[test]
    fn the_request() {
        let credentials = Credentials {
            user: "Aladdin".to_owned(),
            password: "open sesame".to_owned(),
        };
        let (_, request) = begin(&Limits::default(), Some(&credentials));
        let expected = "CONNECT a.test:81 HTTP/1.1\r\nHost: a.test:81\r\nProxy-Authorization: \
            Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert_eq!(request, expected);
    }

    #[test]
    fn answers() {
        let status = |code| Err(ProxyError::Status(StatusCode::from_u16(code).unwrap()));
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(true)),
            (
                "HTTP/1.0 200 Connection established\r\nProxy-Agent: x\r\n\r\n",
                Ok(true),
            ),
            ("HTTP/1.1 200\r\n\r\n", Ok(true)),
            ("HTTP/1.1 204 \r\nContent-Length: 9\r\n\r\n", Ok(true)),
            ("HTTP/1.1 200 OK\nX: y\n\n", Ok(true)),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                Ok(true),
            ),
            (
                "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 1\r\n\r\n",
                status(407),
            ),
            ("HTTP/1.1 502 Bad Gateway\r\n\r\n", status(502)),
            ("HTTP/1.1 301 Moved\r\nLocation: x\r\n\r\n", status(301)),
            ("HTTP/1.1 200 OK\r\n\r\nx", Err(ProxyError::EarlyData)),
            ("HTTP/2 200 OK\r\n\r\n", Err(ProxyError::NotHttp)),
            ("SSH-2.0-x\r\n", Err(ProxyError::NotHttp)),
            ("\x05\x00", Err(ProxyError::NotHttp)),
            ("HTTP/1.1 2x0 OK\r\n\r\n", Err(ProxyError::NotHttp)),
            ("HTTP/1.1 000 OK\r\n\r\n", Err(ProxyError::NotHttp)),
            (
                "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
                Err(ProxyError::NotHttp),
            ),
            ("HTTP/1.1 200 OK\r\nX: y\r\n", Ok(false)),
        ] {
            assert_eq!(outcome(answer.as_bytes()), expected, "{answer:?}");
        }
    }

    #[test]
    fn the_head_is_bounded() {
        let limits = Limits {
            request_head_len: 40,
            header_count: 2,
            ..Limits::default()
        };
        let answer =
            |filling: usize| format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(filling));
        let run = |answer: &str| begin(&limits, None).0.receive(answer.as_bytes());
        assert_eq!(answer(16).len(), 40);
        assert_eq!(run(&answer(16)), Ok(true));
        assert_eq!(run(&answer(17)), Err(ProxyError::HeadTooLong));
        assert_eq!(run("HTTP/1.1 200 OK\r\na:\r\nb:\r\n\r\n"), Ok(true));
        assert_eq!(
            run("HTTP/1.1 200 OK\r\na:\r\nb:\r\nc:\r\n\r\n"),
            Err(ProxyError::HeadTooLong)
        );
        let interim = "HTTP/1.1 100 C\r\n\r\n".repeat(100);
        assert_eq!(run(&interim), Err(ProxyError::HeadTooLong));
    }
}
