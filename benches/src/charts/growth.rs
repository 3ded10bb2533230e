//! What a full journal costs.

use super::lines::{Frame, Line};
use super::{Area, BLUE, GREY};
use crate::Failed;
use crate::summary::Summary;

const SIZES: [&str; 4] = ["at_1e4", "at_1e5", "at_3e5", "at_1e6"];
const NAMES: [&str; 4] = ["10,000", "100,000", "300,000", "1,000,000"];

pub(super) fn draw(summary: &Summary, area: &Area<'_>) -> Result<(), Failed> {
    let full = SIZES.map(|size| summary.get(&format!("{size}_per_s")));
    // The empty journal beside the largest is the one of the long comparison.
    let empty = ["at_1e4_empty_per_s", "at_1e5_empty_per_s", "at_3e5_empty_per_s", "unary_64_per_s"]
        .map(|key| summary.get(key));
    let lines = [
        Line { name: "with so many", colour: BLUE, values: all(full)?, above: -18 },
        Line { name: "with none, in turn", colour: GREY, values: all(empty)?, above: 14 },
    ];
    Frame {
        title: "Certificates a second, 64 callers in flight",
        places: &NAMES,
        axis: "certificates in the journal",
    }
    .draw(&lines, area)
}

fn all<const N: usize>(figures: [Result<f64, Failed>; N]) -> Result<Vec<f64>, Failed> {
    figures.into_iter().collect()
}
