//! What stands in a manifest, read from the token and its module.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use certs::compose::Validity;
use hsm_config::{KeyFound, Token, TokenConfig, TokenError, TokenInfo, TokenSession};
use ledger::entry::{
    Attribute, Custody as Manifest, KeyCustody, KeyState, ModuleCustody, RootTokenCustody, TokenCustody,
};
use sha2::{Digest as _, Sha256};

use crate::Clock;
use crate::custody::Custody;
use crate::journal::Reader;
use crate::start::StartError;

/// Purpose of the root's key in the founding manifest.
const ROOT: &str = "root";

/// The module's file as it was just before it was loaded.
pub(crate) struct LoadedModule {
    path: PathBuf,
    sha256: [u8; 32],
}

/// Observes one token. Owned by the thread that attends it.
pub(crate) struct Observer {
    pub(crate) custody: Arc<Custody>,
    pub(crate) module: LoadedModule,
    /// The root's token as the founding manifest names it; `None` in a journal whose founding has none.
    pub(crate) root: Option<RootTokenCustody>,
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
        there.map(|token| Self::read(token, reader)).collect()
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

    fn read(token: &TokenConfig, reader: &Reader<'_>) -> Result<Self, StartError> {
        let path = token.profile.module_path()?;
        let failed = |source| TokenError::Files { path: path.clone(), source };
        let path = path.canonicalize().map_err(failed)?;
        let loaded = Self { sha256: hash(&path).map_err(failed)?, path };
        let known = reader.newest_custody()?.and_then(|(_, manifest)| manifest.module);
        // Another token's module is another file, and no change.
        let known = known.filter(|known| *known.path == *loaded.path.to_string_lossy());
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
        let keys = [("issuer", issuer, self.issuer_state()), ("log", log, KeyState::Active)];
        Ok(Manifest {
            keys: keys
                .into_iter()
                .map(|(purpose, key, state)| key_custody(purpose, &key, info, state, &profile.attestation))
                .collect(),
            tokens: vec![TokenCustody {
                label: info.label.clone(),
                serial: info.serial.clone(),
                manufacturer: info.manufacturer.clone(),
                model: info.model.clone(),
                firmware: info.firmware.clone(),
                exceptions,
            }],
            module: Some(self.module_custody(token)?),
            root_token: self.root(session, token)?,
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

    /// Whether the module shows the root's token, by label and serial number, or the service's token has a key pair with the root's public
    /// key. A serial number alone names no token: tpm2-pkcs11 gives every one the same.
    fn root(&self, session: &TokenSession, token: &Token) -> Result<Option<RootTokenCustody>, TokenError> {
        let Some(root) = &self.root else { return Ok(None) };
        let tokens = Token::list(token.module())?;
        let shown = tokens.iter().map(Token::info).filter(|info| info.initialized);
        let mut tokens_of_its_name = shown.filter(|info| is_named(info, root));
        let is_root = |key: &KeyFound| Sha256::digest(key.key.public_key()).as_slice() == root.spki_sha256;
        let visible = tokens_of_its_name.next().is_some() || session.keys()?.iter().any(is_root);
        Ok(Some(RootTokenCustody { visible, ..root.clone() }))
    }
}

/// By both: a serial number alone names no token.
fn is_named(info: &TokenInfo, root: &RootTokenCustody) -> bool {
    (&info.label, &info.serial) == (&root.label, &root.serial)
}

/// The root's token as a founding manifest names it.
pub(crate) fn root_of(founding: &Manifest) -> Option<RootTokenCustody> {
    let root = founding.keys.iter().find(|key| key.purpose == ROOT)?;
    Some(RootTokenCustody {
        label: root.token_label.clone(),
        serial: root.token_serial.clone(),
        spki_sha256: root.spki_sha256.clone(),
        visible: false,
    })
}

fn key_custody(
    purpose: &str,
    found: &KeyFound,
    token: &TokenInfo,
    state: KeyState,
    attestation: &str,
) -> KeyCustody {
    let attribute =
        |(name, value): (&str, &str)| Attribute { name: name.to_owned(), value: value.to_owned() };
    KeyCustody {
        purpose: purpose.to_owned(),
        spki_sha256: Sha256::digest(found.key.public_key()).to_vec(),
        cka_id: found.key.id().to_vec(),
        token_label: token.label.clone(),
        token_serial: token.serial.clone(),
        attributes: found.attributes.iter().map(attribute).collect(),
        state: state.into(),
        attestation: attestation.to_owned(),
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
