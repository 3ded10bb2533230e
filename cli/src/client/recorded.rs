//! Checks what the service says it recorded against the log: entry and inclusion proof are fetched and verified, whoever answers.

use std::time::Duration;

use audit::{ProvenEntry, Trust};
use client::Client;
use ledger::entry::RequestSignature;
use ledger::entry::entry::Kind;
use ledger::proof::Proof;
use ledger::{entry, leaf_hash};
use prost::Message;
use proto::v1::{
    self, GetCheckpointRequest, GetInclusionProofRequest, LedgerEntry, ListEntriesRequest, Receipt,
};
use sha2::{Digest as _, Sha256};

use super::local;
use crate::error::{Exit, Failure};
use crate::session::Session;

/// What may follow an import's first entry: a charter, a ceremony with its certificates and its custody, a bundle.
const FOLLOWING: i32 = 500;
/// A keeper that starts again, as it does for a new issuing key, is asked again so often.
const TRIES: (Duration, u32) = (Duration::from_millis(250), 20);
/// How long the proof of one act is waited for altogether.
const PATIENCE: Duration = Duration::from_secs(8);
/// What does not verify then.
const WHAT: &str = "what the service says it recorded";
/// Reason where an entry is there by the service's word alone.
pub(crate) const NOT_PROVED: &str = "NOT_PROVED";

/// An inclusion proof as text, with its entry, and what it proves.
pub(crate) type Recorded = (String, ProvenEntry);

/// A controller that has what it asked for proved.
pub(crate) struct Asker<'a> {
    /// Its connection.
    pub(crate) client: &'a Client,
    /// Whom it believes.
    pub(crate) trust: &'a Trust,
    /// Its SPIFFE path, as entries name it.
    pub(crate) path: String,
}

/// Asks the keeper for the entries from `receipt` on that hold these kinds, and for proofs that the log holds them, and checks both.
///
/// # Errors
/// An entry is another than was handed in, or its proof does not verify; or none is to be had yet: then the message says which entry is
/// there by the service's word alone.
pub(crate) async fn demand(
    session: &Session,
    trust: &Trust,
    receipt: &Receipt,
    kinds: &[Kind],
) -> Result<(), Failure> {
    let (pause, tries) = TRIES;
    let asked = async {
        for _ in 1..tries {
            match once(session, trust, receipt, kinds).await {
                Err(failure) if failure.exit() == Exit::TryLater => tokio::time::sleep(pause).await,
                done => return done,
            }
        }
        once(session, trust, receipt, kinds).await
    };
    let late = |_| Failure::new(NOT_PROVED, "no proof came").ending(Exit::TryLater);
    match tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|elapsed| Err(late(elapsed))) {
        Err(failure) => Err(not_proved(receipt, failure)),
        done => done,
    }
}

/// Has the service prove that the log holds an entry which came from exactly this request of the caller's.
///
/// # Errors
/// As [`demand`].
pub(crate) async fn of_request(
    asker: &Asker<'_>,
    receipt: Option<Receipt>,
    body: &impl Message,
) -> Result<ProvenEntry, Failure> {
    let receipt = receipt.ok_or_else(|| Failure::incomplete("receipt"))?;
    let recorded = of(asker.client, asker.trust, &receipt).await;
    let (_, proven) = recorded.map_err(|failure| not_proved(&receipt, failure))?;
    let signature = own_signature(asker, &proven)?;
    if signature.request_sha256 != *Sha256::digest(body.encode_to_vec()) {
        return Err(of_another(&proven));
    }
    Ok(proven)
}

/// Has the service prove that the log holds the entry of a certificate, and that this came from a request of the caller's with this id: which bytes
/// it had, who asks again need not know any more. The proof as text, with what it proves.
///
/// # Errors
/// As [`demand`].
pub(crate) async fn of_certificate(
    asker: &Asker<'_>,
    certificate: &v1::Certificate,
    request_id: &str,
) -> Result<Recorded, Failure> {
    let receipt = certificate.receipt.as_ref().ok_or_else(|| Failure::incomplete("receipt"))?;
    let (text, proven) = of(asker.client, asker.trust, receipt).await?;
    // Of the same CSR there may be others: revoked since, or another's.
    own_signature(asker, &proven)?;
    if proven.entry.request_id != request_id {
        return Err(of_another(&proven));
    }
    Ok((text, proven))
}

