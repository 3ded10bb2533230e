//! A journal copied while it serves, and restored by replay: every signature in it verified again.

use std::time::Instant;

use crate::Failed;
use crate::cells::Served;
use crate::cpu::micros;
use crate::summary::Summary;

/// Of the cell's own load: its certificates and requests are really signed.
pub(crate) fn measure(served: Served, summary: &mut Summary) -> Result<(), Failed> {
    let copy = served.data_dir().with_extension("copy");
    let copy = copy.display().to_string();
    let began = Instant::now();
    served.command(&["journal", "backup", "--out", &copy])?;
    let backup = began.elapsed();
    let cell = served.stop()?;
    let began = Instant::now();
    let restored = cell.run(&["--output", "json", "journal", "restore", &copy]).json();
    let restore = began.elapsed();
    let entries = restored["entries"].as_u64().ok_or("the restore says no number of entries")?;
    let entries = u32::try_from(entries)?;
    summary.set("backup_us", micros(backup, entries));
    summary.set("restore_us", micros(restore, entries));
    Ok(())
}
