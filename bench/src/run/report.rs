//! The results as Markdown, and their place in a file.

use std::fmt::Write as _;

use crate::cell::{Cell, Load};
use crate::failure::Failure;
use crate::peer::{OURS, Peer};
use crate::result::{Results, Summary};

const BEGIN: &str = "<!-- begin: written by cargo xtask bench -->";
const END: &str = "<!-- end: written by cargo xtask bench -->";

/// Puts the report between the markers.
pub(crate) fn inserted(text: &str, report: &str) -> Result<String, Failure> {
    let missing = || Failure::new("the markers of the report are missing in README.md");
    let begin = text.find(BEGIN).ok_or_else(missing)? + BEGIN.len();
    let end = text[begin..].find(END).ok_or_else(missing)? + begin;
    Ok(format!("{}\n\n{report}\n{}", &text[..begin], &text[end..]))
}

pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    machine(&mut text, results);
    let chosen = |is_idle: bool, is_json: bool| -> Vec<&Cell> {
        let idle = |cell: &Cell| matches!(cell.load, Load::Idle { .. });
        let cells = results.cells.iter();
        cells
            .filter(|cell| idle(cell) == is_idle && cell.json.is_some() == is_json)
            .collect()
    };
    let (costs, packed) = (chosen(false, false), chosen(false, true));
    let idle = [chosen(true, false), chosen(true, true)].concat();
    if !costs.is_empty() {
        text.push_str(
            "\nServer CPU in microseconds per message (or per connection opened and closed), and \
             in parentheses how many times ours that is:\n\n",
        );
        table(&mut text, results, &costs, |summary, peer| {
            format!("{}{}", number(summary.figure), ratio(summary, peer))
        });
    }
    handshakes(&mut text, results, &costs);
    deflate(&mut text, results, &packed);
    if !idle.is_empty() {
        text.push_str("\nMemory of the server in bytes per idle connection:\n\n");
        table(&mut text, results, &idle, |summary, peer| {
            format!("{:.0}{}", summary.figure, ratio(summary, peer))
        });
    }
    losses(&mut text, results);
    let costs = [costs, packed].concat();
    if !costs.is_empty() {
        text.push_str(
            "\nHow sure that is: ± half the distance of the quartiles; messages or connections a \
             second; how busy the cores of server and load generator were:\n\n",
        );
        table(&mut text, results, &costs, |summary, _| {
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
        "{}, {} cores, Linux {}; load average {} before and {} after (the run itself makes up to 2).\n",
        machine.processor, machine.cores, machine.kernel, machine.load, results.load_after
    );
    for (peer, version) in &results.versions {
        let _ = writeln!(text, "- {peer}: {version}");
    }
}

fn table(
    text: &mut String,
    results: &Results,
    cells: &[&Cell],
    show: impl Fn(&Summary, &Peer) -> String,
) {
    // No column for who does nothing of it.
    let takes_part = |peer: &&&'static Peer| {
        let mut cells = cells.iter();
        cells.any(|cell| results.summary(cell, peer).is_some())
    };
    let peers: Vec<&'static Peer> = results.peers.iter().filter(takes_part).copied().collect();
    text.push_str("| |");
    for peer in &peers {
        let _ = write!(text, " {} |", peer.name);
    }
    text.push_str("\n|---|");
    text.push_str(&"--:|".repeat(peers.len()));
    text.push('\n');
    for cell in cells {
        let _ = write!(text, "| {} |", cell.about());
        for peer in &peers {
            let shown = results
                .summary(cell, peer)
                .map(|summary| show(&summary, peer));
            let _ = write!(text, " {} |", shown.as_deref().unwrap_or("–"));
        }
        text.push('\n');
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
    table(text, results, cells, |summary, peer| {
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

/// Where a server that does the whole job needs less than ours, or as much.
fn losses(text: &mut String, results: &Results) {
    let Some(ours) = results.peers.iter().find(|peer| peer.name == OURS) else {
        return;
    };
    let (mut losses, mut draws) = (Vec::new(), Vec::new());
    for cell in &results.cells {
        let Some(own) = results.summary(cell, ours) else {
            continue;
        };
        let competes = |peer: &&&Peer| peer.honest && peer.name != OURS;
        for peer in results.peers.iter().filter(competes) {
            let Some(summary) = results.summary(cell, peer) else {
                continue;
            };
            let line = format!(
                "{}: {} needs {:.2} of what ours needs",
                cell.about(),
                peer.name,
                summary.ratio
            );
            if (summary.ratio - 1.0).abs() < summary.spread.max(own.spread) {
                draws.push(line);
            } else if summary.ratio < 1.0 {
                losses.push(line);
            }
        }
    }
    for (what, lines) in [
        ("Losses, where a peer needs less than ours", losses),
        ("No win, where the difference is within the noise", draws),
    ] {
        let _ = match lines.is_empty() {
            true => writeln!(text, "\n{what}: none."),
            false => writeln!(text, "\n{what}:\n\n- {}", lines.join("\n- ")),
        };
    }
}

fn ratio(summary: &Summary, peer: &Peer) -> String {
    match peer.name {
        OURS => String::new(),
        _ if !summary.ratio.is_finite() => String::new(),
        _ => format!(" ({:.2})", summary.ratio),
    }
}

/// Three digits that matter.
fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn rate(value: f64) -> String {
    match value {
        value if value < 10_000.0 => format!("{value:.0}"),
        value if value < 1e6 => format!("{:.0} k", value / 1e3),
        value => format!("{:.2} M", value / 1e6),
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

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!(
            [0.456, 5.5, 45.67, 678.9].map(number),
            ["0.46", "5.50", "45.7", "679"]
        );
        assert_eq!(
            [999.4, 45_678.0, 2_345_678.0].map(rate),
            ["999", "46 k", "2.35 M"]
        );
    }
}
