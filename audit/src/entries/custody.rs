//! Custody manifests: each names the one before and says what differs.

use ledger::custody::differences;
use ledger::entry::{Custody, Reference};

use super::Flaw;

/// The manifest that was read last, with its index.
#[derive(Default)]
pub(super) struct Manifests(Option<(u64, Custody)>);

impl Manifests {
    /// Judges the manifest at `index`; `is_ours` says whether an origin is this log's.
    ///
    /// # Errors
    /// [`Flaw::Reference`], [`Flaw::Differences`].
    pub(super) fn judge(
        &mut self,
        index: u64,
        custody: &Custody,
        is_ours: impl Fn(&Reference) -> bool,
    ) -> Result<(), Flaw> {
        if let Some((before, last)) = self.0.replace((index, custody.clone())) {
            let names = custody.previous.as_ref().filter(|previous| is_ours(previous));
            if names.is_none_or(|previous| previous.index != before) {
                return Err(Flaw::Reference);
            }
            let made = differences(&last, custody);
            if (&custody.differences, custody.differences_untold) != (&made.told, made.untold) {
                return Err(Flaw::Differences);
            }
        }
        Ok(())
    }
}
