//! The record itself: entries, proofs, checkpoints, CRLs, the charter.

use data_encoding::HEXLOWER;
use ledger::entry::{self, entry::Kind as EntryKind};
use ledger::note::Note;
use ledger::proof::Proof;
use ledger::tree::{consistency_proof, inclusion_proof};
use proto::door::answer::Answer;
use proto::v1;

use super::Answered;
use super::view::{SCAN_MAX, View};
use crate::callers::Kind;
use crate::page::{self, PAGE_OCTETS};
use crate::refusal::Refusal;

/// Entries read at a time.
const ENTRIES_AT_ONCE: u64 = 32;

impl View<'_> {
    /// For every caller: a list is public, and useless where it is not read.
    pub(super) fn crl(&self, get: &v1::GetCrlRequest) -> Answered {
        let missing = || Refusal::not_found("CRL of that issuer and number");
        let issuer = self.reads.issuers.iter().find(|issuer| {
            get.issuer.is_empty() || get.issuer == HEXLOWER.encode(&issuer.public_key().key_identifier())
        });
        let issuer = issuer.ok_or_else(missing)?;
        let list = self.reads.shared.lists.newest(self.reader, issuer, &self.reads.origin)?;
        let list = list.filter(|list| list.number >= get.min_number).ok_or_else(missing)?;
        Ok(Answer::GetCrl(list))
    }

    pub(super) fn checkpoint(&self) -> Answered {
        let (_, checkpoint) = self.newest_checkpoint()?;
        Ok(Answer::GetCheckpoint(v1::GetCheckpointResponse { checkpoint }))
    }

    fn newest_checkpoint(&self) -> Result<(u64, String), Refusal> {
        self.reader.checkpoint()?.ok_or_else(|| Refusal::not_found("checkpoint yet"))
    }

    pub(super) fn entries(&self, list: &v1::ListEntriesRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let start = list.start_index.min(page::INDEX_MAX);
        let (mut entries, mut octets, mut next) = (Vec::new(), 0, start);
        // A few at a time: an entry may have 64 KiB, and most of a page may be others'.
        'page: while next < start.saturating_add(SCAN_MAX) {
            let some = self.reader.entries(next, ENTRIES_AT_ONCE)?;
            if some.is_empty() {
                break;
            }
            for (index, body) in some {
                if entries.len() as u64 == limit || octets + body.len() > PAGE_OCTETS {
                    break 'page;
                }
                next = index + 1;
                if self.may_read_entry(index, &body)? {
                    let signature = self.reader.signature(index)?.map(|(signature, _)| signature);
                    let signature = signature.unwrap_or_default();
                    let request = self.reader.signed_request(index)?.unwrap_or_default();
                    octets += body.len() + request.len();
                    entries.push(v1::LedgerEntry { index, entry: body, signature, request });
                }
            }
        }
        let next_index = if next < self.reader.size()? { next } else { 0 };
        Ok(Answer::ListEntries(v1::ListEntriesResponse { entries, next_index }))
    }

    fn may_read_entry(&self, index: u64, body: &[u8]) -> Result<bool, Refusal> {
        if matches!(self.who.kind(), Kind::Local(_)) {
            return Ok(true);
        }
        let record = entry::decode(body).map_err(Refusal::internal)?;
        if record.actor.is_some_and(|actor| actor.identity == self.who.path()) {
            return Ok(true);
        }
        match record.kind {
            Some(EntryKind::Issuance(_)) => match self.reader.certificate(index)? {
                Some(row) => self.may_read_certificate(&row),
                None => Ok(false),
            },
            Some(EntryKind::AgentChange(entry::AgentChange { agent: Some(agent), .. })) => {
                match self.who.kind() {
                    Kind::Controller(name) => Ok(agent.owner == name.as_str()),
                    _ => self.may_read(&format!("/agent/{}", agent.id)),
                }
            }
            // What everybody must be able to check: the officers, the anchors, the issuers.
            Some(
                EntryKind::Charter(_)
                | EntryKind::Bundle(_)
                | EntryKind::CaCertificate(_)
                | EntryKind::Ceremony(_),
            ) => Ok(true),
            _ => Ok(false),
        }
    }

    pub(super) fn inclusion(&self, index: u64) -> Answered {
        let (size, checkpoint) = self.newest_checkpoint()?;
        let hashes = inclusion_proof(self.reader, size, index).map_err(Refusal::internal)?;
        let checkpoint = Note::parse(checkpoint.as_bytes()).map_err(Refusal::internal)?;
        let proof = Proof { index, hashes, checkpoint, extra: None }.to_string();
        Ok(Answer::GetInclusionProof(v1::GetInclusionProofResponse { proof }))
    }

    pub(super) fn consistency(&self, old_size: u64) -> Answered {
        let (size, checkpoint) = self.newest_checkpoint()?;
        if old_size == 0 {
            return Err(Refusal::malformed("old_size", "every log is consistent with an empty one"));
        }
        let hashes = consistency_proof(self.reader, old_size, size).map_err(Refusal::internal)?;
        let hashes = hashes.iter().map(|hash| hash.as_bytes().to_vec()).collect();
        Ok(Answer::GetConsistencyProof(v1::GetConsistencyProofResponse { hashes, checkpoint }))
    }

    pub(super) fn charter(&self) -> Answered {
        let (revision, charter) = self.reader.charter()?.ok_or_else(|| Refusal::not_found("charter"))?;
        let charters = self.reader.charters()?;
        Ok(Answer::GetCharter(v1::GetCharterResponse { charter, revision, charters }))
    }
}
