//! Whom the cell trusts: its issuer up to an anchor of the officers' bundle, and the log's key.

use certs::compose::join;
use certs::{Issuer, PublicKey, SignatureAlgorithm, TbsFields};
use ledger::bundle::{Bundle, Log};
use ledger::entry::{self, CaRole, entry::Kind};

use crate::charters;
use crate::journal::{Journal, JournalError, Reader};
use crate::start_error::StartError;

/// Whom the cell trusts, read from the journal's tables. A start holds these against the entries before anything is signed.
pub(crate) struct Trust {
    pub(crate) issuer: Issuer,
    pub(crate) issuers: Vec<Issuer>,
    /// Last second of the anchor that expires first, in seconds since 1970.
    pub(crate) root_not_after: u64,
    pub(crate) log: Log,
    /// SHA-256 of the first charter's text.
    pub(crate) charter_sha256: [u8; 32],
}

impl Trust {
    /// # Errors
    /// The cell is not founded to its end, or the journal contradicts itself.
    pub(crate) fn read(journal: &Journal) -> Result<Self, StartError> {
        let reader = journal.reader();
        let (bundle, _) = charters::bundle(&reader)?;
        let active = reader.active_issuer()?.ok_or(StartError::Unfounded("no issuer is active"))?;
        let issuers = issuers(&reader)?;
        let issuer = issuers.iter().find(|issuer| issuer.spki_sha256() == *active.spki_sha256).cloned();
        let issuer = issuer.ok_or(StartError::Unfounded("the issuer's certificate is not signed"))?;
        if !is_anchored(&issuer, &bundle) {
            return Err(JournalError::Corrupt(
                "the active issuer leads to no anchor of the trust bundle".into(),
            )
            .into());
        }
        let log = bundle.log(journal.origin());
        let log = log.ok_or(StartError::Unfounded("the trust bundle names no key for this log"))?;
        Ok(Self {
            charter_sha256: charters::chain(&reader)?.first().sha256(),
            issuers,
            root_not_after: bundle
                .anchors()
                .iter()
                .filter_map(|anchor| Issuer::parse(anchor).ok())
                .map(|anchor| anchor.validity().not_after())
                .min()
                .unwrap_or_default(),
            issuer,
            log: log.clone(),
        })
    }
}

/// Every issuer whose certificate the ledger holds with its signature, the oldest first. Each is its signer's: a root of the ledger, or an
/// anchor that officers published, as the root of an older PKI or of another cell is.
///
/// # Errors
/// The journal contradicts itself.
pub(crate) fn issuers(reader: &Reader<'_>) -> Result<Vec<Issuer>, JournalError> {
    let (mut signers, mut issuers) = (published(reader)?, Vec::new());
    for row in reader.cas()? {
        let corrupt =
            |what: &str| JournalError::Corrupt(format!("the CA certificate at entry {}: {what}", row.index));
        let body = reader.entry(row.index)?.ok_or_else(|| corrupt("not there"))?;
        let decoded = entry::decode(&body).map_err(|error| corrupt(&error.to_string()))?;
        let Some(Kind::CaCertificate(ca)) = decoded.kind else { return Err(corrupt("another entry")) };
        let Some((signature, _)) = reader.signature(row.index)? else { continue };
        let parsed = if ca.role() == CaRole::Root {
            let key = TbsFields::parse(&ca.tbs).map_err(|error| corrupt(&error.to_string()))?.spki;
            let key = PublicKey::try_from(key.as_slice()).map_err(|error| corrupt(&error.to_string()))?;
            join(&ca.tbs, SignatureAlgorithm::of(key.kind()), &signature)
        } else {
            let signer = signers.iter().find(|signer| signer.spki_sha256() == *ca.signer_spki_sha256);
            let signer = signer.ok_or_else(|| corrupt("its signer is not there"))?;
            signer.verify(&ca.tbs, &signature).map_err(|_| corrupt("it is not its signer's"))?;
            join(&ca.tbs, signer.algorithm(), &signature)
        };
        let parsed = Issuer::parse(&parsed).map_err(|error| corrupt(&error.to_string()))?;
        match ca.role() {
            CaRole::Issuer => issuers.push(parsed),
            CaRole::Root => {
                parsed.verify(&ca.tbs, &signature).map_err(|_| corrupt("it is not its own"))?;
                signers.push(parsed);
            }
            CaRole::Cross | CaRole::Unspecified => {}
        }
    }
    Ok(issuers)
}

/// The anchors of every trust bundle so far. Which one was in force when a certificate came, its import judged.
pub(crate) fn published(reader: &Reader<'_>) -> Result<Vec<Issuer>, JournalError> {
    let bundles = charters::bundles(reader)?;
    let anchors = bundles.iter().flat_map(|contents| &contents.anchors);
    Ok(anchors.filter_map(|anchor| Issuer::parse(anchor).ok()).collect())
}

/// Whether one of the bundle's anchors signed an issuer's certificate.
pub(crate) fn is_anchored(issuer: &Issuer, bundle: &Bundle) -> bool {
    let anchors = bundle.anchors().iter().filter_map(|anchor| Issuer::parse(anchor).ok());
    anchors.into_iter().any(|anchor| anchor.verify_certificate(issuer.certificate_der()).is_ok())
}
