//! A copy put in the place of a journal that is lost: its entries are replayed into a fresh one, each signature is verified, and nothing else of
//! the copy is taken over.
//!
//! A copy says nothing of itself: who the officers are, and up to where the log is known to have gone, comes from elsewhere ([`Kept`]).

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use certs::ObjectIdentifier;
use ledger::checkpoint::Checkpoint;
use ledger::entry::{self, entry::Kind};
use ledger::leaf_hash;
use rusqlite::Connection;
use sha2::{Digest as _, Sha256};
use sys::durable;

use super::rebuild::Signers;
use super::{Database, Durability, FILE_NAME, Journal, JournalError, Pass, Reader, WAL_NAME, file, lock};
use crate::charters;
use crate::rollback::{self, Kept};
use crate::start_error::StartError;
use crate::trust::Trust;

/// Entries in a transaction.
const BATCH: u64 = 500;

/// What was put in place.
#[derive(Debug, serde::Serialize)]
pub struct Restored {
    /// Trust domain.
    pub cell: String,
    /// Origin of the log.
    pub log: String,
    /// Entries, all of them below the copy's checkpoint.
    pub entries: u64,
    /// Signatures of certificates and lists, each verified with the key that its entry names.
    pub signatures: u64,
    /// Root of the tree made from the entries, hexadecimal.
    pub root: String,
    /// Entries under the newest checkpoint that is known, where the copy has fewer or others.
    pub known: Option<u64>,
    /// Where the journal lies that was there before, if one was.
    pub replaced: Option<PathBuf>,
}

/// Why a copy is not put in place. Nothing is changed then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The copy's, or the disk's.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The operator's: nothing outside of the copy says who the officers are.
    #[error("who the officers of this cell are, a copy does not say: name the charter that you believe")]
    NoCharter,
    /// Somebody's: a copy of another cell, or of this one under other officers.
    #[error(
        "the copy begins with another charter than the one that is believed: it is of another cell, or of other officers"
    )]
    OtherCharter,
    /// Somebody's, or it was cut short: entries that no checkpoint covers, or a checkpoint that covers others.
    #[error(
        "the copy has {entries} entries, and its checkpoint covers {covered}: a backup has exactly those that its checkpoint covers"
    )]
    NotCovered {
        /// Entries in the copy.
        entries: u64,
        /// Entries under its checkpoint.
        covered: u64,
    },
    /// The operator's: it ends before what is known of the log.
    #[error(
        "the copy has {entries} entries, and a checkpoint over {known} is known: what lies between would be lost, with the revocations in it. \
         Restore a newer copy; where there is none, say that the loss is meant, and have officers open a new epoch of the log"
    )]
    Older {
        /// Entries in the copy.
        entries: u64,
        /// Entries under the newest checkpoint that is known.
        known: u64,
    },
    /// The operator's: a checkpoint that this log's key did not sign.
    #[error("the checkpoint that was named is not signed by a key of this log")]
    OtherCheckpoint,
}

/// How the name of a directory begins in which a copy is replayed.
const UNFINISHED: &str = "restoring-";

/// How to restore.
#[derive(Debug)]
pub struct Terms<'a> {
    /// OID of the roles-and-tags extension.
    pub attributes_oid: ObjectIdentifier,
    /// What is known from outside of the copy. The charter must be; checkpoints of other logs are passed over.
    pub known: &'a Kept,
    /// A checkpoint that was named: it must be this log's.
    pub checkpoint: Option<&'a [u8]>,
    /// Whether a copy that ends before what is known is taken: officers must open a new epoch of the log then.
    pub with_loss: bool,
}

