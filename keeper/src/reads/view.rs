//! What one caller may read: certificates, agents, controllers.

use proto::door::answer::Answer;
use proto::v1;

use super::{Answered, Reads};
use crate::answers;
use crate::callers::{Kind, Who};
use crate::convert;
use crate::journal::{CertificateRow, Reader};
use crate::page;
use crate::refusal::Refusal;
use crate::steps::release::Release;

/// Rows that one page may look at to find those that the caller may read.
pub(super) const SCAN_MAX: u64 = 5_000;
/// Certificates, each with the token of a page that starts with it, and the token of what follows them.
type Rows = (Vec<(u64, CertificateRow)>, Option<u64>);

/// One caller's view of the journal.
pub(super) struct View<'a> {
    pub(super) reads: &'a Reads,
    pub(super) reader: &'a Reader<'a>,
    pub(super) who: Who,
}

impl View<'_> {
    /// Whether the caller may read what concerns this subject: itself, an agent of its own, or anything on this machine.
    pub(super) fn may_read(&self, subject: &str) -> Result<bool, Refusal> {
        Ok(match self.who.kind() {
            Kind::Local(_) => true,
            Kind::Front => false,
            Kind::Agent(_) => subject == self.who.path(),
            Kind::Controller(_) if subject == self.who.path() => true,
            Kind::Controller(name) => match subject.strip_prefix("/agent/") {
                Some(id) => self.reader.agent(id)?.is_some_and(|agent| agent.record.owner == name.as_str()),
                None => false,
            },
        })
    }

    /// A certificate is its controller's of then: whoever makes an agent again that another had deleted has its name, not its past.
    pub(super) fn may_read_certificate(&self, row: &CertificateRow) -> Result<bool, Refusal> {
        match self.who.kind() {
            Kind::Controller(name) if row.subject.starts_with("/agent/") => {
                Ok(row.controller.as_deref() == Some(name.as_str()))
            }
            _ => self.may_read(&row.subject),
        }
    }

    fn release(&self) -> Release<'_> {
        Release { cell: self.reads.cell.as_ref(), origin: &self.reads.origin, issuers: &self.reads.issuers }
    }

    pub(super) fn certificate(&self, get: &v1::GetCertificateRequest) -> Answered {
        let row = self.reader.certificate(convert::certificate_index(&get.name)?)?;
        let row = row.filter(|row| self.may_read_certificate(row).unwrap_or(false));
        let row = row.ok_or_else(|| Refusal::not_found("certificate of that name"))?;
        let certificate = Some(self.release().certificate(self.reader, &row)?);
        Ok(Answer::GetCertificate(v1::GetCertificateResponse { certificate }))
    }

    /// Where a page of this list begins.
    fn page(&self, list: &str, token: &str) -> Result<Option<String>, Refusal> {
        self.reads.tokens.read((list, self.who.path()), token)
    }

    fn next_page(&self, list: &str, at: Option<&str>) -> String {
        at.map(|at| self.reads.tokens.make((list, self.who.path()), at)).unwrap_or_default()
    }

    pub(super) fn certificates(&self, list: &v1::ListCertificatesRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let of = format!("certificates {}", list.filter);
        let before = self.page(&of, &list.page_token)?;
        let before = before.map(|at| at.parse::<u64>().map_err(Refusal::internal)).transpose()?;
        let (rows, next) = match agent_filter(&list.filter)? {
            Some(id) => self.line(&format!("/agent/{id}"), before, limit)?,
            None => self.scan(before.unwrap_or(page::INDEX_MAX), limit)?,
        };
        let certificates = rows.iter().map(|row| self.release().certificate(self.reader, &row.1));
        let (certificates, _) = page::fill(limit, certificates)?;
        // The first that found no room starts the next page.
        let next = rows.get(certificates.len()).map(|(token, _)| *token).or(next);
        Ok(Answer::ListCertificates(v1::ListCertificatesResponse {
            certificates,
            next_page_token: self.next_page(&of, next.map(|next| next.to_string()).as_deref()),
        }))
    }

    /// Those of one subject, along the chain from the newest, each with the token of a page that starts with it; and the token of
    /// what follows.
    fn line(&self, subject: &str, from: Option<u64>, limit: u64) -> Result<Rows, Refusal> {
        if !self.may_read(subject)? {
            return Err(Refusal::not_found("agent of that name"));
        }
        let mut at = if from.is_some() { from } else { self.reader.newest(subject)? };
        let mut rows = Vec::new();
        while let Some(row) = at.map(|index| self.reader.certificate(index)).transpose()?.flatten() {
            if row.subject != subject {
                return Err(Refusal::malformed("page_token", "it belongs to another list"));
            }
            if rows.len() as u64 == limit {
                return Ok((rows, Some(row.index)));
            }
            at = row.previous;
            if self.may_read_certificate(&row)? {
                rows.push((row.index, row));
            }
        }
        Ok((rows, None))
    }

    /// Those that the caller may read, as [`Self::line`].
    fn scan(&self, before: u64, limit: u64) -> Result<Rows, Refusal> {
        let looked_at = self.reader.certificates(before, SCAN_MAX)?;
        let last =
            (looked_at.len() as u64 == SCAN_MAX).then(|| looked_at.last().map(|row| row.index)).flatten();
        let mut rows = Vec::new();
        for row in looked_at {
            if rows.len() as u64 == limit {
                return Ok((rows, Some(row.index + 1)));
            }
            if self.may_read_certificate(&row)? {
                rows.push((row.index + 1, row));
            }
        }
        Ok((rows, last))
    }

    pub(super) fn agent(&self, get: &v1::GetAgentRequest) -> Answered {
        let id = convert::agent_id(&get.name, "name")?;
        let row = self.reader.agent(id.as_str())?;
        let row = row.filter(|_| self.may_read(&format!("/agent/{id}")).unwrap_or(false));
        let row = row.ok_or_else(|| Refusal::not_found("agent of that name"))?;
        let agent = Some(answers::agent(self.reader, &self.reads.cell, &row)?);
        Ok(Answer::GetAgent(v1::GetAgentResponse { agent }))
    }

    pub(super) fn agents(&self, list: &v1::ListAgentsRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let owner = match self.who.kind() {
            Kind::Controller(name) => Some(name.as_str()),
            Kind::Local(_) => None,
            Kind::Agent(_) | Kind::Front => return Err(Refusal::not_allowed(self.who.path())),
        };
        let after = self.page("agents", &list.page_token)?.unwrap_or_default();
        let rows = self.reader.agents(&after, owner, limit + 1)?;
        let agents = rows.iter().map(|row| answers::agent(self.reader, &self.reads.cell, row));
        let (agents, more) = page::fill(limit, agents)?;
        let last = rows[..agents.len()].last().filter(|_| more);
        let next_page_token = self.next_page("agents", last.map(|row| &*row.record.id));
        Ok(Answer::ListAgents(v1::ListAgentsResponse { agents, next_page_token }))
    }

    pub(super) fn controller(&self, get: &v1::GetControllerRequest) -> Answered {
        let name = convert::controller_name(&get.name)?;
        let row = self.reader.controller(name.as_str())?;
        let row = row.filter(|_| self.may_read(&format!("/controller/{name}")).unwrap_or(false));
        let row = row.ok_or_else(|| Refusal::not_found("controller of that name"))?;
        let controller = Some(answers::controller(self.reader, &self.reads.cell, &row)?);
        Ok(Answer::GetController(v1::GetControllerResponse { controller }))
    }

    pub(super) fn controllers(&self, list: &v1::ListControllersRequest) -> Answered {
        let limit = page::limit(list.page_size)?;
        let rows = match self.who.kind() {
            Kind::Controller(name) => self.reader.controller(name.as_str())?.into_iter().collect(),
            Kind::Local(_) => {
                let after = self.page("controllers", &list.page_token)?.unwrap_or_default();
                self.reader.controllers(&after, limit + 1)?
            }
            Kind::Agent(_) | Kind::Front => return Err(Refusal::not_allowed(self.who.path())),
        };
        let controllers = rows.iter().map(|row| answers::controller(self.reader, &self.reads.cell, row));
        let (controllers, more) = page::fill(limit, controllers)?;
        let last = rows[..controllers.len()].last().filter(|_| more);
        let next_page_token = self.next_page("controllers", last.map(|row| &*row.name));
        Ok(Answer::ListControllers(v1::ListControllersResponse { controllers, next_page_token }))
    }
}

/// The one condition that lists take (AIP-160): `agent = "agents/ID"`.
fn agent_filter(filter: &str) -> Result<Option<cell::AgentId>, Refusal> {
    if filter.trim().is_empty() {
        return Ok(None);
    }
    let value =
        filter.trim().strip_prefix("agent").map(str::trim_start).and_then(|rest| rest.strip_prefix('='));
    let value = value.ok_or_else(|| Refusal::malformed("filter", "write agent = \"agents/ID\""))?;
    convert::agent_id(value.trim().trim_matches('"'), "filter").map(Some)
}
