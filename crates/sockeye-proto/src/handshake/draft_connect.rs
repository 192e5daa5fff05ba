//! The client's side of the handshakes from before RFC 6455.
//!
//! Knows what each version's request has besides, and how its answer proves that the server speaks
//! it. Deadlines, refusals and subprotocols are the same for all.

use ::http::header;

use super::challenge;
use super::connect::{ConnectRequest, write_extra, write_subprotocols};
use super::draft::{NONCE, ORIGIN};
use super::error::HandshakeError;
use super::key::hybi04_key;
use crate::Cx;
use crate::drafts::{Version, Wire};
use crate::http::{Reply, write_field};

/// What an old server's answer is judged by.
#[derive(Debug)]
pub(super) struct Expected {
    version: Version,
    /// As it stands in the request.
    key: String,
    challenge: challenge::Answer,
}

impl Expected {
    /// Writes the request. `key` is for the versions that have one.
    pub(super) fn begin(request: &ConnectRequest, key: &str, cx: &mut Cx<'_>) -> Self {
        let version = request.version;
        let challenge = match version {
            Version::Hixie76 => write_hixie(request, cx),
            _ => {
                write_hybi(request, key, cx.output);
                challenge::Answer::default()
            }
        };
        Self {
            version,
            key: key.to_owned(),
            challenge,
        }
    }

    /// How many bytes behind the head belong to the answer.
    pub(super) const fn behind_head(&self) -> usize {
        match self.version {
            Version::Hixie76 => size_of::<challenge::Answer>(),
            _ => 0,
        }
    }

    /// Whether Sec-WebSocket-Accept is to be judged.
    pub(super) fn has_accept(&self) -> bool {
        self.version != Version::Hixie76
    }

    /// Judges what is particular to the version.
    pub(super) fn judge(&self, reply: &Reply, behind: &[u8]) -> Result<Wire, HandshakeError> {
        match self.version {
            Version::Hixie76 if behind != self.challenge => Err(HandshakeError::ChallengeWrong),
            Version::Hybi04 => {
                let nonces: Vec<&[u8]> = reply.values(&NONCE).collect();
                match nonces[..] {
                    [nonce] if !nonce.is_empty() => Ok(Wire::new(
                        Version::Hybi04,
                        hybi04_key(self.key.as_bytes(), nonce),
                    )),
                    _ => Err(HandshakeError::NonceMissing),
                }
            }
            version => Ok(Wire::plain(version)),
        }
    }
}

fn write_hybi(request: &ConnectRequest, key: &str, output: &mut Vec<u8>) {
    write_line(request, output);
    write_field(&header::HOST, request.host.as_bytes(), output);
    output.extend_from_slice(b"Upgrade: websocket\r\nConnection: Upgrade\r\n");
    write_field(&header::SEC_WEBSOCKET_KEY, key.as_bytes(), output);
    if let Some(origin) = &request.origin {
        write_field(&ORIGIN, origin.as_bytes(), output);
    }
    write_subprotocols(request, output);
    let version = request.version.number().to_string();
    write_field(&header::SEC_WEBSOCKET_VERSION, version.as_bytes(), output);
    write_extra(request, output);
    output.extend_from_slice(b"\r\n");
}

/// Writes the request, with its challenge behind it, and returns what must answer that.
fn write_hixie(request: &ConnectRequest, cx: &mut Cx<'_>) -> challenge::Answer {
    let (first, first_number) = challenge::make_key(cx.shared);
    let (second, second_number) = challenge::make_key(cx.shared);
    let nonce = cx.shared.nonce();
    let (challenge, _) = nonce.split_first_chunk().unwrap_or((&[0; 8], &[]));
    let output = &mut *cx.output;
    write_line(request, output);
    output.extend_from_slice(b"Upgrade: WebSocket\r\nConnection: Upgrade\r\n");
    write_field(&header::HOST, request.host.as_bytes(), output);
    // The version knows no client that acts for nobody: its own host stands for it.
    let own = || format!("http://{}", request.host);
    let origin = request.origin.clone().unwrap_or_else(own);
    write_field(&header::ORIGIN, origin.as_bytes(), output);
    write_subprotocols(request, output);
    output.extend_from_slice(b"Sec-WebSocket-Key1: ");
    output.extend_from_slice(first.as_bytes());
    output.extend_from_slice(b"\r\nSec-WebSocket-Key2: ");
    output.extend_from_slice(second.as_bytes());
    output.extend_from_slice(b"\r\n");
    write_extra(request, output);
    output.extend_from_slice(b"\r\n");
    output.extend_from_slice(challenge);
    challenge::answer([first_number, second_number], *challenge)
}

fn write_line(request: &ConnectRequest, output: &mut Vec<u8>) {
    output.extend_from_slice(b"GET ");
    output.extend_from_slice(request.target.as_bytes());
    output.extend_from_slice(b" HTTP/1.1\r\n");
}
