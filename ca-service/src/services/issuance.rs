//! Certificates: step 2 here, the rest of the cycle in the keeper.

use std::pin::Pin;

use prost_types::Duration;
use proto::{
    door::{Issue, Refused, Renew, ask::Ask},
    v1::{
        BatchIssueCertificatesRequest, BatchIssueCertificatesResponse, Certificate, GetCertificateRequest,
        GetCertificateResponse, GetCrlRequest, GetCrlResponse, IssueCertificateRequest,
        IssueCertificateResponse, ListCertificatesRequest, ListCertificatesResponse, Reason,
        RenewCertificateRequest, RenewCertificateResponse, RevokeCertificateRequest,
        RevokeCertificateResponse, issuance_service_server::IssuanceService,
    },
};
use tokio_stream::Stream;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::batch;
use crate::{
    call::{Call, Desk, other_answer, pick},
    status::{refused, status},
    steps::{Checked, check_csr},
};

/// See `rootcellar.v1.IssuanceService`.
pub(super) struct Issuance(pub(super) Desk);

impl Issuance {
    async fn certificate(
        &self,
        extensions: &Extensions,
        ask: Result<Ask, Refused>,
    ) -> Result<Certificate, Refused> {
        self.0.certificate(&Call::of(extensions)?, ask).await
    }
}

impl Desk {
    /// Steps 3 to 10, for what step 2 left.
    ///
    /// # Errors
    /// Step 2's, or as [`Self::ask`].
    pub(super) async fn certificate(
        &self,
        call: &Call,
        ask: Result<Ask, Refused>,
    ) -> Result<Certificate, Refused> {
        (self.probe)("2 check the CSR");
        let answer = self.ask(call, ask?).await?;
        (self.probe)("10 release, in the front");
        pick!(Certificate)(answer).ok_or_else(other_answer)
    }
}

#[tonic::async_trait]
impl IssuanceService for Issuance {
    type BatchIssueCertificatesStream =
        Pin<Box<dyn Stream<Item = Result<BatchIssueCertificatesResponse, Status>> + Send>>;

    async fn issue_certificate(
        &self,
        request: Request<IssueCertificateRequest>,
    ) -> Result<Response<IssueCertificateResponse>, Status> {
        let (_, extensions, body) = request.into_parts();
        let certificate = self.certificate(&extensions, issue(body)).await.map_err(status)?;
        Ok(Response::new(IssueCertificateResponse { certificate: Some(certificate) }))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let (_, extensions, body) = request.into_parts();
        let certificate = self.certificate(&extensions, renew(body)).await.map_err(status)?;
        Ok(Response::new(RenewCertificateResponse { certificate: Some(certificate) }))
    }

    async fn get_certificate(
        &self,
        request: Request<GetCertificateRequest>,
    ) -> Result<Response<GetCertificateResponse>, Status> {
        self.0.relay(request, Ask::GetCertificate, pick!(GetCertificate)).await
    }

    async fn list_certificates(
        &self,
        request: Request<ListCertificatesRequest>,
    ) -> Result<Response<ListCertificatesResponse>, Status> {
        self.0.relay(request, Ask::ListCertificates, pick!(ListCertificates)).await
    }

    async fn batch_issue_certificates(
        &self,
        request: Request<Streaming<BatchIssueCertificatesRequest>>,
    ) -> Result<Response<Self::BatchIssueCertificatesStream>, Status> {
        let (_, extensions, items) = request.into_parts();
        let answers = Call::of(&extensions).and_then(|call| batch::answers(self.0.clone(), call, items));
        Ok(Response::new(Box::pin(answers.map_err(status)?)))
    }

    async fn revoke_certificate(
        &self,
        request: Request<RevokeCertificateRequest>,
    ) -> Result<Response<RevokeCertificateResponse>, Status> {
        self.0.relay(request, Ask::RevokeCertificate, pick!(RevokeCertificate)).await
    }

    async fn get_crl(&self, request: Request<GetCrlRequest>) -> Result<Response<GetCrlResponse>, Status> {
        self.0.relay(request, Ask::GetCrl, pick!(GetCrl)).await
    }
}

/// Step 2.
///
/// # Errors
/// The caller's fault, with the field.
pub(super) fn issue(request: IssueCertificateRequest) -> Result<Ask, Refused> {
    let Checked { public_key, csr_sha256, requested_names } = check_csr(&request.csr)?;
    Ok(Ask::Issue(Issue {
        agent: request.agent,
        public_key,
        csr_sha256,
        lifetime_seconds: lifetime_seconds(request.lifetime)?,
        request_id: request.request_id,
        description: request.allow_missing.then(|| request.description.unwrap_or_default()),
        requested_names,
    }))
}

fn renew(request: RenewCertificateRequest) -> Result<Ask, Refused> {
    let Checked { public_key, csr_sha256, requested_names } = check_csr(&request.csr)?;
    Ok(Ask::Renew(Renew {
        public_key,
        csr_sha256,
        lifetime_seconds: lifetime_seconds(request.lifetime)?,
        request_id: request.request_id,
        requested_names,
    }))
}

/// Whole seconds; 0, which stands for the default, only where none is named. How long it may be the keeper decides.
fn lifetime_seconds(lifetime: Option<Duration>) -> Result<u32, Refused> {
    let Some(lifetime) = lifetime else { return Ok(0) };
    match u32::try_from(lifetime.seconds) {
        Ok(seconds) if seconds > 0 && lifetime.nanos == 0 => Ok(seconds),
        _ => Err(Refused {
            field: "lifetime".into(),
            ..refused(
                Reason::RequestMalformed,
                "`lifetime` is whole seconds, from 10 s to the grant's longest",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_whole_positive_seconds_or_none() {
        assert_eq!(lifetime_seconds(None), Ok(0));
        assert_eq!(lifetime_seconds(Some(Duration { seconds: 3600, nanos: 0 })), Ok(3600));
        for (seconds, nanos) in [(0, 0), (-1, 0), (10, 1), (i64::from(u32::MAX) + 1, 0)] {
            let refused = lifetime_seconds(Some(Duration { seconds, nanos })).unwrap_err();
            assert_eq!((refused.reason(), refused.field.as_str()), (Reason::RequestMalformed, "lifetime"));
        }
    }
}
