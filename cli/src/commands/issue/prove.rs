//! The proof of a certificate, checked before it is written.

use ledger::leaf_hash;
use ledger::proof::Proof;
use proto::v1::{self, GetCheckpointRequest, GetInclusionProofRequest, ListEntriesRequest};

use crate::client::caller::Caller;
use crate::error::Failure;
use crate::session::Session;
use audit::Proven;

/// Fetches the entry and its proof, and checks both against the certificate, from the very text that is to be written.
pub(super) async fn prove(
    session: &Session,
    caller: &Caller,
    certificate: &v1::Certificate,
) -> Result<(String, Proven), Failure> {
    let receipt = certificate.receipt.as_ref().ok_or_else(|| Failure::incomplete("receipt"))?;
    let entry = entry(caller, receipt).await?;
    let mut client = caller.client.ledger();
    // A checkpoint is made at most once a second, and on demand: the proof needs one that covers the entry.
    client.get_checkpoint(GetCheckpointRequest { min_size: receipt.index.saturating_add(1) }).await?;
    let request = GetInclusionProofRequest { index: receipt.index };
    let text = client.get_inclusion_proof(request).await?.into_inner().proof;
    let unverified = |error: &dyn std::fmt::Display| Failure::unverified("the proof", error);
    let mut proof = Proof::parse(text.as_bytes()).map_err(|error| unverified(&error))?;
    proof.extra = Some(entry);
    let text = proof.to_string();
    let oid = session.config()?.attributes_oid();
    let proven = caller.credentials.trust.prove(&certificate.chain, text.as_bytes(), oid);
    let proven = proven.map_err(|error| unverified(&error))?;
    if proven.index != receipt.index || proven.checkpoint.origin != *receipt.origin.as_str() {
        return Err(unverified(&"it is of another entry than the receipt"));
    }
    Ok((text, proven))
}

async fn entry(caller: &Caller, receipt: &v1::Receipt) -> Result<Vec<u8>, Failure> {
    let request = ListEntriesRequest { start_index: receipt.index, page_size: 1 };
    let page = caller.client.ledger().list_entries(request).await?.into_inner();
    let entry = page.entries.into_iter().find(|entry| entry.index == receipt.index);
    let entry = entry.ok_or_else(|| Failure::incomplete("entry of that index"))?.entry;
    if leaf_hash(&entry).as_bytes() != receipt.leaf_hash.as_slice() {
        return Err(Failure::unverified("the entry", "its hash is not the receipt's"));
    }
    Ok(entry)
}
