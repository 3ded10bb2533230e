//! The proof of a certificate, checked before it is written.

use proto::v1;

use crate::error::Failure;
use crate::session::Session;
use audit::Proven;
use client::Caller;

/// Fetches the entry and its proof, and checks both against the certificate, from the very text that is to be written.
pub(super) async fn prove(
    session: &Session,
    caller: &Caller,
    request_id: &str,
    certificate: &v1::Certificate,
) -> Result<(String, Proven), Failure> {
    let trust = &caller.credentials.trust;
    let (text, _) = caller.asker().of_certificate(certificate, request_id).await?;
    let oid = session.config()?.attributes_oid();
    let proven = trust.prove(&certificate.chain, text.as_bytes(), oid);
    Ok((text, proven.map_err(|error| Failure::unverified("the proof", error))?))
}
