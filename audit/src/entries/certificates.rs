//! The end-entity certificates of a ledger: who holds which, which is the newest of its line, what was revoked and given up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use certs::TbsFields;
use ledger::entry::revocation::Target;
use sha2::{Digest, Sha256};

/// Certificates kept before those that ended long ago are let go.
const KEPT: usize = 1 << 20;
/// How long after its end a certificate counts as ended long ago, in seconds: 31 days, so that a clock that was wrong for a while changes
/// nothing.
const LONG_AGO_SECS: i64 = 31 * 86_400;

/// What is recorded so far.
#[derive(Default)]
pub(super) struct Certificates {
    by_index: BTreeMap<u64, Certificate>,
    by_serial: HashMap<Box<[u8]>, u64>,
    lines: HashMap<Arc<str>, Line>,
    /// What each controller obtained under its grants and is not revoked.
    obtained: HashMap<Arc<str>, Vec<u64>>,
    /// Whose a public key is, by its SHA-256.
    keys: HashMap<[u8; 32], Arc<str>>,
    /// How many are kept before those that ended long ago are looked for.
    look_at: usize,
}

/// One certificate.
pub(super) struct Certificate {
    /// SPIFFE path of its subject.
    pub(super) subject: Arc<str>,
    /// SHA-256 of its issuer's public key.
    pub(super) issuer: [u8; 32],
    /// The controller under whose grant it was recorded, where there was one.
    pub(super) controller: Option<Arc<str>>,
    /// Big-endian without leading zero bytes.
    pub(super) serial: Box<[u8]>,
    /// SubjectPublicKeyInfo, DER.
    pub(super) spki: Box<[u8]>,
    /// SHA-256 of the whole, where it is signed.
    pub(super) sha256: Option<[u8; 32]>,
    /// Its last second, since 1970.
    pub(super) not_after: i64,
    /// When it was recorded, in milliseconds since 1970.
    pub(super) recorded_ms: i64,
    /// The one before it of the same subject.
    previous: Option<u64>,
    pub(super) revoked: bool,
    pub(super) abandoned: bool,
}

/// The certificates of one subject.
#[derive(Default)]
struct Line {
    /// The newest that anybody can hold: one that was given up was handed to nobody.
    newest: Option<u64>,
    /// The newest of all.
    last: Option<u64>,
    /// Lifetime that was authorised when it began, in seconds.
    lifetime_secs: u32,
    /// Those that are not revoked.
    live: Vec<u64>,
}

/// What is recorded of a certificate beside its fields.
pub(super) struct Recording<'a> {
    pub(super) index: u64,
    pub(super) subject: &'a str,
    pub(super) issuer: [u8; 32],
    pub(super) controller: Option<&'a str>,
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) time_unix_ms: i64,
    /// What was authorised, where it begins a line.
    pub(super) begins_secs: Option<u32>,
}

/// One that was revoked.
pub(super) struct Revoked {
    pub(super) issuer: [u8; 32],
    pub(super) not_after: i64,
}

impl Certificates {
    /// Takes one more.
    pub(super) fn add(&mut self, recording: &Recording<'_>, fields: &TbsFields) {
        let subject: Arc<str> = match self.lines.get_key_value(recording.subject) {
            Some((known, _)) => Arc::clone(known),
            None => recording.subject.into(),
        };
        let controller: Option<Arc<str>> =
            recording.controller.map(|controller| match self.obtained.get_key_value(controller) {
                Some((known, _)) => Arc::clone(known),
                None => controller.into(),
            });
        let line = self.lines.entry(Arc::clone(&subject)).or_default();
        let certificate = Certificate {
            subject: Arc::clone(&subject),
            issuer: recording.issuer,
            controller: controller.clone(),
            serial: fields.serial.as_slice().into(),
            spki: fields.spki.as_slice().into(),
            sha256: recording.sha256,
            not_after: fields.not_after,
            recorded_ms: recording.time_unix_ms,
            previous: line.last,
            revoked: false,
            abandoned: false,
        };
        (line.newest, line.last) = (Some(recording.index), Some(recording.index));
        line.lifetime_secs = recording.begins_secs.unwrap_or(line.lifetime_secs);
        line.live.push(recording.index);
        if let Some(controller) = controller {
            self.obtained.entry(controller).or_default().push(recording.index);
        }
        self.keys.entry(fields.spki_sha256()).or_insert(subject);
        self.by_serial.insert(certificate.serial.clone(), recording.index);
        self.by_index.insert(recording.index, certificate);
        if self.by_index.len() > self.look_at.max(KEPT) {
            self.forget(recording.time_unix_ms.div_euclid(1000));
        }
    }

    /// Takes one that ended before anything that is judged: it is only the newest of its line, and its key is its subject's.
    pub(super) fn pass_over(
        &mut self,
        index: u64,
        (subject, spki_sha256): (&str, [u8; 32]),
        begins_secs: Option<u32>,
    ) {
        let subject = match self.lines.get_key_value(subject) {
            Some((subject, _)) => Arc::clone(subject),
            None => subject.into(),
        };
        self.keys.entry(spki_sha256).or_insert_with(|| Arc::clone(&subject));
        let line = self.lines.entry(subject).or_default();
        (line.newest, line.last) = (Some(index), Some(index));
        line.lifetime_secs = begins_secs.unwrap_or(line.lifetime_secs);
    }

