//! What is kept outside of the journal, in the token: the hash of the cell's first charter, and the newest checkpoint. A start with another
//! charter is refused, and one below the checkpoint.
//!
//! Does not: see a snapshot of the whole machine, token and all. That only witnesses see, and receipts that others hold (DESIGN §7).

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cell::LogOrigin;
use data_encoding::HEXLOWER;
use hsm_config::{TokenError, TokenInfo, TokenSession};
use ledger::checkpoint::Checkpoint;
use ledger::note::{KeyName, VerifierKey};
use ledger::tree::root_at;
use sys::durable;

use crate::journal::{Durability, Journal, JournalError};
use crate::start_error::StartError;
use crate::trust::Trust;

/// The file in which a refused start leaves the checkpoint, for the officers who open a new epoch.
pub(crate) const LOST_FILE: &str = "lost-checkpoint.note";
/// Entries of a log at most: nine thousand years of a thousand a second. What claims more is none of ours.
const SIZE_MAX: u64 = 1 << 48;
/// Epochs of a log at most.
const EPOCH_MAX: u32 = 1 << 20;
/// Octets of a checkpoint's note, with the signatures of many witnesses.
pub(crate) const NOTE_MAX: u64 = 64 * 1024;

/// CKA_LABEL of the object with a cell's newest checkpoint.
fn checkpoint_label(cell: &str) -> String {
    format!("rootcellar checkpoint of {cell}")
}

/// CKA_LABEL of the object with the hash of a cell's first charter.
fn charter_label(cell: &str) -> String {
    format!("rootcellar charter of {cell}")
}

/// What is known of a cell from outside of its journal: what its token keeps, and what people have.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// SHA-256 of its first charter's text.
    pub charter: Option<[u8; 32]>,
    /// Notes of its newest checkpoints: of a token one, or two where a crash came between the new and the old.
    pub checkpoints: Vec<Vec<u8>>,
}

impl Kept {
    /// Asks the token.
    ///
    /// # Errors
    /// The token fails, or keeps something else under that name.
    pub fn read(session: &TokenSession, cell: &str) -> Result<Self, TokenError> {
        let mut charters = session.kept(&charter_label(cell))?;
        charters.dedup();
        let charter = match charters.as_slice() {
            [] => None,
            [only] => {
                let hash = HEXLOWER.decode(only).ok().and_then(|hash| hash.try_into().ok());
                Some(hash.ok_or(TokenError::Malformed("the charter's hash that it keeps is none"))?)
            }
            _ => return Err(TokenError::Malformed("it keeps the hashes of two charters of this cell")),
        };
        Ok(Self { charter, checkpoints: session.kept(&checkpoint_label(cell))? })
    }
}

/// Whether the token keeps a checkpoint of this cell.
///
/// # Errors
/// The token fails.
pub(crate) fn keeps_checkpoint(session: &TokenSession, cell: &str) -> Result<bool, TokenError> {
    Ok(!session.kept(&checkpoint_label(cell))?.is_empty())
}

/// Has the token keep the charter's hash, where it keeps none yet, and the newest checkpoint. A token that holds no data objects keeps
/// neither, and that is said.
pub(crate) fn keep_at_start(
    session: &TokenSession,
    kept: &Kept,
    cell: &str,
    charter_sha256: &[u8; 32],
    note: Option<&str>,
) {
    // The checkpoint first: a token that keeps the charter's hash keeps one, or has lost it.
    let checkpoint = note.map_or(Ok(()), |note| session.keep(&checkpoint_label(cell), note.as_bytes()));
    let charter = || match kept.charter {
        Some(_) => Ok(()),
        None => session.keep(&charter_label(cell), HEXLOWER.encode(charter_sha256).as_bytes()),
    };
    if let Err(error) = checkpoint.and_then(|()| charter()) {
        unkept(&error);
    }
}

fn unkept(error: &TokenError) {
    tracing::warn!(
        cause = error.to_string(),
        "the token does not keep the charter's hash and the newest checkpoint: another journal, or one that goes back, would not be noticed by it"
    );
}

/// The newest checkpoint, for the thread that keeps it. Written by the sequencer.
#[derive(Clone)]
pub(crate) struct Newest {
    label: String,
    newest: Arc<Mutex<Option<String>>>,
    /// It was said that the token keeps none: once is enough.
    said: Arc<AtomicBool>,
}

