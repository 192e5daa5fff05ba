//! What becomes of the costs when connections become many.

use crate::cell::{Cell, Group, Load};
use crate::peer::Peer;
use crate::report::table::{number, table};
use crate::result::Results;

pub(super) fn growth(text: &mut String, results: &Results) {
    let of = |wanted: fn(&Load) -> bool| -> Vec<&Cell> {
        let cells = results.cells.iter();
        cells
            .filter(|cell| cell.group() == Group::Growth && wanted(&cell.load))
            .collect()
    };
    let active = of(|load| matches!(load, Load::Echo { .. }));
    let broadcasts = of(|load| matches!(load, Load::Broadcast { .. }));
    let opened = of(|load| matches!(load, Load::Echo { idle: 1.., .. }));
    if let [first, ..] = active[..] {
        text.push_str(
            "\nGrowth: server CPU in microseconds per message where most connections are idle, and \
             in parentheses how many times that of the fewest connections it is:\n\n",
        );
        grown(text, results, &active, first);
    }
    if let [first, ..] = opened[..] {
        text.push_str("\nServer CPU in microseconds to open each of those idle connections:\n\n");
        let base = |peer: &Peer| results.summary(first, peer)?.opening;
        table(text, results, &opened, |_, peer, summary| {
            match (summary.opening, base(peer)) {
                (Some(each), Some(base)) => format!("{} ({:.2})", number(each), each / base),
                _ => "–".to_owned(),
            }
        });
    }
    if let [first, ..] = broadcasts[..] {
        text.push_str("\nBroadcasts to more and more, per delivery:\n\n");
        grown(text, results, &broadcasts, first);
    }
}

fn grown(text: &mut String, results: &Results, cells: &[&Cell], first: &Cell) {
    table(text, results, cells, |cell, peer, summary| {
        let growth = results.growth(first, cell, peer).unwrap_or(f64::NAN);
        format!("{} ({growth:.2})", number(summary.figure))
    });
}
