//! Lines over a horizontal axis of named places, each point with its value.

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, FONT, GRID, INK, shown, text};
use crate::Failed;

/// One line.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) colour: RGBColor,
    /// One for each place.
    pub(super) values: Vec<f64>,
    /// How far above its point a value stands, in pixels.
    pub(super) above: i32,
}

/// What the lines stand in.
pub(super) struct Frame<'a> {
    pub(super) title: &'a str,
    /// Names of the places, from left to right.
    pub(super) places: &'a [&'a str],
    pub(super) axis: &'a str,
}

impl Frame<'_> {
    /// Draws lines over a vertical axis from 0.
    pub(super) fn draw(&self, lines: &[Line], area: &Area<'_>) -> Result<(), Failed> {
        let top = lines.iter().flat_map(|line| &line.values).copied().fold(0.0, f64::max);
        self.draw_between(lines, 0.0..top * 1.2, area)
    }

    /// Draws lines over a logarithmic vertical axis.
    pub(super) fn draw_logarithmic(&self, lines: &[Line], area: &Area<'_>) -> Result<(), Failed> {
        let values = || lines.iter().flat_map(|line| &line.values).copied();
        let (least, most) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
        self.draw_between(lines, ((least / 2.2)..(most * 2.0)).log_scale(), area)
    }

    fn draw_between<Y>(&self, lines: &[Line], range: Y, area: &Area<'_>) -> Result<(), Failed>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let last = self.places.len().saturating_sub(1);
        let mut chart = ChartBuilder::on(area)
            .caption("", (FONT, 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(-0.4..place(last) + 0.4, range)?;
        let name = |at: &f64| {
            let found = self.places.iter().enumerate().find(|(number, _)| (place(*number) - at).abs() < 0.01);
            found.map_or_else(String::new, |(_, name)| (*name).to_owned())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .label_style(text(13, INK, HPos::Center))
            .x_labels(self.places.len() * 2)
            .y_labels(6)
            .x_label_formatter(&name)
            .y_label_formatter(&|value| shown(*value))
            .x_desc(self.axis)
            .draw()?;
        for line in lines {
            let points = || line.values.iter().enumerate().map(|(number, value)| (place(number), *value));
            chart.draw_series(LineSeries::new(points(), line.colour.stroke_width(2)))?;
            chart.draw_series(points().map(|point| Circle::new(point, 4, line.colour.filled())))?;
            let value = |point: (f64, f64)| {
                let label = Text::new(shown(point.1), (0, -line.above), text(13, line.colour, HPos::Center));
                EmptyElement::at(point) + label
            };
            chart.draw_series(points().map(value))?;
        }
        area.draw(&Text::new(self.title, (20, 22), text(18, INK, HPos::Left)))?;
        legend(lines, area)
    }
}

/// Names of the lines, at the right end of the title's row.
fn legend(lines: &[Line], area: &Area<'_>) -> Result<(), Failed> {
    /// Pixels of a letter, more or less, and between two names.
    const LETTER: usize = 7;
    const GAP: usize = 28;
    let mut right = usize::try_from(area.dim_in_pixel().0)?.saturating_sub(GAP);
    for line in lines.iter().rev() {
        area.draw(&Text::new(line.name, (i32::try_from(right)?, 22), text(14, line.colour, HPos::Right)))?;
        right = right.saturating_sub(line.name.len() * LETTER + GAP);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a handful of places")]
fn place(number: usize) -> f64 {
    number as f64
}