impl Newest {
    /// Of this cell; none yet.
    pub(crate) fn of(cell: &str) -> Self {
        Self { label: checkpoint_label(cell), newest: Arc::default(), said: Arc::default() }
    }

    /// There is a newer one.
    pub(crate) fn is(&self, note: &str) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(note.to_owned());
    }

    /// Keeps it in the token, where it is newer than the one kept there.
    pub(crate) fn keep(&self, session: &TokenSession) {
        let Some(note) = self.newest.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        if let Err(error) = session.keep(&self.label, note.as_bytes())
            && !self.said.swap(true, Ordering::Relaxed)
        {
            unkept(&error);
        }
    }
}

/// Holds the journal against what the token keeps.
///
/// # Errors
/// It is another cell's ([`StartError::OtherCharter`]) or an older one ([`StartError::WentBack`]), or the token has lost what it kept
/// ([`StartError::KeepsNone`]).
pub(crate) fn check(
    kept: &Kept,
    token: &TokenInfo,
    journal: &Journal,
    trust: &Trust,
    dir: &Path,
) -> Result<(), StartError> {
    if kept.charter.is_some_and(|kept| kept != trust.charter_sha256) {
        return Err(StartError::OtherCharter);
    }
    let (mut ours_kept, mut furthest) = (0, None);
    for note in &kept.checkpoints {
        let Some(kept) = claimed(note, journal.cell()) else {
            tracing::warn!("the token keeps what is no checkpoint of this cell");
            continue;
        };
        ours_kept += 1;
        if !is_known(&kept, journal, trust)? {
            remember_lost(dir, note, journal.cell())?;
            furthest = furthest.max(Some(place(&kept)));
        }
    }
    if let Some((_, kept)) = furthest {
        return Err(StartError::WentBack { kept, have: journal.edge().size() });
    }
    let reader = journal.reader();
    let newest = reader.checkpoint()?;
    // The charter's hash is kept after a checkpoint is, never without one; officers who opened an epoch knew that it was lost.
    let kept_both = kept.charter.is_some() && (newest.is_some() || reader.epoch_index()?.is_none());
    if ours_kept == 0 && (kept_both || kept_one(token, journal)?) {
        let (_, note) = newest.unwrap_or_default();
        remember_lost(dir, note.as_bytes(), journal.cell())?;
        return Err(StartError::KeepsNone { token: token.label.clone() });
    }
    // A copy was restored that ends before what somebody knew then.
    let Some(known) = lost(dir, journal.cell())? else { return Ok(()) };
    if !is_known(&known, journal, trust)? {
        return Err(StartError::WentBack { kept: known.size, have: journal.edge().size() });
    }
    // The newer journal was put back: there is nothing to open an epoch for.
    let path = dir.join(LOST_FILE);
    durable::remove(&path).map_err(JournalError::of_file(path))?;
    Ok(())
}

/// Puts the token's checkpoint in the place of the journal's where that is an older one, or gone: whether it did. What is above the newest is
/// believed only by signatures of its own, so who can write the journal would rather have an older one there.
///
/// # Errors
/// The disk's.
pub(crate) fn put_back(kept: &Kept, journal: &mut Journal, trust: &Trust) -> Result<bool, JournalError> {
    let covered = journal.reader().checkpoint()?.map_or(0, |(size, _)| size);
    let newer = kept.checkpoints.iter().filter_map(|note| Some((ours(note, &trust.log.keys)?, note)));
    // It was looked at that the journal has what it covers.
    let newer =
        newer.filter(|(checkpoint, _)| checkpoint.origin == trust.log.origin && checkpoint.size > covered);
    let Some((checkpoint, note)) = newer.max_by_key(|(checkpoint, _)| checkpoint.size) else {
        return Ok(false);
    };
    let Ok(note) = std::str::from_utf8(note) else { return Ok(false) };
    tracing::warn!(
        alarm = "checkpoint-put-back",
        covered,
        kept = checkpoint.size,
        "the journal's checkpoint was older than the token's: somebody wrote to it, or the disk lost its end"
    );
    journal.begin(Durability::Disk)?;
    journal.store_checkpoint(checkpoint.size, note)?;
    journal.commit()?;
    Ok(true)
}

/// The checkpoint that was left; none where none was.
///
/// # Errors
/// The disk's; or the file holds no checkpoint of this log: how much is lost is unknown then, and a start must refuse.
fn lost(dir: &Path, cell: &str) -> Result<Option<Checkpoint>, JournalError> {
    let path = dir.join(LOST_FILE);
    match durable::read(&path, NOTE_MAX) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::of_file(path)(error)),
        Ok(note) => match claimed(&note, cell) {
            Some(known) => Ok(Some(known)),
            None => Err(JournalError::Corrupt(format!(
                "{} holds no checkpoint of this log, which says how much of it is lost",
                path.display()
            ))),
        },
    }
}

