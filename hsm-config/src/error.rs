//! What a token answers when it does not do as asked, classed by what helps.

use std::path::PathBuf;

use cryptoki::error::{Error, RvError};

use crate::pin::PinError;
use crate::profile::ProfileError;
use audit::NotInCustody;

/// A token did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The operator's: no module lies where the profile looks.
    #[error("no PKCS#11 module at {}: install it (Debian: apt-get install softhsm2) or set `module` in the token's profile",
        .0.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NoModule(Vec<PathBuf>),
    /// The operator's: no token has that label or serial.
    #[error("no token matches {wanted}; there are: {}", if .present.is_empty() { "none".into() } else { .present.join(", ") })]
    NoToken {
        /// The URI that was looked for.
        wanted: String,
        /// Labels and serials of the tokens that are there.
        present: Vec<String>,
    },
    /// The operator's: more than one token has that label.
    #[error("{count} tokens match {wanted}: name one by its serial (`rootcellar token list` shows them)")]
    ManyTokens {
        /// The URI that was looked for.
        wanted: String,
        /// How many matched.
        count: usize,
    },
    /// The operator's: the token has no key with the public key of the certificate, or more than one.
    #[error("the token holds {count} private keys for the public key {spki}; exactly one is needed")]
    KeyNotUnique {
        /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
        spki: String,
        /// How many it holds.
        count: usize,
    },
    /// The token's: the key is not as a CA key must be (invariant I1).
    #[error(transparent)]
    Custody(#[from] NotInCustody),
    /// The operator's: the PIN is wrong, locked, or was refused before (invariant I7).
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The operator's: the token's profile cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The token's: it answered with something that is not as long, or not of the form, that it must be.
    #[error("the token returned {0}")]
    Malformed(&'static str),
    /// The token's: an unfit key that it would not destroy again. It has signed nothing, and must go.
    #[error(
        "{why}; the key under CKA_ID {id} could not be destroyed again ({error}): destroy it by the vendor's tool"
    )]
    LeftBehind {
        /// CKA_ID, hexadecimal.
        id: String,
        /// Why it is unfit.
        why: Box<TokenError>,
        /// Why it is still there.
        error: Box<TokenError>,
    },
    /// The operator's: files beside the token could not be written or synced.
    #[error("{path}: {source}", path = .path.display())]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The operator's: what is loaded into this process could be changed by others.
    #[error("{path} can be changed by others, and is loaded into the process that signs: `chmod go-w {path}`, or have root own it", path = .0.display())]
    Exposed(PathBuf),
    /// The token's, or its driver's: a PKCS#11 function failed.
    #[error("{} failed in the token: {}", function(.0), reason(.0))]
    Call(#[source] Error),
}

/// What helps against a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The session is gone: open another.
    Session,
    /// The token forgot the login: log in, once.
    Login,
    /// The handle is stale: find the key again.
    Handle,
    /// The module has lost its token: only a new process heals it.
    Module,
    /// The PIN: nothing may be tried again before a person acts (invariant I7).
    Pin,
    /// This request alone fails.
    Request,
}

impl TokenError {
    /// Which rung of the recovery ladder helps.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Call(Error::Pkcs11(rv, _)) => classify(*rv),
            // A source that is away for a moment is no PIN that was refused: what cost no try may be tried again.
            Self::Pin(PinError::Unreadable { .. }) => Fault::Module,
            Self::Pin(_) => Fault::Pin,
            Self::Malformed(_) | Self::Custody(_) => Fault::Request,
            _ => Fault::Module,
        }
    }
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Whether the token counted a wrong PIN, or takes none.
pub(crate) fn is_of_the_pin(error: &Error) -> bool {
    matches!(error, Error::Pkcs11(rv, _) if classify(*rv) == Fault::Pin)
}

/// The one table of return values (PKCS#11 v3.1 §5.1). A value that is not named here heals only with the process.
fn classify(rv: RvError) -> Fault {
    match rv {
        // A failed operation can leave its session active for good (tpm2-pkcs11 1.9): drop it.
        RvError::OperationActive
        | RvError::OperationNotInitialized
        | RvError::SessionClosed
        | RvError::SessionHandleInvalid
        | RvError::SessionCount => Fault::Session,
        RvError::UserNotLoggedIn => Fault::Login,
        // SoftHSM2 says OBJECT_ for a stale key where the standard says KEY_.
        RvError::ObjectHandleInvalid | RvError::KeyHandleInvalid => Fault::Handle,
        RvError::PinIncorrect
        | RvError::PinInvalid
        | RvError::PinLenRange
        | RvError::PinLocked
        | RvError::PinExpired => Fault::Pin,
        // The request asked for what the key cannot do: another try fails alike.
        RvError::ArgumentsBad
        | RvError::DataInvalid
        | RvError::DataLenRange
        | RvError::MechanismInvalid
        | RvError::MechanismParamInvalid
        | RvError::KeyTypeInconsistent
        | RvError::KeyFunctionNotPermitted
        | RvError::TemplateIncomplete
        | RvError::TemplateInconsistent
        | RvError::AttributeTypeInvalid
        | RvError::AttributeValueInvalid => Fault::Request,
        _ => Fault::Module,
    }
}

fn function(error: &Error) -> String {
    match error {
        Error::Pkcs11(_, function) => format!("C_{function:?}"),
        Error::LibraryLoading(_) => "loading the PKCS#11 module".into(),
        _ => "a PKCS#11 call".into(),
    }
}

/// The name of the return value. cryptoki's own texts are paragraphs of the standard.
fn reason(error: &Error) -> String {
    match error {
        Error::Pkcs11(rv, _) => format!("{rv:?}"),
        Error::LibraryLoading(cause) => cause.to_string(),
        other => format!("{other:?}"),
    }
}
