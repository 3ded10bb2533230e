//! Verifies a caller's signature over its request, with the key of the certificate that it presented, taken from that certificate's entry.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use audit::{Request, RequestVerifier};
use certs::csr::VerifiedCsr;
use certs::{BadSignature, KeyKind, PublicKey};
use ledger::entry::RequestSignature;
use ledger::request::Terms;
use proto::door::{Presented, Signed};
use proto::v1::{self, Reason};
use sha2::{Digest, Sha256};

use crate::callers;
use crate::convert;
use crate::journal::{JournalError, Reader};
use crate::refusal::Refusal;

/// Longest body of a request, in octets: an agent is below it. It is kept beside the journal, however small the budget for entries is.
const BODY_MAX: usize = 8 * 1024;
/// Longest body of one with a CSR of up to 16 KiB, and perhaps an agent.
const CSR_BODY_MAX: usize = 25 * 1024;
/// Longest body of one that creates up to a hundred agents.
const BATCH_BODY_MAX: usize = 512 * 1024;
/// Certificates whose keys are remembered; beyond it all are forgotten and looked up again.
const KEYS_MAX: usize = 4096;

/// A request with a signature that its caller made. Only [`Verifier::verify`] makes one.
#[derive(Clone, Debug)]
pub(crate) struct SignedRequest {
    request: Request,
    body: Vec<u8>,
    /// Where it is for a certificate: the CSR that it holds, or why it is none.
    csr: Option<Result<VerifiedCsr, Refusal>>,
    signature: RequestSignature,
    signer: Arc<Signer>,
}

impl SignedRequest {
    /// What is asked for.
    pub(crate) fn request(&self) -> &Request {
        &self.request
    }

    /// The CSR that it holds, whose signature shows that whoever made it has the key.
    ///
    /// # Errors
    /// It is none.
    pub(crate) fn csr(&self) -> Result<&VerifiedCsr, Refusal> {
        let none = || Err(Refusal::internal("a request without a CSR"));
        self.csr.as_ref().map_or_else(none, |csr| csr.as_ref().map_err(Refusal::clone))
    }

    /// Whether the key that it names takes long to look at.
    pub(crate) fn takes_long(&self) -> bool {
        matches!(&self.csr, Some(Ok(csr)) if matches!(csr.public_key().kind(), KeyKind::Rsa { .. }))
    }

    /// Looks at that key: a CSR whose key anybody could factor is none.
    pub(crate) fn look(&mut self) {
        let weak = |csr: &VerifiedCsr| csr.public_key().demand_hard_to_factor().err();
        if let Some(weak) = self.csr.as_ref().and_then(|csr| weak(csr.as_ref().ok()?)) {
            self.csr = Some(Err(convert::refused_csr(weak.into())));
        }
    }

    /// The bytes that were signed.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// SHA-256 of what makes it this request and no other: what was signed, when, and with which certificate. A signature can have several forms.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        let RequestSignature { request_sha256, time_unix_ms, .. } = &self.signature;
        let mut hash = Sha256::new_with_prefix(request_sha256);
        hash.update(time_unix_ms.to_be_bytes());
        hash.update(self.certificate().to_be_bytes());
        hash.finalize().into()
    }

    /// Whether it led to something that is recorded, so that another can show it again.
    pub(crate) fn was_carried_out(&self, reader: &Reader<'_>, caller: &str) -> Result<bool, JournalError> {
        let Some((_, index)) = reader.request(caller, self.request.request_id())? else { return Ok(false) };
        let Some(body) = reader.entry(index)? else { return Ok(false) };
        let entry = ledger::entry::decode(&body).map_err(|error| JournalError::Corrupt(error.to_string()))?;
        let signed = entry.actor.and_then(|actor| actor.signature);
        Ok(signed.is_some_and(|signed| signed.request_sha256 == self.signature.request_sha256))
    }

    /// As the ledger records it.
    pub(crate) fn signature(&self) -> &RequestSignature {
        &self.signature
    }

    /// The entry of the certificate whose key signed it.
    pub(crate) fn certificate(&self) -> u64 {
        self.signer.index
    }

    /// That the key which signed it is the one of that certificate: it was read from a file, and only the writer can prove what it reads.
    ///
    /// # Errors
    /// It is another: the file is not what it was.
    pub(crate) fn demand_key(&self, writer: &Reader<'_>) -> Result<(), JournalError> {
        if self.signer.proved.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (_, spki) = writer.certified_key(self.signer.index)?;
        if spki != self.signer.spki {
            let index = self.signer.index;
            return Err(JournalError::Corrupt(format!(
                "the key of entry {index} is another than was verified"
            )));
        }
        self.signer.proved.store(true, Ordering::Relaxed);
        Ok(())
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
    /// DER SubjectPublicKeyInfo.
    spki: Vec<u8>,
    /// Whether the writer found it to be what was verified: until then it is read anew for each request.
    proved: AtomicBool,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("index", &self.index).finish_non_exhaustive()
    }
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
        let most = match method.rsplit('/').next() {
            Some("BatchCreateAgents") => BATCH_BODY_MAX,
            Some("IssueCertificate" | "RenewCertificate") => CSR_BODY_MAX,
            _ => BODY_MAX,
        };
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
        let csr = match &request {
            Request::Issue(issue) => Some(convert::csr(&issue.csr)),
            Request::Renew(renew) => Some(convert::csr(&renew.csr)),
            _ => None,
        };
        Ok(SignedRequest { request, body, csr, signature, signer })
    }

    fn signer(&mut self, serial: &[u8]) -> Result<Arc<Signer>, Refusal> {
        if let Some(known) = self.keys.get(serial).filter(|known| known.proved.load(Ordering::Relaxed)) {
            return Ok(Arc::clone(known));
        }
        let row = self.reader.certificate_by_serial(serial)?.ok_or_else(callers::unknown)?;
        let controls = row.subject.starts_with("/controller/");
        let (of, spki) = self.reader.certified_key(row.index)?;
        let corrupt = |what: &str| JournalError::Corrupt(format!("entry {}: {what}", row.index));
        if of != serial {
            return Err(corrupt("another serial number than its row says").into());
        }
        let key = PublicKey::try_from(spki.as_slice()).map_err(|error| corrupt(&error.to_string()))?;
        let signer =
            Arc::new(Signer { index: row.index, controls, key, spki, proved: AtomicBool::new(false) });
        if self.keys.len() >= KEYS_MAX {
            self.keys.clear();
        }
        self.keys.insert(serial.to_owned(), Arc::clone(&signer));
        Ok(signer)
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
