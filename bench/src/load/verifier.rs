//! Checks that what a server sends is the echo of what was sent, in order, byte for byte.
//!
//! Frames may be cut anywhere by the stream, and messages into fragments by the server. Pings are
//! answered.

use crate::deflate::Inflater;
use crate::frame::{self, Head};
use crate::script::Script;

#[derive(Debug)]
pub(crate) struct Verifier {
    /// Which message is expected, and how much of it has come.
    message: usize,
    offset: usize,
    /// Its first frame has come.
    begun: bool,
    /// The beginning of a head whose rest has not come.
    partial: Vec<u8>,
    /// A frame whose payload has not come, and how much is missing.
    frame: Option<(Head, usize)>,
    control: Vec<u8>,
    /// If compression was agreed on.
    inflater: Option<Inflater>,
    /// The message that comes is compressed; what has come of it, and room for it inflated.
    is_packed: bool,
    packed: Vec<u8>,
    data: Vec<u8>,
    /// Bytes of payload of all messages, as they came.
    received: u64,
}

impl Verifier {
    /// The first echo is to be that of this message of the script.
    pub(crate) fn new(script: &Script, message: usize) -> Self {
        Self {
            inflater: Inflater::new(script.deflate()),
            is_packed: false,
            packed: Vec::new(),
            data: Vec::new(),
            received: 0,
            message,
            offset: 0,
            begun: false,
            partial: Vec::new(),
            frame: None,
            control: Vec::new(),
        }
    }

    /// Takes what the server sent. Returns how many messages became complete; what has to be
    /// answered is appended to `answer`.
    ///
    /// # Errors
    ///
    /// What the server did wrong.
    pub(crate) fn receive(
        &mut self,
        script: &Script,
        mut input: &[u8],
        answer: &mut Vec<u8>,
    ) -> Result<usize, String> {
        let mut complete = 0;
        while let Some((head, remaining)) = self.next_frame(&mut input, script)? {
            let len = remaining.min(input.len());
            let (data, rest) = input.split_at(len);
            input = rest;
            self.payload(&head, data, script)?;
            if len < remaining {
                self.frame = Some((head, remaining - len));
                break;
            }
            match head.opcode {
                frame::CLOSE => return Err(self.closed()),
                frame::PING => frame::write(answer, frame::PONG, &self.control, [1, 2, 3, 4]),
                frame::PONG => {}
                _ if head.last => {
                    self.unpack(script)?;
                    if self.offset < script.payload(self.message).len() {
                        return Err("cut a message short".to_owned());
                    }
                    self.message += 1;
                    self.offset = 0;
                    self.begun = false;
                    complete += 1;
                }
                _ => {}
            }
        }
        Ok(complete)
    }

    fn next_frame(
        &mut self,
        input: &mut &[u8],
        script: &Script,
    ) -> Result<Option<(Head, usize)>, String> {
        if let Some(frame) = self.frame.take() {
            return Ok(Some(frame));
        }
        let before = self.partial.len();
        let head = if before == 0 {
            Head::read(input)?
        } else {
            let missing = (Head::MAX_LEN - before).min(input.len());
            self.partial.extend_from_slice(&input[..missing]);
            Head::read(&self.partial)?
        };
        let Some(head) = head else {
            if before == 0 {
                self.partial.extend_from_slice(input);
            }
            return Ok(None);
        };
        *input = &input[head.len - before..];
        self.partial.clear();
        let expected = match head.opcode {
            frame::CLOSE | frame::PING | frame::PONG => {
                self.control.clear();
                head.opcode
            }
            _ if self.begun => frame::CONTINUATION,
            _ => script.opcode(),
        };
        if head.opcode != expected {
            let opcode = head.opcode;
            return Err(format!("sent opcode {opcode} where {expected} was due"));
        }
        if head.rsv1 && (self.inflater.is_none() || head.opcode != script.opcode()) {
            return Err("set a reserved bit".to_owned());
        }
        if head.opcode < frame::CLOSE {
            self.is_packed |= head.rsv1;
            self.begun = true;
        }
        let len = usize::try_from(head.payload_len).unwrap_or(usize::MAX);
        Ok(Some((head, len)))
    }

    fn payload(&mut self, head: &Head, data: &[u8], script: &Script) -> Result<(), String> {
        if head.opcode >= frame::CLOSE {
            self.control.extend_from_slice(data);
            return Ok(());
        }
        self.received += data.len() as u64;
        if self.is_packed {
            self.packed.extend_from_slice(data);
            return Ok(());
        }
        let end = self.offset + data.len();
        if script.payload(self.message).get(self.offset..end) != Some(data) {
            return Err("echoed something else".to_owned());
        }
        self.offset = end;
        Ok(())
    }

