//! A row for each cell, and on it a dot for each peer: along powers of ten, so that a factor is the same
//! distance everywhere.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::peer::Peer;
use crate::plot::{FONT, bounds, canvas, color, tick};

const ROW: i32 = 24;
const LABELS: i32 = 340;
const AXIS: i32 = 30;

pub(super) struct Dots {
    pub(super) file: &'static str,
    pub(super) title: String,
    /// What each row is, and what each peer has there.
    pub(super) rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Dots {
    pub(super) fn draw(&self, path: &Path, peers: &[&'static Peer]) -> Result<(), Box<dyn Error>> {
        let count = self.rows.len() as i32;
        let (root, top) = canvas(path, count * ROW + AXIS + 10, &self.title, peers)?;
        let (_, below) = root.split_vertically(top);
        let (least, most) = bounds(
            self.rows
                .iter()
                .flat_map(|row| row.1.iter().flatten().copied()),
        );
        let mut chart = ChartBuilder::on(&below)
            .margin_right(20)
            .set_label_area_size(LabelAreaPosition::Left, LABELS)
            .set_label_area_size(LabelAreaPosition::Bottom, AXIS)
            .build_cartesian_2d((least..most).log_scale(), 0.0..f64::from(count))?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(0)
            .light_line_style(BLACK.mix(0.06))
            .bold_line_style(BLACK.mix(0.2))
            .x_labels(6)
            .x_label_formatter(&tick)
            .x_label_style((FONT, 12))
            .draw()?;
        let right = Pos::new(HPos::Right, VPos::Center);
        let style = (FONT, 12).into_text_style(&root).pos(right);
        for (index, (label, values)) in self.rows.iter().enumerate() {
            let y = f64::from(count) - index as f64 - 0.5;
            let (x, height) = chart.backend_coord(&(least, y));
            root.draw(&Text::new(label.clone(), (x - 8, height), style.clone()))?;
            let line = [(least, y), (most, y)];
            chart.draw_series(LineSeries::new(line, BLACK.mix(0.12)))?;
            // Ours come first, and lie on top.
            for (peer, value) in values.iter().enumerate().rev() {
                if let Some(value) = value {
                    let dot = Circle::new((*value, y), 5, color(peers, peer).mix(0.85).filled());
                    chart.draw_series([dot])?;
                }
            }
        }
        root.present()?;
        Ok(())
    }
}
