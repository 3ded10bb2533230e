//! The load generator as a program: prints one JSON object with rate, latencies and errors.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rootcellar_benches::Failed;
use rootcellar_benches::load::{Figures, Load};

/// Longest run, in seconds: a load ends by itself.
const SECONDS_MAX: u64 = 600;

/// Ask for certificates as fast as the service gives them
#[derive(Debug, Parser)]
struct Args {
    /// Credentials of a controller, as `rootcellar controller add` wrote them
    #[arg(long, value_name = "DIR")]
    credentials: PathBuf,
    /// Agents to ask for are PREFIX/0, PREFIX/1, …; the grant must cover them
    #[arg(long, default_value = "load")]
    prefix: String,
    /// Connections
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Requests in flight, over all connections
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Over one BatchIssueCertificates stream a connection instead of single requests
    #[arg(long)]
    batch: bool,
    /// Seconds, at most 600
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let time = Duration::from_secs(args.seconds.min(SECONDS_MAX));
    let load = Load { in_flight: args.in_flight, connections: args.connections, time, batch: args.batch };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = runtime
        .map_err(Failed::from)
        .and_then(|runtime| runtime.block_on(load.run(&args.credentials, &args.prefix)));
    match outcome {
        Ok(figures) => {
            if let Some(error) = &figures.first_error {
                tell(error);
            }
            println_json(&shown(&load, &figures));
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the figures are what this program is for")]
fn println_json(figures: &serde_json::Value) {
    println!("{figures:#}");
}

#[expect(clippy::print_stderr, reason = "a program for people at a terminal")]
fn tell(message: &str) {
    eprintln!("error: {message}");
}

fn shown(load: &Load, figures: &Figures) -> serde_json::Value {
    serde_json::json!({
        "connections": load.connections,
        "in_flight": load.in_flight,
        "batch": load.batch,
        "seconds": figures.took.as_secs_f64(),
        "certificates": figures.samples.len(),
        "errors": figures.errors,
        "per_s": figures.per_s(),
        "p50_ms": figures.percentile_ms(50),
        "p99_ms": figures.percentile_ms(99),
    })
}
