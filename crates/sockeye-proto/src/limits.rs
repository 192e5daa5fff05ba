//! Every bound of the library in one place, with safe defaults.
//!
//! A limit is data: nothing here acts. Each field says its unit, its default, and what happens to
//! a peer that goes beyond. [`Limits::check`] finds settings that contradict each other.

use std::fmt;
use std::time::Duration;

/// The bounds of connections, machines and the engine.
///
/// ```
/// use sockeye_proto::Limits;
/// let limits = Limits { message_len: 1024 * 1024, ..Limits::default() };
/// assert!(limits.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head (request line and headers), or of the head of an answer to a
    /// client. Default 16 KiB. Beyond: 431 and close; a client gives up. (RFC 6585 §5)
    pub request_head_len: usize,
    /// Bytes of a request target. Default 8 KiB. Beyond: 414 and close. (RFC 9112 §3 wants at
    /// least 8000)
    pub request_target_len: usize,
    /// Header lines of a head. Default 100. Beyond: 431 and close; a client gives up.
    pub header_count: usize,
    /// Time from the accepted connection to the end of the first request head, TLS included;
    /// arriving bytes do not extend it. Default 10 s. Beyond: 408 if some bytes came, then close.
    pub handshake_timeout: Duration,
    /// Time an HTTP connection may rest between an answer and the next request. Default 15 s.
    /// Beyond: closed without a word.
    pub keep_alive_timeout: Duration,
    /// Bytes of a request body that nobody wants which are read to keep the connection usable.
    /// Default 64 KiB. Beyond: the connection is closed behind the answer.
    pub unwanted_body_len: u64,
    /// Time such a body may take. Default 5 s. Beyond: the connection is closed.
    pub unwanted_body_timeout: Duration,
    /// Time in which a request body that is wanted must make progress, and in which it must arrive
    /// unless it keeps to `request_body_rate`. Default 10 s. Beyond: 408 and close.
    pub request_body_timeout: Duration,
    /// Bytes a second at which a wanted request body must come on the whole. Default 500, as
    /// Apache's `mod_reqtimeout` has it. Slower: 408 and close.
    pub request_body_rate: u32,
    /// Bytes of a message that is delivered whole, the sum of its fragments. Default 16 MiB.
    /// Beyond: close 1009, told by the frame header, before the payload is read. A streamed
    /// message has no bound. (RFC 6455 §7.4.1, §10.4)
    pub message_len: usize,
    /// Bytes of one frame of a message that is delivered whole. Default 16 MiB. Beyond: close
    /// 1009, as above.
    pub frame_len: u64,
    /// Frames of a message that is delivered whole, empty ones included. Default 131 072 (Autobahn
    /// sends 65 536). Beyond: close 1008.
    pub fragment_count: u32,
    /// Bytes read from one connection in one turn of the engine. Default 512 KiB. The rest waits
    /// for the next turn, so that a busy peer delays nobody.
    pub read_per_turn: usize,
    /// Bytes of waiting output above which a server reads nothing more from that peer. Default
    /// 1 MiB. A client goes on reading: were both sides to wait for the other to read, neither
    /// would.
    pub high_water: usize,
    /// Bytes of waiting output below which reading goes on, and the application is told that it
    /// may write. Default 256 KiB.
    pub low_water: usize,
    /// Bytes of waiting output a connection may have at all. Default 32 MiB, at least
    /// `message_len` and `high_water` together. Beyond: the connection is dropped.
    pub backlog_len: usize,
    /// Bytes that may wait on all connections of a loop that take no more now. Default 1 GiB.
    /// Beyond: as beyond `backlog_len`, for the connection that would queue more.
    pub backlog_total_len: usize,
    /// Time in which waiting output must make progress. Default 30 s. Beyond: the connection is
    /// dropped.
    pub write_stall_timeout: Duration,
    /// Silence after which a WebSocket peer is pinged; any byte of it counts as a sign of life.
    /// Default 30 s; `None` turns keepalive off. (RFC 6455 §5.5.2)
    pub ping_interval: Option<Duration>,
    /// Time in which a pinged peer must be heard. Default 20 s. Beyond: the connection is lost.
    pub pong_timeout: Duration,
    /// Time without a byte of a message in either direction after which a WebSocket connection is
    /// closed with 1001. Default `None`: never.
    pub idle_timeout: Option<Duration>,
    /// Time from our Close frame to the end of the connection; nothing that arrives extends it.
    /// Default 5 s. Beyond: dropped. (RFC 6455 §7.1.1)
    pub close_timeout: Duration,
    /// Connections of the engine. Default `None`: as many as descriptors allow (`RLIMIT_NOFILE`
    /// less 64). Beyond: nothing is accepted until there is room.
    pub connections: Option<usize>,
    /// Connections from one address. Default `None`: no bound. Beyond: closed when accepted.
    pub connections_per_address: Option<usize>,
    /// Connections accepted from one listener in one turn. Default 64.
    pub accepts_per_turn: usize,
    /// TLS handshakes that are driven on in one turn. Default 16. Beyond: they wait a turn, so that
    /// open connections are not held up.
    pub tls_handshakes_per_turn: usize,
    /// Pause of accepting when descriptors or memory run out. Default 100 ms.
    pub accept_pause: Duration,
    /// Commands of other threads carried out in one turn. Default 1024.
    pub commands_per_turn: usize,
    /// Commands of other threads that may wait. Default 65 536. Beyond: the sender gets an error.
    pub command_queue_len: usize,
    /// Bytes of a message that another process broadcasts. Default 16 MiB. Beyond: the sender gets
    /// an error.
    pub bus_message_len: usize,
    /// Messages taken from one channel of other processes in one turn, as long as they are not more
    /// than `read_per_turn` bytes. Default 64. The rest waits for the next turn.
    pub bus_messages_per_turn: usize,
    /// Time for which other processes' broadcasts wait because too much waits for peers that read
    /// slowly. Default 10 s. Beyond: they go on, and such a peer's backlog may overflow.
    pub bus_patience: Duration,
    /// Bytes of messages that one engine of a group may have waiting for another one, and 256 for
    /// each message. Default 64 MiB. From half of it on the sender reads nothing until less than a
    /// quarter waits; beyond it what timers and the like publish is dropped and counted.
    pub group_queue_len: usize,
    /// Time of a client from the first packet to the end of the handshake, all included. Default
    /// 10 s. Beyond: the attempt fails.
    pub connect_timeout: Duration,
    /// Bytes kept of the body by which a server refuses a handshake. Default 64 KiB. Beyond: cut.
    pub refusal_body_len: usize,
    /// Topics one connection may subscribe to. Default 1024. Beyond: the call fails.
    pub topics_per_connection: usize,
    /// Connections of a loop that compress with context takeover. Default 16 384. Beyond:
    /// further ones compress without it. (RFC 7692 §7.1.1)
    pub takeover_count: usize,
    /// Bytes that these connections may keep between messages, all together and at most. Default
    /// 128 MiB, which is 8 KiB for each. Beyond: as beyond `takeover_count`.
    pub takeover_len: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_head_len: 16 * KIB,
            request_target_len: 8 * KIB,
            header_count: 100,
            handshake_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(15),
            unwanted_body_len: 64 * KIB as u64,
            unwanted_body_timeout: Duration::from_secs(5),
            request_body_timeout: Duration::from_secs(10),
            request_body_rate: 500,
            message_len: 16 * MIB,
            frame_len: 16 * MIB as u64,
            fragment_count: 131_072,
            read_per_turn: 512 * KIB,
            high_water: MIB,
            low_water: 256 * KIB,
            backlog_len: 32 * MIB,
            backlog_total_len: 1024 * MIB,
            write_stall_timeout: Duration::from_secs(30),
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(20),
            idle_timeout: None,
            close_timeout: Duration::from_secs(5),
            connections: None,
            connections_per_address: None,
            accepts_per_turn: 64,
            tls_handshakes_per_turn: 16,
            accept_pause: Duration::from_millis(100),
            commands_per_turn: 1024,
            command_queue_len: 65_536,
            group_queue_len: 64 * MIB,
            bus_message_len: 16 * MIB,
            bus_messages_per_turn: 64,
            bus_patience: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            refusal_body_len: 64 * KIB,
            topics_per_connection: 1024,
            takeover_count: 16_384,
            takeover_len: 128 * MIB,
        }
    }
}

