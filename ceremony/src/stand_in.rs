//! Keys that stand in for those a plan makes, so that its certificates can be composed and linted before any key is made. They are made
//! in memory, sign nothing, and are gone at once.

use std::collections::BTreeMap;

use certs::PublicKey;
use hsm_config::KeyAlgorithm;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
    PublicKeyData as _, RsaKeySize,
};

/// Public keys by the names that a plan gives them.
#[derive(Default)]
pub(crate) struct StandIns(BTreeMap<String, PublicKey>);

impl StandIns {
    /// Makes one of this kind.
    ///
    /// # Errors
    /// No such kind.
    pub(crate) fn make(&mut self, name: &str, algorithm: &str) -> Result<(), String> {
        let said = |error: rcgen::Error| error.to_string();
        let algorithm: KeyAlgorithm =
            algorithm.parse().map_err(|error: hsm_config::UnknownAlgorithm| error.to_string())?;
        let pair = match algorithm {
            KeyAlgorithm::EcdsaP256 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyAlgorithm::EcdsaP384 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            KeyAlgorithm::Ed25519 => KeyPair::generate_for(&PKCS_ED25519),
            KeyAlgorithm::RsaPss(2048) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
            KeyAlgorithm::RsaPss(3072) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072),
            // Every string of its length is such a key, and this one is nobody's.
            KeyAlgorithm::MlDsa65 => {
                let spki = hsm_config::nobodys_ml_dsa_65().map_err(|error| error.to_string())?;
                return self.keep(name, &spki);
            }
            KeyAlgorithm::RsaPss(_) => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_4096),
        };
        self.keep(name, &pair.map_err(said)?.subject_public_key_info())
    }

    fn keep(&mut self, name: &str, spki: &[u8]) -> Result<(), String> {
        let key = PublicKey::try_from(spki).map_err(|error| error.to_string())?;
        self.0.insert(name.to_owned(), key);
        Ok(())
    }

    /// The public key of this name.
    pub(crate) fn public_key(&self, name: &str) -> Option<PublicKey> {
        self.0.get(name).cloned()
    }
}
