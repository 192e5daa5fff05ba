//! The eight bytes that hixie-76 has behind the head of a handshake, as part of the request.
//!
//! Knows when they are due, not what they mean. Until they are there, the head counts as incomplete:
//! its deadline runs on, and an end of the stream cuts it.

use std::time::Instant;

use super::body::take_front;
use super::error::HttpError;
use super::request::Request;
use super::server::{Event, Intake, Server};
use crate::Bytes;
use crate::drafts::Version;

const CHALLENGE_LEN: u8 = 8;

/// How much of a challenge is missing behind a head that is complete, in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due(u8);

impl Due {
    /// Nobody looks for one.
    pub(super) const NEVER: Self = Self(u8::MAX);
    const NOTHING: Self = Self(0);

    pub(super) const fn is_due(self) -> bool {
        matches!(self.0, 1..=CHALLENGE_LEN)
    }
}

impl Request<'_> {
    pub(super) fn awaits_challenge(&self) -> bool {
        self.is_upgrade() && self.websocket_version() == Some(Version::Hixie76)
    }
}

impl Server {
    /// Whether to understand handshakes from before RFC 6455: that of hixie-76 is longer than its
    /// head. Off at first; to be set before the first byte.
    pub fn set_drafts(&mut self, on: bool) {
        self.challenge = if on { Due::NOTHING } else { Due::NEVER };
    }

    /// Keeps the head of a request until the challenge is there.
    pub(super) fn expect_challenge(&mut self, request: Request<'_>) {
        self.partial = request.into_head();
        self.challenge = Due(CHALLENGE_LEN);
    }

    pub(super) fn receive_challenge<'b>(
        &mut self,
        input: &mut &'b mut [u8],
        now: Instant,
    ) -> Result<Option<Event<'b>>, HttpError> {
        let Intake::Head(scanner) = self.intake else {
            return Ok(None);
        };
        let piece = take_front(input, usize::from(self.challenge.0));
        self.partial.extend_from_slice(piece);
        self.challenge.0 -= piece.len() as u8;
        if self.challenge.is_due() {
            return Ok(None);
        }
        let mut head = std::mem::take(&mut self.partial);
        let end = head.len().saturating_sub(usize::from(CHALLENGE_LEN));
        let challenge = head.split_off(end);
        let mut request = Request::from_head(Bytes::Owned(head), &scanner)?;
        request.challenge = challenge.try_into().ok();
        self.begin(&request, now);
        Ok(Some(Event::Request(request)))
    }
}
