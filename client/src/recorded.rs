//! Checks what the service says it recorded against the log: entry and inclusion proof are fetched and verified, whoever answers.

use audit::{ProvenEntry, Trust};
use ledger::entry::RequestSignature;
use ledger::entry::entry::Kind;
use ledger::proof::Proof;
use ledger::{entry, leaf_hash};
use prost::Message;
use proto::v1::{
    self, GetCheckpointRequest, GetInclusionProofRequest, LedgerEntry, ListEntriesRequest, Receipt,
};
use sha2::{Digest as _, Sha256};

use crate::connection::Client;
use crate::error::Error;

/// What may follow an import's first entry: a charter, a ceremony with its certificates and its custody, a bundle.
const FOLLOWING: i32 = 500;

/// An inclusion proof as text, with its entry, and what it proves.
pub type Recorded = (String, ProvenEntry);

/// A controller that has what it asked for proved.
#[derive(Debug)]
pub struct Asker<'a> {
    /// Its connection.
    pub client: &'a Client,
    /// Whom it believes.
    pub trust: &'a Trust,
    /// Its SPIFFE path, as entries name it.
    pub path: String,
}

impl Asker<'_> {
    /// Has the service prove that the log holds an entry which came from exactly this request of the caller's.
    ///
    /// # Errors
    /// The entry is another than was asked for, or its proof does not verify; [`Error::NotProved`] where none is to be had yet.
    pub async fn of_request(
        &self,
        receipt: Option<Receipt>,
        body: &impl Message,
    ) -> Result<ProvenEntry, Error> {
        let receipt = receipt.ok_or(Error::Incomplete("receipt"))?;
        let recorded = self.of(&receipt).await;
        let (_, proven) = recorded.map_err(|cause| not_proved(&receipt, cause))?;
        let signature = self.own_signature(&proven)?;
        if signature.request_sha256 != *Sha256::digest(body.encode_to_vec()) {
            return Err(of_another(&proven));
        }
        Ok(proven)
    }

    /// Has the service prove that the log holds the entry of a certificate, and that this came from a request of the caller's with this id: which
    /// bytes it had, who asks again need not know any more. The proof as text, with what it proves.
    ///
    /// # Errors
    /// The service refuses, the entry is another than was asked for, or its proof does not verify.
    pub async fn of_certificate(
        &self,
        certificate: &v1::Certificate,
        request_id: &str,
    ) -> Result<Recorded, Error> {
        let receipt = certificate.receipt.as_ref().ok_or(Error::Incomplete("receipt"))?;
        let (text, proven) = self.of(receipt).await?;
        // Of the same CSR there may be others: revoked since, or another's.
        self.own_signature(&proven)?;
        if proven.entry.request_id != request_id {
            return Err(of_another(&proven));
        }
        Ok((text, proven))
    }

    /// Fetches the entry of a receipt and its proof, and checks that the log holds it.
    async fn of(&self, receipt: &Receipt) -> Result<Recorded, Error> {
        let entries = entries(self.client, receipt, 1).await?;
        let first = entries.first().ok_or(Error::Incomplete("entry of that index"))?;
        prove(self.client, self.trust, &receipt.origin, first).await
    }

    /// The signature in an entry that came from a request of this caller's: another may have asked for the same, in the same words.
    fn own_signature<'p>(&self, proven: &'p ProvenEntry) -> Result<&'p RequestSignature, Error> {
        let actor = proven.entry.actor.as_ref().filter(|actor| actor.identity == self.path);
        actor.and_then(|actor| actor.signature.as_ref()).ok_or_else(|| of_another(proven))
    }
}

/// Fetches the entries from `receipt` on that hold these kinds, and proofs that the log holds them, and checks both.
///
/// # Errors
/// The service refuses, an entry is another than was handed in, or its proof does not verify.
pub async fn holds(client: &Client, trust: &Trust, receipt: &Receipt, kinds: &[Kind]) -> Result<(), Error> {
    let most = if kinds.len() > 1 { FOLLOWING } else { 1 };
    let entries = entries(client, receipt, most).await?;
    for kind in kinds {
        let of_this = |found: &&LedgerEntry| {
            entry::decode(&found.entry).is_ok_and(|entry| entry.kind.as_ref() == Some(kind))
        };
        let found = entries.iter().find(of_this).ok_or_else(|| {
            let index = receipt.index;
            Error::RecordedElse(format!("from entry {index} on, the log holds not what was handed in"))
        })?;
        prove(client, trust, &receipt.origin, found).await?;
    }
    Ok(())
}

/// The entry is there, and is not what was asked for.
fn of_another(proven: &ProvenEntry) -> Error {
    Error::RecordedElse(format!("entry {} came from another request", proven.index))
}

fn not_proved(receipt: &Receipt, cause: Error) -> Error {
    if !cause.may_pass() {
        return cause;
    }
    Error::NotProved { index: receipt.index, origin: receipt.origin.clone(), cause: Box::new(cause) }
}

/// The receipt's entry, and those after it.
async fn entries(client: &Client, receipt: &Receipt, most: i32) -> Result<Vec<LedgerEntry>, Error> {
    let request = ListEntriesRequest { start_index: receipt.index, page_size: most };
    let entries = client.ledger().list_entries(request).await?.into_inner().entries;
    let first = entries.first().filter(|first| first.index == receipt.index);
    let first = first.ok_or(Error::Incomplete("entry of that index"))?;
    if leaf_hash(&first.entry).as_bytes() != receipt.leaf_hash.as_slice() {
        return Err(Error::unverified("the entry", "its hash is not the receipt's"));
    }
    Ok(entries)
}

async fn prove(client: &Client, trust: &Trust, origin: &str, found: &LedgerEntry) -> Result<Recorded, Error> {
    let mut ledger = client.ledger();
    // A checkpoint is made at most once a second, and on demand: the proof needs one that covers the entry.
    ledger.get_checkpoint(GetCheckpointRequest { min_size: found.index.saturating_add(1) }).await?;
    let request = GetInclusionProofRequest { index: found.index };
    let text = ledger.get_inclusion_proof(request).await?.into_inner().proof;
    let unverified = |error: &dyn std::fmt::Display| Error::unverified("the proof", error);
    let mut proof = Proof::parse(text.as_bytes()).map_err(|error| unverified(&error))?;
    proof.extra = Some(found.entry.clone());
    let text = proof.to_string();
    let proven = trust.prove_entry(text.as_bytes()).map_err(|error| unverified(&error))?;
    if proven.index != found.index || proven.checkpoint.origin != *origin {
        return Err(unverified(&"it is of another entry than the receipt"));
    }
    Ok((text, proven))
}
