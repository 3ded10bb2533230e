//! What an audit finds wrong.

use cell::NameError;
use certs::{BadSignature, IssuerError};
use ledger::Hash;
use ledger::bundle::{BundleError, NotNewer};
use ledger::charter::CharterError;
use ledger::entry::EntryError;
use ledger::note::NoteError;
use ledger::proposal::ProposalError;

use super::callers::CallerFlaw;
use super::requests::RequestFlaw;

/// What is wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("entry {index}: {flaw}")]
pub struct Finding {
    /// Index of the entry.
    pub index: u64,
    /// What is wrong.
    pub flaw: Flaw,
}

/// The entries are not handed in one after the other: whoever reads them out left one out, or repeats one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {given} was handed in where entry {wanted} follows")]
pub struct OutOfOrder {
    /// Index of the entry that follows.
    pub wanted: u64,
    /// Index of the one that was handed in.
    pub given: u64,
}

/// What can be wrong with an entry, or with the whole.
#[derive(Debug, thiserror::Error)]
pub enum Flaw {
    /// Bytes that are no entry in its one form.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// An entry for another cell than the charter's.
    #[error("it is of another cell")]
    OtherCell,
    /// A CA certificate without its signature.
    #[error("the signature of its CA certificate is not there")]
    Unsigned,
    /// A time that no certificate could have.
    #[error("its time is before 1970 or after the year 9999")]
    Time,
    /// A reference forward, or into another log.
    #[error("it refers to an entry that is not before it")]
    Reference,
    /// A custody manifest that does not say what differs from the one before.
    #[error("what it says that differs from the custody manifest before is not what does")]
    Differences,
    /// A note that is none.
    #[error("the note: {0}")]
    Note(#[from] NoteError),
    /// A charter that is none, or that the officers before it did not approve.
    #[error("the charter: {0}")]
    Charter(#[from] CharterError),
    /// Something that only officers can approve, before there are any.
    #[error("there is no charter before it")]
    NoCharter,
    /// The first charter is not the one that the auditor knows.
    #[error("the first charter is not the one that was pinned")]
    OtherCharter,
    /// A bundle that the officers did not publish.
    #[error("the bundle: {0}")]
    Bundle(#[from] BundleError),
    /// A bundle that does not follow from the one before.
    #[error("the bundle: {0}")]
    BundleOrder(#[from] NotNewer),
    /// An act that was not approved, or not in time.
    #[error("the act: {0}")]
    Proposal(#[from] ProposalError),
    /// An act whose fields are none.
    #[error("the act: {0}")]
    Act(#[from] cell::ActError),
    /// A ceremony that proves nothing.
    #[error("the ceremony: {0}")]
    Ceremony(#[from] crate::ceremony::EvidenceError),
    /// An issuer that the officers' bundle does not name as the one that signs.
    #[error("its issuer is not the one that the trust bundle says is active")]
    NotActive,
    /// An act for the second time.
    #[error("the act was carried out before")]
    Replayed,
    /// Nobody whose word it could be.
    #[error("it is on nobody's word: its kind of actor cannot cause it, or does not say who it is")]
    Actor,
    /// A caller who was none then.
    #[error("its caller {0}")]
    Caller(#[from] CallerFlaw),
    /// Something else than its request asks for.
    #[error("{0}")]
    Request(RequestFlaw),
    /// A rule for certificates that does not hold.
    #[error("the certificate: {0}")]
    Lint(certs::lint::Finding),
    /// A serial number for the second time.
    #[error("another certificate has its serial number")]
    SerialTwice,
    /// A key of two identities.
    #[error("another identity has its public key")]
    KeyOfTwo,
    /// A renewal of another certificate than the newest of its line, or than the one that the caller presented.
    #[error("it does not renew the newest certificate of its subject, presented by its holder")]
    NotNewest,
    /// Longer than it may live.
    #[error("it lives longer than was authorised")]
    Lifetime,
    /// A caller who does not own the agent.
    #[error("its caller does not own the agent")]
    NotOwner,
    /// A certificate below a checkpoint without a signature, which nothing gives up: no checkpoint covers one that is pending.
    #[error(
        "its certificate is neither signed nor given up below the checkpoint: its signature was removed or withheld"
    )]
    NotSigned,
    /// A certificate given up that somebody may hold, or twice.
    #[error("the certificate that it gives up is signed, was given up before, or is none")]
    Abandoned,
    /// Bytes that were to be signed and are no certificate.
    #[error("the certificate does not parse")]
    Certificate,
    /// A CA certificate that cannot issue.
    #[error("the certificate's issuer: {0}")]
    Issuer(#[from] IssuerError),
    /// A signer that is not recorded, or may not sign this.
    #[error("its issuer is not recorded before it")]
    UnknownIssuer,
    /// A root that officers did not publish.
    #[error("the issuer's root is no trust anchor of any bundle")]
    NoAnchor,
    /// A signature that is not the signer's over the recorded bytes.
    #[error(transparent)]
    Signature(#[from] BadSignature),
    /// Entry and certificate name two identities.
    #[error("the certificate is for another subject than the entry says")]
    OtherSubject,
    /// A custody manifest of officers that is not the one their founding ceremony proves.
    #[error("no founding ceremony proves this custody manifest of officers")]
    Founding,
    /// Officers said what time it was when the log had fewer entries.
    #[error("officers said what time it is when the log was shorter")]
    ClockOfBefore,
    /// An act of officers that revokes stands alone.
    #[error("officers' act before it says that certificates are revoked, and no entry revokes them")]
    NotCarriedOut,
    /// No act in force stands behind it.
    #[error("the act that it refers to did not set this grant, or is no longer in force")]
    Unapproved,
    /// A new identity, grant or controller in a frozen cell.
    #[error("the cell was frozen")]
    Frozen,
    /// A renewal while officers had stopped them.
    #[error("renewals were stopped")]
    Stopped,
    /// A revocation of nothing, for no reason, or of another target than officers signed.
    #[error("the revocation has no target, or is not what was approved")]
    Revocation,
    /// Another number of certificates than it ends.
    #[error("it says that it revokes {says} certificates, and revokes {made}")]
    RevocationCount {
        /// As it says.
        says: u64,
        /// As the entries before say.
        made: u64,
    },
    /// A list that leaves revocations out, or has others.
    #[error("the CRL has {says} certificates, and {made} are revoked")]
    CrlCount {
        /// As it says.
        says: u64,
        /// As the entries before say.
        made: u64,
    },
    /// An epoch that does not begin where the one before was left, or a log of another epoch than its entries say.
    #[error("the epoch is not the one that follows, or not of these entries")]
    OtherEpoch,
    /// A CRL out of its order, or of times and hash that are none.
    #[error("the CRL does not follow from the one before, or is of another time than its entry")]
    Crl,
    /// More than the grant gives.
    #[error("the grant does not cover it: {0}")]
    NotCovered(#[from] cell::NotCovered),
    /// Agent and certificate differ.
    #[error("the agent is not there, is disabled, or is not as the certificate says")]
    OtherAgent,
    /// A name that is none.
    #[error("a name in it: {0}")]
    Name(#[from] NameError),
    /// Entries and checkpoint differ.
    #[error("the tree of the entries has the root {made}, and the log signed {signed}")]
    Root {
        /// Root of the tree that the entries make.
        made: Hash,
        /// Root in the checkpoint.
        signed: Hash,
    },
    /// The log is not the one that was seen.
    #[error(
        "the log does not begin with the tree of {0} entries that was seen before: its history was changed"
    )]
    Forked(u64),
}
