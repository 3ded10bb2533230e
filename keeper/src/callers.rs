//! Who asks: looked up anew for every request, from the certificate that the caller proved to hold.

use cell::{AgentId, ControllerName, Identity, SpiffePath};
use ledger::entry::{Actor, ActorKind, Reference};
use proto::door;
use proto::v1::Reason;

use crate::journal::{CertificateRow, Presented, Reader};
use crate::refusal::Refusal;

/// Who asks, as the door knows it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asker {
    /// A caller whose certificate the front has seen.
    Presented(door::Presented),
    /// The front itself.
    Front,
    /// A person or program on this machine with this uid, over the keeper's own socket.
    Local(u32),
}

/// What is asked, and by whom.
#[derive(Clone, Debug)]
pub(crate) struct Asked<T> {
    pub(crate) by: Asker,
    pub(crate) what: T,
}

/// A caller who is registered, and whose certificate is valid now. Only [`recognise`] makes one.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    kind: Kind,
    path: String,
    certificate: Option<(CertificateRow, [u8; 32])>,
}

/// What kind of caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An agent of the mesh.
    Agent(AgentId),
    /// A controller.
    Controller(ControllerName),
    /// A person or program on this machine, over the local socket, with this uid.
    Local(u32),
    /// The front itself.
    Front,
}

impl Who {
    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// SPIFFE path, or what stands for it.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The certificate it presented.
    pub(crate) fn certificate(&self) -> Option<&CertificateRow> {
        self.certificate.as_ref().map(|(row, _)| row)
    }

    /// The controller that asks.
    ///
    /// # Errors
    /// Someone else asks.
    pub(crate) fn controller(&self) -> Result<&ControllerName, Refusal> {
        match &self.kind {
            Kind::Controller(name) => Ok(name),
            _ => Err(Refusal::not_allowed(&self.path)),
        }
    }

    /// As the ledger records it.
    pub(crate) fn actor(&self, origin: &str) -> Actor {
        let kind = if self.kind == Kind::Front { ActorKind::Service } else { ActorKind::Caller };
        Actor {
            kind: kind.into(),
            identity: self.path.clone(),
            certificate_sha256: self.certificate.as_ref().map_or_else(Vec::new, |(_, hash)| hash.to_vec()),
            certificate: self
                .certificate()
                .map(|row| Reference { origin: origin.to_owned(), index: row.index }),
            signature: None,
        }
    }
}

/// Looks a caller up: registered, not expired, not revoked, not removed.
///
/// # Errors
/// [`Reason::CallerUnknown`], [`Reason::CallerExpired`], [`Reason::CallerRevoked`] or [`Reason::CallerRemoved`].
pub(crate) fn recognise(reader: &Reader<'_>, by: &Asker, now_ms: i64) -> Result<Who, Refusal> {
    match by {
        Asker::Presented(presented) => registered(reader, presented, now_ms),
        Asker::Local(uid) => {
            Ok(Who { kind: Kind::Local(*uid), path: format!("local uid {uid}"), certificate: None })
        }
        Asker::Front => {
            Ok(Who { kind: Kind::Front, path: crate::SERVICE_PATH.to_owned(), certificate: None })
        }
    }
}

fn registered(reader: &Reader<'_>, presented: &door::Presented, now_ms: i64) -> Result<Who, Refusal> {
    let hash: [u8; 32] = presented.certificate_sha256.as_slice().try_into().map_err(|_| unknown())?;
    let row = match reader.presented(&presented.serial, &hash)? {
        Presented::Valid(row) => row,
        Presented::Unknown => return Err(unknown()),
        Presented::Revoked => return Err(revoked()),
    };
    // RFC 5280 §4.1.2.5: the last second is inclusive.
    if now_ms.div_euclid(1000) > row.not_after {
        return Err(Refusal::new(
            Reason::CallerExpired,
            "your certificate has expired: ask for a new one (a controller: have an officer run `rootcellar controller reissue`)",
        ));
    }
    let path = row.subject.parse::<SpiffePath>().map_err(Refusal::internal)?;
    let kind = match Identity::try_from(&path).map_err(Refusal::internal)? {
        Identity::Agent(id) => living_agent(reader, id, &row)?,
        Identity::Controller(name) => living_controller(reader, name, &row)?,
        Identity::Service(_) | Identity::Other => return Err(Refusal::not_allowed(&row.subject)),
    };
    Ok(Who { kind, path: row.subject.clone(), certificate: Some((row, hash)) })
}

fn living_agent(reader: &Reader<'_>, id: AgentId, certificate: &CertificateRow) -> Result<Kind, Refusal> {
    match reader.agent(id.as_str())? {
        Some(agent) if agent.index > certificate.index => Err(removed(&certificate.subject)),
        Some(agent) if agent.record.disabled => Err(removed(&certificate.subject)),
        Some(_) => Ok(Kind::Agent(id)),
        None => Err(removed(&certificate.subject)),
    }
}

fn living_controller(
    reader: &Reader<'_>,
    name: ControllerName,
    certificate: &CertificateRow,
) -> Result<Kind, Refusal> {
    match reader.controller(name.as_str())? {
        Some(controller) if !controller.removed && controller.line < certificate.index => {
            Ok(Kind::Controller(name))
        }
        _ => Err(removed(&certificate.subject)),
    }
}

pub(crate) fn unknown() -> Refusal {
    Refusal::new(
        Reason::CallerUnknown,
        "this cell has not issued your certificate: present one that it issued (`rootcellar controller add` makes the first)",
    )
}

fn revoked() -> Refusal {
    Refusal::new(
        Reason::CallerRevoked,
        "your certificate was revoked; your controller or an officer can say why, and how to get another",
    )
}

fn removed(path: &str) -> Refusal {
    Refusal::new(
        Reason::CallerRemoved,
        format!(
            "{path} was removed or disabled since this certificate was issued; its officer or controller can say why"
        ),
    )
}
