//! The answering half of [`Server`]: heads, framing, bodies.
//!
//! Knows what the request allows of its answer and nothing of how it is read. Invariant: a misuse
//! writes nothing, so the peer never sees half of a decision.

use ::http::StatusCode;
use ::http::header::{self, HeaderValue};

use super::body::BodyReader;
use super::error::Misuse;
use super::request::Version;
use super::response::{BodyPlan, ResponseHead, write_decimal, write_field, write_status};
use super::server::{Answer, Intake, Server, Want};
use super::token::elements;
use crate::Cx;

impl Server {
    /// Writes the head of the answer, with Content-Length or Transfer-Encoding and Connection as
    /// needed. To HEAD, and with 204 or 304, there is never a body, whatever is planned and sent.
    /// A status 1xx is written at once, the answer is still due after it.
    ///
    /// # Errors
    /// [`Misuse::NoRequest`], [`Misuse::HeadWritten`], [`Misuse::SwitchingProtocols`]; nothing
    /// is written then.
    pub fn respond(
        &mut self,
        head: &ResponseHead,
        body: BodyPlan,
        cx: &mut Cx<'_>,
    ) -> Result<(), Misuse> {
        match self.answer {
            Answer::Due => {}
            Answer::None => return Err(Misuse::NoRequest),
            _ => return Err(Misuse::HeadWritten),
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Misuse::SwitchingProtocols);
        }
        if head.status.is_informational() {
            // RFC 9110 §15.2: not to be sent to an HTTP/1.0 client.
            if self.version == Version::Http11 {
                write_status(head.status, cx.output);
                self.write_headers(head, cx.output);
                cx.output.extend_from_slice(b"\r\n");
            }
            return Ok(());
        }
        self.decide_closing(head);
        if matches!(self.intake, Intake::Discard) {
            self.deadline = None;
        }
        write_status(head.status, cx.output);
        self.write_headers(head, cx.output);
        self.answer = self.write_framing(head.status, body, cx.output);
        self.write_connection(head, cx.output);
        cx.output.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn decide_closing(&mut self, head: &ResponseHead) {
        let asked = connection_options(head).any(|option| option.eq_ignore_ascii_case(b"close"));
        // RFC 9110 §10.1.1: a client whose expectation was not met may send the body or not, so
        // nobody knows what comes next.
        let unread = match &self.intake {
            Intake::Body(BodyReader::Known(len), Want::No { dropped }) => {
                dropped.saturating_add(*len) > self.limits().unwanted_body_len
                    || self.expects_continue
            }
            Intake::Body(_, Want::No { .. }) => self.expects_continue,
            Intake::Body(_, Want::TooLong) | Intake::Discard => true,
            Intake::Body(_, Want::Yes) | Intake::Rest { .. } | Intake::Head(_) => false,
        };
        self.closing |= asked || unread;
    }

    /// All headers but those that this machine decides on.
    fn write_headers(&self, head: &ResponseHead, output: &mut Vec<u8>) {
        let ours = [
            header::CONNECTION,
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
        ];
        for (name, value) in &head.headers {
            if !ours.contains(name) {
                write_field(name, value.as_bytes(), output);
            }
        }
    }

    fn write_framing(&mut self, status: StatusCode, body: BodyPlan, out: &mut Vec<u8>) -> Answer {
        if matches!(status.as_u16(), 204 | 304) {
            return Answer::Bodyless;
        }
        let answer = match body {
            BodyPlan::None => Answer::Known(0),
            BodyPlan::Known(len) => Answer::Known(len),
            BodyPlan::Stream if self.version == Version::Http11 => Answer::Chunked,
            BodyPlan::Stream => Answer::UntilClose,
        };
        if let Answer::Known(len) = answer {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(len, out);
            out.extend_from_slice(b"\r\n");
        }
        if self.head_request {
            return Answer::Bodyless;
        }
        match answer {
            Answer::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
            Answer::UntilClose => self.closing = true,
            _ => {}
        }
        answer
    }

