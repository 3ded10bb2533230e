//! One run: everything is measured, one after the other, then the figures that follow from others.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use crate::Failed;
use crate::cells::{Served, is_in_memory};
use crate::charts;
use crate::measures::{
    crl, disk, door, echo, freeze, growth, levels, record, restore, slow_token, steps, token, watch,
};
use crate::plan::Plan;
use crate::summary::Summary;

/// The parts of an issuance whose cost is measured each by itself.
pub(crate) const PARTS: [&str; 9] = [
    "csr_verify_us",
    "compose_us",
    "lint_us",
    "record_us",
    "sign_us",
    "verify_us",
    "door_us",
    "rpc_server_us",
    "rpc_client_us",
];

/// Measures, and writes `summary.json` and the charts into `out`.
///
/// # Errors
/// What could not be measured.
pub async fn run(plan: Plan, out: &Path) -> Result<Summary, Failed> {
    let scratch = TempDir::new()?;
    if plan.real_disk && is_in_memory(scratch.path())? {
        let place = scratch.path().display();
        return Err(format!("{place} is in memory, where a commit waits for nothing: set TMPDIR").into());
    }
    let (mut summary, began) = (Summary::default(), Instant::now());
    let tell = |what: &str| tell(&format!("{:4} s  {what}", began.elapsed().as_secs()));

    tell("the steps, one by one");
    let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
    summary.set("cores", f64::from(cores));
    steps::measure(&plan, &mut summary)?;
    record::measure(&plan, &private(scratch.path(), "journal")?, &mut summary)?;
    disk::measure(&plan, scratch.path(), &mut summary)?;
    door::measure(&plan, &mut summary).await?;

    tell("the token, and an empty request");
    let served = Served::found();
    token::measure(&plan, &served, &mut summary)?;
    echo::measure(&plan, &served, &mut summary).await?;
    tell("by callers in flight");
    levels::measure(&plan, &served, &mut summary).await?;
    tell("a freeze under load, a copy and a restore");
    freeze::measure(&plan, &served, &mut summary).await?;
    restore::measure(served, &mut summary)?;
    tell("who only watch");
    watch::measure(&plan, &mut summary).await?;

    tell("as the journal grows");
    let full = growth::measure(&plan, &mut summary).await?;
    tell("a long revocation list");
    crl::measure(&plan, full, &mut summary).await?;
    tell("a slow token");
    slow_token::measure(&plan, &mut summary).await?;

    ceiling(cores, &mut summary)?;
    let summary = summary.complete()?;
    fs::create_dir_all(out)?;
    fs::write(out.join("summary.json"), format!("{:#}\n", summary.json()))?;
    charts::draw(&summary, out)?;
    tell("done");
    Ok(summary)
}

/// What the measured parts would allow if nothing came between them.
fn ceiling(cores: u32, summary: &mut Summary) -> Result<(), Failed> {
    let parts = PARTS.iter().map(|part| summary.get(part)).sum::<Result<f64, Failed>>()?;
    let ceiling = f64::from(cores) * 1e6 / parts;
    summary.set("ceiling_per_s", ceiling);
    summary.set("ceiling_share", summary.get("unary_64_per_s")? / ceiling);
    Ok(())
}

fn private(parent: &Path, name: &str) -> Result<std::path::PathBuf, Failed> {
    let dir = parent.join(name);
    fs::DirBuilder::new().mode(0o700).create(&dir)?;
    Ok(dir)
}

#[expect(clippy::print_stderr, reason = "a run takes minutes: a person wants to see that it moves")]
fn tell(message: &str) {
    eprintln!("{message}");
}
