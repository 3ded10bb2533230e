//! The tables that grow with the certificates, held against the entries as these go by.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use audit::entries::Audit;
use certs::TbsFields;
use ledger::entry::entry::Kind;
use ledger::entry::revocation::Target;
use ledger::entry::{Entry, Issuance, Revocation};

use super::{corrupt, of_table};
use crate::journal::known::Known;
use crate::journal::lines::Lines;
use crate::journal::projection::sets_the_clock;
use crate::journal::revocation::is_named;
use crate::journal::rows::{CertificateRow, payer};
use crate::journal::spending::Spending;
use crate::journal::{JournalError, Reader};

/// What the tables must hold at the end, and what did not.
#[derive(Default)]
pub(super) struct Bulk {
    /// The newest certificate of each subject, and the lifetime with which its line began.
    lines: HashMap<String, (u64, u32)>,
    /// What was spent of the budgets.
    pub(super) spending: Spending,
    /// By the entry that revoked.
    revocations: BTreeMap<u64, Revoked>,
    /// Acts of officers, one of which may repeat revocations.
    acts: BTreeSet<u64>,
    /// By agent and controller.
    ended: BTreeMap<(String, String), u64>,
    /// Certificates given up, and those that the table said were when it was read.
    abandoned: BTreeSet<u64>,
    marked: BTreeSet<u64>,
    /// Those without a signature.
    unsigned: BTreeSet<u64>,
    /// Keys that were certified, and the entries that requests led to.
    pub(super) known: Known,
    /// What the writer is to remember of certificates, where it is the writer that reads.
    pub(super) remembered: Option<Lines>,
    /// What had ended by then, in milliseconds since 1970, it need not remember.
    pub(super) ended_ms: i64,
    differing: BTreeSet<&'static str>,
}

/// A revocation, as its entry has it.
struct Revoked {
    target: Target,
    controller: Option<String>,
    at: i64,
    reason: i32,
    count: u64,
}

/// What lies beside a page of entries, in order.
pub(super) struct Beside {
    certificates: VecDeque<CertificateRow>,
    signatures: VecDeque<(u64, Vec<u8>, [u8; 32])>,
    requests: VecDeque<(u64, Vec<u8>)>,
}

impl Beside {
    /// Reads it, for the entries from `start` up to, not including, `end`.
    pub(super) fn read(reader: &Reader<'_>, start: u64, end: u64) -> Result<Self, JournalError> {
        Ok(Self {
            certificates: of_table("certificate", reader.certificates_between(start, end))?.into(),
            signatures: reader.signatures_between(start, end)?.into(),
            requests: reader.signed_requests_between(start, end)?.into(),
        })
    }

    /// The signature beside an entry, with the SHA-256 of what it completes.
    pub(super) fn signature(&mut self, index: u64) -> Option<(Vec<u8>, [u8; 32])> {
        let (_, signature, sha256) = take(&mut self.signatures, |(at, ..)| *at == index)?;
        Some((signature, sha256))
    }

    /// The body of a request beside an entry.
    pub(super) fn request(&mut self, index: u64) -> Option<Vec<u8>> {
        Some(take(&mut self.requests, |(at, _)| *at == index)?.1)
    }

    fn certificate(&mut self, index: u64) -> Option<CertificateRow> {
        take(&mut self.certificates, |row| row.index == index)
    }

    /// Everything lay beside an entry that can have it.
    pub(super) fn demand_empty(&self) -> Result<(), JournalError> {
        match (self.certificates.front(), self.signatures.front(), self.requests.front()) {
            (None, None, None) => Ok(()),
            (Some(row), ..) => Err(corrupt(format!("entry {} is no certificate", row.index))),
            (_, Some((index, ..)), _) => Err(corrupt(format!("entry {index} is nothing that is signed"))),
            (.., Some((index, _))) => Err(corrupt(format!("entry {index} came from no request"))),
        }
    }
}

/// The first, where it is the one.
fn take<T>(queue: &mut VecDeque<T>, is_it: impl FnOnce(&T) -> bool) -> Option<T> {
    if queue.front().is_some_and(is_it) { queue.pop_front() } else { None }
}

impl Bulk {
    /// Holds the rows of an entry against it, and takes over what follows from it. `audit` has read the entry. Gives the last second since 1970
    /// of the certificate, where it records one.
    pub(super) fn entry(
        &mut self,
        reader: &Reader<'_>,
        audit: &Audit,
        index: u64,
        entry: &Entry,
        signed: bool,
        beside: &mut Beside,
    ) -> Result<Option<i64>, JournalError> {
        let mut not_after = None;
        match &entry.kind {
            Some(Kind::Issuance(issuance)) => {
                let row = beside.certificate(index);
                if !signed {
                    self.unsigned.insert(index);
                }
                not_after = Some(self.issuance(reader, audit, index, entry, issuance, row)?);
            }
            Some(Kind::Abandonment(given_up)) => {
                if let Some(to) = &given_up.certificate {
                    self.abandoned.insert(to.index);
                    // Where it is looked for first.
                    let subject = reader.certificate(to.index)?.map(|row| row.subject);
                    self.remembered.iter_mut().for_each(|lines| lines.abandon(subject.as_deref(), to.index));
                }
            }
            Some(Kind::Revocation(revocation)) => {
                self.revocation(index, entry, revocation);
            }
            Some(Kind::Act(act)) => {
                self.acts.insert(index);
                if sets_the_clock(act)? {
                    self.ended.clear();
                }
            }
            _ => {}
        }
        self.spending.follow(index, entry, |agent| Ok(audit.owner(agent).map(str::to_owned)))?;
        self.request(reader, index, entry)?;
        Ok(not_after)
    }

