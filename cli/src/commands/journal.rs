//! `rootcellar journal`: copies of the journal, and the way back from one.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keeper::{JournalError, Kept, RestoreError, RestoreTerms, Restored, StartError};
use proto::v1::BackupJournalRequest;
use serde::{Deserialize, Serialize};

use crate::client::own::charters;
use crate::client::{local, memory, own};
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens;

/// Below the data directory: which copy was made last.
const NEWEST: &str = "backup/newest.json";

/// Copy the journal, and restore a copy
#[derive(Debug, Subcommand)]
pub(crate) enum Journal {
    Backup(Backup),
    Restore(Restore),
}

/// Copy the journal while the service runs; the copy is of one moment, and lies below the data directory unless moved
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar journal backup --out /mnt/backup/journal.sqlite")]
pub(crate) struct Backup {
    /// Move the copy here
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Put a copy in the journal's place; the service must be stopped
///
/// The copy's entries are replayed into a fresh journal and every signature is verified; nothing else of the copy is taken over. Who the
/// officers are, and up to where the log is known to have gone, the copy does not say: the charter is yours (or the token's), the newest
/// checkpoint is what the token keeps, what this user has seen, and what --checkpoint names. A copy that ends before that is a loss, which
/// officers declare by a new epoch of the log (`rootcellar ledger open-epoch`).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootcellar journal restore /mnt/backup/journal.sqlite
  rootcellar journal restore /mnt/backup/journal.sqlite --charter charter.note --checkpoint newest.note")]
pub(crate) struct Restore {
    /// The copy
    file: PathBuf,
    /// The charter that you believe [default: OFFICER_DIR/charter.note, and what the token keeps]
    #[arg(long, value_name = "FILE")]
    charter: Option<PathBuf>,
    /// A checkpoint of this log that is known
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Take a copy that ends before the newest checkpoint that is known; officers open a new epoch then
    #[arg(long)]
    with_loss: bool,
}

pub(super) fn run(session: &Session, args: &Journal) -> Result<(), Failure> {
    match args {
        Journal::Backup(args) => backup(session, args),
        Journal::Restore(args) => restore(session, args),
    }
}

fn backup(session: &Session, args: &Backup) -> Result<(), Failure> {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        return Err(Failure::new("BACKUP", format!("{} exists: name another file", out.display())));
    }
    let made = session.block_on(async {
        let client = local::connect(session).await?;
        Ok(client.admin().backup_journal(BackupJournalRequest {}).await?.into_inner())
    })?;
    let mut file = PathBuf::from(made.path);
    if let Some(out) = &args.out {
        carry(&file, out).map_err(|error| {
            Failure::new(
                "BACKUP",
                format!("{} is made, and cannot be moved to {}: {error}", file.display(), out.display()),
            )
        })?;
        file.clone_from(out);
    }
    note(session, &Newest { unix_secs: session.now_secs(), entries: made.tree_size, file: file.clone() })?;
    session.output().say(&Copied { file, entries: made.tree_size })
}

/// The newest copy that was made here, for who asks how old it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Newest {
    /// When, in seconds since 1970.
    pub(super) unix_secs: i64,
    pub(super) entries: u64,
    /// Where it was put.
    pub(super) file: PathBuf,
}

/// Which copy was made last; `None` where none was.
pub(super) fn newest_backup(data_dir: &Path) -> Option<Newest> {
    serde_json::from_slice(&files::read(&data_dir.join(NEWEST)).ok()?).ok()
}

fn note(session: &Session, newest: &Newest) -> Result<(), Failure> {
    let text = serde_json::to_vec(newest).map_err(|error| Failure::new("BACKUP", error))?;
    Ok(files::replace(&session.config()?.data_dir().join(NEWEST), &text, files::SECRET)?)
}

/// Also to another file system. What is there already stays.
fn carry(from: &Path, to: &Path) -> std::io::Result<()> {
    let mut new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    std::io::copy(&mut fs::File::open(from)?, &mut new)?;
    new.sync_all()?;
    fs::remove_file(from)
}

fn restore(session: &Session, args: &Restore) -> Result<(), Failure> {
    // Files for their owner alone.
    sys::harden().map_err(|error| Failure::new("JOURNAL", error))?;
    // A machine that never had the cell has no directory for it.
    files::make_private_dir(session.places()?.data())?;
    let (known, token) = known(session, args)?;
    let checkpoint = args.checkpoint.as_ref().map(|path| files::read(path)).transpose()?;
    let terms = RestoreTerms {
        attributes_oid: session.config()?.attributes_oid(),
        known: &known,
        checkpoint: checkpoint.as_deref(),
        with_loss: args.with_loss,
    };
    let restored = keeper::restore(&args.file, session.places()?.data(), &terms)?;
    session.output().say(&Shown { restored, token })
}

