//! Which plans were carried out with an officer's tokens, and what their transcripts say: kept in the officer's directory, which is carried
//! nowhere. A ceremony's own directory may be copied, and its copy written into.

use std::path::PathBuf;

use ceremony::directory::Directory;
use ceremony::record::Record;
use data_encoding::HEXLOWER;
use ledger::note::Note;
use ledger::plan::{ApprovedPlan, sha256};
use sys::{carried, durable};

use crate::error::Failure;
use crate::session::Session;

/// Its directory, below the officer's: a file for each plan.
const DIR: &str = "carried-out";
/// SHA-256 in hexadecimal digits, and the end of its line.
const LEN: u64 = 65;

/// Refuses to carry a plan out a second time: what its tokens signed once is not signed again for a copy of its directory.
///
/// # Errors
/// It was carried out here, and this directory's record does not say so.
pub(super) fn demand_once(
    session: &Session,
    dir: &Directory,
    approved: &ApprovedPlan,
) -> Result<(), Failure> {
    match known(session, approved.sha256())? {
        Some(transcript) if !Record::has_ended(dir.path()) => Err(Failure::new(
            "CARRIED_OUT",
            format!("this plan was carried out, and the SHA-256 of its transcript's text is {transcript}"),
        )
        .mended_by("the directory in which it was; for the same once more, rootcellar ceremony plan --help")),
        _ => Ok(()),
    }
}

/// Refuses a transcript that is not the one to which this officer's tokens led; of a plan that was carried out elsewhere nothing is known.
///
/// # Errors
/// It is another.
pub(super) fn demand_same(session: &Session, plan: [u8; 32], transcript: &Note) -> Result<(), Failure> {
    let offered = HEXLOWER.encode(&sha256(transcript));
    match known(session, plan)? {
        Some(known) if known != offered => Err(Failure::new(
            "OTHER_TRANSCRIPT",
            format!(
                "the plan was carried out here, and the transcript's text was SHA-256 {known}, not {offered}"
            ),
        )
        .mended_by("the directory in which it was carried out; find out who changed this one")),
        _ => Ok(()),
    }
}

/// Writes down what a plan led to, before anyone signs it. Durable when this returns.
///
/// # Errors
/// It led to something else before; the file system's.
pub(super) fn remember(session: &Session, approved: &ApprovedPlan, transcript: &Note) -> Result<(), Failure> {
    demand_same(session, approved.sha256(), transcript)?;
    let path = path(session, approved.sha256())?;
    let line = HEXLOWER.encode(&sha256(transcript)) + "\n";
    let dir = path.parent().unwrap_or(&path);
    let made = durable::make_dirs(dir).and_then(|()| durable::replace(&path, line.as_bytes(), 0o600));
    made.map_err(|error| Failure::file(&path, error))
}

/// SHA-256 of the text of the transcript to which a plan led here, in hexadecimal digits.
fn known(session: &Session, plan: [u8; 32]) -> Result<Option<String>, Failure> {
    let path = path(session, plan)?;
    match carried::read(&path, LEN) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => {
            let text = String::from_utf8(read.map_err(|error| Failure::file(&path, error))?);
            let text = text.map_err(|error| Failure::malformed(&path, error))?;
            Ok(Some(text.trim_end().to_owned()))
        }
    }
}

fn path(session: &Session, plan: [u8; 32]) -> Result<PathBuf, Failure> {
    Ok(session.places()?.officer().join(DIR).join(HEXLOWER.encode(&plan)))
}
