//! Verifies a caller's signature over its request, with the key of the certificate that it presented, taken from that certificate's entry.

use std::collections::HashMap;
use std::sync::Arc;

use audit::{Request, RequestVerifier};
use certs::{BadSignature, PublicKey, TbsFields};
use ledger::entry::entry::Kind;
use ledger::entry::{self, RequestSignature};
use ledger::request::Terms;
use proto::door::{Presented, Signed};
use proto::v1::{self, Reason};
use sha2::{Digest, Sha256};

use crate::callers;
use crate::journal::{JournalError, Reader};
use crate::refusal::Refusal;

/// Longest body of a request, in octets: a CSR of 16 KiB and an agent are below it. It is kept beside the journal.
const BODY_MAX: usize = 32 * 1024;
/// Longest body of one that creates up to a hundred agents.
const BATCH_BODY_MAX: usize = 512 * 1024;
/// Certificates whose keys are remembered; beyond it all are forgotten and looked up again.
const KEYS_MAX: usize = 4096;

/// A request with a signature that its caller made. Only [`Verifier::verify`] makes one.
#[derive(Clone, Debug)]
pub(crate) struct SignedRequest {
    request: Request,
    body: Vec<u8>,
    signature: RequestSignature,
    certificate: u64,
}

impl SignedRequest {
    /// What is asked for.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The bytes that were signed.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// As the ledger records it.
    pub(crate) fn signature(&self) -> &RequestSignature {
        &self.signature
    }

    /// The entry of the certificate whose key signed it.
    pub(crate) fn certificate(&self) -> u64 {
        self.certificate
    }
}

/// Verifies signatures. Owned by one thread, which reads a door.
pub(crate) struct Verifier {
    reader: Reader<'static>,
    origin: String,
    /// By serial number.
    keys: HashMap<Vec<u8>, Arc<Signer>>,
    signatures: RequestVerifier,
}

/// A certificate that may have signed a request.
struct Signer {
    /// Its entry.
    index: u64,
    /// Whether it is a controller's: of agents only renewals are taken.
    controls: bool,
    key: PublicKey,
}

impl Verifier {
    /// For requests to the log of this origin; certificates are looked up by the reader.
    pub(crate) fn new(reader: Reader<'static>, origin: &str) -> Self {
        Self {
            reader,
            origin: origin.to_owned(),
            keys: HashMap::new(),
            signatures: RequestVerifier::default(),
        }
    }

    /// Decodes a request and verifies its signature. When it was signed is not looked at: that takes a clock.
    ///
    /// # Errors
    /// [`Reason::RequestMalformed`], [`Reason::CallerUnknown`] or [`Reason::SignatureInvalid`].
    pub(crate) fn verify(&mut self, presented: &Presented, signed: Signed) -> Result<SignedRequest, Refusal> {
        let Signed { method, body, signature } = signed;
        let most = if method.ends_with("/BatchCreateAgents") { BATCH_BODY_MAX } else { BODY_MAX };
        if body.len() > most {
            let message = format!("{} octets, more than the {most} of any good request", body.len());
            return Err(Refusal::malformed("body", message));
        }
        let signature = recorded(method, &body, signature.unwrap_or_default())?;
        let signer = self.signer(&presented.serial)?;
        // Before anything of it is read: a large body of one who may not ask so costs the time of all.
        if !signer.controls && !signature.method.ends_with("/RenewCertificate") {
            return Err(Refusal::not_allowed("an agent"));
        }
        let terms =
            Terms { origin: &self.origin, serial: &presented.serial, time_unix_ms: signature.time_unix_ms };
        let verified = self.signatures.verify(&signer.key, &terms, &signature);
        verified.map_err(|BadSignature| invalid(&terms, &signature.method))?;
        let request =
            Request::decode(&signature.method, &body).map_err(|no| Refusal::malformed("body", no))?;
        Ok(SignedRequest { request, body, signature, certificate: signer.index })
    }

    fn signer(&mut self, serial: &[u8]) -> Result<Arc<Signer>, Refusal> {
        if let Some(known) = self.keys.get(serial) {
            return Ok(Arc::clone(known));
        }
        let row = self.reader.certificate_by_serial(serial)?.ok_or_else(callers::unknown)?;
        let controls = row.subject.starts_with("/controller/");
        let signer = Arc::new(Signer { index: row.index, controls, key: self.key(row.index, serial)? });
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        self.keys.insert(serial.to_owned(), Arc::clone(&signer));
        Ok(signer)
    }

    /// The key of the certificate that an entry records.
    fn key(&self, index: u64, serial: &[u8]) -> Result<PublicKey, JournalError> {
        let corrupt = |what: &str| JournalError::Corrupt(format!("entry {index}: {what}"));
        let body = self.reader.entry(index)?.ok_or_else(|| corrupt("not there"))?;
        let Some(Kind::Issuance(issuance)) =
            entry::decode(&body).map_err(|error| corrupt(&error.to_string()))?.kind
        else {
            return Err(corrupt("no certificate"));
        };
        let tbs = TbsFields::parse(&issuance.tbs).map_err(|error| corrupt(&error.to_string()))?;
        if tbs.serial != serial {
            return Err(corrupt("another serial number than its row says"));
        }
        PublicKey::try_from(tbs.spki.as_slice()).map_err(|error| corrupt(&error.to_string()))
    }
}

/// A signature as the ledger records it.
fn recorded(
    method: String,
    body: &[u8],
    signature: v1::RequestSignature,
) -> Result<RequestSignature, Refusal> {
    let v1::RequestSignature { time_unix_ms, size, index, path, signature } = signature;
    if signature.is_empty() {
        return Err(Refusal::new(
            Reason::SignatureInvalid,
            "the request is not signed: sign it with the key of your certificate (docs/reference/api.md, RequestSignature)",
        )
        .on("signature"));
    }
    let request_sha256 = Sha256::digest(body).to_vec();
    Ok(RequestSignature { method, request_sha256, time_unix_ms, size, index, path, signature })
}

/// It says what was expected: a signature does not tell what was signed instead.
fn invalid(terms: &Terms<'_>, method: &str) -> Refusal {
    Refusal::new(
        Reason::SignatureInvalid,
        format!(
            "the signature is not by the key of the presented certificate (serial {}) over this body, for the method {method} and the log {}",
            data_encoding::HEXLOWER.encode(terms.serial).trim_start_matches('0'),
            terms.origin
        ),
    )
    .on("signature")
}
