//! The service's directory, its disk and its backups.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;

use certs::CertificateSummary;
use keeper::{Journal, JournalError, StartError};
use sys::durable;

use super::finding::Finding;
use crate::commands::front;
use crate::commands::journal::{self, Newest};
use crate::config::Config;
use crate::error::Failure;
use crate::output::{duration, rfc3339};

/// A backup that is older is old, in seconds.
const BACKUP_OLD_SECS: i64 = 86_400;
/// Octets free below which the disk is nearly full, and below which a commit will fail soon.
const FREE_LOW: u64 = 1 << 30;
const FREE_NONE: u64 = 64 << 20;
/// Octets of the write-ahead log that a reader holds open.
const WAL_LONG: u64 = 256 << 20;
/// Octets of the service's chain.
const CHAIN_MAX: u64 = 64 * 1024;
/// How far a file of now may be ahead of the clock, in seconds.
const AHEAD_SECS: i64 = 60;

/// Whether there is a cell, and whether anything serves it. `kept` asks the token what it knows of the cell.
pub(super) fn cell(config: &Config, runs: bool, kept: impl Fn() -> Option<String>) -> Vec<Finding> {
    let dir = config.data_dir().display().to_string();
    let lost = config.data_dir().join("lost-checkpoint.note");
    let found = match Journal::is_free(config.data_dir()) {
        Err(JournalError::Missing(_)) => Some(match kept() {
            Some(known) => Finding::critical(
                "journal.missing",
                "the journal is missing, and the token knows one",
                format!("{dir}: {known}"),
            )
            .mended_by("rootcellar journal restore FILE"),
            None => Finding::critical("cell.missing", "there is no cell here", dir)
                .mended_by("rootcellar init"),
        }),
        Ok(()) if !runs && lost.exists() => Some(
            Finding::critical(
                "journal.went-back",
                "the journal ends before what is known of the log, and nothing starts on it",
                lost.display().to_string(),
            )
            .mended_by("rootcellar journal restore FILE, of a newer copy; where there is none, rootcellar ledger open-epoch"),
        ),
        Ok(()) if !runs => Some(unsound(config).unwrap_or_else(|| {
            Finding::warning(
                "service.stopped",
                "the service does not run: what it knows is not looked at",
                dir,
            )
            .mended_by("rootcellar serve")
        })),
        Err(JournalError::Locked(_)) if !runs => Some(
            Finding::critical(
                "service.mute",
                "a keeper holds the journal, and nothing answers at the local socket",
                config.socket().display().to_string(),
            )
            .mended_by("rootcellar status; then stop the service and start it again"),
        ),
        // One that runs holds it.
        Ok(()) | Err(JournalError::Locked(_)) => None,
        Err(error) => Some(
            Finding::critical("journal.unusable", "the journal cannot be opened", error.to_string())
                .mended_by(format!("chmod 0700 {dir}, where it is open to others")),
        ),
    };
    found.into_iter().chain(laid(config)).collect()
}

/// What officers stopped and no service has recorded.
fn laid(config: &Config) -> Option<Finding> {
    let waiting = keeper::waiting(config.data_dir()).ok().filter(|files| !files.is_empty())?;
    let files: Vec<String> = waiting.iter().map(|file| file.display().to_string()).collect();
    let finding = "officers stopped the cell, and their word waits for a start that records it";
    Some(Finding::warning("stop.laid", finding, files.join(", ")).mended_by(
        "rootcellar serve; where the cell is not to be stopped any more, mv the file away before, or thaw after",
    ))
}

/// Why no service starts on the journal, where none does.
fn unsound(config: &Config) -> Option<Finding> {
    let error = keeper::examine(config.data_dir(), config.attributes_oid()).err()?;
    let failure = Failure::from(StartError::from(error));
    let found =
        Finding::critical("journal.unsound", "no service starts on this journal", failure.to_string());
    Some(match failure.remedy() {
        Some(remedy) => found.mended_by(remedy),
        None => found,
    })
}

