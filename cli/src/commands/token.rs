//! `rootcellar token`: tokens, their keys, and what the tokens say of them.
//!
//! A PKCS#11 module reads its environment when it is initialised. The command therefore runs itself again with the environment of
//! the token's profile; that child opens the module and prints JSON, and the parent renders it.

mod child;
mod clear;
mod conformance;
mod view;

use std::io::Read as _;
use std::process::{Command, Stdio};

use clap::{Args, Subcommand};
use hsm_config::{PinGuard, TokenConfig};

use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::session::Session;

/// Longest report of a child, in bytes.
const REPORT_MAX: u64 = 4 * 1024 * 1024;

/// List tokens, and inspect the keys of one
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  rootcellar token list\n  rootcellar token inspect --root")]
pub(crate) enum Token {
    List(Which),
    Inspect(Inspect),
    ClearPinFailure(clear::ClearPinFailure),
    Conformance(Box<conformance::Conformance>),
}

/// List the tokens that the module shows (no login)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar token list --root")]
pub(crate) struct Which {
    /// The officer's token with the root key instead of the service's
    #[arg(long)]
    root: bool,
    /// In the process that loads the module
    #[arg(long, hide = true)]
    in_child: bool,
}

/// Log in and list the keys, with the attributes that the token reports; with -v its mechanisms too
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar token inspect -v")]
pub(crate) struct Inspect {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(session: &Session, args: &Token) -> Result<(), Failure> {
    match args {
        Token::List(which) => list(session, which),
        Token::Inspect(inspect) => self::inspect(session, &inspect.which),
        Token::ClearPinFailure(args) => clear::run(session, args),
        Token::Conformance(args) => conformance::run(session, args),
    }
}

fn list(session: &Session, which: &Which) -> Result<(), Failure> {
    let token = which.token(&session.config()?);
    if which.in_child {
        let tokens = child::list(&token).map_err(|failure| {
            // Without its directory a software module does not even begin.
            if token.dir.exists() { failure } else { failure.mended_by("rootcellar init") }
        })?;
        return session.output().raw(&json(&tokens)?);
    }
    let tokens: Vec<view::Token> = in_child(session, "list", which, &token)?;
    session.output().say(&view::Tokens { profile: token.profile.name.clone(), tokens })
}

fn inspect(session: &Session, which: &Which) -> Result<(), Failure> {
    let config = session.config()?;
    let token = which.token(&config);
    if which.in_child {
        let guard = PinGuard::new(config.state_dir());
        return session.output().raw(&json(&child::inspect(&token, &guard, session.verbose() > 0)?)?);
    }
    let inspected: view::Inspected = in_child(session, "inspect", which, &token)?;
    session.output().say(&inspected)
}

impl Which {
    fn token(&self, config: &Config) -> TokenConfig {
        if self.root { config.root_token() } else { config.issuing_token() }
    }
}

fn json(report: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(report).map_err(|error| Failure::new("OUTPUT", error))
}

/// Runs the same command in a child with the token's environment, and reads its report. The child asks for the PIN, and says itself
/// what went wrong.
fn in_child<T: serde::de::DeserializeOwned>(
    session: &Session,
    verb: &str,
    which: &Which,
    token: &TokenConfig,
) -> Result<T, Failure> {
    let mut command = session.again(&token.environment())?;
    command.args(["token", verb, "--in-child"]).args(which.root.then_some("--root"));
    command.args(session.output().is_json().then_some("--output=json"));
    report_of(command)
}

/// Runs a child and reads its report, JSON on its standard output.
fn report_of<T: serde::de::DeserializeOwned>(mut command: Command) -> Result<T, Failure> {
    let failed = |error: std::io::Error| Failure::new("CHILD_FAILED", error);
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut report = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(REPORT_MAX).read_to_end(&mut report).map_err(failed)?;
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(match status.code() {
            Some(code) => Failure::reported_by_child(Exit::of_child(Some(code))),
            // It could not report: a module crashed it.
            None => {
                Failure::new("CHILD_FAILED", format!("the process with the PKCS#11 module ended: {status}"))
            }
        });
    }
    serde_json::from_slice(&report).map_err(|error| Failure::new("CHILD_FAILED", error))
}
