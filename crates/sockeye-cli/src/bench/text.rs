//! A report for people.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::report::{Report, Times};
use super::unit::{byte_rate, bytes, count, plural, rate, time};
use crate::terminal;

const TITLE: Style = Style::new().bold();
const LABEL: Style = AnsiColor::Cyan.on_default();
const BAR: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const CAUTION: Style = AnsiColor::Yellow.on_default();
/// Columns of the longest bar.
const BAR_LEN: f64 = 32.0;

impl Report {
    /// In lines, with colours.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{TITLE}{} {}{TITLE:#}",
            self.mode,
            terminal::harmless(&self.url)
        );
        let _ = writeln!(out, "{}\n", self.demand());
        self.throughput(&mut out);
        self.latency(&mut out);
        let opened = self.opened();
        line(&mut out, "connections", &opened);
        self.sending(&mut out);
        let generator = &self.generator;
        let part = |seconds: f64| match generator.span_s > 0.0 {
            true => 100.0 * seconds / generator.span_s,
            false => 0.0,
        };
        let mut text = format!(
            "took {:.0} % of a core itself: user {:.0} %, kernel {:.0} %",
            100.0 * generator.cpu_of_core,
            part(generator.cpu_user_s),
            part(generator.cpu_kernel_s)
        );
        if part(generator.waited_for_core_s) >= 0.5 {
            let waited = part(generator.waited_for_core_s);
            let _ = write!(text, "; waited for one {waited:.0} % of the time");
        }
        line(&mut out, "generator", &text);
        self.server(&mut out);
        self.errors(&mut out);
        self.cautions(&mut out);
        out
    }

    /// What was asked for.
    fn demand(&self) -> String {
        let load = &self.load;
        let mut parts = Vec::new();
        if let Some(connections) = load.connections {
            parts.push(plural(connections as u64, "connection"));
        } else {
            parts.push(format!(
                "{} at the same time",
                plural(load.concurrency as u64, "connection")
            ));
        }
        if let Some(senders) = load.senders {
            parts.push(format!("{} to all", plural(senders as u64, "sender")));
        }
        if let Some((size, kind)) = load.size.as_ref().zip(load.kind) {
            parts.push(format!("{kind} messages of {size} bytes"));
        }
        let things = if self.messages.is_some() {
            "messages"
        } else {
            "connections"
        };
        match (load.rate_per_s, load.pipeline) {
            (Some(asked), _) => parts.push(format!("open loop at {} {things}/s", rate(asked))),
            (_, Some(1)) => parts.push("one in flight on each".to_owned()),
            (_, Some(pipeline)) => {
                parts.push(format!("{} in flight on each", count(pipeline as u64)))
            }
            _ => {}
        }
        match (load.deflate, load.deflate_agreed) {
            ("off", _) => {}
            (_, false) => parts.push("the server does not compress".to_owned()),
            ("takeover", _) => parts.push("compressed, with takeover".to_owned()),
            _ => parts.push("compressed".to_owned()),
        }
        if let Some(name) = &load.subprotocol {
            parts.push(format!("subprotocol {}", terminal::harmless(name)));
        }
        let mut measured = format!("measured for {}", time(self.measured_s * 1e9));
        if load.warm_up_s > 0.0 {
            let _ = write!(measured, " after {} of warm-up", time(load.warm_up_s * 1e9));
        }
        if self.interrupted {
            measured.push_str(", then interrupted");
        }
        format!("{}\n{measured}", parts.join(", "))
    }

    fn throughput(&self, out: &mut String) {
        let Some(messages) = &self.messages else {
            if let Some(per_s) = self.connections.per_s {
                let opened = plural(self.connections.opened, "connection");
                let text = format!(
                    "{TITLE}{} connections/s{TITLE:#}: {opened} opened and closed",
                    rate(per_s)
                );
                line(out, "throughput", &text);
            }
            return;
        };
        let is_broadcast = self.load.senders.is_some();
        let (things, ways) = match is_broadcast {
            true => ("deliveries", ""),
            false => ("messages", " each way"),
        };
        let payload = byte_rate(messages.payload_bytes_per_s);
        let text = format!(
            "{TITLE}{} {things}/s{TITLE:#}, {payload} of payload{ways}",
            rate(messages.per_s)
        );
        line(out, "throughput", &text);
        let text = match is_broadcast {
            true => format!(
                "{} published, {} of {} deliveries came as they were sent",
                count(messages.sent),
                count(messages.received),
                count(messages.expected)
            ),
            false => format!(
                "{} sent, {} came back as they were sent",
                count(messages.sent),
                count(messages.received)
            ),
        };
        line(out, "messages", &text);
    }

    fn latency(&self, out: &mut String) {
        let Some(times) = &self.latency_us else {
            return;
        };
        let of = match (self.mode, self.open_loop.is_some()) {
            ("connect", _) => "from connecting until it was closed again",
            (_, true) => "from when a message was due until it was here",
            (_, false) => "from sending until it was here",
        };
        let micros = |micros: f64| time(micros * 1e3);
        let text = format!(
            "mean {} ± {}, {of}",
            micros(times.mean),
            micros(times.stdev)
        );
        line(out, "latency", &text);
        for (name, value) in rows(times) {
            let bar = "█".repeat(bar(value, times.min, times.max));
            let _ = writeln!(out, "{name:>13}  {:>9}  {BAR}{bar}{BAR:#}", micros(value));
        }
    }

    fn opened(&self) -> String {
        let connections = &self.connections;
        let mut text = String::new();
        if let Some(took) = connections.opening_took_s {
            text = format!(
                "{} opened in {}",
                count(connections.opened),
                time(took * 1e9)
            );
            if connections.opened > 1 && took > 0.0 && self.load.ramp_up_s == 0.0 {
                let _ = write!(text, ", {}/s", rate(connections.opened as f64 / took));
            }
            text.push_str("; ");
        }
        if let Some(times) = &connections.open_us {
            let (median, longest) = (time(times.p50 * 1e3), time(times.max * 1e3));
            let _ = write!(text, "open after {median} (median), {longest} at most");
        } else {
            text.push_str("none");
        }
        text
    }

    /// How punctual the open loop was.
    fn sending(&self, out: &mut String) {
        let Some(open_loop) = &self.open_loop else {
            return;
        };
        let mut text = match open_loop.late {
            0 => "all in time".to_owned(),
            late => format!(
                "{} more than 1 ms late, {} at most, on this side",
                count(late),
                time(open_loop.latest_us * 1e3)
            ),
        };
        if open_loop.held_back > 0 {
            let _ = write!(
                text,
                "; {} held back: the server took no more",
                count(open_loop.held_back)
            );
        }
        line(out, "sending", &text);
    }

    /// What the watched process spent.
    fn server(&self, out: &mut String) {
        let Some(server) = &self.server else { return };
        let mut text = format!("took {:.0} % of a core", 100.0 * server.cpu_of_core);
        if let Some(micros) = server.cpu_us_each {
            let _ = write!(text, ", {} each", time(micros * 1e3));
        }
        if let Some(len) = server.resident_bytes {
            let _ = write!(text, "; {} of memory", bytes(len as f64));
        }
        if let (Some(grown), true) = (server.grown_bytes_per_connection, self.mode == "idle") {
            let _ = write!(text, ", {} more for each connection", bytes(grown.max(0.0)));
        }
        line(out, "server", &text);
    }

    fn errors(&self, out: &mut String) {
        let errors = &self.errors;
        if errors.total == 0 {
            return line(out, "errors", "none");
        }
        line(
            out,
            "errors",
            &format!("{BAD}{}{BAD:#}", count(errors.total)),
        );
        for (kind, number) in &errors.kinds {
            let details = errors.details.iter().filter(|detail| detail.kind == *kind);
            let details: Vec<_> = details.collect();
            let words = errors.words.get(kind).map_or(*kind, String::as_str);
            let _ = writeln!(out, "{:>13}  {words}", count(*number));
            for detail in details {
                let text = terminal::harmless(&detail.text).replace('\n', " ");
                let _ = match detail.count {
                    1 => writeln!(out, "{:15}{text}", ""),
                    times => writeln!(out, "{:15}{} × {text}", "", count(times)),
                };
            }
        }
    }

    fn cautions(&self, out: &mut String) {
        let mut caution = |text: &str| {
            let _ = writeln!(out, "\n{CAUTION}{text}{CAUTION:#}");
        };
        match self.generator.bottleneck {
            Some("cpu") => caution(
                "The generator was the bottleneck: its core was busy. The server can do more than this,\n\
                 and latencies include waiting for the generator.",
            ),
            Some("starved") => caution(
                "The generator was the bottleneck: it had work all the time, but had to share its core.\n\
                 Latencies include that; try a machine that has nothing else to do.",
            ),
            Some(_) => caution(
                "The generator was the bottleneck: it sent too late. Latencies include that delay; try\n\
                 a lower rate, or a machine that has nothing else to do.",
            ),
            None => {}
        }
        if let (Some(asked), Some(messages), None) = (
            self.load.rate_per_s,
            &self.messages,
            self.generator.bottleneck,
        ) && self.load.senders.is_none()
            && messages.per_s < asked * 0.99
            && !self.interrupted
            && self.measured_s >= 1.0
        {
            caution(&format!(
                "The server did not keep up: {} messages/s were asked for, {} came back.",
                rate(asked),
                rate(messages.per_s)
            ));
        }
    }
}

