//! The results as pictures, beside the report: SVG on a white ground, so that they can be read
//! wherever they are shown.

mod dots;
mod lines;

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::prelude::*;

use crate::cell::{Cell, Group, Load};
use crate::failure::Failure;
use crate::peer::{OURS, Peer, RAW};
use crate::plot::dots::Dots;
use crate::plot::lines::Lines;
use crate::result::{Latency, Results};

type Canvas<'p> = DrawingArea<SVGBackend<'p>, plotters::coord::Shift>;

const FONT: &str = "sans-serif";
const WIDTH: u32 = 900;
/// Of the legend's lines.
const LEGEND_HEIGHT: i32 = 18;
const LEGEND_COLUMN: i32 = 140;

/// Draws whatever there is something of to the folder. Returns the files and what they show.
pub(crate) fn draw(
    results: &Results,
    folder: &Path,
) -> Result<Vec<(&'static str, String)>, Failure> {
    fs::create_dir_all(folder).map_err(Failure::file(folder))?;
    let mut drawn = Vec::new();
    for dots in [costs(results), memory(results)].into_iter().flatten() {
        told(dots.draw(&folder.join(dots.file), &results.peers))?;
        drawn.push((dots.file, dots.title));
    }
    for lines in [growth(results), latency(results)].into_iter().flatten() {
        told(lines.draw(&folder.join(lines.file), &results.peers))?;
        drawn.push((lines.file, lines.title));
    }
    Ok(drawn)
}

fn told(drawn: Result<(), Box<dyn Error>>) -> Result<(), Failure> {
    drawn.map_err(|error| Failure::new(format!("draw a plot: {error}")))
}

fn of_group(results: &Results, group: Group) -> Vec<&Cell> {
    let cells = results.cells.iter();
    cells.filter(|cell| cell.group() == group).collect()
}

/// What each peer has of something, in the order of the columns.
fn each(results: &Results, value: impl Fn(&'static Peer) -> Option<f64>) -> Vec<Option<f64>> {
    results.peers.iter().copied().map(value).collect()
}

fn costs(results: &Results) -> Option<Dots> {
    let rows: Vec<_> = of_group(results, Group::Cost)
        .into_iter()
        .map(|cell| {
            let of = |base| each(results, |peer| results.ratio(cell, peer, base));
            // There is no bare loop that speaks TLS.
            let against_raw = of(RAW);
            match against_raw.iter().any(Option::is_some) {
                true => (cell.about(), against_raw),
                false => (format!("{} *", cell.about()), of(OURS)),
            }
        })
        .collect();
    (!rows.is_empty()).then(|| Dots {
        file: "cost.svg",
        title: "Server CPU per message, as a multiple of a bare epoll loop's (* of sockeye's)"
            .into(),
        rows,
    })
}

fn memory(results: &Results) -> Option<Dots> {
    let rows: Vec<_> = of_group(results, Group::Idle)
        .into_iter()
        .map(|cell| {
            let figure = |peer| Some(results.summary(cell, peer)?.figure);
            (cell.about(), each(results, figure))
        })
        .collect();
    (!rows.is_empty()).then(|| Dots {
        file: "memory.svg",
        title: "Memory of the server per connection, in bytes".into(),
        rows,
    })
}

fn growth(results: &Results) -> Option<Lines> {
    let points: Vec<_> = of_group(results, Group::Growth)
        .into_iter()
        .filter(|cell| matches!(cell.load, Load::Echo { .. }))
        .map(|cell| {
            let figure = |peer| Some(results.summary(cell, peer)?.figure);
            (cell.connections().to_string(), each(results, figure))
        })
        .collect();
    (points.len() > 1).then(|| Lines {
        file: "growth.svg",
        title: "Server CPU per message by number of connections, 100 of them active: microseconds"
            .into(),
        points,
    })
}

fn latency(results: &Results) -> Option<Lines> {
    let cell = *of_group(results, Group::Latency).first()?;
    let part = |label: &str, of: fn(&Latency) -> f64| {
        let value = |peer| Some(of(&results.summary(cell, peer)?.latency?));
        (label.to_owned(), each(results, value))
    };
    Some(Lines {
        file: "latency.svg",
        title: format!("Latency, {}: microseconds", cell.about()),
        points: vec![
            part("50 %", |it| it.p50),
            part("90 %", |it| it.p90),
            part("99 %", |it| it.p99),
            part("99.9 %", |it| it.p999),
        ],
    })
}

/// One colour for each peer; ours stand out.
fn color(peers: &[&'static Peer], index: usize) -> RGBColor {
    const OTHERS: [RGBColor; 10] = [
        RGBColor(0x55, 0x55, 0x55),
        RGBColor(0xa0, 0xa0, 0xa0),
        RGBColor(0x1f, 0x77, 0xb4),
        RGBColor(0x2c, 0xa0, 0x2c),
        RGBColor(0xff, 0x7f, 0x0e),
        RGBColor(0x94, 0x67, 0xbd),
        RGBColor(0x8c, 0x56, 0x4b),
        RGBColor(0xe3, 0x77, 0xc2),
        RGBColor(0x17, 0xbe, 0xcf),
        RGBColor(0xbc, 0xbd, 0x22),
    ];
    const OURS: [RGBColor; 2] = [RGBColor(0xd6, 0x27, 0x28), RGBColor(0x7f, 0x00, 0x00)];
    let is_ours = |peer: &&&Peer| peer.is_ours() == peers[index].is_ours();
    let nth = peers[..index].iter().filter(is_ours).count();
    match peers[index].is_ours() {
        true => OURS[nth % OURS.len()],
        false => OTHERS[nth % OTHERS.len()],
    }
}

/// A canvas with title and legend, and how far down these go.
fn canvas<'p>(
    path: &'p Path,
    height: i32,
    title: &str,
    peers: &[&'static Peer],
) -> Result<(Canvas<'p>, i32), Box<dyn Error>> {
    let per_line = (WIDTH as i32 - 20) / LEGEND_COLUMN;
    let lines = (peers.len() as i32 + per_line - 1) / per_line;
    let top = 40 + lines * LEGEND_HEIGHT;
    let size = (WIDTH, (top + height) as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw(&Text::new(title.to_owned(), (15, 12), (FONT, 16)))?;
    for (index, peer) in peers.iter().enumerate() {
        let place = index as i32;
        let x = 20 + place % per_line * LEGEND_COLUMN;
        let y = 44 + place / per_line * LEGEND_HEIGHT;
        let color = color(peers, index);
        root.draw(&Circle::new((x, y), 5, color.filled()))?;
        root.draw(&Text::new(peer.name, (x + 10, y - 6), (FONT, 13)))?;
    }
    Ok((root, top))
}

/// The least and the largest, with some room, for an axis by powers.
fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(least, most), value| {
            (least.min(value), most.max(value))
        });
    match least <= most {
        true => (least / 1.2, most * 1.2),
        false => (0.1, 10.0),
    }
}

/// A value on an axis.
fn tick(value: &f64) -> String {
    match *value {
        value if value < 1.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_room_for_all_values() {
        let (least, most) = bounds([3.0, 0.5, f64::NAN, 20.0].into_iter());
        assert!(least < 0.5 && most > 20.0);
        let (least, most) = bounds([].into_iter());
        assert!(0.0 < least && least < most);
    }
}