/// Leaves a checkpoint for the officers who open a new epoch, and for the next start. One that goes further stays.
///
/// # Errors
/// The disk's.
pub(crate) fn remember_lost(dir: &Path, note: &[u8], cell: &str) -> Result<(), JournalError> {
    let place = claimed(note, cell).map(|checkpoint| place(&checkpoint));
    // One that cannot be read is replaced.
    if lost(dir, cell).ok().flatten().is_some_and(|known| Some(self::place(&known)) >= place) {
        return Ok(());
    }
    let path = dir.join(LOST_FILE);
    durable::replace(&path, note, 0o600).map_err(JournalError::of_file(path))
}

/// Removes what was left and is no checkpoint of this log.
///
/// # Errors
/// The disk's.
pub(crate) fn forget_unreadable(dir: &Path, cell: &str) -> Result<(), JournalError> {
    match lost(dir, cell) {
        Err(JournalError::Corrupt(_)) => {
            let path = dir.join(LOST_FILE);
            durable::remove(&path).map(drop).map_err(JournalError::of_file(path))
        }
        _ => Ok(()),
    }
}

/// A checkpoint that says it is of a log of this cell, whoever signed it. It is acted on only to refuse what does not have it: the log's key may be one
/// that this journal does not know, or no longer.
pub(crate) fn claimed(note: &[u8], cell: &str) -> Option<Checkpoint> {
    let checkpoint = Checkpoint::claimed(note)?;
    let origin = checkpoint.origin.as_str().parse::<LogOrigin>().ok()?;
    let is_possible = checkpoint.size <= SIZE_MAX && origin.epoch <= EPOCH_MAX;
    (origin.cell.as_ref() == cell && is_possible).then_some(checkpoint)
}

/// How far a checkpoint goes: a later epoch is further than any tree of one before.
pub(crate) fn place(checkpoint: &Checkpoint) -> (u32, u64) {
    let origin = checkpoint.origin.as_str().parse::<LogOrigin>();
    (origin.map_or(0, |origin| origin.epoch), checkpoint.size)
}

/// Whether the newest custody manifest of this epoch that a checkpoint covers says that this token keeps one: what is above, somebody may have
/// written.
fn kept_one(token: &TokenInfo, journal: &Journal) -> Result<bool, JournalError> {
    let reader = journal.reader();
    let covered = reader.checkpoint()?.map_or(0, |(size, _)| size);
    let Some((index, manifest)) = reader.newest_custody_below(covered)? else { return Ok(false) };
    let of_this_epoch = reader.epoch_index()?.is_none_or(|epoch| epoch < index);
    let it = manifest.tokens.iter().find(|one| (&one.label, &one.serial) == (&token.label, &token.serial));
    Ok(of_this_epoch && it.is_some_and(|it| it.keeps_checkpoint))
}

/// A checkpoint that one of our log's keys signed, in whatever epoch: its name is the origin that the checkpoint begins with.
pub(crate) fn ours(note: &[u8], log_keys: &[VerifierKey]) -> Option<Checkpoint> {
    let origin: KeyName = std::str::from_utf8(note).ok()?.lines().next()?.parse().ok()?;
    let keys: Option<Vec<VerifierKey>> = log_keys.iter().map(|key| key.named(origin.clone()).ok()).collect();
    Checkpoint::verify(note, &keys?, &origin).ok()
}

/// Whether the journal holds what the checkpoint covers, or officers have said that it is lost.
pub(crate) fn is_known(kept: &Checkpoint, journal: &Journal, trust: &Trust) -> Result<bool, JournalError> {
    let reader = journal.reader();
    if kept.origin != trust.log.origin {
        let epoch = kept.origin.as_str().parse::<LogOrigin>().map(|origin| origin.epoch);
        let lost = epoch.map_or(Ok(None), |epoch| reader.lost(epoch))?;
        return Ok(lost.is_some_and(|lost| kept.size <= lost));
    }
    if kept.size > journal.edge().size() {
        return Ok(false);
    }
    let root = root_at(&reader, kept.size).map_err(|error| JournalError::Corrupt(error.to_string()))?;
    Ok(root == kept.root)
}
