//! An officer's own key: found, opened, ready to sign.

use std::path::PathBuf;

use ceremony::host::HostError;
use ceremony::officer::{KeyFile, OfficerKey};
use secrecy::SecretString;

use crate::error::Failure;
use crate::session::Session;
use crate::tokens::{self, Which};

/// Name of the officer's key.
pub(crate) const KEY: &str = "officer.key";

/// The passphrase of the officer's key, taken as the configuration says.
///
/// # Errors
/// It cannot be read, or is one that is entered at a token.
pub(crate) fn passphrase(session: &Session) -> Result<SecretString, Failure> {
    let read = session.config()?.passphrase().read_asking("Passphrase of the officer's key: ");
    let secret = read.map_err(|error| Failure::new("PASSPHRASE", error))?.into_secret();
    secret.ok_or_else(|| Failure::usage("a passphrase is not entered at a token"))
}

/// An officer's key, ready to sign: the one of this file, or of the officer's directory; opened with its passphrase, or in its token.
/// From then on nobody else's process can look into this one, and nothing of the key is in a core dump.
///
/// # Errors
/// It cannot be used.
pub(crate) fn load(session: &Session, file: Option<&PathBuf>) -> Result<(PathBuf, OfficerKey), Failure> {
    sys::harden().map_err(|error| Failure::new("OFFICER", error))?;
    let (path, file) = read(session, file)?;
    let malformed = |error| Failure::malformed(&path, error);
    let key = match file {
        KeyFile::Plain(key) => key,
        KeyFile::Sealed(sealed) => sealed.open(&passphrase(session)?).map_err(malformed)?,
        KeyFile::Held(key) => {
            let failed = |error: HostError| Failure::new("TOKEN", error);
            let mut host = tokens::process(session, &session.config()?, Which::Officer)?;
            host.open(false)
                .map_err(failed)?
                .ok_or_else(|| Failure::new("TOKEN", "the officer's token is not there"))?;
            let spki = audit::note_spki(&key);
            OfficerKey::in_token(key, spki, host)
        }
    };
    Ok((path, key))
}

/// The key file that is named, or the one of the officer's directory, and where it is.
///
/// # Errors
/// It is not there, or is none.
pub(crate) fn read(session: &Session, file: Option<&PathBuf>) -> Result<(PathBuf, KeyFile), Failure> {
    let path = match file {
        Some(path) => path.clone(),
        None => session.places()?.officer().join(KEY),
    };
    let read = KeyFile::read(&path);
    let read =
        read.map_err(|error| Failure::malformed(&path, error).mended_by("the same with --officer-key FILE"))?;
    Ok((path, read))
}
