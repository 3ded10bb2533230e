//! The whole ledger of this machine's service.

use client::{Client, fetch_charters, fetch_trust};
use ledger::bundle::Log;
use ledger::charter::Charters;
use ledger::checkpoint::Checkpoint;
use proto::v1::{GetCheckpointRequest, GetStatusRequest, ListEntriesRequest};
use serde::Serialize;

use super::Verify;
use crate::client::memory::Memory;
use crate::client::open;
use crate::client::own;
use crate::client::own::charters;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;
use audit::Trust;
use std::collections::BTreeMap;

use audit::entries::{Audit, Item, Report};

pub(super) async fn run(session: &Session, args: &Verify) -> Result<(), Failure> {
    let client = open(session, &args.who).await?;
    let pinned = pinned(session, args)?;
    let served = fetch_charters(&client, pinned.as_ref()).await?;
    let (trust, _) = fetch_trust(&client, &served).await?;
    let log = log(&client, &trust).await?;
    // Everything that is recorded when this begins.
    let size = client.admin().get_status(GetStatusRequest {}).await?.into_inner().tree_size;
    let request = GetCheckpointRequest { min_size: size };
    let note = client.ledger().get_checkpoint(request).await?.into_inner().checkpoint;
    let checkpoint =
        log.checkpoint(note.as_bytes()).map_err(|error| Failure::unverified("the checkpoint", error))?;
    let memory = Memory::of(session, &log)?;
    let seen = not_rolled_back(memory.recall(&log)?, &checkpoint)?;
    let mut audit =
        Audit::new(log.origin.clone(), session.config()?.attributes_oid(), seen.map(|seen| seen.head()));
    audit.pin(&served);
    read_all(&client, &mut audit, checkpoint.size).await?;
    let report = audit.finish(&checkpoint);
    if report.is_the_log() {
        memory.keep(&note)?;
    }
    let verified = Verified::new(&log, pinned.is_some(), report);
    session.output().say(&verified)?;
    match verified.findings.as_slice() {
        [] => Ok(()),
        [only] => Err(Failure::unverified("the ledger", only.text())),
        [first, ..] => {
            let more = verified.findings.len() as u64 + verified.untold - 1;
            Err(Failure::unverified("the ledger", format!("{}, and {more} more findings", first.text())))
        }
    }
}

/// The charter that is believed, where there is one.
fn pinned(session: &Session, args: &Verify) -> Result<Option<Charters>, Failure> {
    let path = match &args.charter {
        Some(path) => path.clone(),
        None => session.places()?.officer().join(own::CHARTER),
    };
    // One that was named must be there.
    if args.charter.is_none() && !path.exists() {
        return Ok(None);
    }
    charters(&files::read(&path)?).map(Some)
}

async fn log(client: &Client, trust: &Trust) -> Result<Log, Failure> {
    let origin = client.admin().get_status(GetStatusRequest {}).await?.into_inner().origin;
    let log = trust.bundle().log(origin.as_str()).cloned();
    log.ok_or_else(|| Failure::unverified("the service's log", "the bundle does not name it"))
}

/// A log only grows: one that is shorter than it was, was rolled back.
pub(super) fn not_rolled_back(
    seen: Option<Checkpoint>,
    now: &Checkpoint,
) -> Result<Option<Checkpoint>, Failure> {
    match seen {
        Some(seen) if seen.size > now.size => Err(Failure::unverified(
            "the log",
            format!(
                "it had {} entries when it was seen last, and has {}: it was rolled back",
                seen.size, now.size
            ),
        )),
        seen => Ok(seen),
    }
}

async fn read_all(client: &Client, audit: &mut Audit, size: u64) -> Result<(), Failure> {
    let mut ledger = client.ledger();
    while audit.size() < size {
        let request = ListEntriesRequest { start_index: audit.size(), page_size: 500 };
        let page = ledger.list_entries(request).await?.into_inner();
        let before = audit.size();
        for entry in page.entries {
            // More may have been recorded meanwhile; the checkpoint does not cover it.
            if audit.size() < size {
                let request = (!entry.request.is_empty()).then_some(entry.request.as_slice());
                let (index, signature) = (entry.index, entry.signature.as_slice());
                audit
                    .read(&Item { index, entry: &entry.entry, signature, request })
                    .map_err(|error| Failure::unverified("the ledger", error))?;
            }
        }
        if audit.size() == before {
            return Err(Failure::incomplete(&format!("entry {before}, which its checkpoint covers")));
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Verified {
    ok: bool,
    log: String,
    /// Whether the charter was pinned; without, the log's own was believed.
    pinned: bool,
    /// Entries read.
    entries: u64,
    /// Entries of each kind.
    kinds: BTreeMap<&'static str, u64>,
    /// Certificates whose signature is there and verifies.
    signed: u64,
    /// Certificates that were recorded and have no signature.
    unsigned: u64,
    /// What is wrong, by entry.
    findings: Vec<Finding>,
    /// How many more findings there are.
    untold: u64,
}

#[derive(Serialize)]
struct Finding {
    entry: u64,
    flaw: String,
}

impl Finding {
    fn text(&self) -> String {
        format!("entry {}: {}", self.entry, self.flaw)
    }
}

impl Verified {
    fn new(log: &Log, pinned: bool, report: Report) -> Self {
        let finding =
            |found: &audit::entries::Finding| Finding { entry: found.index, flaw: found.flaw.to_string() };
        Self {
            ok: report.is_sound(),
            log: log.origin.to_string(),
            pinned,
            entries: report.entries,
            findings: report.findings.iter().map(finding).collect(),
            kinds: report.kinds,
            signed: report.signed,
            unsigned: report.unsigned,
            untold: report.untold,
        }
    }
}

impl Show for Verified {
    fn show(&self, page: &mut Page) {
        page.field(if self.ok { "ok" } else { "not ok" }, &self.log);
        page.field(
            "charter",
            if self.pinned { "the pinned one" } else { "the log's own: name yours with --charter" },
        );
        page.field("entries", self.entries);
        for (kind, count) in &self.kinds {
            page.field(&format!("  {}", kind.replace('_', " ")), count);
        }
        page.field("signed", self.signed);
        page.field("unsigned", self.unsigned);
        if !self.ok {
            page.head(["entry", "what is wrong"]);
            for finding in &self.findings {
                page.row([finding.entry.to_string(), finding.flaw.clone()]);
            }
        }
    }
}
