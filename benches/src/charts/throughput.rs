//! Certificates in a second, and how long one takes, by callers in flight.

use super::lines::{Frame, Line};
use super::{Area, BLUE, GREEN, ORANGE};
use crate::Failed;
use crate::summary::Summary;

const LEVELS: [&str; 8] = ["1", "2", "4", "8", "16", "32", "64", "128"];

pub(super) fn draw(summary: &Summary, area: &Area<'_>) -> Result<(), Failed> {
    let of = |figure: &str| -> Result<Vec<f64>, Failed> {
        LEVELS.iter().map(|level| summary.get(&format!("unary_{level}_{figure}"))).collect()
    };
    let (upper, lower) = area.split_vertically(270);
    let rate = Line { name: "", colour: BLUE, values: of("per_s")?, above: 14 };
    Frame { title: "Certificates a second", places: &LEVELS, axis: "" }.draw(&[rate], &upper)?;
    let times = [
        Line { name: "median", colour: GREEN, values: of("p50_ms")?, above: -16 },
        Line { name: "99 of 100", colour: ORANGE, values: of("p99_ms")?, above: 14 },
    ];
    Frame {
        title: "Milliseconds for one",
        places: &LEVELS,
        axis: "callers in flight, over at most 4 connections",
    }
    .draw_logarithmic(&times, &lower)
}
