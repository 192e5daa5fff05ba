//! Where others need less than ours, and where ours misses its goal: told like the wins.

use std::fmt::Write as _;

use crate::cell::{Cell, Group};
use crate::peer::{OURS, Peer, RAW};
use crate::result::Results;

/// How many times what the bare loop needs ours may need.
const GOAL: f64 = 1.08;

/// Where a server that does the whole job needs less than ours, or as much.
pub(super) fn losses(text: &mut String, results: &Results) {
    let Some(ours) = results.peers.iter().find(|peer| peer.name == OURS) else {
        return;
    };
    let (mut losses, mut draws) = (Vec::new(), Vec::new());
    for cell in results.cells.iter().filter(|cell| is_compared(cell)) {
        let Some(own) = results.summary(cell, ours) else {
            continue;
        };
        let competes = |peer: &&&Peer| peer.honest && !peer.is_ours();
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

/// Cells of the growth are compared with each other, and latency is told by itself.
fn is_compared(cell: &Cell) -> bool {
    !matches!(cell.group(), Group::Growth | Group::Latency)
}

/// Where ours is farther from the bare loop than it wants to be.
pub(super) fn misses(text: &mut String, results: &Results) {
    let find = |name: &str| results.peers.iter().find(|peer| peer.name == name);
    let (Some(ours), Some(_)) = (find(OURS), find(RAW)) else {
        return;
    };
    let costs = results.cells.iter().filter(|it| it.group() == Group::Cost);
    let lines: Vec<String> = costs
        .filter_map(|cell| {
            let ratio = results.ratio(cell, ours, RAW)?;
            (ratio > GOAL).then(|| format!("{}: {ratio:.2}", cell.about()))
        })
        .collect();
    let _ = match lines.is_empty() {
        true => writeln!(text, "\nAbove the goal of {GOAL} times `raw`: none."),
        false => writeln!(
            text,
            "\nAbove the goal of {GOAL} times `raw`:\n\n- {}",
            lines.join("\n- ")
        ),
    };
}
