//! What stands in a manifest, read from the token and its module.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::compose::Validity;
use hsm_config::{KeyAttributes, KeyFound, Stray, Token, TokenConfig, TokenError, TokenInfo, TokenSession};
use ledger::custody::{ROOT, UNKNOWN};
use ledger::entry::{
    Attribute, Custody as Manifest, KeyCustody, KeyState, ModuleCustody, RootTokenCustody, TokenCustody,
};
use sha2::{Digest as _, Sha256};

use crate::Clock;
use crate::custody::Custody;
use crate::journal::{JournalError, Reader};
use crate::rollback;
use crate::start_error::StartError;
use crate::trust;

/// The module's file as it was just before it was loaded.
pub(crate) struct LoadedModule {
    path: PathBuf,
    sha256: [u8; 32],
}

/// Observes one token. Owned by the thread that attends it.
pub(crate) struct Observer {
    pub(crate) cell: String,
    pub(crate) custody: Arc<Custody>,
    pub(crate) module: LoadedModule,
    /// Where the roots' keys are: as the founding manifest names it, and of later roots their keys alone.
    pub(crate) roots: Vec<RootTokenCustody>,
    /// Of the issuer's certificate.
    pub(crate) issuer_validity: Validity,
    pub(crate) clock: Clock,
}

impl LoadedModule {
    /// Hashes the files that are about to be loaded, one for each token, and says so where one is not as the newest manifest names it: before
    /// a line of it has run. That is no reason to refuse: every upgrade of the package does it.
    ///
    /// # Errors
    /// There is no module, or it cannot be read; the journal cannot be read.
    pub(crate) fn about_to_be(tokens: &[TokenConfig], reader: &Reader<'_>) -> Result<Vec<Self>, StartError> {
        // Of several tokens one may be gone with its module.
        let there = tokens.iter().filter(|token| tokens.len() == 1 || token.profile.module_path().is_ok());
        let known = reader.newest_custody()?.and_then(|(_, manifest)| manifest.module);
        // Another token's module is another file, and no change.
        let is_only = tokens.len() == 1;
        let known = known.as_ref();
        there.map(|token| Self::read(token, known, is_only)).collect()
    }

    /// The one that the token in use was loaded from.
    ///
    /// # Errors
    /// There is none: our own fault.
    pub(crate) fn of(modules: Vec<Self>, token: &TokenConfig) -> Result<Self, StartError> {
        let path = token.profile.module_path()?;
        let path = path.canonicalize().map_err(|source| TokenError::Files { path, source })?;
        let found = modules.into_iter().find(|module| module.path == path);
        Ok(found.ok_or(TokenError::Malformed("a module that nobody has looked at"))?)
    }

    fn read(token: &TokenConfig, known: Option<&ModuleCustody>, is_only: bool) -> Result<Self, StartError> {
        let path = token.profile.module_path()?;
        let failed = |source| TokenError::Files { path: path.clone(), source };
        let path = path.canonicalize().map_err(failed)?;
        let loaded = Self { sha256: hash(&path).map_err(failed)?, path };
        let known = known.filter(|known| is_only || *known.path == *loaded.path.to_string_lossy());
        if known.is_some_and(|known| known.sha256 != loaded.sha256) {
            tracing::warn!(
                alarm = "module-changed",
                module = %loaded.path.display(),
                sha256 = data_encoding::HEXLOWER.encode(&loaded.sha256),
                "the PKCS#11 module is another file than at the last start"
            );
        }
        Ok(loaded)
    }
}

impl Observer {
    /// Everything that a manifest says but what it differs in.
    ///
    /// # Errors
    /// The token does not answer, or a key is not as a CA key must be.
    pub(crate) fn observe(&self, session: &TokenSession) -> Result<Manifest, TokenError> {
        let [issuer, log] = self.custody.check(session)?;
        let (token, profile) = (self.custody.token(), &self.custody.config().profile);
        let info = token.info();
        let mut exceptions = profile.exceptions();
        exceptions.sort();
        let attestation = &profile.attestation;
        let used = [issuer.key.public_key().to_vec(), log.key.public_key().to_vec()];
        let found = session.keys()?;
        let mut keys = vec![
            key_custody("issuer", &issuer, info, self.issuer_state(), attestation),
            key_custody("log", &log, info, KeyState::Active, attestation),
        ];
        // Whose they are, the ledger says where it knows them.
        let others = found.iter().filter(|found| !used.iter().any(|used| *used == *found.key.public_key()));
        keys.extend(others.map(|key| key_custody(UNKNOWN, key, info, KeyState::Unspecified, attestation)));
        keys.extend(session.strays()?.iter().map(|stray| stray_custody(stray, info, attestation)));
        keys[2..].sort_by(|a, b| (&a.spki_sha256, &a.cka_id).cmp(&(&b.spki_sha256, &b.cka_id)));
        Ok(Manifest {
            root_tokens: self.roots_seen(&found, token)?,
            keys,
            tokens: vec![TokenCustody {
                label: info.label.clone(),
                serial: info.serial.clone(),
                manufacturer: info.manufacturer.clone(),
                model: info.model.clone(),
                firmware: info.firmware.clone(),
                exceptions,
                keeps_checkpoint: rollback::keeps_checkpoint(session, &self.cell)?,
            }],
            module: Some(self.module_custody(token)?),
            ..Manifest::default()
        })
    }

