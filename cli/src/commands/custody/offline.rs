//! An exported manifest, verified from files alone.

use serde::Serialize;

use super::Verify;
use super::view::Placed;
use crate::client::own::{BUNDLE, CHARTER};
use crate::commands::view::Moment;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Show, duration};
use crate::session::Session;
use audit::Trust;

/// A manifest comes every hour; twice that is late.
const LATE_SECS: i64 = 2 * 3600;

pub(super) fn run(session: &Session, args: &Verify) -> Result<(), Failure> {
    let officer = session.places()?.officer().to_owned();
    let charter = args.charter.clone().unwrap_or_else(|| officer.join(CHARTER));
    let bundle = args.bundle.clone().unwrap_or_else(|| officer.join(BUNDLE));
    let trust = Trust::read(&files::read(&charter)?, &files::read(&bundle)?);
    let trust = trust.map_err(|error| Failure::unverified(&bundle.display().to_string(), error))?;
    let proven = trust.prove_custody(&files::read(&args.file)?);
    let proven = proven.map_err(|error| Failure::unverified(&args.file.display().to_string(), error))?;
    let age_secs = session.now_secs() - proven.time_unix_ms.div_euclid(1000);
    let strange = proven.strangeness(trust.bundle());
    let verified = Verified {
        verified: true,
        log: proven.checkpoint.origin.to_string(),
        checkpoint_size: proven.checkpoint.size,
        age_secs,
        placed: Placed {
            entry: proven.index,
            recorded: Moment(proven.time_unix_ms.div_euclid(1000)),
            manifest: (&proven.custody).into(),
        },
    };
    session.output().say(&verified)?;
    // That the log holds it does not make it good, nor about these keys.
    match strange.or_else(|| verified.placed.manifest.flaw()) {
        Some(flaw) => Err(Failure::new("NOT_IN_CUSTODY", flaw)),
        None => Ok(()),
    }
}

#[derive(Serialize)]
struct Verified {
    verified: bool,
    log: String,
    checkpoint_size: u64,
    /// Between its recording and now by this machine's clock.
    age_secs: i64,
    #[serde(flatten)]
    placed: Placed,
}

impl Show for Verified {
    fn show(&self, page: &mut Page) {
        page.field("ok", "the log holds exactly this manifest");
        let strangers = self.placed.manifest.unknown();
        if strangers > 0 {
            page.field(
                "BESIDE",
                format!("{strangers} private keys in the token are nobody's (`unknown` below)"),
            );
        }
        page.field("log", format!("{}, checkpoint over {} entries", self.log, self.checkpoint_size));
        let age = duration(self.age_secs.max(0).unsigned_abs());
        if self.age_secs > LATE_SECS {
            page.field("age", format!("{age}: NOT the newest, for one is written every hour"));
        } else {
            page.field("age", age);
        }
        self.placed.show(page);
    }
}