/// The percentiles that so many values tell anything about.
fn rows(times: &Times) -> Vec<(&'static str, f64)> {
    let all = [
        ("50 %", times.p50, 1),
        ("75 %", times.p75, 4),
        ("90 %", times.p90, 10),
        ("95 %", times.p95, 20),
        ("99 %", times.p99, 100),
        ("99.9 %", times.p99_9, 1000),
        ("99.99 %", times.p99_99, 10_000),
        ("longest", times.max, 1),
    ];
    let told = all
        .into_iter()
        .filter(|(.., enough)| times.count >= *enough);
    told.map(|(name, value, _)| (name, value)).collect()
}

/// How long a bar is: the logarithm tells tails better.
fn bar(value: f64, min: f64, max: f64) -> usize {
    let least = min.max(0.001);
    let whole = (max.max(least) / least).ln();
    match whole > 0.0 {
        true => 1 + ((value.max(least) / least).ln() / whole * (BAR_LEN - 1.0)).round() as usize,
        false => 1,
    }
}

fn line(out: &mut String, label: &str, text: &str) {
    let _ = writeln!(out, "{LABEL}{label:>13}{LABEL:#}  {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_with_the_logarithm() {
        assert_eq!(bar(1.0, 1.0, 100.0), 1);
        assert_eq!(bar(100.0, 1.0, 100.0), 32);
        assert_eq!(bar(5.0, 5.0, 5.0), 1);
        let middle = bar(10.0, 1.0, 100.0);
        assert!((16..=18).contains(&middle), "{middle}");
    }
}
