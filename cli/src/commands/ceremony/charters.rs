//! Which charter a note is signed under: that of the ceremony's own directory where it founds or amends one, else the officer's own copy.

use ceremony::directory::{self, Directory};
use ledger::bundle::Contents;
use ledger::charter::{Charter, Terms};
use ledger::note::Note;
use ledger::plan::Plan;
use ledger::proposal::Proposal;
use ledger::text::Kind;
use ledger::transcript::Transcript;

use crate::client::own;
use crate::client::own::CHARTER;
use crate::error::Failure;
use crate::files;
use crate::session::Session;

/// The officers who may sign a note, and how many of them must.
pub(super) struct Signers {
    pub(super) terms: Terms,
}

/// The officer's own copy of the charter, where there is one: the first, and those that followed, each approved by the one before.
///
/// # Errors
/// They are none.
pub(in crate::commands) fn pinned(session: &Session) -> Result<Option<Charter>, Failure> {
    Ok(own::chain(session.places()?.officer())?.map(|charters| charters.in_force().clone()))
}

/// The charter of a ceremony's own directory, with its terms. A first one counts beside an officer's own copy only if it is that: whoever wrote
/// the directory may have written a charter, too.
fn beside(session: &Session, dir: &Directory) -> Result<Option<(Note, Terms)>, Failure> {
    let note = files::note(dir, directory::CHARTER)?;
    let own = note.and_then(|note| Terms::read(&note).ok().map(|terms| (note, terms)));
    if let Some((_, terms)) = own.as_ref().filter(|(_, terms)| terms.revision == 1)
        && own::chain(session.places()?.officer())?.is_some_and(|chain| terms != chain.first().terms())
    {
        let what =
            format!("{} founds a cell, and this officer has one", dir.file(directory::CHARTER).display());
        return Err(Failure::new("OTHER_CHARTER", what)
            .mended_by("the same with --officer-dir DIR, of an officer of that cell"));
    }
    Ok(own)
}

/// The charter in force for a ceremony: the officer's own copy, or the one in its directory for a cell that is being founded.
///
/// # Errors
/// There is none, or it is not approved.
pub(super) fn in_force(session: &Session, dir: &Directory) -> Result<Charter, Failure> {
    let first = beside(session, dir)?.filter(|(_, terms)| terms.revision == 1);
    match (first, pinned(session)?) {
        (_, Some(pinned)) => Ok(pinned),
        (Some((note, _)), None) => Charter::found(&note).map_err(|error| {
            let remedy = format!("rootcellar ceremony approve {}", dir.path().display());
            Failure::unverified("the charter", error).mended_by(remedy)
        }),
        (None, None) => Err(no_charter(session)?),
    }
}

fn no_charter(session: &Session) -> Result<Failure, Failure> {
    let path = session.places()?.officer().join(CHARTER);
    Ok(Failure::new(
        "NO_CHARTER",
        format!("{} is not there: which officers count is not known", path.display()),
    )
    .mended_by("the same with --officer-dir DIR, where charter.note lies"))
}

impl Signers {
    /// Who may sign this note of a directory, which may hold a first charter.
    ///
    /// # Errors
    /// It is no note that officers sign, or no charter says.
    pub(super) fn of(session: &Session, note: &Note, dir: &Directory) -> Result<Self, Failure> {
        let own = beside(session, dir)?.map(|(_, terms)| terms);
        let malformed = |error: &dyn std::fmt::Display| Failure::new("FILE_MALFORMED", error);
        let revision = match note.kind() {
            // The first is signed by those whom it names, a later one by those before.
            Some(Kind::Charter) => Terms::read(note).map_err(|error| malformed(&error))?.revision.max(2) - 1,
            Some(Kind::Bundle) => Contents::read(note).map_err(|error| malformed(&error))?.charter_revision,
            Some(Kind::Plan) => Plan::read(note).map_err(|error| malformed(&error))?.charter_revision,
            Some(Kind::Proposal) => Proposal::read(note).map_err(|error| malformed(&error))?.charter_revision,
            Some(Kind::Transcript) => {
                let transcript = Transcript::read(note).map_err(|error| malformed(&error))?;
                transcript.plan().map_err(|error| malformed(&error))?.charter_revision
            }
            Some(Kind::PinFailureCleared) | None => {
                return Err(malformed(&"it is nothing that officers sign here"));
            }
        };
        match (pinned(session)?, own.filter(|terms| terms.revision == revision)) {
            (Some(charter), _) if charter.revision() == revision => {
                Ok(Self { terms: charter.terms().clone() })
            }
            // A first one, or one that is being made.
            (_, Some(terms)) => Ok(Self { terms }),
            (Some(charter), None) => Err(Failure::new(
                "OTHER_CHARTER",
                format!(
                    "it is for revision {revision} of the charter, and the officer's copy is revision {}",
                    charter.revision()
                ),
            )),
            (None, None) => Err(no_charter(session)?),
        }
    }

    /// Officers who have signed the note, by name.
    pub(super) fn signed(&self, note: &Note) -> Vec<String> {
        let officers = self.terms.officers.iter();
        officers
            .filter(|officer| note.is_signed_by(officer) == Ok(true))
            .map(|officer| officer.name().to_string())
            .collect()
    }
}
