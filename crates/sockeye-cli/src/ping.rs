//! `sockeye ping`: round trips over WebSocket pings, as `ping(8)` shows them.
//!
//! A payload begins with its number, as far as it has room for one. Pings are remembered in order;
//! since a stream keeps the order, an answer to one of them says that those before it will not be
//! answered any more.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sockeye::{
    Accepted, Bytes, CloseCode, CloseInfo, Conn, ConnId, ConnectError, Core, Engine, Handle,
    Limits, Peer, Protocol, Reject, Request,
};

use crate::args::PingArgs;
use crate::failure::Failure;
use crate::{remote, signal, terminal};

/// How long the server may take to close once all is measured.
const CLOSE: Duration = Duration::from_secs(1);

/// Pings until the count is reached, the server goes, or Ctrl-C.
pub(crate) fn run(args: PingArgs) -> Result<ExitCode, Failure> {
    let limits = Limits {
        // Pings of the engine's own would be answered among ours.
        ping_interval: None,
        close_timeout: CLOSE,
        connect_timeout: args.remote.timeout,
        ..Limits::default()
    };
    let mut engine = Engine::builder().limits(limits).build()?;
    let handle = engine.handle();
    let options = remote::options(&args.remote, |style, line| terminal::note(style, line))?
        // Control frames are never compressed.
        .deflate(None);
    let pinger = engine.host(Pinger::new(args, options.url(), handle.clone()));
    // Before anybody can know that there is something to interrupt.
    signal::watch(move |count| {
        // It fails if the engine has ended, which is what is wanted.
        let _ = match count {
            0 => handle.call(pinger, move |pinger, core| pinger.end(core)),
            _ => handle.shutdown(Duration::ZERO),
        };
    })?;
    let id = engine.connect(pinger, options, ())?;
    if let Some(pinger) = engine.protocol(pinger) {
        pinger.conn = Some(id);
    }
    engine.run()?;
    match engine.protocol(pinger) {
        Some(pinger) => pinger.conclude(),
        None => Ok(ExitCode::FAILURE),
    }
}

/// The one connection, and what was measured on it.
struct Pinger {
    args: PingArgs,
    conn: Option<ConnId>,
    url: String,
    handle: Handle,
    host: String,
    /// When the connection opened.
    begun: Option<Instant>,
    next_due: Instant,
    /// Pings without an answer, oldest first.
    outstanding: VecDeque<Ping>,
    sent: u64,
    round_trips: RoundTrips,
    /// When the last thing happened that counts.
    ended: Option<Instant>,
    failure: Option<Failure>,
    /// Nobody reads what is said.
    unheard: bool,
}

/// A ping that waits for its answer.
struct Ping {
    number: u64,
    sent: Instant,
    payload: Vec<u8>,
    /// The time for its answer is over. It may still come.
    late: bool,
}

impl Pinger {
    fn new(args: PingArgs, url: String, handle: Handle) -> Self {
        Self {
            args,
            conn: None,
            url,
            handle,
            host: String::new(),
            begun: None,
            next_due: Instant::now(),
            outstanding: VecDeque::new(),
            sent: 0,
            round_trips: RoundTrips::default(),
            ended: None,
            failure: None,
            unheard: false,
        }
    }

    fn is_last_sent(&self) -> bool {
        self.args
            .count
            .is_some_and(|count| self.sent >= count as u64)
    }

    /// Does what is due, and sets the time for what is due next.
    fn step(&mut self, conn: &mut Conn<'_>) {
        if self.ended.is_some() {
            return;
        }
        let now = Instant::now();
        let wait = self.args.wait;
        for ping in &mut self.outstanding {
            if !ping.late && now - ping.sent >= wait {
                ping.late = true;
                if !self.args.quiet {
                    let number = ping.number;
                    self.unheard |= !say(format_args!("no answer yet: seq={number}"));
                }
            }
        }
        // Last of all, and with an instant of its own: the time of a ping begins when it goes out, and
        // writing lines takes time.
        if !self.is_last_sent() && self.next_due <= now {
            self.send(conn, Instant::now());
        }
        let all_told = self.is_last_sent() && self.outstanding.iter().all(|ping| ping.late);
        if all_told || self.unheard {
            return self.end(conn.core());
        }
        let expiry = self.outstanding.iter().find(|ping| !ping.late);
        let expiry = expiry.map(|ping| ping.sent + wait);
        let next = (!self.is_last_sent()).then_some(self.next_due);
        let due = [expiry, next].into_iter().flatten().min();
        conn.set_timeout(due.map(|due| due.saturating_duration_since(conn.now())));
    }

    fn send(&mut self, conn: &mut Conn<'_>, now: Instant) {
        self.sent += 1;
        let payload = payload(self.sent, usize::from(self.args.size));
        conn.ping(&payload);
        self.outstanding.push_back(Ping {
            number: self.sent,
            sent: now,
            payload,
            late: false,
        });
        self.next_due += self.args.interval;
        if self.next_due < now {
            // Held up: no burst to make up for it.
            self.next_due = now + self.args.interval;
        }
    }

    fn answer(&mut self, payload: &[u8], now: Instant) {
        let Some(index) = self
            .outstanding
            .iter()
            .position(|ping| ping.payload == payload)
        else {
            return;
        };
        let Some(ping) = self.outstanding.drain(..=index).next_back() else {
            return;
        };
        let time = now - ping.sent;
        self.round_trips.add(time);
        if !self.args.quiet {
            self.unheard |= !say(format_args!(
                "{} bytes from {}: seq={} time={} ms",
                payload.len(),
                self.host,
                ping.number,
                Millis(time.as_secs_f64())
            ));
        }
    }

