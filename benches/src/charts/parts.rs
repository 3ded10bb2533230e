//! Where the CPU time of one issuance goes.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::{Area, BLUE, GREEN, GREY, INK, ORANGE, shown, text};
use crate::Failed;
use crate::summary::Summary;

/// Each part in the order of a request: key, name, and colour by where it is spent.
const ROWS: [(&str, &str, RGBColor); 10] = [
    ("rpc_client_us", "caller: gRPC and TLS", GREY),
    ("rpc_server_us", "front: gRPC and TLS", GREEN),
    ("csr_verify_us", "keeper: verify the CSR (2)", GREEN),
    ("door_us", "between front and keeper", BLUE),
    ("compose_us", "keeper: compose (5)", BLUE),
    ("lint_us", "keeper: lint (6)", BLUE),
    ("record_us", "keeper: record (7)", BLUE),
    ("sign_us", "token: sign (8)", ORANGE),
    ("verify_us", "keeper: verify (9)", BLUE),
    ("store_us", "keeper: store (10)", BLUE),
];
/// Where a row's name ends and its bar begins, and where the longest bar ends.
const BAR: (i32, i32) = (250, 760);
const TOP: i32 = 74;
const STEP: i32 = 42;
const HEIGHT: i32 = 24;

pub(super) fn draw(summary: &Summary, area: &Area<'_>) -> Result<(), Failed> {
    let whole: f64 = ["cpu_client_us", "cpu_front_us", "cpu_keeper_us"]
        .iter()
        .map(|key| summary.get(key))
        .sum::<Result<f64, Failed>>()?;
    let mut rows = Vec::new();
    for (key, name, colour) in ROWS {
        rows.push((name, colour, summary.get(key)?));
    }
    let parts: f64 = rows.iter().map(|(_, _, figure)| figure).sum();
    rows.push(("all else: looking up, handing over", INK, (whole - parts).max(0.0)));
    let longest = rows.iter().map(|(_, _, figure)| *figure).fold(f64::MIN_POSITIVE, f64::max);
    let title = format!(
        "Microseconds of CPU of one issuance, 64 in flight: {} measured, {} of them in parts",
        shown(whole),
        shown(parts)
    );
    area.draw(&Text::new(title, (24, 30), text(18, INK, HPos::Left)))?;
    for (number, (name, colour, figure)) in (0_i32..).zip(rows) {
        let middle = TOP + STEP * number;
        #[expect(clippy::cast_possible_truncation, reason = "pixels")]
        let end = BAR.0 + (f64::from(BAR.1 - BAR.0) * figure / longest) as i32;
        let corners = [(BAR.0, middle - HEIGHT / 2), (end, middle + HEIGHT / 2)];
        area.draw(&Text::new(name, (BAR.0 - 10, middle), text(14, INK, HPos::Right)))?;
        area.draw(&Rectangle::new(corners, colour.filled()))?;
        area.draw(&Text::new(shown(figure), (end + 8, middle), text(14, INK, HPos::Left)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::PARTS;

    #[test]
    fn every_part_of_the_ceiling_has_a_row() {
        assert!(PARTS.iter().all(|part| ROWS.iter().any(|(key, ..)| key == part)));
    }
}
