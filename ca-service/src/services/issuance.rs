//! Certificates: step 2 here, the rest of the cycle in the keeper.

use std::pin::Pin;

use prost::Message;
use proto::{
    door::{Refused, ask::Ask},
    v1::{
        BatchIssueCertificatesRequest, BatchIssueCertificatesResponse, Certificate, GetCertificateRequest,
        GetCertificateResponse, GetCrlRequest, GetCrlResponse, IssueCertificateBody, IssueCertificateRequest,
        IssueCertificateResponse, ListCertificatesRequest, ListCertificatesResponse, Reason,
        RenewCertificateBody, RenewCertificateRequest, RenewCertificateResponse, RevokeCertificateRequest,
        RevokeCertificateResponse, issuance_service_server::IssuanceService,
    },
};
use tokio_stream::Stream;
use tonic::{Extensions, Request, Response, Status, Streaming};

use super::batch;
use crate::{
    call::{Call, Desk, other_answer, pick, signed},
    status::{refused, status},
    steps::check_csr,
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
        let (_, extensions, request) = request.into_parts();
        let certificate = self.certificate(&extensions, issue(request)).await.map_err(status)?;
        Ok(Response::new(IssueCertificateResponse { certificate: Some(certificate) }))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let certificate = self.certificate(&extensions, renew(request)).await.map_err(status)?;
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
        self.0.scan(request, Ask::ListCertificates, pick!(ListCertificates)).await
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
        let wrap = |RevokeCertificateRequest { body, signature }| {
            signed("/rootcellar.v1.IssuanceService/RevokeCertificate", body, signature)
        };
        self.0.relay(request, wrap, pick!(RevokeCertificate)).await
    }

    async fn get_crl(&self, request: Request<GetCrlRequest>) -> Result<Response<GetCrlResponse>, Status> {
        self.0.scan(request, Ask::GetCrl, pick!(GetCrl)).await
    }
}

/// Step 2: what is passed on are the signed bytes, whatever was found in them.
///
/// # Errors
/// The caller's fault, with the field.
pub(super) fn issue(request: IssueCertificateRequest) -> Result<Ask, Refused> {
    let IssueCertificateRequest { body, signature } = request;
    check_csr(&read::<IssueCertificateBody>(&body)?.csr)?;
    Ok(signed("/rootcellar.v1.IssuanceService/IssueCertificate", body, signature))
}

fn renew(request: RenewCertificateRequest) -> Result<Ask, Refused> {
    let RenewCertificateRequest { body, signature } = request;
    check_csr(&read::<RenewCertificateBody>(&body)?.csr)?;
    Ok(signed("/rootcellar.v1.IssuanceService/RenewCertificate", body, signature))
}

fn read<M: Message + Default>(body: &[u8]) -> Result<M, Refused> {
    M::decode(body).map_err(|malformed| Refused {
        field: "body".into(),
        ..refused(Reason::RequestMalformed, format!("`body` is not the serialised message: {malformed}"))
    })
}