    /// All is measured: says goodbye.
    fn end(&mut self, core: &mut Core) {
        let (Some(id), Some(_)) = (self.conn, self.begun) else {
            self.failure = Some(Failure::Interrupted);
            let _ = self.handle.shutdown(Duration::ZERO);
            return;
        };
        if self.ended.is_none() {
            self.ended = Some(Instant::now());
            core.set_timeout(id, None);
            core.close(id, CloseCode::NORMAL, "");
        }
    }

    /// The statistics, and what they mean.
    fn conclude(&mut self) -> Result<ExitCode, Failure> {
        if let Some(begun) = self.begun {
            let ended = self.ended.unwrap_or(begun);
            terminal::print(self.statistics(ended - begun).as_bytes())?;
        }
        let replied = self.round_trips.count > 0;
        match self.failure.take() {
            Some(failure) if replied => terminal::complain(&failure),
            Some(failure) => return Err(failure),
            None => {}
        }
        Ok(match replied {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    }

    fn statistics(&self, time: Duration) -> String {
        let received = self.round_trips.count;
        let loss = match self.sent {
            0 => 0.0,
            sent => 100.0 * (sent - received) as f64 / sent as f64,
        };
        // As ping(8) does: whole percents without a fraction, others with what tells.
        let loss = match loss.fract() == 0.0 {
            true => format!("{loss:.0}"),
            false => format!("{loss:.2}"),
        };
        let mut text = format!(
            "\n--- {} ping statistics ---\n{} packets transmitted, {received} received, {loss}% \
             packet loss, time {}ms\n",
            self.url,
            self.sent,
            time.as_millis()
        );
        if received > 0 {
            text.push_str(&format!("{}\n", self.round_trips));
        }
        text
    }
}

impl Protocol for Pinger {
    type Session = ();

    fn accept(&mut self, _: &Request<'_>, _: &Peer) -> Result<Accepted<()>, Reject> {
        Err(Reject::status(404))
    }

    fn on_open(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        let now = Instant::now();
        self.begun = Some(now);
        self.next_due = now;
        self.host = conn
            .peer()
            .map_or_else(String::new, |peer| match peer.ip() {
                Some(ip) => ip.to_string(),
                None => peer.addr().to_string(),
            });
        self.unheard = !say(format_args!(
            "PING {} ({}): {} bytes of data",
            self.url, self.host, self.args.size
        ));
        self.step(conn);
    }

    fn on_pong(&mut self, conn: &mut Conn<'_>, (): &mut (), data: Bytes<'_>) {
        if self.ended.is_none() {
            self.answer(&data, Instant::now());
            self.step(conn);
        }
    }

    fn on_timeout(&mut self, conn: &mut Conn<'_>, (): &mut ()) {
        self.step(conn);
    }

    fn on_close(&mut self, _: &mut Conn<'_>, (): (), info: &CloseInfo) {
        if self.ended.is_none() {
            self.ended = Some(Instant::now());
            self.failure = Some(Failure::Closed(info.clone()));
        }
        // It fails if the engine has ended, which is what is wanted.
        let _ = self.handle.shutdown(CLOSE);
    }

    fn on_connect_error(&mut self, _: &mut Core, (): (), error: &ConnectError) {
        self.failure.get_or_insert_with(|| remote::failure(error));
        let _ = self.handle.shutdown(Duration::ZERO);
    }
}

/// A line on standard output. Returns whether anybody can have read it.
fn say(line: fmt::Arguments<'_>) -> bool {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    !said.is_err_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The last bytes of the number, then a pattern.
fn payload(number: u64, len: usize) -> Vec<u8> {
    let number = number.to_be_bytes();
    let digits = len.min(number.len());
    let mut payload = number[number.len() - digits..].to_vec();
    payload.extend((digits..len).map(|index| index as u8));
    payload
}

/// What is known of all round trips together, in seconds.
#[derive(Debug, Default)]
struct RoundTrips {
    count: u64,
    min: f64,
    max: f64,
    sum: f64,
    sum_of_squares: f64,
}

impl RoundTrips {
    fn add(&mut self, time: Duration) {
        let time = time.as_secs_f64();
        self.min = match self.count {
            0 => time,
            _ => self.min.min(time),
        };
        self.max = self.max.max(time);
        self.count += 1;
        self.sum += time;
        self.sum_of_squares += time * time;
    }
}

impl fmt::Display for RoundTrips {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count as f64;
        let average = self.sum / count;
        // Rounding may leave a little less than nothing.
        let deviation = (self.sum_of_squares / count - average * average)
            .max(0.0)
            .sqrt();
        let [min, average, max, deviation] = [self.min, average, self.max, deviation].map(Millis);
        write!(
            f,
            "rtt min/avg/max/mdev = {min}/{average}/{max}/{deviation} ms"
        )
    }
}

/// Seconds, shown as milliseconds.
struct Millis(f64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0 * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_carry_as_much_of_the_number_as_fits() {
        assert_eq!(payload(7, 0), b"");
        assert_eq!(payload(0x0102, 1), [2]);
        assert_eq!(payload(0x0102, 3), [0, 1, 2]);
        assert_eq!(payload(7, 10), [0, 0, 0, 0, 0, 0, 0, 7, 8, 9]);
        assert_eq!(payload(7, 125).len(), 125);
    }

    #[test]
    fn round_trips_are_summed_up_as_ping_does() {
        let mut trips = RoundTrips::default();
        for millis in [1, 2, 3, 6] {
            trips.add(Duration::from_millis(millis));
        }
        assert_eq!(
            trips.to_string(),
            "rtt min/avg/max/mdev = 1.000/3.000/6.000/1.871 ms"
        );
    }
}