/// The signature in an entry that came from a request of this caller's: another may have asked for the same, in the same words.
///
/// # Errors
/// It is another's.
fn own_signature<'p>(asker: &Asker<'_>, proven: &'p ProvenEntry) -> Result<&'p RequestSignature, Failure> {
    let actor = proven.entry.actor.as_ref().filter(|actor| actor.identity == asker.path);
    actor.and_then(|actor| actor.signature.as_ref()).ok_or_else(|| of_another(proven))
}

/// The entry is there, and is not what was asked for.
fn of_another(proven: &ProvenEntry) -> Failure {
    let said = format!("entry {} came from another request", proven.index);
    Failure::unverified(WHAT, said).mended_by("rootcellar ledger verify")
}

fn not_proved(receipt: &Receipt, failure: Failure) -> Failure {
    if failure.exit() != Exit::TryLater {
        return failure;
    }
    let message = format!(
        "recorded as entry {} of {}, by the service's word alone: its proof is not to be had yet: {failure}",
        receipt.index, receipt.origin
    );
    Failure::new(NOT_PROVED, message).ending(Exit::TryLater).mended_by("rootcellar ledger verify")
}

async fn once(session: &Session, trust: &Trust, receipt: &Receipt, kinds: &[Kind]) -> Result<(), Failure> {
    let client = local::connect(session).await?;
    let most = if kinds.len() > 1 { FOLLOWING } else { 1 };
    let entries = entries(&client, receipt, most).await?;
    for kind in kinds {
        let of_this = |found: &&LedgerEntry| {
            entry::decode(&found.entry).is_ok_and(|entry| entry.kind.as_ref() == Some(kind))
        };
        let found = entries.iter().find(of_this).ok_or_else(|| {
            let said = format!("from entry {} on, the log holds not what was handed in", receipt.index);
            Failure::unverified(WHAT, said).mended_by("rootcellar ledger verify")
        })?;
        prove(&client, trust, &receipt.origin, found).await?;
    }
    Ok(())
}

/// Fetches the entry of a receipt and its proof, and checks that the log holds it.
///
/// # Errors
/// The service does not answer, or what it says does not verify.
async fn of(client: &Client, trust: &Trust, receipt: &Receipt) -> Result<Recorded, Failure> {
    let entries = entries(client, receipt, 1).await?;
    let first = entries.first().ok_or_else(|| Failure::incomplete("entry of that index"))?;
    prove(client, trust, &receipt.origin, first).await
}

/// The receipt's entry, and those after it.
async fn entries(client: &Client, receipt: &Receipt, most: i32) -> Result<Vec<LedgerEntry>, Failure> {
    let request = ListEntriesRequest { start_index: receipt.index, page_size: most };
    let entries = client.ledger().list_entries(request).await?.into_inner().entries;
    let first = entries.first().filter(|first| first.index == receipt.index);
    let first = first.ok_or_else(|| Failure::incomplete("entry of that index"))?;
    if leaf_hash(&first.entry).as_bytes() != receipt.leaf_hash.as_slice() {
        return Err(Failure::unverified("the entry", "its hash is not the receipt's"));
    }
    Ok(entries)
}

async fn prove(
    client: &Client,
    trust: &Trust,
    origin: &str,
    found: &LedgerEntry,
) -> Result<Recorded, Failure> {
    let mut ledger = client.ledger();
    // A checkpoint is made at most once a second, and on demand: the proof needs one that covers the entry.
    ledger.get_checkpoint(GetCheckpointRequest { min_size: found.index.saturating_add(1) }).await?;
    let request = GetInclusionProofRequest { index: found.index };
    let text = ledger.get_inclusion_proof(request).await?.into_inner().proof;
    let unverified = |error: &dyn std::fmt::Display| Failure::unverified("the proof", error);
    let mut proof = Proof::parse(text.as_bytes()).map_err(|error| unverified(&error))?;
    proof.extra = Some(found.entry.clone());
    let text = proof.to_string();
    let proven = trust.prove_entry(text.as_bytes()).map_err(|error| unverified(&error))?;
    if proven.index != found.index || proven.checkpoint.origin != *origin {
        return Err(unverified(&"it is of another entry than the receipt"));
    }
    Ok((text, proven))
}
