//! `make torture`: kills the service under load, and counts what must be 0.

use std::process::ExitCode;

use clap::Parser;
use rootcellar_softhsm_tests::torture::{Plan, torture};

/// Kill keeper, front and both under load, at random and at each numbered step; ends with a failure where a count is not 0
#[derive(Debug, Parser)]
struct Args {
    /// How often something is killed
    #[arg(long, default_value_t = 208)]
    kills: usize,
    /// Callers at a time
    #[arg(long, default_value_t = 8)]
    callers: usize,
    /// What chance begins with
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { kills, callers, seed } = Args::parse();
    let tally = torture(Plan { kills, callers, seed }).await;
    #[expect(clippy::print_stdout, reason = "the tally is what this program is for")]
    {
        println!("{tally}");
    }
    if tally.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