/// The journal's files, and the room they have.
pub(super) fn journal(config: &Config, now_secs: i64) -> Vec<Finding> {
    let file = |name: &str| std::fs::metadata(config.data_dir().join(name)).ok();
    let mut found = Vec::new();
    let wal = file("journal.sqlite-wal").map_or(0, |wal| wal.len());
    if wal > WAL_LONG {
        let finding = "the write-ahead log is long: a reader keeps it from being moved, or the disk is slow";
        found.push(
            Finding::warning("journal.write-ahead-log", finding, format!("{} MiB", wal >> 20))
                .mended_by("systemctl restart rootcellar (or rootcellar serve, anew)"),
        );
    }
    if let Ok(disk) = rustix::fs::statvfs(config.data_dir()) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let dir = config.data_dir().display();
        let room =
            format!("du --human-readable --max-depth=2 {dir}, and take away or move what is no journal");
        let seen = format!("{} MiB free for {}", free >> 20, config.data_dir().display());
        if free < FREE_NONE {
            found.push(Finding::critical("disk.full", "the disk is full", seen).mended_by(room));
        } else if free < FREE_LOW {
            found.push(Finding::warning("disk.low", "the disk is nearly full", seen).mended_by(room));
        }
    }
    // Written by the clock of then, whatever a journal's entries say.
    let newest = ["journal.sqlite", "journal.sqlite-wal"].map(file);
    let newest = newest.iter().flatten().map(Metadata::mtime).max();
    if let Some(newest) = newest.filter(|newest| newest - now_secs > AHEAD_SECS) {
        let seen = format!("written {}, now {}", rfc3339(newest), rfc3339(now_secs));
        found.push(
            Finding::critical("clock.behind", "the clock is before the journal's newest file", seen)
                .mended_by("timedatectl set-ntp true"),
        );
    }
    found
}

/// The newest copy of the journal that this machine knows of.
pub(super) fn backup(config: &Config, now_secs: i64) -> Vec<Finding> {
    let fix = "rootcellar journal backup --out FILE, each day, to another machine";
    let found = match journal::newest_backup(config.data_dir()) {
        None => Some(Finding::warning("backup.none", "the journal was never copied", "no backup is noted")),
        Some(Newest { unix_secs, entries, file }) if now_secs - unix_secs > BACKUP_OLD_SECS => {
            let age = duration((now_secs - unix_secs).unsigned_abs());
            let seen = format!("{entries} entries, {age} ago, {}", file.display());
            Some(Finding::warning("backup.old", "the newest copy of the journal is old", seen))
        }
        Some(_) => None,
    };
    found.map(|finding| finding.mended_by(fix)).into_iter().collect()
}

/// The service's own certificate, which it renews at half of its life.
pub(super) fn own_certificate(config: &Config, now_secs: i64) -> Vec<Finding> {
    // The front is another process: it may have left a pipe there.
    let chain = durable::read(&front::own_dir(config).join("chain.pem"), CHAIN_MAX).ok();
    let leaf = chain.and_then(|chain| {
        let chain = pem::parse(chain).ok()?.into_contents();
        CertificateSummary::parse(&chain, config.attributes_oid()).ok()
    });
    let Some(leaf) = leaf else { return Vec::new() };
    let (check, seen) = ("certificate.service", format!("notAfter {}", rfc3339(leaf.not_after)));
    let quarter = (leaf.not_after - leaf.not_before) / 4;
    let found = match leaf.not_after - now_secs {
        left if left < 0 => {
            Some(Finding::critical(check, "the service's own certificate is over: no client connects", seen))
        }
        left if left < quarter => {
            Some(Finding::warning(check, "the service's own certificate was not renewed in time", seen))
        }
        _ => None,
    };
    found.map(|finding| finding.mended_by("rootcellar status; rootcellar serve")).into_iter().collect()
}

/// What is the officer's and lies on the service's machine.
pub(super) fn officer(config: &Config) -> Vec<Finding> {
    let root = config.root_token();
    let (key, token) = (config.officer_dir().join(crate::officer_key::KEY), root.profile.files(&root.dir));
    let token = token.filter(|path| path.exists()).map(|_| root.dir);
    let key = Some(key).filter(|path| path.exists());
    let finding = match (&token, &key) {
        (Some(_), Some(_)) => {
            "the root's token and an officer's key are on this machine: whoever takes it over has the cell"
        }
        (Some(_), None) => "the root's token is on this machine, and whoever takes it over has it",
        _ => "an officer's key is on this machine: whoever takes it over may sign as the officer",
    };
    let here: Vec<String> = token.iter().chain(&key).map(|path| path.display().to_string()).collect();
    (!here.is_empty())
        .then(|| {
            Finding::warning("officer.here", finding, here.join(", ")).mended_by(format!(
                "mv {} /media/officer/, and then rootcellar --officer-dir /media/officer/… (docs/how-to.md)",
                config.officer_dir().display()
            ))
        })
        .into_iter()
        .collect()
}
