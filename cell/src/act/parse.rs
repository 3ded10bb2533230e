//! Fields read back as an act, strictly: what [`Act::fields`] would not have written is refused.

use std::{fmt::Display, str::FromStr};

use data_encoding::BASE64;

use super::{
    AGENT, Act, CERTIFICATE, CERTIFICATE_REVOKE, CLOCK_CONFIRM, COMMA, CONTROLLER, CONTROLLER_ADD,
    CONTROLLER_REISSUE, CONTROLLER_REMOVE, ENTRIES, EPOCH, EPOCH_OPEN, FREEZE, GRANT, GRANT_AGENTS,
    GRANT_BUDGET, GRANT_DNS, GRANT_MAX_TTL, GRANT_REMOVE, GRANT_ROLES, GRANT_SET, GRANT_TAGS, KEPT, LOST,
    LOST_CERTIFICATES, MAX_FIELDS_BYTES, PUBLIC_KEY, REASON, RENEWALS_STOP, RENEWALS_STOP_CONFIRM, REVOKED,
    RepeatedRevocation, RevocationTarget, SERIAL, SINCE, SpkiDer, THAW,
};
use crate::{BoundedSet, Grant, GrantError, Grants, MAX_GRANTS, NameError};

/// The proposer's fault: fields that are no act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// No act has this name.
    #[error("there is no act {0:?}")]
    UnknownAct(String),
    /// All fields together are longer than [`MAX_FIELDS_BYTES`].
    #[error("the act's fields are longer than {MAX_FIELDS_BYTES} bytes")]
    TooLarge,
    /// A field that is needed here is not there: another one is, or none.
    #[error("the field `{0}` is missing, or not in its place")]
    Missing(&'static str),
    /// A field that has no place here: unknown, repeated, or out of order.
    #[error("the field {0:?} is unknown, repeated or out of order")]
    Unexpected(String),
    /// A value that its field cannot have.
    #[error("{field}: {why}")]
    Value {
        /// The field's name.
        field: String,
        /// What is wrong with its value.
        why: String,
    },
    /// A value that means something, but is not written in the one way: a list out of order, a leading zero.
    #[error("{0}: is not written in its canonical form")]
    NotCanonical(String),
    /// The grants together are out of bounds.
    #[error(transparent)]
    Grants(#[from] GrantError),
}

impl Act {
    /// The act of this name with these fields.
    ///
    /// # Errors
    /// An unknown act; a field missing, unknown, repeated or out of order; a value out of bounds or not written as
    /// [`Act::fields`] writes it.
    pub fn parse(name: &str, fields: &[(String, String)]) -> Result<Self, ActError> {
        // Bounded first: nothing below costs more than a small multiple of this.
        if fields.iter().map(|(field, value)| field.len() + value.len()).sum::<usize>() > MAX_FIELDS_BYTES {
            return Err(ActError::TooLarge);
        }
        let mut cursor = Cursor { rest: fields };
        let act = cursor.act(name)?;
        if let Some((field, _)) = cursor.rest.first() {
            return Err(ActError::Unexpected(field.clone()));
        }
        // One act, one text: officers sign a text, and no other text may mean the same.
        let written = act.fields();
        match written.iter().zip(fields).find(|(ours, theirs)| ours != theirs) {
            Some((_, (field, _))) => Err(ActError::NotCanonical(field.clone())),
            None => Ok(act),
        }
    }
}

/// The fields that are still to be read.
struct Cursor<'a> {
    rest: &'a [(String, String)],
}

impl<'a> Cursor<'a> {
    fn act(&mut self, name: &str) -> Result<Act, ActError> {
        Ok(match name {
            CONTROLLER_ADD => Act::ControllerAdd {
                name: self.value(CONTROLLER)?,
                public_key: self.public_key()?,
                grants: self.grants()?,
            },
            CONTROLLER_REMOVE => Act::ControllerRemove { name: self.value(CONTROLLER)? },
            CONTROLLER_REISSUE => {
                Act::ControllerReissue { name: self.value(CONTROLLER)?, public_key: self.public_key()? }
            }
            GRANT_SET => Act::GrantSet { controller: self.value(CONTROLLER)?, grant: self.grant()? },
            GRANT_REMOVE => {
                Act::GrantRemove { controller: self.value(CONTROLLER)?, grant: self.value(GRANT)? }
            }
            FREEZE => Act::Freeze,
            THAW => Act::Thaw,
            RENEWALS_STOP => Act::RenewalsStop,
            RENEWALS_STOP_CONFIRM => Act::RenewalsStopConfirm,
            CLOCK_CONFIRM => Act::ClockConfirm { entries: self.parsed(ENTRIES)? },
            EPOCH_OPEN => Act::EpochOpen {
                epoch: self.parsed(EPOCH)?,
                kept: self.parsed(KEPT)?,
                lost: self.parsed(LOST)?,
                certificates: self.parsed(LOST_CERTIFICATES)?,
                revoked: self.repeated()?,
            },
            CERTIFICATE_REVOKE => {
                let target = self.revocation_target()?;
                Act::CertificateRevoke { target, reason: self.parsed(REASON)? }
            }
            unknown => return Err(ActError::UnknownAct(unknown.to_owned())),
        })
    }