/// Puts a copy in the place of the journal in `dir`. The one that was there before stays beside it.
///
/// # Errors
/// [`RestoreError`].
pub fn restore(from: &Path, dir: &Path, terms: &Terms<'_>) -> Result<Restored, RestoreError> {
    let held = lock(dir)?;
    let charter = terms.known.charter.ok_or(RestoreError::NoCharter)?;
    let new =
        tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(dir).map_err(JournalError::of_file(dir))?;
    let copy = open(from, new.path())?;
    // Not before the copy is read, which may lie there.
    remove_unfinished(dir, new.path()).map_err(JournalError::of_file(dir))?;
    let made = new.path().join("made");
    fs::create_dir(&made).map_err(JournalError::of_file(&made))?;
    fs::set_permissions(&made, Permissions::from_mode(0o700)).map_err(JournalError::of_file(&made))?;
    let (journal, signatures) = replay(&copy, &made)?;
    let reader = journal.reader();
    let first = charters::chain(&reader)?.first().sha256();
    if first != charter {
        return Err(RestoreError::OtherCharter);
    }
    let sound = Pass::begin(&reader, terms.attributes_oid, Some(charter))?.finish(&reader)?;
    let trust = trust(&journal)?;
    let known = beyond(&journal, &trust, terms)?;
    if let Some((known, _)) = known.as_ref().filter(|_| !terms.with_loss) {
        return Err(RestoreError::Older { entries: sound.head.size, known: *known });
    }
    let restored = Restored {
        cell: journal.cell().to_owned(),
        log: journal.origin().to_owned(),
        entries: sound.head.size,
        signatures,
        root: sound.head.root.to_string(),
        known: known.as_ref().map(|(size, _)| *size),
        replaced: None,
    };
    journal.settle()?;
    drop(journal);
    let journal_cell = restored.cell.as_str();
    let made = made.join(FILE_NAME);
    File::open(&made).and_then(|file| file.sync_all()).map_err(JournalError::of_file(&made))?;
    // Before the copy is in place: a start in between refuses, and does not serve what is behind.
    if let Some((_, note)) = &known {
        rollback::remember_lost(dir, note, journal_cell)?;
    }
    // The copy was held against all that is known: a note that nobody can read says nothing more.
    rollback::forget_unreadable(dir, journal_cell)?;
    let there = dir.join(FILE_NAME);
    remove_strange(&there)?;
    let replaced = there.exists().then(|| free_name(dir));
    if let Some(replaced) = &replaced {
        set_aside(&there, replaced)?;
    }
    remove_beside(&there)?;
    if let Err(error) = fs::rename(&made, &there) {
        // There is a journal as there was before.
        if let Some(replaced) = &replaced {
            fs::rename(replaced, &there).map_err(JournalError::of_file(replaced))?;
        }
        return Err(JournalError::of_file(&made)(error).into());
    }
    durable::sync_dir(dir).map_err(JournalError::of_file(dir))?;
    drop(held);
    Ok(Restored { replaced, ..restored })
}

