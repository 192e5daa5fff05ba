//! Tables of cells by peers, and how numbers are written.

use std::fmt::Write as _;

use crate::cell::Cell;
use crate::peer::{OURS, Peer};
use crate::result::{Results, Summary};

/// A row for each cell, a column for each peer that does any of them.
pub(super) fn table(
    text: &mut String,
    results: &Results,
    cells: &[&Cell],
    show: impl Fn(&Cell, &Peer, &Summary) -> String,
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
                .map(|summary| show(cell, peer, &summary));
            let _ = write!(text, " {} |", shown.as_deref().unwrap_or("–"));
        }
        text.push('\n');
    }
}

/// How many times as much as ours, for all but ours.
pub(super) fn ratio(summary: &Summary, peer: &Peer) -> String {
    match peer.name {
        OURS => String::new(),
        _ if !summary.ratio.is_finite() => String::new(),
        _ => format!(" ({:.2})", summary.ratio),
    }
}

/// Three digits that matter.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

pub(super) fn rate(value: f64) -> String {
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
