//! Steps 7 and 10 in the journal: an entry appended and made durable, its signature stored; in groups, as a busy sequencer does it.

use std::path::Path;
use std::time::Duration;

use keeper::{Durability, Journal};

use crate::Failed;
use crate::cpu::{median, micros, spent};
use crate::fill::maker::{Made, Maker};
use crate::plan::Plan;
use crate::summary::Summary;

/// Certificates of one commit: what 64 callers in flight lead to.
const GROUP: u32 = 32;
/// Groups in a round.
const GROUPS: u64 = 32;
/// Agents that the certificates are for.
const AGENTS: u64 = 1000;

pub(crate) fn measure(plan: &Plan, dir: &Path, summary: &mut Summary) -> Result<(), Failed> {
    let maker = Maker::alone(AGENTS)?;
    let mut journal = Journal::create(dir, maker.cell.as_ref(), &maker.origin)?;
    let (mut recorded, mut stored) = (Vec::new(), Vec::new());
    for round in 0..u64::try_from(plan.step_rounds)? {
        let first = round * GROUPS * u64::from(GROUP);
        let (mut record, mut store) = (Duration::ZERO, Duration::ZERO);
        for group in 0..GROUPS {
            let start = first + group * u64::from(GROUP);
            let made: Vec<Made> = (start..start + u64::from(GROUP))
                .map(|number| maker.make(number))
                .collect::<Result<_, _>>()?;
            let indices = create_and_append(&mut journal, &made, &mut record)?;
            let before = spent();
            journal.begin(Durability::Kernel)?;
            for (index, made) in indices.iter().zip(&made) {
                journal.store_signature(*index, &made.signature, &made.sha256)?;
            }
            journal.commit()?;
            store += spent().saturating_sub(before);
        }
        let entries = GROUP * u32::try_from(GROUPS)?;
        recorded.push(micros(record, entries));
        stored.push(micros(store, entries));
    }
    summary.set("record_us", median(recorded));
    summary.set("store_us", median(stored));
    Ok(())
}

/// One durable commit, and what it cost. That an agent first appears is another's cost.
fn create_and_append(journal: &mut Journal, made: &[Made], cost: &mut Duration) -> Result<Vec<u64>, Failed> {
    journal.begin(Durability::Kernel)?;
    for agent in made.iter().filter_map(|made| made.agent.as_ref()) {
        journal.append(agent)?;
    }
    journal.commit()?;
    let before = spent();
    journal.begin(Durability::Disk)?;
    let mut indices = Vec::with_capacity(made.len());
    for made in made {
        let index = journal.append(&made.issuance)?.index;
        journal.store_request(index, &made.request)?;
        indices.push(index);
    }
    journal.commit()?;
    *cost += spent().saturating_sub(before);
    Ok(indices)
}
