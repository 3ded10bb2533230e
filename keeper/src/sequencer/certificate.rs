//! Certificates after their record: who waits for one, and what becomes of it (step 10).

use proto::door::answer;
use proto::v1::{self, Reason};

use super::{Outbox, Pending, Sequencer, Waiter, abandonment};
use crate::command::Ended;
use crate::journal::{CertificateRow, JournalError};
use crate::out::Reply;
use crate::refusal::Refusal;
use crate::steps::Verified;
use crate::steps::release::Release;

impl Sequencer {
    /// A request that led to a certificate before: it is there, or it waits with the others.
    pub(super) fn attach(&mut self, index: u64, reply: Reply, outbox: &mut Outbox) -> Result<(), Ended> {
        if let Some(pending) = self.pending.get_mut(&index) {
            pending.waiters.push(Waiter { reply, act: None });
            return Ok(());
        }
        let certificate = self.certificate(index)?;
        outbox.replies.push((reply, Ok(answer::Answer::Certificate(certificate))));
        Ok(())
    }

    fn certificate(&self, index: u64) -> Result<v1::Certificate, JournalError> {
        let (reader, row) = (self.journal.reader(), self.row(index)?);
        self.release().certificate(&reader, &row)
    }

    fn row(&self, index: u64) -> Result<CertificateRow, JournalError> {
        let row = self.journal.reader().certificate(index)?;
        row.ok_or_else(|| JournalError::Corrupt(format!("entry {index} is no certificate")))
    }

    fn release(&self) -> Release<'_> {
        Release { cell: self.settings.cell.as_ref(), origin: &self.settings.origin, issuers: &self.issuers }
    }

    /// Step 10.
    pub(super) fn store(&mut self, verified: Verified, outbox: &mut Outbox) -> Result<(), Ended> {
        self.journal.store_signature(verified.index, &verified.signature, &verified.sha256)?;
        self.metrics.issued();
        let Some(Pending { waiters, .. }) = self.pending.remove(&verified.index) else { return Ok(()) };
        let certificate = self.release().fresh(&self.row(verified.index)?, verified)?;
        for Waiter { reply, act } in waiters {
            let answer = match act {
                Some(receipt) => proposal_answer(Some(receipt), Some(certificate.clone()), 0),
                None => answer::Answer::Certificate(certificate.clone()),
            };
            outbox.replies.push((reply, Ok(answer)));
        }
        Ok(())
    }

    /// A certificate that cannot be signed counts as issued; the ledger says that it was released to nobody.
    pub(super) fn give_up(&mut self, index: u64, cause: &str, outbox: &mut Outbox) -> Result<(), Ended> {
        tracing::error!(entry = index, cause, "the token refuses to sign these bytes: abandoned");
        let entry = self.own_entry(abandonment(&self.settings.origin, index, "REFUSED_BY_TOKEN"));
        let by = self.journal.append(&entry)?.index;
        self.metrics.abandoned(1);
        let Some(Pending { first, waiters }) = self.pending.remove(&index) else { return Ok(()) };
        self.given_up.push((first, by));
        for waiter in waiters {
            let refusal = Refusal::new(
                Reason::TokenUnavailable,
                "the token refused to sign this certificate: try again",
            );
            outbox.replies.push((waiter.reply, Err(refusal.retry(1000))));
        }
        Ok(())
    }
}

pub(super) fn proposal_answer(
    receipt: Option<v1::Receipt>,
    certificate: Option<v1::Certificate>,
    revoked: u64,
) -> answer::Answer {
    answer::Answer::SubmitProposal(v1::SubmitProposalResponse { receipt, certificate, revoked })
}
