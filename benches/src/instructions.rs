//! What one issuance does between the wire and the token, over and over, for a tool that counts instructions: steps 2, 5, 6, 7, 9 and 10, on one
//! thread.
//!
//! Does not: measure time, or sign: a token's module is another's code.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use keeper::{Durability, Journal};

use crate::Failed;
use crate::fill::maker::Maker;
use crate::steps::Steps;

/// Carries out so many.
///
/// # Errors
/// Our bug, or the disk's.
pub fn run(issuances: u64) -> Result<(), Failed> {
    let steps = Steps::new()?;
    let maker = Maker::alone(1)?;
    let private = Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().permissions(private).tempdir()?;
    let mut journal = Journal::create(dir.path(), maker.cell.as_ref(), &maker.origin)?;
    for number in 0..issuances {
        steps.csr_verify()?;
        steps.compose()?;
        if let Some(finding) = steps.lint().first() {
            return Err(finding.to_string().into());
        }
        let made = maker.make(number)?;
        journal.begin(Durability::Kernel)?;
        if let Some(agent) = &made.agent {
            journal.append(agent)?;
        }
        let index = journal.append(&made.issuance)?.index;
        journal.store_request(index, &made.request)?;
        journal.commit()?;
        steps.verify()?;
        journal.begin(Durability::Kernel)?;
        journal.store_signature(index, &made.signature, &made.sha256)?;
        journal.commit()?;
    }
    Ok(())
}
