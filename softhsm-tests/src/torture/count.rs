//! What stands in the ledger at the end, held against what callers were given and what the token signed.

use std::collections::{HashMap, HashSet};

use certs::TbsFields;
use ledger::entry::Issuance;
use ledger::entry::entry::Kind;
use proto::v1::{LedgerEntry, ListEntriesRequest};
use sha2::{Digest, Sha256};

use super::Tally;
use super::callers::Acknowledged;
use crate::{Cell, Faults, Serving, Signal, signed_as_proof};

/// The ledger, read once.
#[derive(Default)]
struct Ledger {
    entries: usize,
    issuances: HashMap<u64, Recorded>,
    abandoned: HashSet<u64>,
    /// SHA-256 of everything that may be signed.
    digests: HashSet<Vec<u8>>,
    /// The entries of each request. All but one must have been given up: a request whose certificate was is carried out anew.
    requests: HashMap<String, Vec<u64>>,
}

struct Recorded {
    issuance: Issuance,
    leaf: Vec<u8>,
    signature: Vec<u8>,
}

pub(super) async fn count(
    cell: &Cell,
    mut serving: Serving,
    faults: &Faults,
    acknowledged: Vec<Acknowledged>,
) -> Tally {
    let ledger = Ledger::read(&serving).await;
    let verified = cell.run(&["ledger", "verify"]);
    Serving::signal(serving.pid(), Signal::TERM);
    let stopped = serving.wait();
    let rebuilt = cell.run(&["ledger", "rebuild", "--output", "json"]);
    let no_difference =
        rebuilt.code == 0 && rebuilt.json()["differing"].as_array().is_some_and(Vec::is_empty);
    let failed = [verified.code == 0, stopped == 0, no_difference].into_iter().filter(|well| !well).count();
    Tally { unproven: failed, ..ledger.tally(faults, &acknowledged) }
}

impl Ledger {
    async fn read(serving: &Serving) -> Self {
        let client = serving.local().await;
        let (mut ledger, mut start_index) = (Self::default(), 0);
        loop {
            let request = ListEntriesRequest { start_index, page_size: 500 };
            let page = client.ledger().list_entries(request).await.expect("a page of entries").into_inner();
            page.entries.into_iter().for_each(|entry| ledger.take(entry));
            start_index = page.next_index;
            if start_index == 0 {
                return ledger;
            }
        }
    }

    fn take(&mut self, listed: LedgerEntry) {
        self.entries += 1;
        let entry = ledger::entry::decode(&listed.entry).expect("an entry");
        match entry.kind {
            Some(Kind::Issuance(issuance)) => {
                self.digests.insert(Sha256::digest(&issuance.tbs).to_vec());
                if !entry.request_id.is_empty() {
                    self.requests.entry(entry.request_id).or_default().push(listed.index);
                }
                let leaf = ledger::leaf_hash(&listed.entry).as_bytes().to_vec();
                self.issuances.insert(listed.index, Recorded { issuance, leaf, signature: listed.signature });
            }
            Some(Kind::Crl(crl)) => {
                self.digests.insert(crl.tbs_sha256);
            }
            Some(Kind::Ceremony(ceremony)) => self.digests.extend(signed_as_proof(&ceremony)),
            Some(Kind::Abandonment(abandonment)) => {
                self.abandoned.extend(abandonment.certificate.map(|certificate| certificate.index));
            }
            _ => {}
        }
    }

    fn tally(&self, faults: &Faults, acknowledged: &[Acknowledged]) -> Tally {
        let signed: HashSet<Vec<u8>> = faults
            .signed()
            .into_iter()
            .filter(|message| !message.starts_with(b"cell.internal/log/1\n"))
            .collect();
        let serials: HashSet<Vec<u8>> = self
            .issuances
            .values()
            .map(|recorded| TbsFields::parse(&recorded.issuance.tbs).expect("a TBS").serial)
            .collect();
        let finished = |(index, recorded): &(&u64, &Recorded)| {
            !recorded.signature.is_empty() || self.abandoned.contains(index)
        };
        Tally {
            entries: self.entries,
            acknowledged: acknowledged.len(),
            signed: self.issuances.values().filter(|recorded| !recorded.signature.is_empty()).count(),
            abandoned: self.abandoned.len(),
            unrecorded: signed.difference(&self.digests).count(),
            serials_twice: self.issuances.len() - serials.len(),
            lost: acknowledged.iter().filter(|given| !self.holds(given)).count(),
            unfinished: self.issuances.iter().filter(|recorded| !finished(recorded)).count(),
            made_twice: self.requests.values().filter(|entries| self.kept(entries) > 1).count(),
            ..Tally::default()
        }
    }

    /// How many of these were not given up.
    fn kept(&self, entries: &[u64]) -> usize {
        entries.iter().filter(|index| !self.abandoned.contains(index)).count()
    }

    /// Whether the ledger holds the certificate as the caller has it: the entry of its receipt, the very bytes, the very signature.
    fn holds(&self, given: &Acknowledged) -> bool {
        let certificate = &given.certificate;
        let Some(receipt) = &certificate.receipt else { return false };
        let (Some(recorded), Some(der)) = (self.issuances.get(&receipt.index), certificate.chain.first())
        else {
            return false;
        };
        let joined = certs::compose::join(
            &recorded.issuance.tbs,
            certs::SignatureAlgorithm::EcdsaP256Sha256,
            &recorded.signature,
        );
        receipt.leaf_hash == recorded.leaf && joined == *der && self.requests.contains_key(&given.request_id)
    }
}
