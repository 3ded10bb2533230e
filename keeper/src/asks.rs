//! What is asked of the keeper, sorted by who answers it: the one place where a message of the door becomes something to do.
//!
//! Does not: look at who asks, or decide.

use certs::csr::VerifiedCsr;
use proto::door::{self, ask::Ask};
use proto::v1;

use crate::callers::Asker;
use crate::convert;
use crate::refusal::Refusal;
use crate::signed::{SignedRequest, Verifier};

/// Sorted by who answers.
#[derive(Debug)]
pub(crate) enum What {
    /// The sequencer plans it, and may record.
    Change(Box<Change>),
    /// The sequencer answers it from what it holds.
    Own(Own),
    /// The readers answer it, some of it once a checkpoint covers enough.
    Read(Read),
}

/// What may change something.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A request that its caller signed; or why it is none.
    Signed(Result<Box<SignedRequest>, Refusal>),
    /// The front's own certificate; whether it is the first time that this front asks.
    Serve(Result<Box<VerifiedCsr>, Refusal>, bool),
    /// An act that officers signed.
    Proposal(v1::SubmitProposalRequest),
    /// What officers did and signed elsewhere.
    Import(v1::ImportCeremonyRequest),
}

impl Change {
    /// Whether the key that is to be certified takes long to look at.
    pub(crate) fn takes_long(&self) -> bool {
        matches!(self, Self::Signed(Ok(signed)) if signed.takes_long())
    }

    /// Looks at that key: the change becomes a refusal where anybody could factor it.
    pub(crate) fn look(&mut self) {
        if let Self::Signed(Ok(signed)) = self {
            signed.look();
        }
    }
}

/// What the sequencer knows itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Status,
    Metrics,
}

/// What only reads.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Certificate(v1::GetCertificateRequest),
    Certificates(v1::ListCertificatesRequest),
    Agent(v1::GetAgentRequest),
    Agents(v1::ListAgentsRequest),
    TrustBundle,
    Checkpoint(v1::GetCheckpointRequest),
    Entries(v1::ListEntriesRequest),
    Inclusion(v1::GetInclusionProofRequest),
    Consistency(v1::GetConsistencyProofRequest),
    Charter,
    Controller(v1::GetControllerRequest),
    Controllers(v1::ListControllersRequest),
    Crl(v1::GetCrlRequest),
    Recognise,
    Backup,
}

impl Read {
    /// How many entries a checkpoint must cover before it can be answered; `None` where it needs none. A backup covers all there are.
    pub(crate) fn covers(&self, size: u64) -> Option<u64> {
        match self {
            // A log that has entries has a checkpoint: the smallest covers one.
            Self::Checkpoint(get) => Some(get.min_size.max(1)),
            Self::Inclusion(get) => Some(get.index.saturating_add(1)),
            Self::Consistency(get) => Some(get.old_size.max(1)),
            Self::Backup => Some(size),
            _ => None,
        }
    }
}

/// Sorts a message of the door. A signature is verified here, on the thread that reads the door.
///
/// # Errors
/// It asks for nothing.
pub(crate) fn sort(ask: Option<Ask>, by: &Asker, verifier: Option<&mut Verifier>) -> Result<What, Refusal> {
    let change = |change| What::Change(Box::new(change));
    Ok(match ask.ok_or_else(|| Refusal::internal("an empty ask"))? {
        Ask::Signed(signed) => change(Change::Signed(match (by, verifier) {
            (Asker::Presented(presented), Some(verifier)) => verifier.verify(presented, signed).map(Box::new),
            _ => Err(Refusal::not_allowed("a caller without a certificate")),
        })),
        Ask::Serve(serve) => change(Change::Serve(convert::csr(&serve.csr).map(Box::new), false)),
        Ask::SubmitProposal(submit) => change(Change::Proposal(submit)),
        Ask::ImportCeremony(import) => change(Change::Import(import)),
        Ask::GetStatus(v1::GetStatusRequest {}) => What::Own(Own::Status),
        Ask::GetMetrics(door::GetMetrics {}) => What::Own(Own::Metrics),
        Ask::GetCertificate(get) => What::Read(Read::Certificate(get)),
        Ask::ListCertificates(list) => What::Read(Read::Certificates(list)),
        Ask::GetAgent(get) => What::Read(Read::Agent(get)),
        Ask::ListAgents(list) => What::Read(Read::Agents(list)),
        Ask::GetTrustBundle(v1::GetTrustBundleRequest {}) => What::Read(Read::TrustBundle),
        Ask::GetCheckpoint(get) => What::Read(Read::Checkpoint(get)),
        Ask::ListEntries(list) => What::Read(Read::Entries(list)),
        Ask::GetInclusionProof(get) => What::Read(Read::Inclusion(get)),
        Ask::GetConsistencyProof(get) => What::Read(Read::Consistency(get)),
        Ask::GetCharter(v1::GetCharterRequest {}) => What::Read(Read::Charter),
        Ask::GetController(get) => What::Read(Read::Controller(get)),
        Ask::ListControllers(list) => What::Read(Read::Controllers(list)),
        Ask::GetCrl(get) => What::Read(Read::Crl(get)),
        Ask::Recognise(door::Recognise {}) => What::Read(Read::Recognise),
        Ask::BackupJournal(v1::BackupJournalRequest {}) => What::Read(Read::Backup),
    })
}
