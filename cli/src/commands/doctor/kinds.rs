//! Of which kind the keys in use are: what service and token say of them, and where they say nothing, what the configuration has for new ones.

use hsm_config::KeyAlgorithm;

use super::facts::Facts;
use super::service::Service;
use crate::config::Config;

/// Kinds of the keys that sign.
pub(super) struct Kinds {
    pub(super) issuer: KeyAlgorithm,
    pub(super) log: KeyAlgorithm,
    /// Of each anchor of the bundle.
    pub(super) roots: Vec<KeyAlgorithm>,
}

impl Kinds {
    /// From everything that was told.
    pub(super) fn of(config: &Config, service: Option<&Service>, facts: Option<&Facts>) -> Self {
        let in_use = |purpose| {
            let (sha256, inside) = (service?.key_in_use(purpose)?, facts?.inside.as_ref().ok()?);
            inside.keys.iter().find(|key| key.spki_sha256 == sha256)?.algorithm.parse().ok()
        };
        let roots = service.map(|service| service.roots.clone()).filter(|roots| !roots.is_empty());
        Self {
            issuer: in_use("issuer").unwrap_or(config.issuing_key()),
            log: in_use("log").unwrap_or(config.log_key()),
            roots: roots.unwrap_or_else(|| vec![config.root_key()]),
        }
    }
}
