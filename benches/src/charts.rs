//! The charts of a run, drawn from its summary.

mod growth;
mod lines;
mod parts;
mod throughput;

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Failed;
use crate::summary::Summary;

/// Size of each, in pixels.
const SIZE: (u32, u32) = (860, 560);
const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(0x33, 0x33, 0x33);
const GRID: RGBColor = RGBColor(0xe4, 0xe4, 0xe4);
/// Told apart also by who sees few colours (Okabe and Ito).
const BLUE: RGBColor = RGBColor(0x00, 0x72, 0xb2);
const ORANGE: RGBColor = RGBColor(0xd5, 0x5e, 0x00);
const GREEN: RGBColor = RGBColor(0x00, 0x9e, 0x73);
const GREY: RGBColor = RGBColor(0x99, 0x99, 0x99);

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws every chart into `out`.
///
/// # Errors
/// The disk's.
pub(crate) fn draw(summary: &Summary, out: &Path) -> Result<(), Failed> {
    on(&out.join("throughput.svg"), |area| throughput::draw(summary, area))?;
    on(&out.join("parts.svg"), |area| parts::draw(summary, area))?;
    on(&out.join("growth.svg"), |area| growth::draw(summary, area))
}

fn on(path: &Path, draw: impl FnOnce(&Area<'_>) -> Result<(), Failed>) -> Result<(), Failed> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    draw(&area)?;
    Ok(area.present()?)
}

fn text(size: u32, colour: RGBColor, anchor: HPos) -> TextStyle<'static> {
    TextStyle { color: colour.to_backend_color(), ..TextStyle::from((FONT, size)) }
        .pos(Pos::new(anchor, VPos::Center))
}

/// A figure with as many digits as a shared machine gives.
fn shown(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        small if small < 10.0 => format!("{small:.1}"),
        large if large >= 1000.0 => {
            let thousands = (large / 1000.0).floor();
            format!("{thousands:.0},{:03.0}", large - thousands * 1000.0)
        }
        middle => format!("{middle:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (figure, expected) in [(0.84, "0.8"), (64.2, "64"), (4203.4, "4,203"), (12_045.0, "12,045")] {
            assert_eq!(shown(figure), expected);
        }
    }
}
