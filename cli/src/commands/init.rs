//! `rootcellar init`: a new cell: its tokens, keys, charter and first entries.

use cell::TrustDomain;
use ceremony::init::{self, FoundError, Founded, Plan};
use ceremony::plans::KeyIn;
use clap::Args;
use data_encoding::HEXLOWER;
use keeper::{Journal, JournalError};
use ledger::plan::CertifyAs;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ceremony::ground::Tool;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens::{self, Which};

/// Make a new cell: tokens and keys, the charter, the first entries of the ledger. It is a ceremony of one officer
#[derive(Debug, Args)]
#[command(after_help = "\
The service's token, journal and socket go into --data-dir; the root's token with its PIN, the officer's key, the charter and the \
ceremony's transcript go into --officer-dir, which the service never opens: move it off this machine. Cut short, the same command goes on.

For a cell of several officers: rootcellar ceremony plan found --help

Examples:
  rootcellar init
  rootcellar init --cell prod.example --officer alice")]
pub(crate) struct Init {
    /// Trust domain of the cell [default: the configuration's, cell.internal]
    #[arg(long, value_name = "NAME")]
    cell: Option<TrustDomain>,
    /// Name of its first officer
    #[arg(long, value_name = "NAME", default_value = "officer-1")]
    officer: String,
}

pub(super) fn run(session: &Session, args: &Init) -> Result<(), Failure> {
    // Files for their owner alone, and nothing of the officer's key in a core dump.
    sys::harden().map_err(|error| Failure::new("INIT", error))?;
    let config = session.config()?;
    init::prepare(config.data_dir(), config.officer_dir())?;
    unknown_to_the_token(session)?;
    let place = |which| tokens::place(session, &config, which);
    let (issuing, root) = (place(Which::Issuing)?, place(Which::Root)?);
    let plan = Plan {
        cell: args.cell.clone().unwrap_or_else(|| config.cell().clone()),
        data_dir: config.data_dir().to_owned(),
        officer_dir: config.officer_dir().to_owned(),
        officer: args.officer.clone(),
        root: KeyIn { token: &root, algorithm: config.root_key() },
        issuer: KeyIn { token: &issuing, algorithm: config.issuing_key() },
        log: KeyIn { token: &issuing, algorithm: config.log_key() },
    };
    if plan.cell != *config.cell() {
        remember_cell(session, &plan)?;
    }
    let tool = Tool::own(session)?;
    let founded = init::found(
        &plan,
        |approved| tool.ground(approved, &[], &[]),
        session.now_ms(),
        tokens::opener(session, &config, &[]),
    )?;
    session.output().say(&Report::new(&plan, &founded)?)
}

/// A token that keeps a checkpoint belongs to a cell that is there: what is missing is its journal.
fn unknown_to_the_token(session: &Session) -> Result<(), Failure> {
    match super::journal::known_to_token(session) {
        Some(known) => Err(Failure::new(
            "INIT",
            format!("the token knows this cell ({known}): it was founded before, and its journal is missing"),
        )
        .mended_by("rootcellar journal restore FILE; for a new cell, rootcellar init --data-dir DIR --officer-dir DIR")),
        None => Ok(()),
    }
}

/// What the command line said and no file does is written where `serve` looks for it.
fn remember_cell(session: &Session, plan: &Plan<'_>) -> Result<(), Failure> {
    if let Some(file) = session.config_file(&session.places()?) {
        return Err(Failure::usage(format!("--cell {} is not what {} says", plan.cell, file.display()))
            .mended_by(format!("set cell = \"{}\" in {}, and leave --cell out", plan.cell, file.display())));
    }
    let text = format!(
        "# Written by `rootcellar init`. `rootcellar config show --reference` explains every key.\ncell = \"{}\"\n",
        plan.cell
    );
    Ok(files::write(&plan.data_dir.join("rootcellar.toml"), text.as_bytes(), 0o600)?)
}

impl From<FoundError> for Failure {
    fn from(error: FoundError) -> Self {
        let remedy = match &error {
            FoundError::NotEmpty(path)
                if !matches!(Journal::is_free(path), Err(JournalError::Missing(_))) =>
            {
                "rootcellar serve; for another cell, rootcellar init --data-dir DIR --officer-dir DIR"
                    .to_owned()
            }
            FoundError::NotEmpty(_) | FoundError::Other(_) => {
                "rootcellar init --data-dir DIR --officer-dir DIR, both empty or not there".to_owned()
            }
            FoundError::OtherKeys { .. } => "set the configuration back, and run `rootcellar init` again; or --data-dir DIR --officer-dir DIR, \
                 both empty or not there"
                .to_owned(),
            FoundError::TooWide { path, .. } => format!("chmod 0700 {}", path.display()),
            FoundError::Path { .. } => {
                "the same with --data-dir DIR and --officer-dir DIR where you can write".to_owned()
            }
            FoundError::Internal(_) => return Self::new("INTERNAL", error),
            _ => "mend it, and run `rootcellar init` again: it goes on from where it stopped".to_owned(),
        };
        Self::new("INIT", error).mended_by(remedy)
    }
}

/// What was founded.
#[derive(Debug, Serialize)]
struct Report {
    cell: String,
    root_sha256: String,
    issuer_sha256: String,
    officer: String,
    log: String,
    data_dir: String,
    officer_dir: String,
    ceremony: String,
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    purpose: String,
    token: String,
    spki: String,
    attributes: Vec<(String, String)>,
}

impl Report {
    fn new(plan: &Plan<'_>, founded: &Founded) -> Result<Self, Failure> {
        let fingerprint = |profile| {
            let found = founded.evidence.certificates.iter().find(|one| one.profile == profile);
            let found = found.ok_or_else(|| Failure::new("INTERNAL", "a certificate is missing"))?;
            Ok::<_, Failure>(HEXLOWER.encode(&Sha256::digest(&found.der)))
        };
        let keys = founded.evidence.keys.iter().map(|key| Key {
            purpose: key.name.clone(),
            token: format!("{} (serial {})", key.token.0, key.token.1),
            spki: HEXLOWER.encode(key.public_key.spki_der()),
            attributes: key.attributes.clone(),
        });
        Ok(Self {
            cell: plan.cell.to_string(),
            root_sha256: fingerprint(CertifyAs::Root)?,
            issuer_sha256: fingerprint(CertifyAs::Issuer)?,
            officer: founded.officer.to_string(),
            log: founded.bundle.logs.first().map(|log| log.origin.to_string()).unwrap_or_default(),
            data_dir: plan.data_dir.display().to_string(),
            officer_dir: plan.officer_dir.display().to_string(),
            ceremony: founded.ceremony.display().to_string(),
            keys: keys.collect(),
        })
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        page.field("cell", &self.cell);
        page.field("root", format!("sha256 {}", self.root_sha256));
        page.field("log", &self.log);
        for key in &self.keys {
            page.field(
                &format!("{} key", key.purpose),
                format!("generated in {}, never extractable", key.token),
            );
        }
        page.field("data", &self.data_dir);
        page.field("officer", &self.officer_dir);
        page.field("transcript", format!("{}/transcript.note", self.ceremony));
        page.line("");
        page.line("The officer's directory holds the root's token, its PIN and the officer's key: move it off this machine.");
        page.line("Next: rootcellar serve");
        page.line("      rootcellar controller add build --grant 'agents=build/*;roles=logger'");
    }
}
