//! A loaded PKCS#11 module and the lock before it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};

use crate::error::TokenError;
use sys::durable;

/// A loaded and initialised module. It is global to its process: load each once.
pub struct Module {
    library: Pkcs11,
    path: PathBuf,
    /// Signing and random numbers hold it shared, all else alone: in SoftHSM2 2.6.1 key generation races with finding objects
    /// (upstream #576), and `C_Finalize` during `C_Sign` crashes it and tpm2-pkcs11.
    gate: RwLock<()>,
}

/// What the module says of itself (PKCS#11 v3.1 §3.1, CK_INFO).
#[derive(Clone, Debug, serde::Serialize)]
pub struct ModuleInfo {
    /// File it was loaded from.
    pub path: PathBuf,
    /// Manufacturer of the library.
    pub manufacturer: String,
    /// Description of the library.
    pub description: String,
    /// Version of the library.
    pub version: String,
    /// Version of PKCS#11 that it speaks.
    pub cryptoki_version: String,
}

impl Module {
    /// Loads the module at `path` and initialises it.
    ///
    /// # Errors
    /// It is no PKCS#11 module, or it refuses; or others than this user and root can change it ([`TokenError::Exposed`]).
    pub fn load(path: &Path) -> Result<Arc<Self>, TokenError> {
        let failed = |source| TokenError::Files { path: path.to_owned(), source };
        // A link is followed once: what it leads to later is not loaded.
        let path = durable::unexposed(path)
            .map_err(failed)?
            .map_err(|durable::Exposed(part)| TokenError::Exposed(part))?;
        let library = Pkcs11::new(&path)?;
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Arc::new(Self { library, path, gate: RwLock::new(()) }))
    }

    /// What the module says of itself.
    ///
    /// # Errors
    /// It does not answer.
    pub fn info(&self) -> Result<ModuleInfo, TokenError> {
        let (library, _alone) = self.alone();
        let info = library.get_library_info()?;
        Ok(ModuleInfo {
            path: self.path.clone(),
            manufacturer: text(info.manufacturer_id()),
            description: text(info.library_description()),
            version: info.library_version().to_string(),
            cryptoki_version: info.cryptoki_version().to_string(),
        })
    }

    /// For signing and random numbers.
    pub(crate) fn shared(&self) -> RwLockReadGuard<'_, ()> {
        self.gate.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// For everything else.
    pub(crate) fn alone(&self) -> (&Pkcs11, RwLockWriteGuard<'_, ()>) {
        (&self.library, self.gate.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Module {
    /// Finalizes the module (PKCS#11 v3.1 §5.4.2). Every session holds the module, so none is left and no thread is inside.
    fn drop(&mut self) {
        if let Err(error) = self.library.clone().finalize() {
            tracing::debug!(cause = ?error, "the module did not finalize");
        }
    }
}

/// A text as a module gives it, without its padding: tpm2-pkcs11 1.9 pads with NUL, where the standard says blanks (PKCS#11 v3.1 §3.1). What no
/// note may hold, and would write over a terminal, is replaced.
pub(crate) fn text(said: &str) -> String {
    let said = said.trim_end_matches(['\0', ' ']);
    said.chars().map(|c| if audit::is_deceptive(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("path", &self.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_goes_and_controls_do_not_stay() {
        assert_eq!(text("SLB9670\0\0\0"), "SLB9670");
        assert_eq!(text("SLB9670 \0 "), "SLB9670");
        assert_eq!(text("one\ntwo\u{1b}[2J"), "one\u{fffd}two\u{fffd}[2J");
        assert_eq!(text("good\u{202e}dab"), "good\u{fffd}dab");
        assert_eq!(text("\0"), "");
    }
}
