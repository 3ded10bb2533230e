//! The proof of a certificate, checked before it is written.

use proto::v1;

use crate::client::caller::Caller;
use crate::client::recorded;
use crate::error::Failure;
use crate::session::Session;
use audit::Proven;

/// Fetches the entry and its proof, and checks both against the certificate, from the very text that is to be written.
pub(super) async fn prove(
    session: &Session,
    caller: &Caller,
    request_id: &str,
    certificate: &v1::Certificate,
) -> Result<(String, Proven), Failure> {
    let receipt = certificate.receipt.as_ref().ok_or_else(|| Failure::incomplete("receipt"))?;
    let trust = &caller.credentials.trust;
    let (text, entry) = recorded::of(&caller.client, trust, receipt).await?;
    // Of the same CSR there may be others: revoked since, or another's.
    recorded::own_signature(caller, &entry)?;
    if entry.entry.request_id != request_id {
        return Err(recorded::of_another(&entry));
    }
    let oid = session.config()?.attributes_oid();
    let proven = trust.prove(&certificate.chain, text.as_bytes(), oid);
    Ok((text, proven.map_err(|error| Failure::unverified("the proof", error))?))
}
