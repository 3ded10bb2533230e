//! What leaves once a batch is durable.

use proto::door::{CrlChanged, answer};

use super::{QUICK, Sequencer};
use crate::journal::{Appended, Committed};
use crate::out::ReadAsk;
use crate::out::Reply;
use crate::reads;
use crate::refusal::Refusal;
use crate::steps::crl::{ComposedCrl, RecordedCrl};
use crate::steps::{Recordable, Recorded};
use crate::stopping;
use crate::workers::Job;

/// What leaves once the batch is durable, and not before.
#[derive(Default)]
pub(super) struct Outbox {
    pub(super) replies: Vec<(Reply, Result<answer::Answer, Refusal>)>,
    /// Appended, and to be signed after the commit.
    pub(super) issued: Vec<(Appended, Recordable)>,
    /// Likewise.
    pub(super) crl: Option<(Appended, ComposedCrl)>,
    /// Reads that waited for a checkpoint: before the commit the readers would not see it.
    pub(super) reads: Vec<ReadAsk>,
    /// Signed: whoever watches is told its number.
    pub(super) crl_signed: Option<u64>,
    /// Officers thawed the cell: what was laid beside the journal before is over.
    pub(super) thawed: bool,
    /// Officers set the clock right.
    pub(super) clock: bool,
    /// There is a new trust bundle: whoever watches is given it.
    pub(super) bundle: bool,
}

impl Sequencer {
    /// After the commit: what is durable is signed, and answers leave.
    pub(super) fn deliver(&mut self, committed: &Committed, outbox: Outbox) -> Option<Recorded> {
        let alone = outbox.issued.len() == 1 && self.is_alone();
        let mut issued = outbox
            .issued
            .into_iter()
            .filter_map(|(appended, certificate)| Recorded::after_commit(committed, appended, certificate));
        let own = if alone { issued.next() } else { None };
        for recorded in issued {
            self.jobs.send(Job::Certificate(recorded));
        }
        let crl = outbox
            .crl
            .and_then(|(appended, composed)| RecordedCrl::after_commit(committed, appended, composed));
        if let Some(recorded) = crl {
            self.jobs.send(Job::Crl(recorded));
        }
        for (asked, reply) in outbox.reads {
            self.readers.read(asked, reply);
        }
        for (reply, outcome) in outbox.replies {
            reply.send(outcome);
        }
        if let Some(number) = outbox.crl_signed {
            self.shared.lists.signed(self.issuer.spki_sha256(), number);
            self.doors.tell(&answer::Answer::CrlChanged(CrlChanged { number }));
        }
        if outbox.thawed {
            stopping::clear(self.journal.dir());
        }
        if outbox.bundle {
            match reads::bundle(&self.journal.reader()) {
                Ok(bundle) => self.doors.tell(&answer::Answer::BundleChanged(bundle)),
                Err(refusal) => {
                    tracing::error!(cause = refusal.to_string(), "the new trust bundle is told to nobody");
                }
            }
        }
        self.doors.flush();
        (self.probe)("10 release");
        own
    }

    /// Whether a certificate is the only thing to do: then the hand-over to a worker and back would take longer than a quick token.
    fn is_alone(&self) -> bool {
        self.pending.len() == 1
            && self.is_idle()
            && self.pulse.signature_time().is_some_and(|time| time <= QUICK)
    }
}