    /// Serial numbers in order, each once.
    fn repeated(&mut self) -> Result<Vec<RepeatedRevocation>, ActError> {
        let mut repeated: Vec<RepeatedRevocation> = Vec::new();
        while self.at(REVOKED) {
            repeated.push(self.parsed(REVOKED)?);
        }
        let serials: Vec<&[u8]> = repeated.iter().map(|one| one.serial.as_bytes()).collect();
        if serials.is_sorted_by(|one, next| one < next) {
            Ok(repeated)
        } else {
            Err(ActError::NotCanonical(REVOKED.to_owned()))
        }
    }

    fn grants(&mut self) -> Result<Grants, ActError> {
        let mut grants = vec![self.grant()?];
        while self.at(GRANT) && grants.len() <= MAX_GRANTS {
            grants.push(self.grant()?);
        }
        Ok(grants.try_into()?)
    }

    fn grant(&mut self) -> Result<Grant, ActError> {
        Ok(Grant {
            name: self.value(GRANT)?,
            agents: self.list(GRANT_AGENTS)?,
            roles: self.list(GRANT_ROLES)?,
            tags: self.list(GRANT_TAGS)?,
            dns: self.list(GRANT_DNS)?,
            max_ttl: self.max_ttl_secs()?.try_into()?,
            budget: self.parsed::<u32>(GRANT_BUDGET)?.try_into()?,
        })
    }

    /// The value of the next field, which has this name.
    fn text(&mut self, field: &'static str) -> Result<&'a str, ActError> {
        match self.rest.split_first() {
            Some(((name, value), rest)) if name == field => {
                self.rest = rest;
                Ok(value)
            }
            _ => Err(ActError::Missing(field)),
        }
    }

    fn at(&self, field: &str) -> bool {
        self.rest.first().is_some_and(|(name, _)| name == field)
    }

    fn value<T: FromStr<Err = NameError>>(&mut self, field: &'static str) -> Result<T, ActError> {
        self.text(field)?.parse().map_err(|why| bad(field, why))
    }

    /// The value of the next field, whose type says itself what is wrong with it.
    fn parsed<T: FromStr<Err: Display>>(&mut self, field: &'static str) -> Result<T, ActError> {
        self.text(field)?.parse().map_err(|why| bad(field, why))
    }

    fn revocation_target(&mut self) -> Result<RevocationTarget, ActError> {
        Ok(if self.at(CERTIFICATE) {
            RevocationTarget::Entry(self.parsed(CERTIFICATE)?)
        } else if self.at(SERIAL) {
            RevocationTarget::Serial(self.parsed(SERIAL)?)
        } else if self.at(AGENT) {
            RevocationTarget::Agent(self.value(AGENT)?)
        } else {
            let controller = self.value(CONTROLLER)?;
            RevocationTarget::IssuedSince { controller, since: self.parsed(SINCE)? }
        })
    }

    /// A list that is left out when it is empty.
    fn list<T, const MAX: usize>(&mut self, field: &'static str) -> Result<BoundedSet<T, MAX>, ActError>
    where
        T: FromStr<Err = NameError> + Ord,
    {
        if !self.at(field) {
            return Ok(BoundedSet::empty());
        }
        let values: Result<Vec<T>, _> = self.text(field)?.split(COMMA).map(str::parse).collect();
        values.map_err(|why| bad(field, why))?.try_into().map_err(|why| bad(field, why))
    }

    fn max_ttl_secs(&mut self) -> Result<u32, ActError> {
        let text = self.text(GRANT_MAX_TTL)?;
        let secs = text.strip_suffix('s').ok_or_else(|| bad(GRANT_MAX_TTL, "is not of the form 3600s"))?;
        secs.parse().map_err(|why| bad(GRANT_MAX_TTL, why))
    }

    fn public_key(&mut self) -> Result<SpkiDer, ActError> {
        let text = self.text(PUBLIC_KEY)?;
        BASE64.decode(text.as_bytes()).map_err(|why| bad(PUBLIC_KEY, why))?.try_into()
    }
}

fn bad(field: &'static str, why: impl Display) -> ActError {
    ActError::Value { field: field.to_owned(), why: why.to_string() }
}
