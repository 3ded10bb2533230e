//! The charter and the trust bundle in force, as well as they can be known on this machine.

use ledger::bundle::Bundle;
use ledger::charter::Charter;
use ledger::note::Note;
use ledger::plan::{Ceremony, Plan};

use super::charters;
use crate::client::officer::Desk;
use crate::client::own;
use crate::error::{Exit, Failure};
use crate::session::Session;

/// What is in force, and who says so.
pub(in crate::commands) struct InForce {
    pub(in crate::commands) charter: Charter,
    pub(in crate::commands) bundle: Bundle,
    /// The service says so; else they are the officer's own copies, which may be older.
    pub(super) is_served: bool,
}

impl InForce {
    /// The service's, where it answers and hands out none that is older than the officer's own copy; else the officer's own copies.
    ///
    /// # Errors
    /// What the service hands out does not verify; it does not answer, and there are no copies.
    pub(in crate::commands) fn known(session: &Session) -> Result<Self, Failure> {
        match served(session) {
            Err(failure) if failure.exit() == Exit::TryLater => {
                let charter = charters::pinned(session)?.ok_or(failure)?;
                let bundle = own::bundle(session, &charter)?;
                Ok(Self { charter, bundle, is_served: false })
            }
            known => known,
        }
    }

    /// What is in force before a ceremony, under the charter that approves it; none before the one that founds the cell.
    ///
    /// # Errors
    /// As [`Self::known`]; another charter is in force.
    pub(super) fn before(session: &Session, plan: &Plan, charter: &Charter) -> Result<Option<Self>, Failure> {
        if plan.ceremony == Ceremony::Found {
            return Ok(None);
        }
        let known = Self::known(session)?;
        if known.charter == *charter {
            return Ok(Some(known));
        }
        let what = format!(
            "revision {} of the charter is in force, and the plan is for revision {}",
            known.charter.revision(),
            charter.revision()
        );
        Err(Failure::new("OTHER_CHARTER", what)
            .mended_by("rootcellar ceremony plan --help, for another plan"))
    }
}

fn served(session: &Session) -> Result<InForce, Failure> {
    session.block_on(async {
        let desk = Desk::open(session).await?;
        let note = Note::parse(desk.bundle_note.as_bytes())
            .map_err(|error| Failure::unverified("the trust bundle", error))?;
        own::keep(session, None, Some(&note))?;
        let (charter, bundle) = (desk.trust.charter().clone(), desk.trust.bundle().clone());
        Ok(InForce { charter, bundle, is_served: true })
    })
}
