//! The notes that officers sign: charters, bundles and proposals.

use ledger::bundle::{BundleError, Contents};
use ledger::charter::{Charter, CharterError, Terms};
use ledger::note::{self, KeyName, Note, NoteError, NoteSigner as _, VerifierKey};
use ledger::proposal::{Proposal, ProposalError};

use super::OfficerKey;

/// Under what terms an act is proposed.
#[derive(Debug, Clone, Copy)]
pub struct ProposalTerms<'a> {
    /// The charter in force: it names the cell, and whose signatures count.
    pub charter: &'a Charter,
    /// Origin of the log that will record the act.
    pub log: &'a KeyName,
    /// 16 random bytes, never used before.
    pub nonce: [u8; 16],
    /// First second at which the proposal is accepted no more, since 1970-01-01T00:00:00Z; at most 7 days ahead of the
    /// moment when it is used.
    pub expires_unix: i64,
}

/// Why nothing was signed. Each is for the officer to put right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SigningError {
    /// The charter does not name this key.
    #[error("{0} is not an officer of the charter")]
    NotAnOfficer(KeyName),
    /// No charter can say this.
    #[error(transparent)]
    Charter(#[from] CharterError),
    /// No bundle can say this.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// No proposal can say this.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    /// The token with the officer's key did not sign.
    #[error("the officer's token: {0}")]
    Token(String),
    /// The note cannot carry this signature, or carries it already.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Writes and signs the first charter of a cell. In force once a quorum has signed it
/// ([`Charter::found`](ledger::charter::Charter::found)).
///
/// # Errors
/// [`SigningError::Charter`], [`SigningError::NotAnOfficer`].
pub fn found_charter(
    cell: &str,
    officers: &[VerifierKey],
    quorum: u8,
    signers: &[&OfficerKey],
) -> Result<Note, SigningError> {
    let terms = Terms { cell: cell.to_owned(), revision: 1, quorum, officers: officers.to_vec() };
    sign(terms.draft()?, officers, signers)
}

/// Writes and signs the charter that follows one. In force once a quorum of the officers *before* has signed it
/// ([`Charter::succeed`](ledger::charter::Charter::succeed)).
///
/// # Errors
/// [`SigningError::Charter`], [`SigningError::NotAnOfficer`].
pub fn amend_charter(
    charter: &Charter,
    officers: &[VerifierKey],
    quorum: u8,
    signers: &[&OfficerKey],
) -> Result<Note, SigningError> {
    let revision = charter.revision().saturating_add(1);
    let terms = Terms { cell: charter.cell().to_owned(), revision, quorum, officers: officers.to_vec() };
    sign(terms.draft()?, charter.officers(), signers)
}

/// Writes and signs a bundle under a charter.
///
/// # Errors
/// [`SigningError::Bundle`], also when the contents are for another cell or charter; [`SigningError::NotAnOfficer`].
pub fn publish_bundle(
    contents: &Contents,
    charter: &Charter,
    signers: &[&OfficerKey],
) -> Result<Note, SigningError> {
    if contents.cell != charter.cell() {
        return Err(BundleError::WrongCell.into());
    }
    let (have, want) = (contents.charter_revision, charter.revision());
    if have != want {
        return Err(BundleError::WrongCharter { have, want }.into());
    }
    sign(contents.draft()?, charter.officers(), signers)
}

/// Writes and signs a proposal of an act, by its name and its fields in order.
///
/// # Errors
/// [`SigningError::Proposal`], [`SigningError::NotAnOfficer`].
pub fn propose(
    act_name: &str,
    act_fields: &[(String, String)],
    terms: &ProposalTerms<'_>,
    signers: &[&OfficerKey],
) -> Result<Note, SigningError> {
    let proposal = Proposal {
        cell: terms.charter.cell().to_owned(),
        log: terms.log.clone(),
        charter_revision: terms.charter.revision(),
        nonce: terms.nonce,
        expires_unix: terms.expires_unix,
        act_name: act_name.to_owned(),
        act_fields: act_fields.to_vec(),
    };
    sign(proposal.draft()?, terms.charter.officers(), signers)
}

/// Adds an officer's signature to a note that others wrote. Show the officer its text first: this signs whatever it says.
/// A note with a false signature of an officer is not signed.
///
/// # Errors
/// [`SigningError::NotAnOfficer`]; [`SigningError::Note`] when the officer has signed already, or one of the officers'
/// signatures is not valid.
pub fn countersign(
    mut note: Note,
    officers: &[VerifierKey],
    signer: &OfficerKey,
) -> Result<Note, SigningError> {
    for officer in officers {
        note.is_signed_by(officer)?;
    }
    sign_one(&mut note, officers, signer)?;
    Ok(note)
}

fn sign(mut note: Note, officers: &[VerifierKey], signers: &[&OfficerKey]) -> Result<Note, SigningError> {
    for signer in signers {
        sign_one(&mut note, officers, signer)?;
    }
    Ok(note)
}

fn sign_one(note: &mut Note, officers: &[VerifierKey], signer: &OfficerKey) -> Result<(), SigningError> {
    if !officers.contains(signer.key()) {
        return Err(SigningError::NotAnOfficer(signer.key().name().clone()));
    }
    note.sign_with(signer).map_err(|error| match error {
        note::SigningError::Note(error) => SigningError::Note(error),
        note::SigningError::Signer(error) => SigningError::Token(error.to_string()),
    })
}
