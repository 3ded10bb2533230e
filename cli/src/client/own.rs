//! The officer's own copies of the charters and of the trust bundle: what an officer believes when nobody else is asked. They grow, and
//! never go back.

use std::path::Path;

use ceremony::directory::{self, Directory, Locked};
use ledger::bundle::{Bundle, Contents};
use ledger::charter::{Charter, Charters, Terms};
use ledger::note::Note;

use crate::error::Failure;
use crate::files;
use crate::session::Session;

/// Name of the officer's own copy of the charter.
pub(crate) const CHARTER: &str = "charter.note";
/// Name of the officer's own copy of the bundle.
pub(crate) const BUNDLE: &str = "bundle.note";

/// Reads the charters of a file.
///
/// # Errors
/// They are none, or one was not approved by the officers before.
pub(crate) fn charters(bytes: &[u8]) -> Result<Charters, Failure> {
    Charters::parse(bytes).map_err(|error| Failure::unverified("the charter", error))
}

/// The charters that the officer's directory holds, in order; none where it holds none.
///
/// # Errors
/// They are none.
pub(crate) fn chain(officer: &Path) -> Result<Option<Charters>, Failure> {
    let path = officer.join(CHARTER);
    if path.exists() { charters(&files::read(&path)?).map(Some) } else { Ok(None) }
}

/// The officer's own copy of the trust bundle.
///
/// # Errors
/// There is none, or it is not the charter's.
pub(crate) fn bundle(session: &Session, charter: &Charter) -> Result<Bundle, Failure> {
    let officer = session.places()?.officer().to_owned();
    let note = files::note(&Directory::at(&officer), BUNDLE)?;
    let note = note.ok_or_else(|| {
        Failure::new("NO_BUNDLE", format!("{} is not there", officer.join(BUNDLE).display()))
            .mended_by(format!("rootcellar ca bundle --note --out {}", officer.join(BUNDLE).display()))
    })?;
    Bundle::open(&note, charter)
        .map_err(|error| Failure::unverified("the officer's copy of the trust bundle", error))
}

/// Keeps what was taken over: the charter behind those that it follows, and the trust bundle under the last of them, unless it is
/// older. An officer's directory without a charter is another machine's, and stays as it is but for a first charter.
///
/// # Errors
/// The charter is another cell's, the bundle is older than the copy, or a file cannot be written.
pub(crate) fn keep(session: &Session, charter: Option<&Note>, bundle: Option<&Note>) -> Result<(), Failure> {
    let officer = session.places()?.officer().to_owned();
    let _alone = alone(&officer)?;
    let Some((chain, grew)) = followed(&officer, charter)? else { return Ok(()) };
    let bundle = bundle.map(|note| newer(&officer, &chain, note)).transpose()?.flatten();
    files::make_private_dir(&officer)?;
    if grew {
        files::replace(&officer.join(CHARTER), chain.to_string().as_bytes(), files::SECRET)?;
    }
    bundle.map_or(Ok(()), |note| {
        directory::write_note(&officer.join(BUNDLE), note).map_err(|error| Failure::new("FILE", error))
    })
}

/// Keeps charters that follow the officer's own copy, as they were found to do, unless the copy has come as far meanwhile.
///
/// # Errors
/// The file cannot be read or written.
pub(crate) fn follow(session: &Session, served: &Charters) -> Result<(), Failure> {
    let officer = session.places()?.officer().to_owned();
    let _alone = alone(&officer)?;
    match chain(&officer)? {
        Some(chain) if chain.notes().len() < served.notes().len() => {
            Ok(files::replace(&officer.join(CHARTER), served.to_string().as_bytes(), files::SECRET)?)
        }
        _ => Ok(()),
    }
}

/// Holds the officer's directory, where it is there: between looking at the copies and writing newer ones nobody else writes.
fn alone(officer: &Path) -> Result<Option<Locked>, Failure> {
    let held = officer.is_dir().then(|| Directory::at(officer).lock()).transpose();
    held.map_err(|error| Failure::new("FILE", error))
}

/// The chain with the charter that was taken over, and whether it grew by it.
fn followed(officer: &Path, charter: Option<&Note>) -> Result<Option<(Charters, bool)>, Failure> {
    let text = charter.map(ToString::to_string);
    let Some(mut chain) = chain(officer)? else {
        let first = charter.filter(|note| Terms::read(note).is_ok_and(|terms| terms.revision == 1));
        return match (first, text) {
            (Some(_), Some(text)) => Ok(Some((charters(text.as_bytes())?, true))),
            _ => Ok(None),
        };
    };
    if charter.is_some_and(|note| Terms::read(note).is_ok_and(|terms| terms.cell != chain.first().cell())) {
        return Err(Failure::unverified("the charter", "the officer's copy is another cell's")
            .mended_by("the same with --officer-dir DIR"));
    }
    let grew = chain.follow(text.as_deref()).map_err(|error| Failure::unverified("the charter", error))?;
    Ok(Some((chain, grew)))
}

/// The note of a bundle that takes the place of the officer's copy; none of one under a charter that the copy has not followed yet.
fn newer<'n>(officer: &Path, chain: &Charters, note: &'n Note) -> Result<Option<&'n Note>, Failure> {
    let offered = under(chain, note)?;
    let there = files::note(&Directory::at(officer), BUNDLE)?;
    let there = there.as_ref().map(|note| under(chain, note)).transpose()?.flatten();
    if let (Some(offered), Some(there)) = (&offered, &there) {
        client::not_older(offered, there).map_err(|error| {
            Failure::from(error).mended_by(format!(
                "rootcellar ledger verify; {} is what officers signed last",
                officer.join(BUNDLE).display()
            ))
        })?;
    }
    Ok(offered.map(|_| note))
}

/// A bundle under the charter that it names; none where the chain does not go so far.
fn under(chain: &Charters, note: &Note) -> Result<Option<Bundle>, Failure> {
    let unverified = |error: &dyn std::fmt::Display| Failure::unverified("the trust bundle", error);
    let revision = Contents::read(note).map_err(|error| unverified(&error))?.charter_revision;
    let Some(charter) = chain.of_revision(revision) else { return Ok(None) };
    Bundle::open(note, charter).map(Some).map_err(|error| unverified(&error))
}
