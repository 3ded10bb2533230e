//! What every execution of a plan stands on, whatever command asks for it.

use std::sync::Arc;

use ceremony::execute::{Ground, file_sha256};
use certs::Blocklist;
use ledger::plan::ApprovedPlan;

use crate::error::Failure;
use crate::session::Session;
use crate::{Clock, Probe, Random};

/// This program, as a transcript names it.
pub(crate) struct Tool {
    name: String,
    binary_sha256: [u8; 32],
    weak_keys: Arc<Blocklist>,
    clock: Clock,
    random: Random,
    probe: Probe,
}

impl Tool {
    /// This program.
    ///
    /// # Errors
    /// It cannot read itself.
    pub(crate) fn own(session: &Session) -> Result<Self, Failure> {
        let own = std::env::current_exe().and_then(|path| file_sha256(&path));
        Ok(Self {
            name: format!("rootcellar {}", env!("CARGO_PKG_VERSION")),
            binary_sha256: own.map_err(|error| Failure::new("RUNTIME", error))?,
            weak_keys: session.config()?.weak_keys(),
            clock: session.clock(),
            random: session.surroundings().random,
            probe: session.probe(),
        })
    }

    /// The ground of one execution.
    pub(crate) fn ground<'a>(
        &self,
        plan: &'a ApprovedPlan,
        anchors: &'a [Vec<u8>],
        accepted: &'a [[u8; 32]],
    ) -> Ground<'a> {
        Ground {
            plan,
            anchors,
            accepted,
            tool: self.name.clone(),
            binary_sha256: self.binary_sha256,
            weak_keys: Arc::clone(&self.weak_keys),
            clock: Clock::clone(&self.clock),
            random: Random::clone(&self.random),
            probe: Probe::clone(&self.probe),
        }
    }
}
