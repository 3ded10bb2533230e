//! `make bench`: measures everything on throw-away cells, prints a table, writes `summary.json` and charts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rootcellar_benches::{Failed, Plan, Summary, ab, checkpoint, run, token};
use tokio::signal::unix::{SignalKind, signal};

/// Measure everything on throw-away cells
#[derive(Debug, Parser)]
struct Args {
    /// Where summary.json and the charts are written
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Only show that it runs: small, short, and its figures mean nothing
    #[arg(long)]
    quick: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    Ab(ab::Ask),
    /// The token alone, in the environment of its module
    #[command(hide = true)]
    Token(token::Ask),
    /// A checkpoint over a journal that was filled, in the environment of its token's module
    #[command(hide = true)]
    Checkpoint(checkpoint::Ask),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match &args.part {
        Some(Part::Token(ask)) => token::answer(ask).map(|answer| answer.to_string()),
        Some(Part::Checkpoint(ask)) => checkpoint::answer(ask).map(|()| String::new()),
        Some(Part::Ab(ask)) => compared(ask, &args.out),
        None => measured(args).map(|summary| summary.to_string()),
    };
    match outcome {
        Ok(shown) => {
            print(&shown);
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Two commits side by side: the table; the figures are in `ab.json`.
fn compared(ask: &ab::Ask, out: &Path) -> Result<String, Failed> {
    let compared = ab::compare(ask)?;
    fs::create_dir_all(out)?;
    fs::write(out.join("ab.json"), format!("{:#}\n", compared.json()))?;
    Ok(compared.to_string())
}

#[tokio::main]
async fn measured(args: Args) -> Result<Summary, Failed> {
    let plan = if args.quick { Plan::QUICK } else { Plan::FULL };
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    // A run holds its cells: where it is dropped, they end and their directories go.
    tokio::select! {
        outcome = run(plan, &args.out) => outcome,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("interrupted".into()),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what this program is for")]
fn print(shown: &str) {
    println!("{}", shown.trim_end());
}

#[expect(clippy::print_stderr, reason = "a program for people at a terminal")]
fn tell(message: &str) {
    eprintln!("error: {message}");
}