    fn issuance(
        &mut self,
        reader: &Reader<'_>,
        audit: &Audit,
        index: u64,
        entry: &Entry,
        issuance: &Issuance,
        row: Option<CertificateRow>,
    ) -> Result<i64, JournalError> {
        let fields = TbsFields::parse(&issuance.tbs).map_err(corrupt)?;
        let subject = issuance.subject.as_str();
        let before = self.lines.get(subject).copied();
        let payer = payer(entry, &issuance.grant, |agent| Ok(audit.owner(agent).map(str::to_owned)))?;
        let made = CertificateRow {
            index,
            serial: fields.serial.clone(),
            subject: subject.to_owned(),
            issuer: issuance.issuer_spki_sha256.clone(),
            not_before: fields.not_before,
            not_after: fields.not_after,
            previous: before.map(|(newest, _)| newest),
            abandoned: row.as_ref().is_some_and(|row| row.abandoned),
            controller: payer.clone(),
            recorded_ms: entry.time_unix_ms,
        };
        if made.abandoned {
            self.marked.insert(index);
        }
        if row.as_ref() != Some(&made) {
            self.differing.insert("certificate");
        }
        if !is_first_holder(reader, index, subject, &fields)? {
            self.differing.insert("identity_key");
        }
        self.known.certified(&fields.spki_sha256(), subject);
        let lifetime_secs = match before {
            // A renewal keeps the lifetime with which the line began.
            Some((_, lifetime_secs)) if issuance.renews.is_some() => lifetime_secs,
            _ => issuance.lifetime_seconds,
        };
        self.lines.insert(subject.to_owned(), (index, lifetime_secs));
        if let Some(remembered) = &mut self.remembered {
            // Whether it was given up, the entries say that follow.
            remembered.record(&CertificateRow { abandoned: false, ..made }, lifetime_secs, self.ended_ms);
        }
        Ok(fields.not_after)
    }

    fn revocation(&mut self, index: u64, entry: &Entry, revocation: &Revocation) {
        let Some(target) = revocation.target.clone() else { return };
        let identity = entry.actor.as_ref().map_or("", |actor| actor.identity.as_str());
        let controller = identity.strip_prefix("/controller/").map(str::to_owned);
        if let Target::Agent(id) = &target {
            let who = (format!("/agent/{id}"), controller.clone().unwrap_or_default());
            self.ended.insert(who, index);
        }
        let at = entry.time_unix_ms.div_euclid(1000);
        let (reason, count) = (revocation.reason, revocation.revoked);
        self.revocations.insert(index, Revoked { target, controller, at, reason, count });
    }

    /// The request is known by its idempotency key, with what it led to last.
    fn request(&mut self, reader: &Reader<'_>, index: u64, entry: &Entry) -> Result<(), JournalError> {
        let Some(actor) = entry.actor.as_ref().filter(|_| !entry.request_id.is_empty()) else {
            return Ok(());
        };
        let known = reader.request(&actor.identity, &entry.request_id)?;
        let same = known.is_some_and(|(fields, last)| {
            last > index || (last == index && fields.as_slice() == entry.fields_sha256)
        });
        if !same {
            self.differing.insert("request");
        }
        self.known.carried_out(&actor.identity, &entry.request_id, index);
        Ok(())
    }

    /// Each request is known by the last entry that it led to, and no other.
    fn demand_requests(&mut self, reader: &Reader<'_>) -> Result<(), JournalError> {
        let (mut rows, mut same) = (0, true);
        let read = reader.requests(|caller, request_id, index| {
            rows += 1;
            same &= self.known.request(caller, request_id) == Some(index);
        });
        of_table("request", read)?;
        if !same || rows != self.known.counts().1 {
            self.differing.insert("request");
        }
        Ok(())
    }

    /// Certificates whose signature was not there when their entry was read.
    pub(super) fn unsigned(&self) -> Vec<u64> {
        self.unsigned.iter().copied().collect()
    }

