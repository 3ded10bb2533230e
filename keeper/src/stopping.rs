//! What officers stop while no keeper records it: their word lies beside the journal, and no keeper starts but by it.
//!
//! It lies there as a file, and is no part of the journal: a damaged journal, a missing one and a restored copy lose no freeze.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cell::Act;
use ledger::charter::Charter;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Entry};
use ledger::note::{KeyName, Note};
use ledger::proposal::{self, ProposalError};
use proto::v1::Reason;
use sys::durable;

use crate::journal::{Durability, Journal, JournalError, Reader};
use crate::refusal::Refusal;
use crate::requests;

/// Directory of what was laid, in the data directory. A file is named after its act: a newer word takes the place of an older one.
const STOPS: &str = "stops";

/// Octets of an act: those of a note of the ledger.
const NOTE_MAX: u64 = 64 * 1024;

/// Nothing was laid, and nothing stops.
#[derive(Debug, thiserror::Error)]
pub enum LayError {
    /// The officers': the proposal is none for this log, or not approved.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It sets something going: a running keeper alone carries it out.
    #[error("`{0}` is carried out by a running service alone")]
    NoStop(&'static str),
    /// The disk's.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// What could not be written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What lies beside the journal and cannot be taken into it. No keeper starts: what officers stopped is not to go on.
#[derive(Debug, thiserror::Error)]
#[error("officers stopped the cell, and their word in {path} cannot be recorded: {why}", path = .path.display())]
pub struct NotTaken {
    /// The file.
    pub path: PathBuf,
    /// Why not.
    pub why: String,
}

impl NotTaken {
    /// The act after which its file is named.
    pub fn act(&self) -> Option<&str> {
        self.path.file_stem()?.to_str()
    }
}

/// Lays an act that stops something beside the journal in `dir`, once officers of this charter have signed it for the log of this cell.
/// Durable when this returns. Gives the file.
///
/// # Errors
/// [`LayError`].
pub fn lay(
    dir: &Path,
    (charter, cell, log): (&Charter, &str, &KeyName),
    proposal: &str,
    now_ms: i64,
) -> Result<PathBuf, LayError> {
    let note = Note::parse(proposal.as_bytes()).map_err(|error| Refusal::from(ProposalError::from(error)))?;
    let approved = proposal::open(&note, charter, cell, log, now_ms.div_euclid(1000), audit::act_rule);
    let approved = approved.map_err(Refusal::from)?;
    let act = requests::act_of(approved.proposal())?;
    if !act.stops() {
        return Err(LayError::NoStop(act.name()));
    }
    let stops = dir.join(STOPS);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LayError::File { path, source }
    };
    match fs::DirBuilder::new().mode(0o700).create(&stops) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&stops)(error)),
        _ => durable::sync_dir(dir).map_err(failed(dir))?,
    }
    let path = stops.join(format!("{}.note", act.name()));
    durable::replace(&path, note.to_string().as_bytes(), 0o600).map_err(failed(&path))?;
    Ok(path)
}

/// The newest trust bundle that the journal in `dir` has: unverified, and none where it cannot be read.
pub fn newest_bundle(dir: &Path) -> Option<String> {
    let reader = Reader::owning(Journal::reading_connection(dir).ok()?);
    Some(reader.bundle().ok()??.1)
}

/// Records what lies beside the journal. Where nothing does, nothing of the journal is read.
///
/// # Errors
/// The disk's; or a [`NotTaken`].
pub(crate) fn take(journal: &mut Journal, now_ms: i64) -> Result<(), TakeError> {
    let paths = waiting(journal.dir())?;
    if paths.is_empty() {
        return Ok(());
    }
    let newest_ms = journal.newest_ms()?;
    for path in paths {
        let not_taken = |why: &dyn std::fmt::Display| NotTaken { path: path.clone(), why: why.to_string() };
        let text = durable::read(&path, NOTE_MAX).map_err(|error| not_taken(&error))?;
        let text = String::from_utf8(text).map_err(|error| not_taken(&error))?;
        let now_ms = recordable_ms(&text, now_ms, newest_ms);
        let reader = journal.reader();
        let whose = (journal.cell(), journal.origin());
        let (note, _, act) = match requests::approved(&reader, whose, now_ms, &text) {
            Ok(approved) => approved,
            // A keeper recorded it before it could remove the file.
            Err(refusal) if refusal.reason() == Reason::ProposalReplayed => {
                fs::remove_file(&path).map_err(|error| not_taken(&error))?;
                continue;
            }
            Err(refusal) => return Err(not_taken(&refusal).into()),
        };
        let again = act == Act::RenewalsStop && requests::not_alone_again(&reader, now_ms).is_err();
        if !act.stops() {
            return Err(not_taken(&"it sets something going").into());
        }
        if again {
            tracing::warn!("one officer stopped renewals already today: the second time is passed over");
        } else {
            journal.begin(Durability::Disk)?;
            let kind = Kind::Act(entry::Act { note: note.to_string().into_bytes() });
            let entry = Entry::new(journal.cell(), now_ms, requests::officers(), kind);
            journal.append(&entry)?;
            journal.commit()?;
            tracing::warn!(act = act.name(), "officers stopped it while no service recorded their word");
        }
        fs::remove_file(&path).map_err(|error| not_taken(&error))?;
    }
    Ok(())
}

/// The time at which a laid act is recorded. A clock that is behind does not make the log go back in time, but for a log that is so far ahead
/// that the act would have ended: then as late as it is good, so that a stop does not wait for the clock.
fn recordable_ms(text: &str, now_ms: i64, newest_ms: i64) -> i64 {
    let proposal = Note::parse(text.as_bytes()).ok().and_then(|note| proposal::Proposal::read(&note).ok());
    let good_ms =
        proposal.map_or(i64::MAX, |proposal| proposal.expires_unix.saturating_sub(1).saturating_mul(1000));
    now_ms.max(newest_ms.min(good_ms))
}

/// Removes what lies beside the journal: officers have thawed the cell since.
pub(crate) fn clear(dir: &Path) {
    let removed = waiting(dir).and_then(|paths| {
        paths
            .into_iter()
            .try_for_each(|path| durable::remove(&path).map(drop).map_err(JournalError::of_file(path)))
    });
    if let Err(error) = removed {
        tracing::warn!(
            cause = error.to_string(),
            "what was laid beside the journal stays, and stops the next start"
        );
    }
}

/// Why no keeper starts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    /// The disk's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was laid cannot be recorded.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
}

/// The files that lie beside the journal in `dir`, each an act that waits to be recorded, in order of their names.
///
/// # Errors
/// The disk's.
pub fn waiting(dir: &Path) -> Result<Vec<PathBuf>, JournalError> {
    let stops = dir.join(STOPS);
    let entries = match fs::read_dir(&stops) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        // A file in the directory's place may be anybody's word.
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(vec![stops]),
        entries => entries.map_err(JournalError::of_file(&stops))?,
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()
        .map_err(JournalError::of_file(&stops))?;
    // One that was not written to its end is replaced by the next of its name.
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "note"));
    paths.sort_unstable();
    Ok(paths)
}
