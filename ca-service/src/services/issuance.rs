//! Certificates: step 2 here, the rest of the cycle in the keeper.

use std::pin::Pin;

use prost::Message;
use proto::{
    door::{Refused, ask::Ask},
    v1::{
        BatchIssueCertificatesRequest, BatchIssueCertificatesResponse, Certificate, GetCertificateRequest,
        GetCertificateResponse, GetCrlRequest, GetCrlResponse, IssueCertificateBody, IssueCertificateRequest,
        IssueCertificateResponse, ListCertificatesRequest, ListCertificatesResponse, Reason,
        RenewCertificateBody, RenewCertificateRequest, RenewCertificateResponse, RequestSignature,
        RevokeCertificateRequest, RevokeCertificateResponse, issuance_service_server::IssuanceService,
    },
};
use tokio::time::timeout_at;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use super::batch;
use crate::{
    call::{Call, Desk, other_answer, pick, signed, too_late},
    status::{refused, status},
    steps::{check_csr, demand_hard_to_factor, takes_long},
};

/// See `rootcellar.v1.IssuanceService`.
pub(super) struct Issuance(pub(super) Desk);

impl Desk {
    /// A new certificate.
    ///
    /// # Errors
    /// The caller's fault, with the field; or as [`Self::ask`].
    pub(super) async fn issue(
        &self,
        call: &Call,
        request: IssueCertificateRequest,
    ) -> Result<Certificate, Refused> {
        let IssueCertificateRequest { body, signature } = request;
        self.check_csr(call, &read::<IssueCertificateBody>(&body)?.csr).await?;
        self.certificate(call, "/rootcellar.v1.IssuanceService/IssueCertificate", body, signature).await
    }

    async fn renew(&self, call: &Call, request: RenewCertificateRequest) -> Result<Certificate, Refused> {
        let RenewCertificateRequest { body, signature } = request;
        self.check_csr(call, &read::<RenewCertificateBody>(&body)?.csr).await?;
        self.certificate(call, "/rootcellar.v1.IssuanceService/RenewCertificate", body, signature).await
    }

    /// Step 2. What takes long costs the caller as many requests as it takes the time of, and is done for one at a time, beside what else is
    /// served.
    async fn check_csr(&self, call: &Call, csr: &[u8]) -> Result<(), Refused> {
        let request = check_csr(csr)?;
        if takes_long(&request) {
            let caller = &call.connection.caller;
            self.callers.charge_by(call.deadline, caller).await?;
            let account = self.account(caller);
            let looked = self.looks.take(&account, move || demand_hard_to_factor(&request));
            let looked = timeout_at(call.deadline, looked).await.map_err(|_elapsed| too_late())?;
            looked.map_err(|_panicked| refused(Reason::Internal, "a key could not be looked at"))??;
        }
        (self.probe)("2 check the CSR");
        Ok(())
    }

    /// Steps 3 to 10: what is passed on are the signed bytes, whatever was found in them.
    async fn certificate(
        &self,
        call: &Call,
        method: &str,
        body: Vec<u8>,
        signature: Option<RequestSignature>,
    ) -> Result<Certificate, Refused> {
        let answer = self.ask(call, signed(method, body, signature)).await?;
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
        let call = Call::of(&extensions).map_err(status)?;
        let certificate = self.0.issue(&call, request).await.map_err(status)?;
        Ok(Response::new(IssueCertificateResponse { certificate: Some(certificate) }))
    }

    async fn renew_certificate(
        &self,
        request: Request<RenewCertificateRequest>,
    ) -> Result<Response<RenewCertificateResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let call = Call::of(&extensions).map_err(status)?;
        let certificate = self.0.renew(&call, request).await.map_err(status)?;
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

/// What was signed, as the front reads it: the keeper decodes it for itself.
pub(super) fn read<M: Message + Default>(body: &[u8]) -> Result<M, Refused> {
    M::decode(body).map_err(|malformed| Refused {
        field: "body".into(),
        ..refused(Reason::RequestMalformed, format!("`body` is not the serialised message: {malformed}"))
    })
}
