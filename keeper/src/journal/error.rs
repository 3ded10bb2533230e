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
    /// The operator's: a copy of another cell's.
    #[error(
        "the copy is of the cell {copy}, the journal there of {there}: name the right file, or another --data-dir"
    )]
    OtherCell {
        /// Whose journal is there.
        there: String,
        /// Whose the copy is.
        copy: String,
    },
    /// The operator's: a journal that was not closed is no copy.
    #[error("{} holds what is not in the file: that is no copy. Copy with `rootcellar journal backup`, or stop the service that has it", .0.display())]
    NotACopy(PathBuf),
    /// Our own, or the disk's: the journal contradicts itself.
    #[error("the journal contradicts itself: {0}. Nothing more is signed; restore a backup")]
    Corrupt(String),
    /// The disk's.
    #[error("the journal: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The disk's.
    #[error("{path}: {source}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
