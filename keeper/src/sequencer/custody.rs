//! Custody manifests, recorded on the service's own word.

use ledger::entry::Custody;
use ledger::entry::entry::Kind;

use super::Sequencer;
use crate::command::Ended;

impl Sequencer {
    /// Records what was observed, and raises an alarm where it is not as it was.
    pub(super) fn record_manifest(&mut self, observed: Custody) -> Result<(), Ended> {
        // Of its own accord the service records nothing while the clock is wrong or the journal damaged.
        let (Ok(now_ms), None) = (self.time.now_ms(), &self.damaged) else {
            self.manifests.dropped();
            return Ok(());
        };
        let origin = &self.settings.origin;
        let manifest = self.manifests.complete(observed, &self.journal.reader(), origin, now_ms)?;
        for difference in &manifest.differences {
            tracing::warn!(
                alarm = "custody-differs",
                subject = difference.subject,
                before = difference.before,
                after = difference.after,
                "custody is not as it was"
            );
        }
        if !manifest.differences.is_empty() {
            self.metrics.alarm("custody_differs");
        }
        if manifest.root_tokens.iter().any(|root| root.visible) {
            tracing::error!(
                alarm = "root-token-visible",
                "the service's module shows the root's token: take it away (invariant I1)"
            );
            self.metrics.alarm("root_token_visible");
        }
        let entry = self.own_entry(Kind::Custody(manifest));
        self.journal.append(&entry)?;
        Ok(())
    }
}