    /// RFC 9112 §9.3 and §9.6, beside what the caller says of its own.
    fn write_connection(&self, head: &ResponseHead, output: &mut Vec<u8>) {
        let ours: Option<&[u8]> = match (self.closing, self.version) {
            (true, _) => Some(b"close"),
            (false, Version::Http10) => Some(b"keep-alive"),
            (false, Version::Http11) => None,
        };
        let theirs = connection_options(head).filter(|option| {
            !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
        });
        let mut lead: &[u8] = b"Connection: ";
        for option in theirs.chain(ours) {
            output.extend_from_slice(lead);
            output.extend_from_slice(option);
            lead = b", ";
        }
        if lead == b", " {
            output.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the next bytes of the answer's body. For an answer that has no body (to HEAD, 204,
    /// 304) they are dropped, so that a caller need not know.
    ///
    /// # Errors
    /// [`Misuse::BodyTooLong`] beyond what was announced, [`Misuse::NoHead`] before
    /// [`respond`](Self::respond); nothing is written then.
    pub fn send_body(&mut self, data: &[u8], cx: &mut Cx<'_>) -> Result<(), Misuse> {
        match &mut self.answer {
            Answer::None => return Err(Misuse::NoRequest),
            Answer::Due => return Err(Misuse::NoHead),
            Answer::Known(left) => {
                *left = left
                    .checked_sub(data.len() as u64)
                    .ok_or(Misuse::BodyTooLong)?;
                cx.output.extend_from_slice(data);
            }
            // An empty chunk would be the last one.
            Answer::Chunked if data.is_empty() => {}
            Answer::Chunked => {
                write_chunk_size(data.len(), cx.output);
                cx.output.extend_from_slice(data);
                cx.output.extend_from_slice(b"\r\n");
            }
            Answer::UntilClose => cx.output.extend_from_slice(data),
            Answer::Bodyless => {}
        }
        Ok(())
    }

    /// Ends the answer. Then the next request may be read: call [`receive`](Self::receive) with
    /// what is left of the input.
    ///
    /// # Errors
    /// [`Misuse::BodyTooShort`]: less was sent than announced, so the connection ends;
    /// [`Misuse::NoHead`] before [`respond`](Self::respond).
    pub fn finish(&mut self, cx: &mut Cx<'_>) -> Result<(), Misuse> {
        match self.answer {
            Answer::None => return Err(Misuse::NoRequest),
            Answer::Due => return Err(Misuse::NoHead),
            Answer::Known(1..) => {
                self.abort();
                return Err(Misuse::BodyTooShort);
            }
            Answer::Chunked => cx.output.extend_from_slice(b"0\r\n\r\n"),
            Answer::Known(0) | Answer::UntilClose | Answer::Bodyless => {}
        }
        self.answer = Answer::None;
        if self.closing {
            self.linger(cx.now);
            return Ok(());
        }
        let limits = &self.config.limits;
        match &mut self.intake {
            Intake::Rest { .. } => self.next_request(cx.now),
            Intake::Body(reader, want) => {
                if *want == Want::Yes {
                    *want = Want::No { dropped: 0 };
                    if let BodyReader::Chunked(chunks) = reader {
                        chunks.set_allowance(u64::MAX);
                    }
                    self.deadline = cx.now.checked_add(limits.unwanted_body_timeout);
                }
                let too_long = match reader {
                    BodyReader::Known(len) => *len > limits.unwanted_body_len,
                    BodyReader::Chunked(_) | BodyReader::UntilClose => false,
                };
                if too_long || *want == Want::TooLong {
                    self.linger(cx.now);
                }
            }
            Intake::Head(_) | Intake::Discard => self.linger(cx.now),
        }
        Ok(())
    }
}

fn connection_options(head: &ResponseHead) -> impl Iterator<Item = &[u8]> {
    head.headers
        .get_all(header::CONNECTION)
        .iter()
        .map(HeaderValue::as_bytes)
        .flat_map(elements)
}

/// RFC 9112 §7.1.
fn write_chunk_size(len: usize, output: &mut Vec<u8>) {
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1);
    for index in (0..digits).rev() {
        let digit = (len >> (index * 4)) as u32 & 0xf;
        output.push(char::from_digit(digit, 16).map_or(b'0', |digit| digit as u8));
    }
    output.extend_from_slice(b"\r\n");
}