    /// Lets go of those that ended long ago: nobody presents, renews or revokes one of them.
    fn forget(&mut self, now_secs: i64) {
        let ended = |certificate: &Certificate| certificate.not_after < now_secs - LONG_AGO_SECS;
        self.by_index.retain(|_, certificate| !ended(certificate));
        let Self { by_index, by_serial, lines, obtained, .. } = self;
        by_serial.retain(|_, index| by_index.contains_key(index));
        for live in lines.values_mut().map(|line| &mut line.live).chain(obtained.values_mut()) {
            live.retain(|index| by_index.contains_key(index));
        }
        self.look_at = 2 * self.by_index.len();
    }

    /// One was signed since it was recorded.
    pub(super) fn complete(&mut self, index: u64, sha256: [u8; 32]) {
        if let Some(certificate) = self.by_index.get_mut(&index) {
            certificate.sha256 = Some(sha256);
        }
    }

    pub(super) fn get(&self, index: u64) -> Option<&Certificate> {
        self.by_index.get(&index)
    }

    /// The entry of the certificate with this serial number.
    pub(super) fn with_serial(&self, serial: &[u8]) -> Option<u64> {
        self.by_serial.get(serial).copied()
    }

    /// The newest certificate of a subject that anybody can hold.
    pub(super) fn newest(&self, subject: &str) -> Option<u64> {
        self.lines.get(subject)?.newest
    }

    /// Lifetime that was authorised when the subject's line began, in seconds.
    pub(super) fn line_lifetime(&self, subject: &str) -> Option<u32> {
        Some(self.lines.get(subject)?.lifetime_secs)
    }

    /// Whose a public key is.
    pub(super) fn holder(&self, spki: &[u8]) -> Option<&str> {
        let sha256: [u8; 32] = Sha256::digest(spki).into();
        self.keys.get(&sha256).map(AsRef::as_ref)
    }

    /// One was given up.
    pub(super) fn abandon(&mut self, index: u64) {
        let Some(certificate) = self.by_index.get_mut(&index) else { return };
        certificate.abandoned = true;
        let subject = Arc::clone(&certificate.subject);
        let mut newest = self.lines.get(&subject).and_then(|line| line.newest);
        while let Some(before) = newest.and_then(|at| self.by_index.get(&at)) {
            if !before.abandoned {
                break;
            }
            newest = before.previous;
        }
        if let Some(line) = self.lines.get_mut(&subject) {
            line.newest = newest;
        }
    }

    /// Revokes what a target names, as of a second since 1970: those that are not revoked and have not ended, of one controller or of all.
    pub(super) fn revoke(
        &mut self,
        target: &Target,
        controller: Option<&str>,
        now_secs: i64,
    ) -> Vec<Revoked> {
        let mut named: Vec<u64> = match target {
            Target::Certificate(reference) => vec![reference.index],
            Target::Agent(id) => self
                .lines
                .get(format!("/agent/{id}").as_str())
                .map(|line| line.live.clone())
                .unwrap_or_default(),
            Target::IssuedSince(issued) => {
                let mut obtained = self.obtained.get(issued.controller.as_str()).cloned().unwrap_or_default();
                obtained.retain(|index| {
                    self.by_index.get(index).is_some_and(|one| one.recorded_ms >= issued.since_unix_ms)
                });
                obtained
            }
        };
        named.retain(|index| {
            self.by_index.get(index).is_some_and(|one| {
                let ours = controller.is_none_or(|controller| one.controller.as_deref() == Some(controller));
                // RFC 5280 §4.1.2.5: the last second is inclusive.
                ours && !one.revoked && one.not_after >= now_secs
            })
        });
        self.end(&named)
    }

    fn end(&mut self, named: &[u64]) -> Vec<Revoked> {
        let (mut subjects, mut controllers, mut revoked) = (HashSet::new(), HashSet::new(), Vec::new());
        for index in named {
            let Some(certificate) = self.by_index.get_mut(index) else { continue };
            certificate.revoked = true;
            subjects.insert(Arc::clone(&certificate.subject));
            controllers.extend(certificate.controller.clone());
            revoked.push(Revoked { issuer: certificate.issuer, not_after: certificate.not_after });
        }
        let Self { by_index, lines, obtained, .. } = self;
        let lives = |index: &u64| by_index.get(index).is_some_and(|certificate| !certificate.revoked);
        for subject in subjects {
            lines.entry(subject).or_default().live.retain(lives);
        }
        for controller in controllers {
            obtained.entry(controller).or_default().retain(lives);
        }
        revoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However long ago its certificate ended.
    #[test]
    fn a_key_stays_its_holders() {
        let mut certificates = Certificates::default();
        let key = |spki: &[u8]| Sha256::digest(spki).into();
        certificates.pass_over(1, ("/agent/build/a", key(b"one")), Some(60));
        certificates.pass_over(2, ("/agent/build/a", key(b"two")), None);
        certificates.pass_over(3, ("/agent/build/b", key(b"one")), Some(60));
        let holders = [b"one", b"two", b"new"].map(|spki| certificates.holder(spki));
        assert_eq!(holders, [Some("/agent/build/a"), Some("/agent/build/a"), None]);
    }
}
