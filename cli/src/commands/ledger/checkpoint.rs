//! The newest checkpoint, and that it follows from the one that was seen last.

use client::Client;
use ledger::Hash;
use ledger::bundle::Log;
use ledger::checkpoint::Checkpoint;
use ledger::tree::verify_consistency;
use proto::v1::{GetCheckpointRequest, GetConsistencyProofRequest};

use super::online::not_rolled_back;
use crate::client::As;
use crate::client::caller;
use crate::client::memory::Memory;
use crate::client::officer::Desk;
use crate::error::Failure;
use crate::session::Session;

pub(super) async fn run(session: &Session, who: &As) -> Result<(), Failure> {
    let (client, logs) = if who.is_given() {
        let caller = caller::connect(session, who).await?;
        (caller.client, caller.credentials.trust.bundle().logs().to_vec())
    } else {
        let desk = Desk::open(session).await?;
        (desk.client().clone(), vec![desk.log])
    };
    let answer = client.ledger().get_checkpoint(GetCheckpointRequest { min_size: 0 }).await?.into_inner();
    // tlog-checkpoint, "Note text": the first line is the origin.
    let origin = answer.checkpoint.lines().next().unwrap_or_default().to_owned();
    let log = logs.iter().find(|log| log.origin == *origin.as_str());
    let log = log.ok_or_else(|| Failure::unverified("the checkpoint", "the bundle does not name its log"))?;
    let note = follow(session, &client, log, answer.checkpoint).await?;
    session.output().text("checkpoint", &note)
}

/// Checks the checkpoint, proves that it follows from the one that was seen last, and remembers it.
///
/// # Errors
/// It is not the log's, or does not follow.
pub(in crate::commands) async fn follow(
    session: &Session,
    client: &Client,
    log: &Log,
    note: String,
) -> Result<String, Failure> {
    let memory = Memory::of(session, log)?;
    let newest = verified(&note, log)?;
    let Some(seen) = not_rolled_back(memory.recall(log)?, &newest)?.filter(|seen| seen.size > 0) else {
        memory.keep(&note)?;
        return Ok(note);
    };
    let request = GetConsistencyProofRequest { old_size: seen.size };
    let proof = client.ledger().get_consistency_proof(request).await?.into_inner();
    let hashes: Vec<Hash> = proof
        .hashes
        .iter()
        .map(|hash| Hash::try_from(hash.as_slice()))
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::unverified("the proof of consistency", error))?;
    // The proof's own checkpoint is the newer one by now.
    let newest = verified(&proof.checkpoint, log)?;
    verify_consistency(&seen.head(), &newest.head(), &hashes).map_err(|error| {
        Failure::unverified("the log", format!("its history since entry {} was changed: {error}", seen.size))
    })?;
    memory.keep(&proof.checkpoint)?;
    Ok(proof.checkpoint)
}

fn verified(note: &str, log: &Log) -> Result<Checkpoint, Failure> {
    let checkpoint = log.checkpoint(note.as_bytes());
    checkpoint.map_err(|error| Failure::unverified("the checkpoint", error))
}
