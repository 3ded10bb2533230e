//! A controller's way from a key to credentials that work.

use std::path::PathBuf;

use cell::ControllerName;
use proto::v1::SubmitProposalResponse;
use serde::Serialize;

use crate::client::caller::usual_directory;
use crate::client::officer::{Desk, Outcome, Signing};
use crate::commands::outcome;
use crate::commands::view::Moment;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use audit::Chain;
use client::Identity;
use client::Key;
use client::{Pair, Pending};

/// A new key for a controller, and where it is going.
pub(crate) struct Enrolment {
    controller: ControllerName,
    dir: PathBuf,
    key: Waiting,
}

enum Waiting {
    /// In a file, so that it outlives this process.
    File(Pending),
    /// For show.
    Memory(Key),
}

/// The directory that was named, or the usual one.
pub(crate) fn place(
    session: &Session,
    name: &ControllerName,
    out: Option<&PathBuf>,
) -> Result<PathBuf, Failure> {
    out.map_or_else(|| usual_directory(session, name), |out| Ok(out.clone()))
}

impl Enrolment {
    /// Makes a key; in a dry run only in memory.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn begin(
        controller: &ControllerName,
        dir: PathBuf,
        signing: &Signing,
    ) -> Result<Self, Failure> {
        let key = Key::generate()?;
        let key = if signing.is_dry_run() {
            Waiting::Memory(key)
        } else {
            Waiting::File(Pending::create(Pair::in_dir(&dir).enrolling(), key)?)
        };
        Ok(Self { controller: controller.clone(), dir, key })
    }

    /// Takes up the key that waits in a directory for this public key to be certified; none where it is another.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn resume(
        controller: &ControllerName,
        dir: PathBuf,
        public_key: &[u8],
    ) -> Result<Option<Self>, Failure> {
        let pending = Pending::resume(Pair::in_dir(&dir).enrolling())?
            .filter(|pending| pending.key().public_key() == public_key);
        Ok(pending.map(|pending| Self { controller: controller.clone(), dir, key: Waiting::File(pending) }))
    }

    /// DER SubjectPublicKeyInfo.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        match &self.key {
            Waiting::File(pending) => pending.key().public_key(),
            Waiting::Memory(key) => key.public_key(),
        }
    }

    /// Does with the key what follows from what became of the act, and says it.
    ///
    /// # Errors
    /// The certificate does not verify, or a file cannot be written.
    pub(crate) fn end(self, session: &Session, desk: &Desk, outcome: Outcome) -> Result<(), Failure> {
        match (outcome, self.key) {
            (Outcome::Done(response), Waiting::File(pending)) => {
                let written = certify(session, desk, (&self.controller, self.dir), pending, *response)?;
                session.output().say(&written)
            }
            (Outcome::Written(note), Waiting::File(pending)) => {
                drop(pending.keep());
                outcome::signed(session, note, Some(self.dir))
            }
            (_, Waiting::Memory(_)) | (Outcome::Shown | Outcome::Laid(_), _) => Ok(()),
        }
    }
}

/// Checks the certificate as a peer would, and only then puts it in place.
fn certify(
    session: &Session,
    desk: &Desk,
    (controller, dir): (&ControllerName, PathBuf),
    pending: Pending,
    response: SubmitProposalResponse,
) -> Result<Written, Failure> {
    let config = session.config()?;
    let certificate = response.certificate.ok_or_else(|| Failure::incomplete("certificate"))?;
    let identity =
        Identity { server: desk.server.clone(), cell: config.cell().clone(), controller: controller.clone() };
    let verified = Chain::verify(&certificate.chain, desk.trust.bundle().anchors(), config.attributes_oid())
        .and_then(|chain| chain.held_by(&identity.spiffe_id(), &pending.key().public_key()))
        .and_then(|chain| chain.valid_at(session.now_secs()))
        .map_err(|error| Failure::unverified("the controller's certificate", error))?;
    identity.write(&dir, &desk.trust, &desk.bundle_note)?;
    pending.replace(&certificate.chain)?;
    Ok(Written {
        controller: format!("controllers/{controller}"),
        identity: identity.spiffe_id(),
        serial: verified.leaf().serial.clone(),
        not_after: Moment(verified.leaf().not_after),
        entry: response.receipt.map(|receipt| receipt.index),
        credentials: dir,
        server: identity.server,
    })
}

/// A controller that can ask from now on.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    controller: String,
    identity: String,
    serial: String,
    not_after: Moment,
    /// Index of the entry with the act.
    entry: Option<u64>,
    credentials: PathBuf,
    server: String,
}

impl Show for Written {
    fn show(&self, page: &mut Page) {
        page.field("controller", &self.controller);
        page.field("identity", &self.identity);
        page.field("serial", &self.serial);
        page.moment("expires", self.not_after.0);
        if let Some(entry) = self.entry {
            page.field("recorded", format!("entry {entry}"));
        }
        page.field("credentials", self.credentials.display());
        page.field("server", &self.server);
    }
}
