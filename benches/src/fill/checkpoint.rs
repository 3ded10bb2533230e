//! A checkpoint by the log's key over a journal that was filled: a keeper believes entries that one covers, as those that a keeper recorded.
//!
//! A module reads its environment when it is loaded, so that a process of its own does it: this program, started again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use hsm_config::{PinGuard, PinSource, Profile, TokenConfig, TokenUri};
use keeper::{Durability, Journal};
use ledger::bundle::Contents;
use ledger::checkpoint::Checkpoint;
use ledger::note::Note;

use crate::Failed;

/// What the second process is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct Ask {
    /// The service's data directory
    #[arg(long)]
    data: PathBuf,
}

/// Has the token sign a checkpoint over all of the journal in `data`, which is not served.
///
/// # Errors
/// The token's, or the journal's.
pub(super) fn sign(data: &Path) -> Result<(), Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("checkpoint").arg("--data").arg(data).env("SOFTHSM2_CONF", data.join("token/softhsm2.conf"));
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("the checkpoint: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// In the second process: signs, and stores it.
///
/// # Errors
/// The token's, or the journal's.
pub fn answer(ask: &Ask) -> Result<(), Failed> {
    let dir = ask.data.join("token");
    let config = TokenConfig {
        uri: TokenUri::with_label("rootcellar-issuing")?,
        profile: Profile::load("softhsm2")?,
        pin: PinSource::File(dir.join("pin")),
        dir,
    };
    let token = config.open()?;
    let session = token.login(&config.read_pin()?, &PinGuard::new(&ask.data))?;
    let mut journal = Journal::open(&ask.data)?;
    let (_, bundle) = journal.reader().bundle()?.ok_or("the journal has no trust bundle")?;
    let contents = Contents::read(&Note::parse(bundle.as_bytes())?)?;
    let log = contents.logs.first().ok_or("the trust bundle names no log")?;
    let key = log.keys.first().ok_or("the log has no key")?;
    let edge = journal.edge();
    let (size, root) = (edge.size(), edge.root());
    let mut note = Note::unsigned(&Checkpoint { origin: log.origin.clone(), size, root }.text())?;
    let found = session.find_key(&audit::note_spki(key))?.key;
    let signature = session.sign(&found, note.text().as_bytes())?;
    note.add_signature(key, &signature)?;
    journal.begin(Durability::Disk)?;
    journal.store_checkpoint(size, &note.to_string())?;
    Ok(journal.commit().map(drop)?)
}