/// What is known of the cell from outside of the copy; and why the token could not be asked, where it could not.
fn known(session: &Session, args: &Restore) -> Result<(Kept, Option<String>), Failure> {
    let (mut known, token) = match tokens::kept(session) {
        Ok(kept) => (kept, None),
        Err(why) => (Kept::default(), Some(why)),
    };
    let own = session.places()?.officer().join(own::CHARTER);
    if let Some(path) = args.charter.clone().or_else(|| own.exists().then_some(own)) {
        let first = charters(&files::read(&path)?)?.first().sha256();
        if known.charter.is_some_and(|kept| kept != first) {
            let what = format!("{} is not the first charter whose hash the token keeps", path.display());
            return Err(Failure::new("OTHER_CHARTER", what).mended_by(
                "rootcellar journal restore FILE --charter CHARTER, which an officer has as charter.note",
            ));
        }
        known.charter = Some(first);
    }
    known.checkpoints.extend(memory::all(session)?);
    Ok((known, token))
}

/// A journal that is missing where the service's token knows one: the way out.
pub(super) fn missing(session: &Session, error: JournalError) -> Failure {
    let JournalError::Missing(dir) = &error else { return StartError::from(error).into() };
    match known_to_token(session) {
        Some(known) => Failure::new(
            "JOURNAL",
            format!(
                "no journal in {}, and the token knows one of this cell ({known}): put the newest copy back",
                dir.display(),
            ),
        )
        .mended_by("rootcellar journal restore FILE"),
        None => StartError::from(error).into(),
    }
}

/// What the token knows of a journal of this cell; `None` where it knows none, is not here, or cannot be asked.
pub(super) fn known_to_token(session: &Session) -> Option<String> {
    if !session.config().ok()?.issuing_token().may_be_here() {
        return None;
    }
    let kept = tokens::kept(session).ok()?;
    let size = |note: &Vec<u8>| std::str::from_utf8(note).ok()?.lines().nth(1)?.parse::<u64>().ok();
    match kept.checkpoints.iter().filter_map(size).max() {
        Some(size) => Some(format!(
            "it keeps a checkpoint over {size} entries, at most a minute old when the service ended"
        )),
        None => kept.charter.map(|_| "it keeps the hash of its charter".to_owned()),
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Journal(error) => Self::new("JOURNAL", error),
            RestoreError::NoCharter | RestoreError::OtherCharter => {
                Self::new("OTHER_CHARTER", error).mended_by("the same with --charter FILE")
            }
            RestoreError::NotCovered { .. } => Self::new("BACKUP", error).mended_by(
                "rootcellar journal restore FILE, of a copy that `rootcellar journal backup` made",
            ),
            RestoreError::Older { .. } => Self::new("LOG_WENT_BACK", error).mended_by(
                "rootcellar journal restore FILE --with-loss, and then rootcellar ledger open-epoch",
            ),
            RestoreError::OtherCheckpoint => {
                Self::new("CHECKPOINT", error).mended_by("the same without --checkpoint, or with another")
            }
        }
    }
}

#[derive(Serialize)]
struct Copied {
    file: PathBuf,
    entries: u64,
}

impl Show for Copied {
    fn show(&self, page: &mut Page) {
        page.field("copy", self.file.display());
        page.field("entries", self.entries);
    }
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    restored: Restored,
    /// Why the token was not asked.
    #[serde(rename = "token_not_asked")]
    token: Option<String>,
}

impl Show for Shown {
    fn show(&self, page: &mut Page) {
        let Self { restored, token } = self;
        page.field("restored", format!("{} entries of {}", restored.entries, restored.log));
        page.field("signatures", format!("{}, each by the key its entry names", restored.signatures));
        page.field("root", &restored.root);
        if let Some(replaced) = &restored.replaced {
            page.field("before", replaced.display());
        }
        if let Some(why) = token {
            page.field("token", format!("not asked how far it knows the log: {why}"));
        }
        match restored.known {
            Some(known) => {
                page.line(&format!(
                    "A checkpoint over {known} entries is known: what lies between is lost, and nothing starts on it. \
                     Have officers open a new epoch:"
                ));
                page.line("  rootcellar ledger open-epoch");
            }
            None => page.line("Start the service: rootcellar serve"),
        }
    }
}
