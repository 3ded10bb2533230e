//! `rootcellar doctor`: what is wrong, how one sees it, and the line that mends it. Works while the service runs and while it does not.
//!
//! The token is looked at by a child of its own, with the environment of the token's module, beside the keeper's process.
//!
//! - `probe` looks at the token, in the child, and `facts` is what it tells; `token` judges that
//! - `service` asks the service, and `state` judges what it says; `files` looks at directories; `clients` is a table
//! - `kinds`: of which kind the keys in use are

mod clients;
mod facts;
mod files;
mod finding;
mod kinds;
mod probe;
mod service;
mod state;
mod token;

use std::process::Stdio;

use clap::Args;
use hsm_config::TokenConfig;

use super::journal;
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::session::Session;
use crate::tokens::Which;
use facts::Facts;
use finding::{Checkup, Finding};
use kinds::Kinds;
use service::Service;

/// Look at everything that a cell depends on, and say what is wrong and the line that mends it; exits with 1 when something is above info
///
/// Logs in to the token in a process of its own and signs for half a second with a key that is made for it and gone with it. Works while the
/// service runs and while it does not; what only the service knows is then left out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rootcellar doctor\n  rootcellar doctor --output json")]
pub(crate) struct Doctor {
    /// In the process that loads this token's module
    #[arg(long, hide = true, value_enum)]
    in_child: Option<Which>,
    /// The key that issues, SHA-256
    #[arg(long, hide = true, requires = "in_child")]
    issuer: Option<String>,
    /// Without a login: the token only stands ready
    #[arg(long, hide = true, requires = "in_child")]
    without_login: bool,
}

pub(super) fn run(session: &Session, args: &Doctor) -> Result<(), Failure> {
    let config = session.config()?;
    if let Some(which) = args.in_child {
        // Before the PIN is read.
        sys::harden().map_err(|error| Failure::new("DOCTOR", error))?;
        let token = which.config(&config).ok_or_else(|| Failure::usage("there is no such token"))?;
        let facts = probe::look(session, &config, &token, !args.without_login, args.issuer.as_deref())?;
        let facts = serde_json::to_string(&facts).map_err(|error| Failure::new("OUTPUT", error))?;
        return session.output().raw(&facts);
    }
    let mut checkup = Checkup::default();
    let service = session.block_on(Service::ask(session, &config));
    let (service, failed) = match service {
        Ok(service) => (service, None),
        Err(failure) => (None, Some(failure)),
    };
    let runs = service.is_some() || failed.is_some();
    checkup.note("cell", files::cell(&config, runs, || journal::known_to_token(session)));
    checkup.note("service", failed.map(|failure| mute(&failure)));
    checkup.note("journal", files::journal(&config, session.now_secs()));
    checkup.note("backup", files::backup(&config, session.now_secs()));
    checkup.note("own certificate", files::own_certificate(&config, session.now_secs()));
    checkup.note("officer", files::officer(&config));
    let which = service.as_ref().map_or(Which::Issuing, |service| service.token(&config));
    let issuer = service.as_ref().and_then(|service| service.key_in_use("issuer"));
    let facts = look_at(session, &config, which, true, issuer.as_deref());
    let facts = facts.map_err(|failure| checkup.note("token", [unreachable(&failure)])).ok();
    let kinds = Kinds::of(&config, service.as_ref(), facts.as_ref());
    if let Some(facts) = &facts {
        note_token(&mut checkup, &config, (which, facts), &kinds, service.as_ref());
    }
    let other = if which == Which::Issuing { Which::Standby } else { Which::Issuing };
    if other.config(&config).is_some() {
        let facts = look_at(session, &config, other, false, None);
        checkup.note("the other token", token::other(facts, service.is_some()));
    }
    note_algorithms(&mut checkup, &kinds);
    if let Some(service) = &service {
        note_service(&mut checkup, session, service, facts.as_ref());
    }
    let report = checkup.report();
    session.output().say(&report)?;
    match report.above_info() {
        0 => Ok(()),
        count => Err(Failure::new("FINDINGS", format!("{count} findings are above info"))),
    }
}

