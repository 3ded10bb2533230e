//! A certificate's proof, from files alone.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Verify;
use crate::client::caller::directory;
use crate::commands::view::Moment;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show};
use crate::session::Session;
use audit::{Proven, Trust};

pub(super) fn run(session: &Session, args: &Verify, proof: &Path, certificate: &Path) -> Result<(), Failure> {
    let believed = believed(session, args)?;
    let charter = args.charter.clone().unwrap_or_else(|| believed.join("charter.note"));
    let bundle = args.bundle.clone().unwrap_or_else(|| believed.join("bundle.note"));
    let trust = Trust::read(&files::read(&charter)?, &files::read(&bundle)?);
    let trust = trust.map_err(|error| Failure::unverified(&bundle.display().to_string(), error))?;
    let chain = files::read_certificates(certificate)?;
    let proven = trust.prove(&chain, &files::read(proof)?, session.config()?.attributes_oid());
    let proven = proven.map_err(|error| Failure::unverified(&proof.display().to_string(), error))?;
    session.output().say(&Shown::new(proven, session.now_secs()))
}

/// The directory with the charter that is believed.
fn believed(session: &Session, args: &Verify) -> Result<PathBuf, Failure> {
    if args.who.is_given() {
        directory(session, &args.who)
    } else {
        Ok(session.places()?.officer().to_owned())
    }
}

#[derive(Serialize)]
struct Shown {
    verified: bool,
    identity: String,
    serial: String,
    not_after: Moment,
    /// Whether it is valid now; the proof holds all the same.
    expired: bool,
    log: String,
    entry: u64,
    recorded: Moment,
    recorded_for: String,
    grant: String,
    checkpoint_size: u64,
}

impl Shown {
    fn new(proven: Proven, now: i64) -> Self {
        let leaf = proven.chain.leaf();
        let actor = proven.entry.actor.map(|actor| actor.identity).unwrap_or_default();
        Self {
            verified: true,
            identity: leaf.uris.join(", "),
            serial: leaf.serial.clone(),
            not_after: Moment(leaf.not_after),
            expired: now > leaf.not_after,
            log: proven.checkpoint.origin.to_string(),
            entry: proven.index,
            recorded: Moment(proven.entry.time_unix_ms.div_euclid(1000)),
            recorded_for: if actor.is_empty() { "officers".to_owned() } else { actor },
            grant: proven.issuance.grant,
            checkpoint_size: proven.checkpoint.size,
        }
    }
}

impl Show for Shown {
    fn show(&self, page: &mut Page) {
        page.field("ok", "the log holds exactly what was signed");
        page.field("identity", &self.identity);
        page.field("serial", &self.serial);
        page.moment("expires", self.not_after.0);
        page.field("log", &self.log);
        page.field("entry", format!("{}, below checkpoint {}", self.entry, self.checkpoint_size));
        page.moment("recorded", self.recorded.0);
        page.field("asked by", &self.recorded_for);
        page.field_if("grant", &self.grant);
    }
}