    /// Checks a message that is compressed, now that all of it is there.
    fn unpack(&mut self, script: &Script) -> Result<(), String> {
        let Some(inflater) = self.inflater.as_mut().filter(|_| self.is_packed) else {
            return Ok(());
        };
        let expected = script.payload(self.message);
        inflater.message(&mut self.packed, expected.len(), &mut self.data)?;
        self.packed.clear();
        self.is_packed = false;
        if self.data != expected {
            return Err("echoed something else".to_owned());
        }
        self.offset = expected.len();
        Ok(())
    }

    /// Bytes of payload that came so far, compressed as they came.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    fn closed(&self) -> String {
        match self.control[..] {
            [high, low, ..] => format!("closed with {}", u16::from_be_bytes([high, low])),
            _ => "closed without a code".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::{Deflate, deflated};
    use crate::frame::Kind;

    fn sent_by_server(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame::write(&mut frame, first & 15, payload, [0; 4]);
        let head = frame.len() - payload.len() - 4;
        frame[0] = first;
        frame[1] &= 0x7f;
        frame.drain(head..head + 4);
        frame
    }

    fn echoes(script: &Script) -> Vec<u8> {
        let mut stream = sent_by_server(0x82, script.payload(1));
        let payload = script.payload(2);
        stream.extend(sent_by_server(0x02, &payload[..7]));
        stream.extend(sent_by_server(0x89, b"ping"));
        stream.extend(sent_by_server(0x00, &payload[7..7]));
        stream.extend(sent_by_server(0x80, &payload[7..]));
        stream.extend(sent_by_server(0x82, script.payload(3)));
        stream
    }

    #[test]
    fn echoes_are_counted_wherever_they_are_cut() {
        let script = Script::new(Kind::Binary, 300, Deflate::Off);
        let stream = echoes(&script);
        let mut pong = Vec::new();
        frame::write(&mut pong, frame::PONG, b"ping", [1, 2, 3, 4]);
        for step in 1..=stream.len() {
            let mut verifier = Verifier::new(&script, 1);
            let mut answer = Vec::new();
            let complete: usize = stream
                .chunks(step)
                .map(|piece| verifier.receive(&script, piece, &mut answer).unwrap())
                .sum();
            assert_eq!(complete, 3, "{step}");
            assert_eq!(answer, pong, "{step}");
        }
    }

    #[test]
    fn every_wrong_byte_is_seen() {
        let script = Script::new(Kind::Binary, 20, Deflate::Off);
        let right = sent_by_server(0x82, script.payload(0));
        for index in 0..right.len() {
            let mut wrong = right.clone();
            wrong[index] ^= 0x41;
            let mut verifier = Verifier::new(&script, 0);
            let outcome = verifier.receive(&script, &wrong, &mut Vec::new());
            assert_ne!(outcome, Ok(1), "{index}");
        }
        let other = sent_by_server(0x82, script.payload(1));
        let outcome = Verifier::new(&script, 0).receive(&script, &other, &mut Vec::new());
        assert_eq!(outcome, Err("echoed something else".to_owned()));
    }

    #[test]
    fn compressed_echoes_are_inflated_wherever_they_are_cut() {
        let script = Script::new(Kind::Json, 300, Deflate::Pooled);
        let mut stream = sent_by_server(0xc1, &deflated(script.payload(1)));
        let packed = deflated(script.payload(2));
        stream.extend(sent_by_server(0x41, &packed[..7]));
        stream.extend(sent_by_server(0x89, b"ping"));
        stream.extend(sent_by_server(0x80, &packed[7..]));
        // One that was not worth it.
        stream.extend(sent_by_server(0x81, script.payload(3)));
        for step in 1..=stream.len() {
            let mut verifier = Verifier::new(&script, 1);
            let complete: usize = stream
                .chunks(step)
                .map(|piece| verifier.receive(&script, piece, &mut Vec::new()).unwrap())
                .sum();
            assert_eq!(complete, 3, "{step}");
        }
        let wrong = sent_by_server(0xc1, &deflated(script.payload(2)));
        let outcome = Verifier::new(&script, 1).receive(&script, &wrong, &mut Vec::new());
        assert_eq!(outcome, Err("echoed something else".to_owned()));
        let plain = Script::new(Kind::Json, 300, Deflate::Off);
        let outcome = Verifier::new(&plain, 2).receive(&plain, &wrong, &mut Vec::new());
        assert_eq!(outcome, Err("set a reserved bit".to_owned()));
    }

    #[test]
    fn a_close_is_told() {
        let script = Script::new(Kind::Text, 20, Deflate::Off);
        let close = sent_by_server(0x88, &1001_u16.to_be_bytes());
        let outcome = Verifier::new(&script, 0).receive(&script, &close, &mut Vec::new());
        assert_eq!(outcome, Err("closed with 1001".to_owned()));
    }
}
