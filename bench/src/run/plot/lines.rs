//! A line for each peer over a few steps, along powers of ten.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::peer::Peer;
use crate::plot::{FONT, bounds, canvas, color, tick};

const HEIGHT: i32 = 360;

pub(super) struct Lines {
    pub(super) file: &'static str,
    pub(super) title: String,
    /// What each step is, and what each peer has there.
    pub(super) points: Vec<(String, Vec<Option<f64>>)>,
}

impl Lines {
    pub(super) fn draw(&self, path: &Path, peers: &[&'static Peer]) -> Result<(), Box<dyn Error>> {
        let (root, top) = canvas(path, HEIGHT, &self.title, peers)?;
        let (_, below) = root.split_vertically(top);
        let all = self
            .points
            .iter()
            .flat_map(|point| point.1.iter().flatten());
        let (least, most) = bounds(all.copied());
        let last = self.points.len().saturating_sub(1) as i32;
        let mut chart = ChartBuilder::on(&below)
            .margin_right(40)
            .margin_bottom(10)
            .set_label_area_size(LabelAreaPosition::Left, 60)
            .set_label_area_size(LabelAreaPosition::Bottom, 30)
            .build_cartesian_2d(0..last, (least..most).log_scale())?;
        let label = |step: &i32| {
            let point = usize::try_from(*step)
                .ok()
                .and_then(|it| self.points.get(it));
            point.map(|point| point.0.clone()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .x_labels(self.points.len())
            .x_label_formatter(&label)
            .y_labels(6)
            .y_label_formatter(&tick)
            .light_line_style(BLACK.mix(0.06))
            .bold_line_style(BLACK.mix(0.2))
            .label_style((FONT, 12))
            .draw()?;
        // Ours come first, and lie on top.
        for (index, peer) in peers.iter().enumerate().rev() {
            let points: Vec<(i32, f64)> = (0..)
                .zip(&self.points)
                .filter_map(|(step, point)| Some((step, (*point.1.get(index)?)?)))
                .collect();
            let color = color(peers, index);
            let width = if peer.is_ours() { 3 } else { 2 };
            let style = color.stroke_width(width);
            chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
            let dots = points
                .iter()
                .map(|point| Circle::new(*point, 4, color.filled()));
            chart.draw_series(dots)?;
        }
        root.present()?;
        Ok(())
    }
}
