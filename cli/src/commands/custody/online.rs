//! Manifests of the service of this machine.

use client::Client;
use ledger::custody::differences;
use ledger::entry::entry::Kind;
use ledger::entry::{self, Custody};
use ledger::proof::Proof;
use proto::v1::{GetInclusionProofRequest, GetStatusRequest, LedgerEntry, ListEntriesRequest};
use serde::Serialize;

use super::view::{Difference, Placed, show_differences};
use super::{Diff, Export, Show};
use crate::client::local;
use crate::commands::view::Moment;
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::output::{self, Page};
use crate::session::Session;

/// A manifest as the service served it.
struct Served {
    index: u64,
    bytes: Vec<u8>,
    time_unix_ms: i64,
    custody: Custody,
}

pub(super) async fn show(session: &Session, args: &Show) -> Result<(), Failure> {
    let client = local::connect(session).await?;
    let served = fetch(&client, args.entry).await?;
    session.output().say(&Placed {
        entry: served.index,
        recorded: Moment(served.time_unix_ms.div_euclid(1000)),
        manifest: (&served.custody).into(),
    })
}

pub(super) async fn diff(session: &Session, args: &Diff) -> Result<(), Failure> {
    let client = local::connect(session).await?;
    let newer = fetch(&client, args.newer).await?;
    let before = newer.custody.previous.as_ref().map(|previous| previous.index);
    let Some(older) = args.older.or(before) else {
        return Err(Failure::new("NOT_FOUND", format!("entry {} is the first manifest", newer.index)));
    };
    let older = fetch(&client, Some(older)).await?;
    let found = differences(&older.custody, &newer.custody);
    let compared = Compared {
        older: older.index,
        newer: newer.index,
        untold: found.untold,
        differences: found.told.into_iter().map(Difference::from).collect(),
    };
    session.output().say(&compared)?;
    match compared.differences.len() + compared.untold as usize {
        0 => Ok(()),
        count => Err(Failure::new("CUSTODY_DIFFERS", format!("the manifests differ in {count} places"))),
    }
}

pub(super) async fn export(session: &Session, args: &Export) -> Result<(), Failure> {
    let client = local::connect(session).await?;
    let served = fetch(&client, args.entry).await?;
    let request = GetInclusionProofRequest { index: served.index };
    let proof = client.ledger().get_inclusion_proof(request).await?.into_inner().proof;
    let proof = Proof::parse(proof.as_bytes()).map_err(|error| Failure::unverified("the proof", error))?;
    let whole = Proof { extra: Some(served.bytes), ..proof };
    files::replace(&args.out, whole.to_string().as_bytes(), PUBLIC)?;
    session.output().say(&Exported { entry: served.index, file: args.out.clone() })
}

/// The manifest of an entry, or the newest.
async fn fetch(client: &Client, index: Option<u64>) -> Result<Served, Failure> {
    let index = match index {
        Some(index) => index,
        None => client.admin().get_status(GetStatusRequest {}).await?.into_inner().custody_index,
    };
    let request = ListEntriesRequest { start_index: index, page_size: 1 };
    let page = client.ledger().list_entries(request).await?.into_inner();
    let found = page.entries.into_iter().find(|entry| entry.index == index);
    let LedgerEntry { entry: bytes, .. } =
        found.ok_or_else(|| Failure::new("NOT_FOUND", format!("there is no entry {index}")))?;
    let decoded = entry::decode(&bytes).map_err(|error| Failure::unverified("the entry", error))?;
    match decoded.kind {
        Some(Kind::Custody(custody)) => {
            Ok(Served { index, bytes, time_unix_ms: decoded.time_unix_ms, custody })
        }
        _ => Err(Failure::new("NOT_FOUND", format!("entry {index} is no custody manifest"))
            .mended_by("rootcellar custody show")),
    }
}

#[derive(Serialize)]
struct Compared {
    older: u64,
    newer: u64,
    differences: Vec<Difference>,
    /// How many there are beyond those.
    untold: u32,
}

impl output::Show for Compared {
    fn show(&self, page: &mut Page) {
        page.field("older", format!("entry {}", self.older));
        page.field("newer", format!("entry {}", self.newer));
        page.line("");
        if self.differences.is_empty() {
            page.line("Nothing differs.");
        } else {
            show_differences(&self.differences, self.untold, page);
        }
    }
}

#[derive(Serialize)]
struct Exported {
    entry: u64,
    file: std::path::PathBuf,
}

impl output::Show for Exported {
    fn show(&self, page: &mut Page) {
        page.field("entry", self.entry);
        page.field("exported", self.file.display());
        page.line(&format!("Verify it anywhere: rootcellar custody verify {}", self.file.display()));
    }
}
