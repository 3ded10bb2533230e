//! The requests that change state, by their gRPC method.

use proto::strict::{self, NotStrict};
use proto::v1;

/// A request's body, decoded strictly.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// A certificate for an agent of the caller's.
    Issue(v1::IssueCertificateBody),
    /// The caller's own next certificate.
    Renew(v1::RenewCertificateBody),
    /// Certificates to end.
    Revoke(v1::RevokeCertificateBody),
    /// A new agent.
    CreateAgent(v1::CreateAgentBody),
    /// New agents.
    BatchCreateAgents(v1::BatchCreateAgentsBody),
    /// A change of an agent.
    UpdateAgent(v1::UpdateAgentBody),
    /// An agent to delete.
    DeleteAgent(v1::DeleteAgentBody),
}

/// The caller's, or the front's: bytes that are no request of this method.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARequest {
    /// No request that changes state is made by this method.
    #[error("there is no such method")]
    Method,
    /// The body is not exactly one message.
    #[error(transparent)]
    Body(#[from] NotStrict),
}

impl Request {
    /// Decodes the body of a method ("/rootcellar.v1.IssuanceService/IssueCertificate").
    ///
    /// # Errors
    /// [`NotARequest`].
    pub fn decode(method: &str, body: &[u8]) -> Result<Self, NotARequest> {
        let name = method.strip_prefix("/rootcellar.v1.").ok_or(NotARequest::Method)?;
        Ok(match name {
            "IssuanceService/IssueCertificate" => Self::Issue(strict::decode("IssueCertificateBody", body)?),
            "IssuanceService/RenewCertificate" => Self::Renew(strict::decode("RenewCertificateBody", body)?),
            "IssuanceService/RevokeCertificate" => {
                Self::Revoke(strict::decode("RevokeCertificateBody", body)?)
            }
            "AgentService/CreateAgent" => Self::CreateAgent(strict::decode("CreateAgentBody", body)?),
            "AgentService/BatchCreateAgents" => {
                Self::BatchCreateAgents(strict::decode("BatchCreateAgentsBody", body)?)
            }
            "AgentService/UpdateAgent" => Self::UpdateAgent(strict::decode("UpdateAgentBody", body)?),
            "AgentService/DeleteAgent" => Self::DeleteAgent(strict::decode("DeleteAgentBody", body)?),
            _ => return Err(NotARequest::Method),
        })
    }

    /// The caller's idempotency key.
    pub fn request_id(&self) -> &str {
        match self {
            Self::Issue(body) => &body.request_id,
            Self::Renew(body) => &body.request_id,
            Self::Revoke(body) => &body.request_id,
            Self::CreateAgent(body) => &body.request_id,
            Self::BatchCreateAgents(body) => &body.request_id,
            Self::UpdateAgent(body) => &body.request_id,
            Self::DeleteAgent(body) => &body.request_id,
        }
    }

    /// Whether a certificate is asked for.
    pub fn is_for_a_certificate(&self) -> bool {
        matches!(self, Self::Issue(_) | Self::Renew(_))
    }
}