fn note_token(
    checkup: &mut Checkup,
    config: &Config,
    (which, facts): (Which, &Facts),
    kinds: &Kinds,
    service: Option<&Service>,
) {
    let keys = [("token.issuing-key", kinds.issuer), ("token.log-key", kinds.log)];
    checkup.note("token flags", token::flags(facts));
    checkup.note("token mechanisms", token::mechanisms(facts, &keys));
    checkup.note("root's token absent", token::root(facts, &config.root_token().uri));
    checkup.note(
        "the system's random numbers",
        token::entropy("entropy.system", "the operating system", &facts.system_random),
    );
    if let Some(TokenConfig { profile, .. }) = which.config(config) {
        checkup.note("provenance", token::provenance(&profile.attestation, &profile.exceptions()));
    }
    match &facts.inside {
        Err(cause) => {
            let finding = Finding::critical("token.login", "nobody can log in to the token", cause);
            checkup.note("token login", [finding.mended_by("rootcellar token inspect")]);
        }
        Ok(inside) => {
            checkup.note("key attributes", token::keys(inside, service.and_then(Service::keys).as_deref()));
            checkup.note("token sessions", token::sessions(inside));
            checkup.note(
                "the token's random numbers",
                token::entropy("entropy.token", "the token", &inside.random),
            );
            match (&inside.rate, service) {
                (Ok(rate), Some(service)) => checkup.note("capacity", state::capacity(service, *rate)),
                (Ok(rate), None) => {
                    let agents = state::supports(*rate, 3600);
                    let seen = format!("{:.0} signatures a second by the token alone", rate.per_second);
                    let finding = format!("the token supports {agents} agents at 3600 s{}", state::REST);
                    checkup.note("capacity", [Finding::info("capacity", finding, seen)]);
                }
                (Err(cause), _) => {
                    let finding = "how fast the token signs could not be measured";
                    checkup.note("capacity", [Finding::info("capacity.unmeasured", finding, cause)]);
                }
            }
        }
    }
}

fn note_algorithms(checkup: &mut Checkup, kinds: &Kinds) {
    let roots = kinds.roots.iter().map(|root| ("root-token.key", *root));
    let keys = [("token.issuing-key", kinds.issuer)].into_iter().chain(roots);
    checkup.note("algorithms", keys.filter_map(|(key, algorithm)| clients::judge(key, algorithm)));
}

fn note_service(checkup: &mut Checkup, session: &Session, service: &Service, facts: Option<&Facts>) {
    checkup.note("readiness", state::readiness(service));
    checkup.note("log consistency", state::log(service));
    checkup.note("certificates", state::certificates(service, session.now_secs()));
    checkup.note("back-date", state::backdate(service));
    checkup.note("custody", state::custody(service, facts, session.now_ms()));
    checkup.note("second issuer", state::second_issuer(service));
}

fn mute(failure: &Failure) -> Finding {
    Finding::critical("service.mute", "the service runs and does not answer", failure.to_string())
        .mended_by("rootcellar status")
}

fn unreachable(failure: &Failure) -> Finding {
    let finding =
        Finding::critical("token.unreachable", "the token cannot be looked at", failure.to_string());
    finding.mended_by(failure.remedy().unwrap_or("rootcellar token list"))
}

/// Runs the same command in a child with the token's environment, and reads its report. `issuer` is the key that issues, where it is known.
fn look_at(
    session: &Session,
    config: &Config,
    which: Which,
    login: bool,
    issuer: Option<&str>,
) -> Result<Facts, Failure> {
    let failed = |error: std::io::Error| Failure::new("CHILD_FAILED", error);
    let token = which.config(config).ok_or_else(|| Failure::usage("there is no such token"))?;
    let mut command = session.again(&token.environment())?;
    command.args(["doctor", "--in-child", which.name(), "--output=json"]);
    command.args((!login).then_some("--without-login"));
    command.args(issuer.map(|issuer| format!("--issuer={issuer}")));
    let output = command.stdin(Stdio::inherit()).output().map_err(failed)?;
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).map_err(|error| Failure::new("CHILD_FAILED", error));
    }
    // What a module writes there itself is not ours: our report is the last line.
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Option<serde_json::Value> =
        said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    let text = |key: &str| report.as_ref()?["error"][key].as_str().map(ToOwned::to_owned);
    let message = text("message").unwrap_or_else(|| {
        // It could not report: a module crashed it.
        format!("the process with the PKCS#11 module ended: {}", output.status)
    });
    let failure = Failure::new("CHILD_FAILED", message).ending(Exit::of_child(output.status.code()));
    Err(match text("remedy") {
        Some(remedy) => failure.mended_by(remedy),
        None => failure,
    })
}