impl Limits {
    /// Looks for settings under which nothing could work.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), LimitsError> {
        let zero = |name: &'static str, is_zero: bool| match is_zero {
            true => Err(LimitsError::Zero(name)),
            false => Ok(()),
        };
        let no_time = |time: Option<Duration>| time.is_some_and(|time| time.is_zero());
        zero("request_head_len", self.request_head_len == 0)?;
        zero("request_target_len", self.request_target_len == 0)?;
        zero("header_count", self.header_count == 0)?;
        zero("fragment_count", self.fragment_count == 0)?;
        zero("read_per_turn", self.read_per_turn == 0)?;
        zero("accepts_per_turn", self.accepts_per_turn == 0)?;
        zero("tls_handshakes_per_turn", self.tls_handshakes_per_turn == 0)?;
        zero("commands_per_turn", self.commands_per_turn == 0)?;
        zero("command_queue_len", self.command_queue_len == 0)?;
        zero("bus_messages_per_turn", self.bus_messages_per_turn == 0)?;
        zero("group_queue_len", self.group_queue_len == 0)?;
        zero("connections", self.connections == Some(0))?;
        zero(
            "connections_per_address",
            self.connections_per_address == Some(0),
        )?;
        zero("ping_interval", no_time(self.ping_interval))?;
        zero("idle_timeout", no_time(self.idle_timeout))?;
        zero("handshake_timeout", self.handshake_timeout.is_zero())?;
        zero("keep_alive_timeout", self.keep_alive_timeout.is_zero())?;
        zero(
            "unwanted_body_timeout",
            self.unwanted_body_timeout.is_zero(),
        )?;
        zero("request_body_timeout", self.request_body_timeout.is_zero())?;
        zero("request_body_rate", self.request_body_rate == 0)?;
        zero("write_stall_timeout", self.write_stall_timeout.is_zero())?;
        zero("pong_timeout", self.pong_timeout.is_zero())?;
        zero("close_timeout", self.close_timeout.is_zero())?;
        zero("accept_pause", self.accept_pause.is_zero())?;
        zero("connect_timeout", self.connect_timeout.is_zero())?;
        if self.request_target_len > self.request_head_len {
            return Err(LimitsError::TargetAboveHead);
        }
        if self.low_water >= self.high_water {
            return Err(LimitsError::LowWaterAboveHigh);
        }
        if self.backlog_len < self.message_len.saturating_add(self.high_water) {
            return Err(LimitsError::BacklogTooSmall);
        }
        Ok(())
    }
}

