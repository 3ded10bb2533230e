//! The disk's part of a commit: a page appended to a file and waited for.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use crate::Failed;
use crate::cpu::median;
use crate::plan::Plan;
use crate::summary::Summary;

/// Pages written.
const PAGES: usize = 300;

pub(crate) fn measure(plan: &Plan, dir: &Path, summary: &mut Summary) -> Result<(), Failed> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(dir.join("pages"))?;
    let mut took = Vec::new();
    for _ in 0..PAGES / usize::try_from(plan.step_share)? {
        let began = Instant::now();
        file.write_all(&[0x73; 4096])?;
        file.sync_data()?;
        took.push(began.elapsed().as_secs_f64() * 1e6);
    }
    summary.set("fsync_us", median(took));
    Ok(())
}
