//! `rootcellar-instructions N`: so many issuances, for a tool that counts instructions (`make instructions`).

use std::process::ExitCode;

use clap::Parser;

/// Issuances in process, between the wire and the token
#[derive(Debug, Parser)]
struct Args {
    /// How many
    issuances: u64,
}

fn main() -> ExitCode {
    match rootcellar_benches::instructions::run(Args::parse().issuances) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}