/// Settings of [`Limits`] that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitsError {
    /// The named field is zero: nothing would ever happen, or all the time.
    Zero(&'static str),
    /// `request_target_len` is larger than the head that holds the target.
    TargetAboveHead,
    /// `low_water` is not below `high_water`.
    LowWaterAboveHigh,
    /// `backlog_len` is below `message_len + high_water`: sending one message of the size that
    /// may be received could drop the connection.
    BacklogTooSmall,
}

impl fmt::Display for LimitsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(name) => write!(f, "the limit {name} must not be zero"),
            Self::TargetAboveHead => {
                f.write_str("the limit request_target_len is larger than request_head_len")
            }
            Self::LowWaterAboveHigh => {
                f.write_str("the limit low_water must be smaller than high_water")
            }
            Self::BacklogTooSmall => {
                f.write_str("the limit backlog_len must be at least message_len + high_water")
            }
        }
    }
}

impl std::error::Error for LimitsError {}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_together() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn contradictions_are_found() {
        let base = Limits::default;
        let cases = [
            (
                Limits {
                    fragment_count: 0,
                    ..base()
                },
                LimitsError::Zero("fragment_count"),
            ),
            (
                Limits {
                    ping_interval: Some(Duration::ZERO),
                    ..base()
                },
                LimitsError::Zero("ping_interval"),
            ),
            (
                Limits {
                    connections: Some(0),
                    ..base()
                },
                LimitsError::Zero("connections"),
            ),
            (
                Limits {
                    request_target_len: 16 * KIB + 1,
                    ..base()
                },
                LimitsError::TargetAboveHead,
            ),
            (
                Limits {
                    low_water: MIB,
                    ..base()
                },
                LimitsError::LowWaterAboveHigh,
            ),
            (
                Limits {
                    message_len: 31 * MIB + 1,
                    ..base()
                },
                LimitsError::BacklogTooSmall,
            ),
            (
                Limits {
                    message_len: usize::MAX,
                    ..base()
                },
                LimitsError::BacklogTooSmall,
            ),
        ];
        for (limits, error) in cases {
            assert_eq!(limits.check(), Err(error));
            assert!(!error.to_string().is_empty());
        }
        let bounds = [
            Limits {
                request_target_len: 16 * KIB,
                ..base()
            },
            Limits {
                low_water: MIB - 1,
                ..base()
            },
            Limits {
                message_len: 31 * MIB,
                ..base()
            },
            Limits {
                ping_interval: None,
                ..base()
            },
        ];
        for limits in bounds {
            assert_eq!(limits.check(), Ok(()));
        }
    }
}
