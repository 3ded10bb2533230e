//! The services with methods that change state: each such request is named, and signed over its exact body.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use prost::Message;
use proto::v1::agent_service_client::AgentServiceClient;
use proto::v1::issuance_service_client::IssuanceServiceClient;
use proto::v1::{self, RequestSignature};
use tonic::transport::Channel;
use tonic::{IntoRequest, Request, Response, Status};

use crate::signer::{Signer, UnderWay};

/// A client of the service `$service`: its methods that change state sign their body, the others are the generated client's.
macro_rules! signing_client {
    (
        $(#[$doc:meta])*
        $name:ident over $client:ident of $service:literal:
        $($(#[$method_doc:meta])* $method:ident = $rpc:literal ($body:ident -> $request:ident) -> $response:ident;)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name {
            service: $client<Channel>,
            signer: Option<Arc<Signer>>,
        }

        impl $name {
            pub(crate) fn new(service: $client<Channel>, signer: Option<Arc<Signer>>) -> Self {
                Self { service, signer }
            }

            $(
                $(#[$method_doc])*
                ///
                /// # Errors
                /// The service's refusal, or there is nothing to sign with.
                pub async fn $method(
                    &self,
                    request: impl IntoRequest<v1::$body>,
                ) -> Result<Response<v1::$response>, Status> {
                    let (metadata, extensions, mut body) = request.into_request().into_parts();
                    name(&mut body.request_id)?;
                    let method = concat!("/rootcellar.v1.", $service, "/", $rpc);
                    let (body, signature, _under_way) = signed(self.signer.as_ref(), method, &body).await?;
                    let message = v1::$request { body, signature: Some(signature) };
                    self.service.clone().$method(Request::from_parts(metadata, extensions, message)).await
                }
            )*
        }

        /// What only reads.
        impl Deref for $name {
            type Target = $client<Channel>;

            fn deref(&self) -> &Self::Target {
                &self.service
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.service
            }
        }
    };
}

signing_client! {
    /// Certificates.
    Issuance over IssuanceServiceClient of "IssuanceService":
    /// Gets a certificate for one agent.
    issue_certificate = "IssueCertificate" (IssueCertificateBody -> IssueCertificateRequest) -> IssueCertificateResponse;
    /// Renews the certificate that is presented.
    renew_certificate = "RenewCertificate" (RenewCertificateBody -> RenewCertificateRequest) -> RenewCertificateResponse;
    /// Revokes certificates.
    revoke_certificate = "RevokeCertificate" (RevokeCertificateBody -> RevokeCertificateRequest) -> RevokeCertificateResponse;
}

signing_client! {
    /// Agents.
    Agents over AgentServiceClient of "AgentService":
    /// Creates an agent.
    create_agent = "CreateAgent" (CreateAgentBody -> CreateAgentRequest) -> CreateAgentResponse;
    /// Creates agents, all or none.
    batch_create_agents = "BatchCreateAgents" (BatchCreateAgentsBody -> BatchCreateAgentsRequest) -> BatchCreateAgentsResponse;
    /// Changes an agent.
    update_agent = "UpdateAgent" (UpdateAgentBody -> UpdateAgentRequest) -> UpdateAgentResponse;
    /// Deletes an agent.
    delete_agent = "DeleteAgent" (DeleteAgentBody -> DeleteAgentRequest) -> DeleteAgentResponse;
}

/// Method of one item of a batch.
const ISSUE: &str = "/rootcellar.v1.IssuanceService/IssueCertificate";

impl Issuance {
    /// Signs an item of a batch. It is under way until what is returned beside it is dropped.
    ///
    /// # Errors
    /// There is nothing to sign with.
    pub async fn sign(
        &self,
        mut body: v1::IssueCertificateBody,
    ) -> Result<(v1::IssueCertificateRequest, UnderWay), Status> {
        name(&mut body.request_id)?;
        let (body, signature, under_way) = signed(self.signer.as_ref(), ISSUE, &body).await?;
        Ok((v1::IssueCertificateRequest { body, signature: Some(signature) }, under_way))
    }
}

/// An idempotency key (AIP-155) of no other request: 32 hexadecimal digits, by chance.
///
/// # Errors
/// The system has no random numbers.
pub fn request_id() -> Result<String, getrandom::Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    Ok(data_encoding::HEXLOWER.encode(&random))
}

/// Gives a request that has none an idempotency key. Who may ask again chooses its own.
fn name(request_id: &mut String) -> Result<(), Status> {
    if request_id.is_empty() {
        *request_id = self::request_id().map_err(|error| Status::internal(error.to_string()))?;
    }
    Ok(())
}

async fn signed(
    signer: Option<&Arc<Signer>>,
    method: &'static str,
    body: &impl Message,
) -> Result<(Vec<u8>, RequestSignature, UnderWay), Status> {
    let signer =
        signer.ok_or_else(|| Status::failed_precondition("there is no key to sign the request with"))?;
    let body = body.encode_to_vec();
    let (signature, under_way) =
        signer.sign(method, &body).await.map_err(|error| Status::internal(error.to_string()))?;
    Ok((body, signature, under_way))
}
