//! Why the journal cannot be used.

use std::path::PathBuf;

use super::format::FORMAT;

/// The journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operator's: there is none.
    #[error("no journal in {}: run `rootcellar init` first, or name the data directory with --data-dir", .0.display())]
    Missing(PathBuf),
    /// The operator's: there is one already.
    #[error("{} holds a journal already: choose another --data-dir", .0.display())]
    Exists(PathBuf),
    /// The operator's: another process has it.
    #[error("another rootcellar uses {}: stop it first", .0.display())]
    Locked(PathBuf),
    /// The operator's: others could read or change it.
    #[error("{path} is open to others (mode {mode:04o}): chmod 0700 {path}", path = .path.display())]
    TooWide {
        /// The data directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operator's: another program's file, or one from a newer version.
    #[error(
        "the journal has format {found}, this program writes format {FORMAT}: use the version that wrote it"
    )]
    Format {
        /// What the file says.
        found: i32,
    },
    /// Somebody's: the file has tables, or what acts by itself, that this program did not make.
    #[error(
        "the journal's file has tables or triggers that are not its own: something else has written to it"
    )]
    Schema,
    /// Somebody's, or the disk's: the entries are as they were recorded, what follows from them is not.
    #[error(
        "the journal was changed by something else than the keeper: not as its entries say is {}. Keep a copy of it for whoever looks into that",
        .0.join(", ")
    )]
    NotAsRecorded(Vec<&'static str>),
    /// Somebody's: an entry that neither a checkpoint of the log's key nor a signature of its own stands behind.
    #[error(
        "the journal's entry {index} is not to be believed: {flaw}. Keep a copy of it for whoever looks into that"
    )]
    Unproven {
        /// Index of the entry.
        index: u64,
        /// What is wrong with it.
        flaw: Box<audit::entries::Flaw>,
    },
    /// The operator's: a journal that was not closed is no copy.
    #[error("{} holds what is not in the file: that is no copy. Copy with `rootcellar journal backup`, or stop the service that has it", .0.display())]
    NotACopy(PathBuf),
    /// Our own, or the disk's: the journal contradicts itself.
    #[error("the journal contradicts itself: {0}. Nothing more is signed; restore a backup")]
    Corrupt(String),
    /// The disk's.
    #[error("the journal: {0}")]
    Database(#[source] DatabaseError),
    /// The disk's.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What the database library says. Which library that is stays inside this crate.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(pub(crate) rusqlite::Error);

impl From<rusqlite::Error> for JournalError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(DatabaseError(error))
    }
}

impl JournalError {
    /// What the disk did to a file or directory.
    pub(crate) fn of_file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// Whether the journal is not what it must be, and not only out of reach for now. What no keeper writes makes statements fail in many ways:
    /// a table that is not there, a second row where one can be, a text in the place of a number.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed,
            OperationInterrupted, OutOfMemory, PermissionDenied, ReadOnly, SystemIoFailure,
        };
        match self {
            Self::Corrupt(_) | Self::Schema | Self::NotAsRecorded(_) | Self::Unproven { .. } => true,
            Self::Database(DatabaseError(error)) => !matches!(
                error.sqlite_error_code(),
                Some(
                    CannotOpen
                        | DatabaseBusy
                        | DatabaseLocked
                        | DiskFull
                        | FileLockingProtocolFailed
                        | OperationInterrupted
                        | OutOfMemory
                        | PermissionDenied
                        | ReadOnly
                        | SystemIoFailure
                )
            ),
            _ => false,
        }
    }
}