    /// The tables that are not as the entries say. The reader sees one moment, up to which every entry was read.
    pub(super) fn differing(&mut self, reader: &Reader<'_>) -> Result<Vec<&'static str>, JournalError> {
        self.demand_lines(reader)?;
        self.demand_revoked(reader)?;
        self.demand_requests(reader)?;
        if reader.key_count()? != self.known.counts().0 as u64 {
            self.differing.insert("identity_key");
        }
        let ended: BTreeMap<(String, String), u64> =
            of_table("agent_ended", reader.agents_ended())?.into_iter().collect();
        if ended != self.ended {
            self.differing.insert("agent_ended");
        }
        // One that was given up after its row was read is marked by now.
        for index in self.abandoned.difference(&self.marked).copied().collect::<Vec<_>>() {
            if reader.certificate(index)?.is_some_and(|row| row.abandoned) {
                self.marked.insert(index);
            }
        }
        if self.marked != self.abandoned {
            self.differing.insert("certificate");
        }
        let signed = |index: &u64| reader.signature(*index).map(|signature| signature.is_some());
        // One that was given up was given to nobody: a signature beside it was put there since.
        for index in &self.abandoned {
            if signed(index)? {
                return Err(corrupt(format!("entry {index} is given up, and a signature lies beside it")));
            }
        }
        Ok(self.differing.iter().copied().collect())
    }

    /// The certificates that have neither a signature nor an abandonment. `covered` entries are below a checkpoint, none of which was pending
    /// when it was made: abandoning one would make the one before it the newest of its line.
    pub(super) fn pending(self, reader: &Reader<'_>, covered: u64) -> Result<Vec<u64>, JournalError> {
        let mut pending = Vec::new();
        for index in self.unsigned.difference(&self.abandoned) {
            match reader.signature(*index)? {
                Some(_) => {}
                None if *index < covered => {
                    return Err(corrupt(format!(
                        "entry {index}: the signature of its certificate was removed"
                    )));
                }
                None => pending.push(*index),
            }
        }
        Ok(pending)
    }

    fn demand_lines(&mut self, reader: &Reader<'_>) -> Result<(), JournalError> {
        let lines = of_table("line", reader.lines())?;
        let same = lines.len() == self.lines.len()
            && lines.iter().all(|(subject, newest, secs)| self.lines.get(subject) == Some(&(*newest, *secs)));
        if !same {
            self.differing.insert("line");
        }
        Ok(())
    }

    /// Each revocation has as many rows as its entry says, and each of them is of a certificate that it names.
    fn demand_revoked(&mut self, reader: &Reader<'_>) -> Result<(), JournalError> {
        let mut counts: HashMap<u64, u64> = HashMap::new();
        let mut repeated: BTreeSet<u64> =
            of_table("certificate", reader.repeated_of_certificates())?.into_iter().collect();
        for row in of_table("revoked", reader.all_revoked())? {
            self.remembered.iter_mut().for_each(|lines| lines.was_revoked(&row));
            if self.acts.contains(&row.act) {
                if !repeated.remove(&row.index) {
                    self.differing.insert("revoked");
                }
                continue;
            }
            let certificate = reader.certificate(row.index)?;
            let named =
                self.revocations.get(&row.act).zip(certificate).is_some_and(|(revoked, certificate)| {
                    revoked.names(&certificate)
                        && row.index < row.act
                        && row.serial == certificate.serial
                        && row.issuer == certificate.issuer
                        && row.not_after == certificate.not_after
                        && (row.at, row.reason) == (revoked.at, revoked.reason)
                });
            if !named {
                self.differing.insert("revoked");
            }
            *counts.entry(row.act).or_default() += 1;
        }
        let short = |(act, revoked): (&u64, &Revoked)| counts.get(act).copied().unwrap_or(0) != revoked.count;
        if self.revocations.iter().any(short) || !repeated.is_empty() {
            self.differing.insert("revoked");
        }
        Ok(())
    }
}

impl Revoked {
    /// Whether the certificate is one of those that it names, and had not ended.
    fn names(&self, certificate: &CertificateRow) -> bool {
        let ours =
            self.controller.is_none() || self.controller.as_deref() == certificate.controller.as_deref();
        let recorded = (certificate.controller.as_deref(), certificate.recorded_ms);
        let named = is_named(&self.target, certificate.index, &certificate.subject, recorded);
        ours && named && certificate.not_after >= self.at
    }
}

/// Whether the table names the first who had this key: the subject of this certificate, or of one before. That a key was certified for two is for the
/// auditor to say.
fn is_first_holder(
    reader: &Reader<'_>,
    index: u64,
    subject: &str,
    fields: &TbsFields,
) -> Result<bool, JournalError> {
    let Some(holder) = of_table("identity_key", reader.key_subject(&fields.spki_sha256()))? else {
        return Ok(false);
    };
    if holder == subject {
        return Ok(true);
    }
    let mut at = reader.newest(&holder)?;
    while let Some(row) = at.map(|index| reader.certificate(index)).transpose()?.flatten() {
        let body = reader.entry(row.index)?.unwrap_or_default();
        if let Some(Kind::Issuance(issuance)) = ledger::entry::decode(&body).map_err(corrupt)?.kind
            && row.index < index
            && issuance.subject == holder
            && TbsFields::parse(&issuance.tbs).map_err(corrupt)?.spki == fields.spki
        {
            return Ok(true);
        }
        // The chain goes back.
        at = row.previous.filter(|previous| *previous < row.index);
    }
    Ok(false)
}