    /// NIST SP 800-57 part 1 §7: an issuer's key is active while its certificate is valid.
    fn issuer_state(&self) -> KeyState {
        let now = u64::try_from((self.clock)().div_euclid(1000)).unwrap_or_default();
        match () {
            () if now < self.issuer_validity.not_before() => KeyState::PreActivation,
            () if now > self.issuer_validity.not_after() => KeyState::Deactivated,
            () => KeyState::Active,
        }
    }

    fn module_custody(&self, token: &Token) -> Result<ModuleCustody, TokenError> {
        let info = token.module().info()?;
        Ok(ModuleCustody {
            path: self.module.path.display().to_string(),
            sha256: self.module.sha256.to_vec(),
            library: format!("{} {}", info.manufacturer, info.description),
            library_version: info.version,
            cryptoki_version: info.cryptoki_version,
        })
    }

    /// Whether the module shows a root's token, by label and serial number, or the service's token has a key pair with a root's public key. A
    /// serial number alone names no token: tpm2-pkcs11 gives every one the same.
    fn roots_seen(&self, keys: &[KeyFound], token: &Token) -> Result<Vec<RootTokenCustody>, TokenError> {
        let tokens = Token::list(token.module())?;
        let shown: Vec<_> = tokens.iter().map(Token::info).filter(|info| info.initialized).collect();
        let seen = |root: &RootTokenCustody| {
            let is_its = |key: &KeyFound| Sha256::digest(key.key.public_key()).as_slice() == root.spki_sha256;
            let visible = shown.iter().any(|info| is_named(info, root)) || keys.iter().any(is_its);
            RootTokenCustody { visible, ..root.clone() }
        };
        Ok(self.roots.iter().map(seen).collect())
    }
}

/// By both: a serial number alone names no token.
fn is_named(info: &TokenInfo, root: &RootTokenCustody) -> bool {
    !root.label.is_empty() && (&info.label, &info.serial) == (&root.label, &root.serial)
}

/// Where the roots' keys are: the founding manifest names the first one's token; of the other anchors of the trust bundles the key is known.
///
/// # Errors
/// The journal contradicts itself.
pub(crate) fn roots(reader: &Reader<'_>) -> Result<Vec<RootTokenCustody>, JournalError> {
    let founding = reader.founding_custody()?.unwrap_or_default();
    let root = founding.keys.into_iter().filter(|key| key.purpose == ROOT);
    let mut roots: Vec<RootTokenCustody> = root
        .map(|root| RootTokenCustody {
            label: root.token_label,
            serial: root.token_serial,
            spki_sha256: root.spki_sha256,
            visible: false,
        })
        .collect();
    for anchor in trust::published(reader)? {
        let spki_sha256 = anchor.spki_sha256().to_vec();
        if roots.iter().all(|root| root.spki_sha256 != spki_sha256) {
            roots.push(RootTokenCustody { spki_sha256, ..RootTokenCustody::default() });
        }
    }
    Ok(roots)
}

/// A private key that cannot be named by its public half.
fn stray_custody(stray: &Stray, token: &TokenInfo, attestation: &str) -> KeyCustody {
    of_token(UNKNOWN, &stray.id, &stray.attributes, token, attestation)
}

/// What a token says of a private key.
fn of_token(
    purpose: &str,
    cka_id: &[u8],
    attributes: &KeyAttributes,
    token: &TokenInfo,
    attestation: &str,
) -> KeyCustody {
    let attribute =
        |(name, value): (&str, &str)| Attribute { name: name.to_owned(), value: value.to_owned() };
    KeyCustody {
        purpose: purpose.to_owned(),
        cka_id: cka_id.to_vec(),
        token_label: token.label.clone(),
        token_serial: token.serial.clone(),
        attributes: attributes.iter().map(attribute).collect(),
        attestation: attestation.to_owned(),
        ..KeyCustody::default()
    }
}

fn key_custody(
    purpose: &str,
    found: &KeyFound,
    token: &TokenInfo,
    state: KeyState,
    attestation: &str,
) -> KeyCustody {
    KeyCustody {
        spki_sha256: Sha256::digest(found.key.public_key()).to_vec(),
        state: state.into(),
        ..of_token(purpose, found.key.id(), &found.attributes, token, attestation)
    }
}

fn hash(path: &Path) -> io::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut Digesting(&mut hasher))?;
    Ok(hasher.finalize().into())
}

/// A hash that is written to.
struct Digesting<'a>(&'a mut Sha256);

impl io::Write for Digesting<'_> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.update(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_the_roots_serial_number_alone_is_not_the_roots() {
        let zeros = "0000000000000000";
        let root =
            RootTokenCustody { label: "root".into(), serial: zeros.into(), ..RootTokenCustody::default() };
        let token =
            |label: &str| TokenInfo { label: label.into(), serial: zeros.into(), ..TokenInfo::default() };
        assert!(is_named(&token("root"), &root));
        assert!(!is_named(&token("issuing"), &root), "two TPMs");
    }
}
