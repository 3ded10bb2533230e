//! What a crash left: entries without a certificate, signed now or given up. The normal path and recovery are one.

use std::collections::HashMap;

use certs::{CertificateSummary, Issuer, Profile};
use crossbeam_channel::Sender;
use ledger::entry::{self, Issuance, entry::Kind};

use crate::journal::{Appended, CertificateRow, Durability, Journal, JournalError, Reader};
use crate::requests::Settings;
use crate::sequencer::{Waiter, abandonment, own_entry};
use crate::steps::Recorded;
use crate::workers::Job;

/// Finds what a crash left: entries without a certificate. Those that have expired meanwhile are given up; the others are signed as if
/// nothing had happened, once they have been looked at again.
///
/// # Errors
/// The disk's, or an entry that this keeper would never have recorded.
pub(crate) fn recover(
    journal: &mut Journal,
    settings: &Settings,
    issuer: &Issuer,
    now_ms: i64,
) -> Result<Vec<Recorded>, JournalError> {
    let mut live: Vec<CertificateRow> = Vec::new();
    let mut given_up = Vec::new();
    for row in journal.reader().pending()? {
        if row.not_after <= now_ms.div_euclid(1000) {
            given_up.push((row.index, "EXPIRED_BEFORE_SIGNED"));
        } else if row.issuer != issuer.spki_sha256() {
            // Its issuer's token was lost before it signed, and another issuer has taken over.
            given_up.push((row.index, "ISSUER_REPLACED"));
        } else {
            live.push(row);
        }
    }
    if !given_up.is_empty() {
        journal.begin(Durability::Disk)?;
        for (index, reason) in &given_up {
            journal.append(&own_entry(settings, now_ms, abandonment(&settings.origin, *index, reason)))?;
        }
        journal.commit()?;
    }
    if live.len() + given_up.len() > 0 {
        tracing::warn!(
            signed_now = live.len(),
            given_up = given_up.len(),
            "finishing what the last run left"
        );
    }
    let reader = journal.reader();
    live.iter().map(|row| recorded(&reader, row.index, settings, issuer)).collect()
}

fn recorded(
    reader: &Reader<'_>,
    index: u64,
    settings: &Settings,
    issuer: &Issuer,
) -> Result<Recorded, JournalError> {
    let corrupt = |what: &str| JournalError::Corrupt(format!("entry {index}: {what}"));
    let body = reader.entry(index)?.ok_or_else(|| corrupt("not there"))?;
    let leaf = ledger::leaf_hash(&body);
    match entry::decode(&body).map_err(|error| corrupt(&error.to_string()))?.kind {
        Some(Kind::Issuance(issuance)) if !is_ours(&issuance, settings, issuer) => {
            Err(corrupt("it is no certificate that this keeper would record; it is not signed"))
        }
        Some(Kind::Issuance(issuance)) => Ok(Recorded::after_commit(Appended { index, leaf }, issuance)),
        _ => Err(corrupt("no issuance")),
    }
}

/// Whether a recorded TBS is an end-entity certificate of its own subject, under the active issuer. Whoever can write the journal's file
/// must not be able to have a CA's certificate signed by a restart.
fn is_ours(issuance: &Issuance, settings: &Settings, issuer: &Issuer) -> bool {
    // The signature is no part of what is looked at.
    let unsigned = certs::compose::join(&issuance.tbs, issuer.algorithm(), &[0]);
    CertificateSummary::parse(&unsigned, settings.attributes_oid).is_ok_and(|summary| {
        let lifetime = summary.not_after.saturating_sub(summary.not_before);
        let longest = [Profile::Agent, Profile::Controller, Profile::Service].map(Profile::max_lifetime_secs);
        !summary.is_ca
            && summary.uris == [format!("spiffe://{}{}", settings.cell, issuance.subject)]
            && issuance.issuer_spki_sha256 == issuer.spki_sha256()
            && u64::try_from(lifetime)
                .is_ok_and(|lifetime| longest.iter().any(|longest| lifetime <= *longest))
    })
}

/// Hands them to the workers; nobody waits for them.
pub(crate) fn resume(left: Vec<Recorded>, jobs: &Sender<Job>) -> HashMap<u64, Vec<Waiter>> {
    let mut pending = HashMap::new();
    for recorded in left {
        pending.insert(recorded.index(), Vec::new());
        let _ = jobs.send(Job::Certificate(recorded));
    }
    pending
}
