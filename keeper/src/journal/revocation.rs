//! Which certificates a revocation covers: asked before it is recorded, and applied by the same words after.

use ledger::entry::revocation::Target;
use ledger::entry::{Entry, Revocation};
use rusqlite::{Connection, OptionalExtension, ToSql};

use super::JournalError;

/// What is left of a set of certificates: those that are not revoked and have not expired.
const LIVE: &str = "certificate.not_after >= :now AND (:controller IS NULL OR certificate.controller = :controller) \
     AND NOT EXISTS (SELECT 1 FROM revoked WHERE revoked.idx = certificate.idx)";

/// A set of certificates, as of a time.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    target: Target,
    /// Only those under this controller's grants.
    controller: Option<String>,
    now_secs: i64,
}

/// Whether a revocation names a certificate: of this entry and subject, recorded under this controller's grant at this time, in milliseconds since
/// 1970.
pub(super) fn is_named(
    target: &Target,
    index: u64,
    subject: &str,
    (controller, recorded_ms): (Option<&str>, i64),
) -> bool {
    match target {
        Target::Certificate(certificate) => certificate.index == index,
        Target::Agent(id) => subject.strip_prefix("/agent/") == Some(id),
        Target::IssuedSince(issued) => {
            controller == Some(&issued.controller) && recorded_ms >= issued.since_unix_ms
        }
    }
}

impl Scope {
    /// Those that `target` names; a controller reaches only what was issued under its own grants.
    pub(crate) fn new(target: Target, controller: Option<&str>, now_secs: i64) -> Self {
        Self { target, controller: controller.map(str::to_owned), now_secs }
    }

    /// What a recorded revocation covers.
    pub(super) fn of(revocation: &Revocation, record: &Entry) -> Result<Self, JournalError> {
        let target = revocation.target.clone();
        let target = target.ok_or_else(|| JournalError::Corrupt("a revocation of nothing".into()))?;
        let identity = record.actor.as_ref().map_or("", |actor| actor.identity.as_str());
        let controller = identity.strip_prefix("/controller/");
        Ok(Self::new(target, controller, record.time_unix_ms.div_euclid(1000)))
    }

    /// The time of it, in seconds since 1970.
    pub(super) fn now_secs(&self) -> i64 {
        self.now_secs
    }

    /// Its target.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Whether a certificate under this controller's grants, whose last second since 1970 is this one, is one that it can end.
    pub(super) fn reaches(&self, controller: Option<&str>, not_after: i64) -> bool {
        not_after >= self.now_secs && (self.controller.is_none() || self.controller.as_deref() == controller)
    }

    /// How many there are.
    pub(super) fn count(&self, connection: &Connection) -> rusqlite::Result<u64> {
        let sql =
            format!("{} SELECT count(*) FROM certificate WHERE {} AND {LIVE}", self.with(), self.which());
        self.bound(|values| connection.prepare_cached(&sql)?.query_row(values, |row| row.get(0)).optional())
            .map(Option::unwrap_or_default)
    }

    /// Revokes them by the entry `act`: their entries.
    pub(super) fn revoke(
        &self,
        connection: &Connection,
        act: u64,
        reason: i32,
    ) -> rusqlite::Result<Vec<u64>> {
        let sql = format!(
            "{} INSERT INTO revoked (idx, serial, issuer, not_after, at, reason, act) \
             SELECT idx, serial, issuer, not_after, :now, {reason}, {act} FROM certificate WHERE {} AND {LIVE} RETURNING idx",
            self.with(),
            self.which()
        );
        self.bound(|values| connection.prepare(&sql)?.query_map(values, |row| row.get(0))?.collect())
    }

    /// Remembers that nothing of an agent is left below the entry of its revocation.
    pub(super) fn remember(&self, connection: &Connection, act: u64) -> rusqlite::Result<()> {
        let Target::Agent(id) = &self.target else { return Ok(()) };
        let sql = "INSERT INTO agent_ended (subject, controller, idx) VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET idx = ?3";
        let controller = self.controller.as_deref().unwrap_or_default();
        connection.prepare_cached(sql)?.execute((format!("/agent/{id}"), controller, act))?;
        Ok(())
    }

    /// An agent's certificates chain from the newest back; the chain is followed to the revocation of the same agent before. One that was recorded by a
    /// clock that was wrong ends nothing of it.
    fn with(&self) -> &'static str {
        match self.target {
            Target::Agent(_) => {
                "WITH RECURSIVE ended (idx) AS ( \
                 SELECT coalesce(max(idx), 0) FROM agent_ended WHERE subject = :which AND controller IN ('', :controller)), \
                 chain (idx, previous) AS ( \
                 SELECT c.idx, c.previous FROM line JOIN certificate c ON c.idx = line.newest, ended \
                 WHERE line.subject = :which AND c.idx > ended.idx \
                 UNION ALL SELECT c.idx, c.previous FROM chain JOIN certificate c ON c.idx = chain.previous, ended \
                 WHERE c.idx > ended.idx)"
            }
            Target::Certificate(_) | Target::IssuedSince(_) => "",
        }
    }

    fn which(&self) -> &'static str {
        match self.target {
            Target::Certificate(_) => "certificate.idx = :which",
            Target::Agent(_) => "certificate.idx IN (SELECT idx FROM chain)",
            Target::IssuedSince(_) => "certificate.controller = :which AND certificate.recorded_ms >= :since",
        }
    }

    fn bound<T>(
        &self,
        run: impl FnOnce(&[(&str, &dyn ToSql)]) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let (which, since): (Box<dyn ToSql>, i64) = match &self.target {
            Target::Certificate(certificate) => (Box::new(certificate.index), 0),
            Target::Agent(id) => (Box::new(format!("/agent/{id}")), 0),
            Target::IssuedSince(issued) => (Box::new(issued.controller.clone()), issued.since_unix_ms),
        };
        let mut values: Vec<(&str, &dyn ToSql)> =
            vec![(":which", &*which), (":now", &self.now_secs), (":controller", &self.controller)];
        if matches!(self.target, Target::IssuedSince(_)) {
            values.push((":since", &since));
        }
        run(&values)
    }
}
