//! `[token]` and `[root-token]`: two tokens with two PINs, so that the service never holds the root (invariant I1).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hsm_config::{KeyAlgorithm, PinSource, Profile, ProfileError, TokenConfig, TokenUri, UnknownAlgorithm};

use super::file::File;
use super::limits;

/// How long the module may take for a start: some network HSMs take a good part of it.
const START_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Issuing {
    pub(super) token: TokenConfig,
    pub(super) issuing_key: KeyAlgorithm,
    pub(super) log_key: KeyAlgorithm,
    pub(super) start_timeout: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) token: TokenConfig,
    pub(super) key: KeyAlgorithm,
}

impl Issuing {
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        let token = Parts {
            uri: file.value("token.uri", "pkcs11:token=rootcellar-issuing"),
            profile: file.value("token.profile", "softhsm2"),
            module: file.optional("token.module"),
            dir: file.value("token.dir", "{data}/token"),
            pin: file.value("token.pin", "file:{data}/token/pin"),
        };
        let issuing_key = file.value("token.issuing-key", "p256");
        let log_key: Option<LogKey> = file.value("token.log-key", "ed25519");
        let start_timeout = limits::time(file, "token.start-timeout", START_TIMEOUT);
        Some(Self {
            token: token.join()?,
            issuing_key: issuing_key?,
            log_key: log_key?.0,
            start_timeout: start_timeout?,
        })
    }
}

impl Root {
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        let token = Parts {
            uri: file.value("root-token.uri", "pkcs11:token=rootcellar-root"),
            profile: file.value("root-token.profile", "softhsm2"),
            module: file.optional("root-token.module"),
            dir: file.value("root-token.dir", "{officer}/token"),
            pin: file.value("root-token.pin", "file:{officer}/root.pin"),
        };
        let key = file.value("root-token.key", "p256");
        Some(Self { token: token.join()?, key: key? })
    }
}

/// A second token for the service, where there is one: it stands ready for the day when the first is lost.
#[derive(Clone, Debug)]
pub(super) struct Standby(pub(super) Option<TokenConfig>);

impl Standby {
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        let uri: Option<TokenUri> = file.optional("standby-token.uri");
        let parts = Parts {
            uri,
            profile: file.value("standby-token.profile", "softhsm2"),
            module: file.optional("standby-token.module"),
            dir: file.value("standby-token.dir", "{data}/token"),
            pin: file.value("standby-token.pin", "file:{data}/token/standby-pin"),
        };
        if parts.uri.is_none() {
            return Some(Self(None));
        }
        parts.join().map(|token| Self(Some(token)))
    }
}

/// Demands that the modules of both tokens of the service can be loaded by one process: a variable has one value there, and whichever won, the
/// other token would be another one than the configuration says.
pub(super) fn one_environment(file: &mut File<'_>, issuing: &TokenConfig, standby: &TokenConfig) {
    let wanted = issuing.environment();
    for (name, value) in standby.environment() {
        let other = wanted.iter().find(|(known, other)| *known == name && *other != value);
        if let Some((_, other)) = other {
            let what = format!(
                "the service's tokens want the module's variable {name} to be {other} and {value}, and one process loads both: give both the same \
                 dir and profile, or the standby a module that reads another variable"
            );
            file.refuse("standby-token.dir", what);
        }
    }
}

/// The officer's own key: the source of its passphrase, and the token that holds it, where one does.
#[derive(Clone, Debug)]
pub(super) struct Officer {
    pub(super) passphrase: PinSource,
    pub(super) token: Option<TokenConfig>,
    pub(super) key: KeyAlgorithm,
}

impl Officer {
    pub(super) fn read(file: &mut File<'_>) -> Option<Self> {
        let passphrase = file.value("officer.passphrase", "prompt");
        let uri: Option<TokenUri> = file.optional("officer.token");
        let parts = Parts {
            uri,
            profile: file.value("officer.profile", "softhsm2"),
            module: file.optional("officer.module"),
            dir: file.value("officer.dir", "{officer}/key-token"),
            pin: file.value("officer.pin", "prompt"),
        };
        let key: Option<LogKey> = file.value("officer.key", "p256");
        let token = if parts.uri.is_none() { None } else { Some(parts.join()?) };
        Some(Self { passphrase: passphrase?, token, key: key?.0 })
    }
}

/// A token's values, each of which may be a problem that is noted already.
struct Parts {
    uri: Option<TokenUri>,
    profile: Option<Loaded>,
    module: Option<PathBuf>,
    dir: Option<PathBuf>,
    pin: Option<PinSource>,
}

impl Parts {
    fn join(self) -> Option<TokenConfig> {
        let Loaded(profile) = self.profile?;
        let profile = match self.module {
            Some(module) => profile.with_module(module),
            None => profile,
        };
        Some(TokenConfig { uri: self.uri?, profile, dir: self.dir?, pin: self.pin? })
    }
}

/// A profile by its name or path.
struct Loaded(Profile);

impl FromStr for Loaded {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, ProfileError> {
        Profile::load(name).map(Self)
    }
}

/// A key that can sign notes.
struct LogKey(KeyAlgorithm);

#[derive(Debug, thiserror::Error)]
enum LogKeyError {
    #[error(transparent)]
    Unknown(#[from] UnknownAlgorithm),
    #[error("a log's key is ed25519 or p256: signed notes know no other (c2sp.org/signed-note)")]
    NotForNotes,
}

impl FromStr for LogKey {
    type Err = LogKeyError;

    fn from_str(text: &str) -> Result<Self, LogKeyError> {
        match text.parse()? {
            key @ (KeyAlgorithm::Ed25519 | KeyAlgorithm::EcdsaP256) => Ok(Self(key)),
            KeyAlgorithm::EcdsaP384 | KeyAlgorithm::RsaPss(_) | KeyAlgorithm::MlDsa65 => {
                Err(LogKeyError::NotForNotes)
            }
        }
    }
}
