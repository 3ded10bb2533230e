//! `rootcellar journal`: copies of the journal, and the way back from one.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proto::v1::BackupJournalRequest;
use serde::{Deserialize, Serialize};

use crate::client::local;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;

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

/// Put a copy in the journal's place; the service must be stopped. Every entry, the tree and every signature are checked first
///
/// A copy is a log that went back: where the service kept a newer checkpoint in its token, it does not start until officers open a new
/// epoch of the log (`rootcellar ledger open-epoch`).
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar journal restore /mnt/backup/journal.sqlite")]
pub(crate) struct Restore {
    /// The copy
    file: PathBuf,
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
    files::replace(&session.config()?.data_dir().join(NEWEST), &text, files::SECRET)
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
    keeper::harden().map_err(|error| Failure::new("JOURNAL", error))?;
    let dir = session.places()?.data().to_owned();
    let restored = keeper::restore(&args.file, &dir).map_err(|error| Failure::new("JOURNAL", error))?;
    session.output().say(&Shown(restored))
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
#[serde(transparent)]
struct Shown(keeper::Restored);

impl Show for Shown {
    fn show(&self, page: &mut Page) {
        let Self(restored) = self;
        page.field("restored", format!("{} entries of {}", restored.checked.entries, restored.cell));
        page.field("signatures", format!("{}, each by the key its entry names", restored.checked.signatures));
        page.field("root", &restored.checked.root);
        if let Some(replaced) = &restored.replaced {
            page.field("before", replaced.display());
        }
        page.line("Start the service. Where it says that the log went back: rootcellar ledger open-epoch");
    }
}
