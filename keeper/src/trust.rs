//! Whom the cell trusts: its issuer up to an anchor of the officers' bundle, and the log's key.

use certs::Issuer;
use ledger::bundle::{Bundle, Log};
use ledger::entry::{self, entry::Kind};
use ledger::note::{Algorithm, VerifierKey};

use crate::charters;
use crate::journal::{Journal, JournalError, Reader};
use crate::start::StartError;

/// SubjectPublicKeyInfo of an Ed25519 key up to its 32 octets (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Whom the cell trusts, read from the journal and checked against the charter.
pub(crate) struct Trust {
    pub(crate) issuer: Issuer,
    pub(crate) issuers: Vec<Issuer>,
    /// Last second of the anchor that expires first, in seconds since 1970.
    pub(crate) root_not_after: u64,
    pub(crate) log: Log,
    /// Entries that the newest checkpoint covers; 0 where there is none.
    pub(crate) checkpoint: u64,
}

impl Trust {
    /// # Errors
    /// The cell is not founded to its end, or the journal contradicts itself or its newest checkpoint.
    pub(crate) fn read(journal: &Journal) -> Result<Self, StartError> {
        let reader = journal.reader();
        let (bundle, _) = charters::bundle(&reader)?;
        let active = reader.active_issuer()?.ok_or(StartError::Unfounded("no issuer is active"))?;
        let issuer = issuer(&reader, active.index, &bundle)?;
        let log = bundle.log(journal.origin());
        let log = log.ok_or(StartError::Unfounded("the trust bundle names no key for this log"))?;
        let checkpoint = reader.checkpoint()?;
        if let Some((size, note)) = &checkpoint {
            let signed = log
                .checkpoint(note.as_bytes())
                .map_err(|error| JournalError::Corrupt(format!("the newest checkpoint: {error}")))?;
            let root = ledger::tree::root_at(&reader, *size)
                .map_err(|error| JournalError::Corrupt(error.to_string()))?;
            if (signed.size, signed.root) != (*size, root) {
                return Err(JournalError::Corrupt(
                    "its tree is not the one that its checkpoint signs".into(),
                )
                .into());
            }
        }
        let covered = checkpoint.map_or(0, |(size, _)| size);
        for index in covered..journal.edge().size() {
            // No checkpoint vouches for these yet; the next one will: each must be what its leaf says.
            let gone = || JournalError::Corrupt(format!("entry {index} is not there"));
            reader.entry(index)?.ok_or_else(gone)?;
        }
        Ok(Self {
            issuers: vec![issuer.clone()],
            root_not_after: bundle
                .anchors()
                .iter()
                .filter_map(|anchor| Issuer::parse(anchor).ok())
                .map(|anchor| anchor.validity().not_after())
                .min()
                .unwrap_or_default(),
            issuer,
            log: log.clone(),
            checkpoint: covered,
        })
    }
}

/// The issuer whose certificate is recorded at `index`; one of the bundle's anchors must have signed it.
fn issuer(reader: &Reader<'_>, index: u64, bundle: &Bundle) -> Result<Issuer, StartError> {
    let corrupt = |what: &str| JournalError::Corrupt(format!("the issuer at entry {index}: {what}"));
    let body = reader.entry(index)?.ok_or_else(|| corrupt("not there"))?;
    let Some(Kind::CaCertificate(ca)) =
        entry::decode(&body).map_err(|error| corrupt(&error.to_string()))?.kind
    else {
        return Err(corrupt("no CA certificate").into());
    };
    let (signature, _) =
        reader.signature(index)?.ok_or(StartError::Unfounded("the issuer's certificate is not signed"))?;
    for anchor in bundle.anchors() {
        let anchor = Issuer::parse(anchor).map_err(|error| corrupt(&error.to_string()))?;
        if anchor.verify(&ca.tbs, &signature).is_ok() {
            let der = certs::compose::join(&ca.tbs, anchor.algorithm(), &signature);
            return Ok(Issuer::parse(&der).map_err(|error| corrupt(&error.to_string()))?);
        }
    }
    Err(corrupt("signed by no anchor of the trust bundle").into())
}

/// SubjectPublicKeyInfo of a note's key, for finding it in the token.
pub(crate) fn spki_of(key: &VerifierKey) -> Vec<u8> {
    match key.algorithm() {
        Algorithm::Ed25519 => [&ED25519_SPKI, key.public_key()].concat(),
        Algorithm::EcdsaP256 => key.public_key().to_vec(),
    }
}