/// Removes what a restore left that did not come to its end: whole copies of the ledger. The journal's lock is held.
fn remove_unfinished(dir: &Path, own: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.path() != own
            && entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && entry.file_type()?.is_dir()
        {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Opens a copy of the copy: the file itself stays as it is.
fn open(from: &Path, dir: &Path) -> Result<Database, JournalError> {
    let left = from.with_file_name(format!("{}-wal", from.file_name().unwrap_or_default().to_string_lossy()));
    if fs::metadata(&left).is_ok_and(|wal| wal.len() > 0) {
        return Err(JournalError::NotACopy(left));
    }
    let own = dir.join("copy.sqlite");
    if !fs::metadata(from).map_err(JournalError::of_file(from))?.is_file() {
        return Err(JournalError::of_file(from)(std::io::Error::other("it is no file")));
    }
    fs::copy(from, &own).map_err(JournalError::of_file(from))?;
    fs::set_permissions(&own, Permissions::from_mode(0o600)).map_err(JournalError::of_file(from))?;
    let connection = Connection::open(&own)?;
    // sqlite.org/pragma.html#pragma_cell_size_check
    connection.pragma_update(None, "cell_size_check", true)?;
    file::distrust(&connection)?;
    Ok(Database::of(connection))
}

/// Makes a journal of the copy's entries, and of what lies beside them and is what the entries say; and how many signatures those were.
fn replay(copy: &Database, dir: &Path) -> Result<(Journal, u64), RestoreError> {
    let from = Reader::borrowing(copy);
    let (cell, origin) = from.meta()?;
    let (covered, note) = from.checkpoint()?.unwrap_or_default();
    let entries = from.size()?;
    if entries != covered {
        return Err(RestoreError::NotCovered { entries, covered });
    }
    let mut signers = Signers::default();
    let journal = Journal::create_with(dir, &cell, &origin, |journal| {
        while journal.edge().size() < entries {
            journal.begin(Durability::Kernel)?;
            let page = from.leaves(journal.edge().size(), BATCH)?;
            if page.is_empty() {
                let missing = journal.edge().size();
                return Err(JournalError::Corrupt(format!("entry {missing} is not there")));
            }
            for (index, leaf, body) in page {
                if leaf_hash(&body) != leaf {
                    return Err(JournalError::Corrupt(format!(
                        "entry {index} is not the one of its leaf hash"
                    )));
                }
                append(journal, copy, &mut signers, index, &body)?;
            }
            journal.commit()?;
        }
        journal.begin(Durability::Disk)?;
        journal.store_checkpoint(covered, &note)?;
        journal.commit().map(drop)
    })?;
    Ok((journal, signers.verified))
}

fn append(
    journal: &mut Journal,
    copy: &Database,
    signers: &mut Signers,
    index: u64,
    body: &[u8],
) -> Result<(), JournalError> {
    let corrupt = |what: String| JournalError::Corrupt(format!("entry {index}: {what}"));
    if index != journal.edge().size() {
        return Err(corrupt("not where its index says".into()));
    }
    let from = Reader::borrowing(copy);
    // In its one form: encoded again it is the same bytes.
    let record = entry::decode(body).map_err(|error| corrupt(error.to_string()))?;
    signers.verify(copy.raw(), index, record.kind.as_ref()).map_err(corrupt)?;
    journal.append(&record)?;
    let signed = matches!(record.kind, Some(Kind::CaCertificate(_) | Kind::Issuance(_) | Kind::Crl(_)));
    let input = match &record.kind {
        Some(Kind::Crl(_)) => from.crl_input(index)?,
        _ => None,
    };
    if let Some((signature, sha256)) = from.signature(index)?.filter(|_| signed)
        // That of a list that was let go proves nothing any more.
        && (input.is_some() || !matches!(record.kind, Some(Kind::Crl(_))))
    {
        journal.store_signature(index, &signature, &sha256)?;
    }
    if let Some(tbs) = input {
        journal.store_crl_input(index, &tbs)?;
    }
    let request = record.actor.as_ref().and_then(|actor| actor.signature.as_ref());
    match (request, from.signed_request(index)?) {
        (_, None) => Ok(()),
        (Some(request), Some(body)) if Sha256::digest(&body).as_slice() == request.request_sha256 => {
            journal.store_request(index, &body)
        }
        _ => Err(corrupt("the request beside it is not the one that was signed".into())),
    }
}

/// Whom the journal's own officers say to believe.
fn trust(journal: &Journal) -> Result<Trust, JournalError> {
    Trust::read(journal).map_err(|error| match error {
        StartError::Journal(error) => error,
        other => JournalError::Corrupt(other.to_string()),
    })
}

/// The checkpoint furthest beyond the journal, of those that are known: how many entries it covers, and its note.
fn beyond(
    journal: &Journal,
    trust: &Trust,
    terms: &Terms<'_>,
) -> Result<Option<(u64, Vec<u8>)>, RestoreError> {
    let mut furthest: Option<(Checkpoint, Vec<u8>)> = None;
    if terms.checkpoint.is_some_and(|note| rollback::ours(note, &trust.log.keys).is_none()) {
        return Err(RestoreError::OtherCheckpoint);
    }
    for note in terms.known.checkpoints.iter().map(Vec::as_slice).chain(terms.checkpoint) {
        let Some(checkpoint) = rollback::claimed(note, journal.cell()) else { continue };
        let place = rollback::place(&checkpoint);
        let is_newer = furthest.as_ref().is_none_or(|(before, _)| rollback::place(before) < place);
        if is_newer && !rollback::is_known(&checkpoint, journal, trust)? {
            furthest = Some((checkpoint, note.to_owned()));
        }
    }
    Ok(furthest.map(|(checkpoint, note)| (checkpoint.size, note)))
}

/// A name that no journal set aside before has.
fn free_name(dir: &Path) -> PathBuf {
    let name = |number: u32| dir.join(format!("journal.replaced-{number}.sqlite"));
    (1..u32::MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

/// Moves the journal away, whatever it is, with all that its write-ahead log holds where it can be read.
fn set_aside(there: &Path, to: &Path) -> Result<(), JournalError> {
    let settled = Connection::open(there)
        .map_err(JournalError::from)
        .and_then(|journal| super::move_wal(&journal, "TRUNCATE"));
    let readable = match settled {
        Ok(true) => true,
        Ok(false) => return Err(JournalError::Locked(there.to_owned())),
        Err(_) => false,
    };
    for (suffix, keep) in [("-wal", !readable), ("-shm", false)] {
        let beside = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if keep && beside(there).exists() {
            fs::rename(beside(there), beside(to)).map_err(JournalError::of_file(to))?;
        }
    }
    fs::rename(there, to).map_err(JournalError::of_file(to))?;
    Ok(())
}

/// What SQLite makes beside a database.
fn beside(there: &Path) -> [PathBuf; 3] {
    [WAL_NAME, "journal.sqlite-shm", "journal.sqlite-journal"].map(|left| there.with_file_name(left))
}

/// Removes what is no file beside the journal: no database can be opened there. A link is removed, and not followed.
fn remove_strange(there: &Path) -> Result<(), JournalError> {
    for left in beside(there) {
        let removed = match fs::symlink_metadata(&left) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&left),
            Ok(metadata) if !metadata.is_file() => fs::remove_file(&left),
            _ => Ok(()),
        };
        removed.map_err(JournalError::of_file(left))?;
    }
    Ok(())
}

/// Removes what a database that is gone left beside it: it would be taken for the new one's.
fn remove_beside(there: &Path) -> Result<(), JournalError> {
    for left in beside(there) {
        durable::remove(&left).map(drop).map_err(JournalError::of_file(left))?;
    }
    Ok(())
}
