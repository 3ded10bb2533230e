//! Fills the journal of a cell that is not served: entries, tiles, projections and signatures, by the keeper's own writing end.

pub mod checkpoint;
pub(crate) mod maker;

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use keeper::{Durability, Journal};

use crate::Failed;
use maker::{Made, Maker};

/// Certificates in a transaction.
const BATCH: u64 = 500;
/// Transactions after which the journal is closed, which empties its write-ahead log.
const REOPEN: u64 = 40;
/// Batches that wait to be written.
const WAITING: usize = 4;

type Batch = Result<Vec<Made>, Failed>;

/// Appends the certificates of these numbers. They are on the disk when this returns.
///
/// # Errors
/// The disk's, or the journal is in use.
pub(crate) fn fill(dir: &Path, maker: &Maker, numbers: Range<u64>) -> Result<(), Failed> {
    let batches: Vec<Range<u64>> = numbers
        .clone()
        .step_by(usize::try_from(BATCH)?)
        .map(|start| start..(start + BATCH).min(numbers.end))
        .collect();
    let hands = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        let made: Vec<Receiver<Batch>> = (0..hands)
            .map(|hand| {
                let (sender, receiver) = sync_channel(WAITING);
                let share = batches.iter().skip(hand).step_by(hands);
                scope.spawn(move || produce(maker, share, &sender));
                receiver
            })
            .collect();
        write(dir, made.iter().cycle().take(batches.len()))
    })?;
    checkpoint::sign(dir)
}

/// Ends early where nobody takes what it makes.
fn produce<'a>(maker: &Maker, share: impl Iterator<Item = &'a Range<u64>>, to: &SyncSender<Batch>) {
    for numbers in share {
        if to.send(numbers.clone().map(|number| maker.make(number)).collect()).is_err() {
            return;
        }
    }
}

fn write<'a>(dir: &Path, made: impl Iterator<Item = &'a Receiver<Batch>>) -> Result<(), Failed> {
    let mut journal = Journal::open(dir)?;
    for (count, made) in (1..).zip(made) {
        append(&mut journal, &made.recv()??, Durability::Kernel)?;
        if count % REOPEN == 0 {
            drop(journal);
            journal = Journal::open(dir)?;
        }
    }
    Ok(())
}

/// Appends one transaction of certificates with their signatures.
///
/// # Errors
/// The disk's.
pub(crate) fn append(journal: &mut Journal, made: &[Made], durability: Durability) -> Result<(), Failed> {
    journal.begin(durability)?;
    for made in made {
        let agent = made.agent.as_ref().map(|agent| journal.append(agent)).transpose()?;
        let appended = journal.append(&made.issuance)?;
        // Beside the first entry that it led to.
        journal.store_request(agent.map_or(appended.index, |agent| agent.index), &made.request)?;
        journal.store_signature(appended.index, &made.signature, &made.sha256)?;
    }
    Ok(journal.commit().map(drop)?)
}
