//! The results as Markdown, and their place in a file.

mod growth;
mod latency;
mod losses;
mod table;

use std::fmt::Write as _;

use crate::cell::{Cell, Group, Load};
use crate::failure::Failure;
use crate::peer::{OURS, RAW};
use crate::report::table::{number, rate, ratio, table};
use crate::result::Results;

const BEGIN: &str = "<!-- begin: written by cargo xtask bench -->";
const END: &str = "<!-- end: written by cargo xtask bench -->";

/// Puts the report between the markers.
pub(crate) fn inserted(text: &str, report: &str) -> Result<String, Failure> {
    let missing = || Failure::new("the markers of the report are missing in README.md");
    let begin = text.find(BEGIN).ok_or_else(missing)? + BEGIN.len();
    let end = text[begin..].find(END).ok_or_else(missing)? + begin;
    Ok(format!("{}\n\n{report}\n{}", &text[..begin], &text[end..]))
}

/// The report with pictures behind it.
pub(crate) fn illustrated(report: &str, folder: &str, plots: &[(&str, String)]) -> String {
    let mut text = report.to_owned();
    for (file, title) in plots {
        let _ = writeln!(text, "\n![{title}]({folder}/{file})");
    }
    text
}

pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    machine(&mut text, results);
    failed(&mut text, results);
    let chosen = |group| -> Vec<&Cell> {
        let cells = results.cells.iter();
        cells.filter(|cell| cell.group() == group).collect()
    };
    let (costs, packed) = (chosen(Group::Cost), chosen(Group::Packed));
    let idle = chosen(Group::Idle);
    if !costs.is_empty() {
        text.push_str(
            "\nServer CPU in microseconds per message (or per connection opened and closed), and \
             in parentheses how many times ours that is:\n\n",
        );
        table(&mut text, results, &costs, |_, peer, summary| {
            format!("{}{}", number(summary.figure), ratio(summary, peer))
        });
        against_raw(&mut text, results, &costs);
    }
    handshakes(&mut text, results, &costs);
    deflate(&mut text, results, &packed);
    if !idle.is_empty() {
        text.push_str("\nMemory of the server in bytes per idle connection:\n\n");
        table(&mut text, results, &idle, |_, peer, summary| {
            format!("{:.0}{}", summary.figure, ratio(summary, peer))
        });
    }
    latency::latency(&mut text, results);
    growth::growth(&mut text, results);
    losses::losses(&mut text, results);
    losses::misses(&mut text, results);
    let costs = [costs, packed].concat();
    if !costs.is_empty() {
        text.push_str(
            "\nHow sure that is: ± half the distance of the quartiles; messages or connections a \
             second; how busy the cores of server and load generator were:\n\n",
        );
        table(&mut text, results, &costs, |_, _, summary| {
            format!(
                "±{:.0} %; {}/s; {:.0} %, {:.0} %",
                summary.spread * 100.0,
                rate(summary.rate),
                summary.server_busy * 100.0,
                summary.load_busy * 100.0
            )
        });
    }
    text
}

fn machine(text: &mut String, results: &Results) {
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "{}, {} cores, Linux {}, TCP with {}; load average {} before and {} after (the run itself makes up to 2).\n",
        machine.processor,
        machine.cores,
        machine.kernel,
        machine.congestion_control,
        machine.load,
        results.load_after
    );
    for (peer, version) in &results.versions {
        let _ = writeln!(text, "- {peer}: {version}");
    }
}

/// The same, held against the limit.
fn against_raw(text: &mut String, results: &Results, cells: &[&Cell]) {
    let Some(raw) = results.peers.iter().find(|peer| peer.name == RAW) else {
        return;
    };
    let done: Vec<&Cell> = cells.iter().copied().filter(|it| raw.does(it)).collect();
    if done.is_empty() {
        return;
    }
    text.push_str("\nHow many times what `raw`, the bare epoll loop, needs:\n\n");
    table(text, results, &done, |cell, peer, _| {
        let ratio = results.ratio(cell, peer, RAW);
        ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"))
    });
}

/// Who could not be measured, and how often.
fn failed(text: &mut String, results: &Results) {
    let mut lines = Vec::new();
    for ((cell, peer), rounds) in &results.samples {
        let failed = rounds.iter().filter(|sample| sample.is_none()).count();
        if failed > 0 {
            lines.push(format!("{peer} in {cell}: {failed} of {}", rounds.len()));
        }
    }
    if !lines.is_empty() {
        let _ = writeln!(text, "\nFailed measurements:\n\n- {}", lines.join("\n- "));
    }
}

/// The other way round, as it is usually asked.
fn handshakes(text: &mut String, results: &Results, cells: &[&Cell]) {
    let Some(cell) = cells
        .iter()
        .find(|cell| cell.tls && matches!(cell.load, Load::Connect { .. }))
    else {
        return;
    };
    let each: Vec<String> = results
        .peers
        .iter()
        .filter_map(|peer| {
            let summary = results.summary(cell, peer)?;
            Some(format!("{} {:.0}", peer.name, 1e6 / summary.figure))
        })
        .collect();
    let _ = writeln!(
        text,
        "\nFull TLS 1.3 handshakes (ECDSA P-256, X25519, with the WebSocket handshake and the \
         close) per second of server CPU: {}.",
        each.join(", ")
    );
}

/// Messages of JSON, with and without compression.
fn deflate(text: &mut String, results: &Results, cells: &[&Cell]) {
    if cells.is_empty() {
        return;
    }
    text.push_str(
        "\nCompression (permessage-deflate) of JSON: microseconds of server CPU per message, in \
         parentheses how many times ours that is; messages per second of server CPU; the size of \
         what the server sends as a part of the message's:\n\n",
    );
    table(text, results, cells, |_, peer, summary| {
        let mut shown = format!(
            "{}{}; {}/s",
            number(summary.figure),
            ratio(summary, peer),
            rate(1e6 / summary.figure)
        );
        if let Some(part) = summary.echo {
            let _ = write!(shown, "; {part:.2}");
        }
        shown
    });
    let Some(ours) = results.peers.iter().find(|peer| peer.name == OURS) else {
        return;
    };
    let broadcasts: Vec<&&Cell> = cells
        .iter()
        .filter(|cell| matches!(cell.load, Load::Broadcast { .. }))
        .collect();
    let [plain, compressed @ ..] = &broadcasts[..] else {
        return;
    };
    for cell in compressed {
        if let Some(growth) = results.growth(plain, cell, ours) {
            let _ = writeln!(
                text,
                "\nA broadcast ({}) costs ours {growth:.2} times the uncompressed one.",
                cell.about()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_goes_between_the_markers() {
        let before = format!("# Head\n{BEGIN}\nold\n{END}\ntail\n");
        let after = inserted(&before, "new\n").unwrap();
        assert_eq!(after, format!("# Head\n{BEGIN}\n\nnew\n\n{END}\ntail\n"));
        assert_eq!(inserted(&after, "new\n").unwrap(), after);
        assert!(inserted("nothing", "new").is_err());
    }
}
