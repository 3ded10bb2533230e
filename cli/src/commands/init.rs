//! `rootcellar init`: a new cell: its tokens, keys, charter and first entries.

use std::io::{BufReader, stdin, stdout};

use cell::TrustDomain;
use ceremony::host::{self, GeneratedKey, TokenHost};
use ceremony::init::{self, FoundError, Founded, Plan};
use certs::CertificateSummary;
use clap::Args;
use hsm_config::{PinGuard, TokenConfig};
use keeper::{Journal, JournalError};
use serde::Serialize;

use crate::config::Config;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;

/// Make a new cell: tokens and keys, the charter, the first entries of the ledger
#[derive(Debug, Args)]
#[command(after_help = "\
The service's token, journal and socket go into --data-dir; the root's token with its PIN, the officer's key and the charter go into \
--officer-dir, which the service never opens: move it off this machine.

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

/// One token, for `init`: commands on standard input, answers on standard output (started by init)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar token-host --root")]
pub(crate) struct Host {
    /// The root's token, not the service's
    #[arg(long)]
    root: bool,
}

pub(super) fn run(session: &Session, args: &Init) -> Result<(), Failure> {
    // Files for their owner alone, and nothing of the officer's key in a core dump.
    keeper::harden().map_err(|error| Failure::new("INIT", error))?;
    let config = session.config()?;
    let plan = Plan {
        cell: args.cell.clone().unwrap_or_else(|| config.cell().clone()),
        data_dir: config.data_dir().to_owned(),
        officer_dir: config.officer_dir().to_owned(),
        officer: args.officer.clone(),
        root_key: config.root_key(),
        issuing_key: config.issuing_key(),
        log_key: config.log_key(),
        now_ms: session.now_ms(),
    };
    init::prepare(&plan)?;
    if plan.cell != *config.cell() {
        remember_cell(session, &plan)?;
    }
    let mut service = start(session, &config.issuing_token(), false)?;
    let mut root = start(session, &config.root_token(), true)?;
    let founded = init::found(&plan, &mut service, &mut root)?;
    session.output().say(&Report::new(&plan, &config, &founded)?)
}

/// The other end: this program again, with the module's environment.
pub(super) fn host(session: &Session, args: &Host) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("TOKEN_HOST", error);
    keeper::harden().map_err(failed)?;
    let config = session.config()?;
    let (token, dir) = if args.root {
        (config.root_token(), config.officer_dir())
    } else {
        (config.issuing_token(), config.data_dir())
    };
    host::serve(&token, &PinGuard::new(dir), BufReader::new(stdin().lock()), stdout().lock()).map_err(failed)
}

fn start(session: &Session, token: &TokenConfig, root: bool) -> Result<TokenHost, Failure> {
    let mut command = session.again(&[])?;
    command.arg("token-host").args(root.then_some("--root"));
    TokenHost::start(command, token).map_err(|error| Failure::new("TOKEN", error))
}

/// What the command line said and no file does is written where `serve` looks for it.
fn remember_cell(session: &Session, plan: &Plan) -> Result<(), Failure> {
    if let Some(file) = session.config_file(&session.places()?) {
        return Err(Failure::usage(format!("--cell {} is not what {} says", plan.cell, file.display()))
            .mended_by(format!("set cell = \"{}\" in {}, and leave --cell out", plan.cell, file.display())));
    }
    let text = format!(
        "# Written by `rootcellar init`. `rootcellar config show --reference` explains every key.\ncell = \"{}\"\n",
        plan.cell
    );
    files::write(&plan.data_dir.join("rootcellar.toml"), text.as_bytes(), 0o600)
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
            FoundError::NotEmpty(_) => {
                "rootcellar init --data-dir DIR --officer-dir DIR, both empty or not there".to_owned()
            }
            FoundError::TooWide { path, .. } => format!("chmod 0700 {}", path.display()),
            FoundError::Directory { .. } => {
                "the same with --data-dir DIR and --officer-dir DIR where you can write".to_owned()
            }
            FoundError::Internal(_) => return Self::new("INTERNAL", error),
            _ => "remove the data and the officer directory, mend it, and run `rootcellar init` again"
                .to_owned(),
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
    keys: Vec<Key>,
}

#[derive(Debug, Serialize)]
struct Key {
    purpose: &'static str,
    token: String,
    spki: String,
    attributes: Vec<(String, String)>,
}

impl Report {
    fn new(plan: &Plan, config: &Config, founded: &Founded) -> Result<Self, Failure> {
        let fingerprint = |der: &[u8]| {
            let summary = CertificateSummary::parse(der, config.attributes_oid());
            summary.map(|summary| summary.sha256).map_err(|error| Failure::new("INTERNAL", error))
        };
        let [root_token, service_token] = &founded.tokens;
        let [root, issuer, log] = &founded.keys;
        let key = |purpose, key: &GeneratedKey, (label, serial): &(String, String)| Key {
            purpose,
            token: format!("{label} (serial {serial})"),
            spki: key.spki.clone(),
            attributes: key.attributes.clone(),
        };
        Ok(Self {
            cell: plan.cell.to_string(),
            root_sha256: fingerprint(&founded.root)?,
            issuer_sha256: fingerprint(&founded.issuer)?,
            officer: founded.officer.to_string(),
            log: founded.origin.clone(),
            data_dir: plan.data_dir.display().to_string(),
            officer_dir: plan.officer_dir.display().to_string(),
            keys: vec![
                key("root", root, root_token),
                key("issuer", issuer, service_token),
                key("log", log, service_token),
            ],
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
        page.line("");
        page.line("The officer's directory holds the root's token, its PIN and the officer's key: move it off this machine.");
        page.line("Next: rootcellar serve");
        page.line("      rootcellar controller add build --grant 'agents=build/*;roles=logger'");
    }
}
