//! How long echoes take at a steady rate.

use std::fmt::Write as _;

use crate::cell::{Cell, Group};
use crate::peer::OURS;
use crate::report::table::table;
use crate::result::Results;

/// Less of a difference is not told as one.
const NOISE: f64 = 0.1;

pub(super) fn latency(text: &mut String, results: &Results) {
    let cells: Vec<&Cell> = results
        .cells
        .iter()
        .filter(|cell| cell.group() == Group::Latency)
        .collect();
    if cells.is_empty() {
        return;
    }
    text.push_str(
        "\nLatency at a steady rate, in microseconds from when a message was due to when its echo \
         was there: 50, 90, 99 and 99.9 % of them, medians of all rounds:\n\n",
    );
    table(text, results, &cells, |_, _, summary| {
        summary.latency.map_or_else(
            || "–".to_owned(),
            |it| {
                format!(
                    "{:.0}, {:.0}, {:.0}, {:.0}",
                    it.p50, it.p90, it.p99, it.p999
                )
            },
        )
    });
    let Some(ours) = results.peers.iter().find(|peer| peer.name == OURS) else {
        return;
    };
    let mut lines = Vec::new();
    for cell in cells {
        let p99 = |peer| Some(results.summary(cell, peer)?.latency?.p99);
        let Some(own) = p99(ours) else {
            continue;
        };
        for peer in results
            .peers
            .iter()
            .filter(|peer| peer.honest && !peer.is_ours())
        {
            let ratio = p99(peer).unwrap_or(f64::INFINITY) / own;
            if ratio < 1.0 - NOISE {
                lines.push(format!(
                    "{}: 99 % at {} take at most {ratio:.2} of what they take at ours",
                    cell.about(),
                    peer.name
                ));
            }
        }
    }
    if !lines.is_empty() {
        let _ = writeln!(text, "\nLosses of latency:\n\n- {}", lines.join("\n- "));
    }
}
