//! Where a PIN comes from, and the PIN itself.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::attempt::{PinRefused, TriesUsed};

/// Longest PIN: more than any token takes.
const PIN_MAX: usize = 256;

/// A PIN, or that it is entered at the token itself. Wiped when dropped; `Debug` shows nothing of it.
pub struct Pin(Option<SecretString>);

/// Where a PIN comes from, in the order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinSource {
    /// A systemd credential of this name (`$CREDENTIALS_DIRECTORY/NAME`).
    Credential(String),
    /// A file that only its owner can read (mode 0400 or 0600).
    File(PathBuf),
    /// An open file descriptor, read to its end once.
    Fd(u32),
    /// Asked for on the terminal.
    Prompt,
    /// Entered at the token, on its own PIN pad: this program never has it (PKCS#11 v3.1 §5.6.8, CKF_PROTECTED_AUTHENTICATION_PATH).
    Protected,
    /// An environment variable. Others of the same user can read it: every use logs a warning.
    Environment(String),
}

/// A PIN could not be had or was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The operator's: no such source.
    #[error("`{0}` is no PIN source: write credential:NAME, file:PATH, fd:N, prompt, protected or env:NAME")]
    Source(String),
    /// The operator's: a new PIN was entered twice, and not the same.
    #[error("the two PINs differ: none was set; try again")]
    Differ,
    /// The operator's: it could not be read.
    #[error("the PIN could not be read from {source_name}: {cause}")]
    Unreadable {
        /// The source, without any secret.
        source_name: String,
        /// Why.
        cause: io::Error,
    },
    /// The operator's: others could read it too.
    #[error("{path} is readable by others (mode {mode:04o}): chmod 0400 {path}", path = .path.display())]
    TooWide {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The operator's: empty or longer than any token takes.
    #[error("the PIN from {0} is empty or longer than 256 octets")]
    Length(String),
    /// The operator's: the token refused it, now or before.
    #[error(transparent)]
    Refused(#[from] PinRefused),
    /// The operator's: too many PINs were refused in a row.
    #[error(transparent)]
    TriesUsed(#[from] TriesUsed),
    /// The token's: one more wrong PIN would lock it, or it is locked.
    #[error(
        "the token {0}: unlock it with the vendor's tool and the SO PIN, then start again. No login was tried"
    )]
    Locked(&'static str),
    /// The token's: whether one more wrong PIN would lock it cannot be read.
    #[error(
        "the token's flags cannot be read (C_GetTokenInfo), so that one more wrong PIN may lock it: ask its vendor. No login was tried"
    )]
    Untold,
    /// The operator's: the PIN is to be entered at a token that has nothing to enter it at.
    #[error(
        "`protected` means a PIN that is entered at the token, and this one has nothing to enter it at \
         (no CKF_PROTECTED_AUTHENTICATION_PATH): name another PIN source. No login was tried"
    )]
    NoPinPad,
    /// The operator's: a PIN that is entered at the token cannot be set from here.
    #[error("a token whose PIN is entered at it is initialised with its vendor's tool: do so, and try again")]
    NotToBeSetHere,
    /// The operator's: the record of PIN attempts could not be written, so none was made.
    #[error("the record of PIN attempts {path} cannot be kept ({cause}): no login was tried", path = .path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Pin {
    /// Takes a secret as a PIN.
    pub fn new(secret: SecretString) -> Self {
        Self(Some(secret))
    }

    /// The secret given up; none where it is entered at the token.
    pub fn into_secret(self) -> Option<SecretString> {
        self.0
    }

    /// The secret; none where it is entered at the token.
    pub(crate) fn secret(&self) -> Option<&SecretString> {
        self.0.as_ref()
    }

    /// The secret's octets; none at all where it is entered at the token, so that one refused entry there stands for every later one.
    pub(crate) fn expose(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |secret| secret.expose_secret().as_bytes())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("Pin(..)")
    }
}

impl PinSource {
    /// Reads the PIN. A line end after it is no part of it.
    ///
    /// # Errors
    /// It cannot be read, others could read it, or it is empty or too long.
    pub fn read(&self) -> Result<Pin, PinError> {
        self.read_asking("Token PIN: ")
    }

    /// The same for another secret than a token's PIN; `question` is what a terminal is asked.
    ///
    /// # Errors
    /// As [`PinSource::read`].
    pub fn read_asking(&self, question: &str) -> Result<Pin, PinError> {
        let unreadable = |cause| PinError::Unreadable { source_name: self.to_string(), cause };
        let text = match self {
            Self::Protected => return Ok(Pin(None)),
            Self::Credential(name) => {
                let dir = std::env::var_os("CREDENTIALS_DIRECTORY")
                    .ok_or_else(|| unreadable(io::Error::other("CREDENTIALS_DIRECTORY is not set")))?;
                regular(&PathBuf::from(dir).join(name)).and_then(read_to_end).map_err(unreadable)?
            }
            Self::File(path) => {
                let file = regular(path).map_err(unreadable)?;
                // Of what was opened: another file may have the name by now.
                let mode = file.metadata().map_err(unreadable)?.mode() & 0o7777;
                if mode & 0o077 != 0 {
                    return Err(PinError::TooWide { path: path.clone(), mode });
                }
                read_to_end(file).map_err(unreadable)?
            }
            // Reopening through /proc takes the descriptor without taking it over.
            Self::Fd(fd) => {
                fs::File::open(format!("/proc/self/fd/{fd}")).and_then(read_to_end).map_err(unreadable)?
            }
            Self::Prompt => Zeroizing::new(rpassword::prompt_password(question).map_err(unreadable)?),
            Self::Environment(name) => {
                tracing::warn!(
                    variable = name,
                    "PIN taken from the environment: other processes of this user can read it"
                );
                environment(name).map_err(unreadable)?
            }
        };
        let pin = text.trim_end_matches(['\r', '\n']);
        if pin.is_empty() || pin.len() > PIN_MAX {
            return Err(PinError::Length(self.to_string()));
        }
        Ok(Pin::new(SecretString::from(pin)))
    }

    /// Whether a restart can read it again without a person.
    pub fn unattended(&self) -> bool {
        !matches!(self, Self::Fd(_) | Self::Prompt | Self::Protected)
    }
}

/// A variable of the environment. What is no text is not repeated: it may be the PIN.
fn environment(name: &str) -> io::Result<Zeroizing<String>> {
    let value = std::env::var_os(name).ok_or_else(|| io::Error::other("it is not set"))?;
    let octets = Zeroizing::new(value.into_vec());
    let text = std::str::from_utf8(&octets).map_err(|_| io::Error::other("it is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Opens a file, and waits for nobody to write into a pipe in its place.
fn regular(path: &Path) -> io::Result<fs::File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let is_file = file.metadata()?.is_file();
    is_file
        .then_some(file)
        .ok_or_else(|| io::Error::other("it is not a regular file; for a pipe there is fd:N"))
}

fn read_to_end(file: fs::File) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(PIN_MAX + 2));
    file.take(PIN_MAX as u64 + 2).read_to_string(&mut text)?;
    Ok(text)
}

impl FromStr for PinSource {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        // What is no source may be the PIN itself, or begin with it: the error repeats nothing but a kind of source.
        let unknown = || {
            let kind = text.split_once(':').map(|(kind, _)| kind);
            let kind = kind.filter(|kind| ["credential", "file", "fd", "env"].contains(kind));
            PinError::Source(kind.unwrap_or("…").to_owned())
        };
        match text.split_once(':') {
            Some(("credential", name)) if !name.is_empty() && !name.contains('/') => {
                Ok(Self::Credential(name.to_owned()))
            }
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(PathBuf::from(path))),
            Some(("fd", number)) => number.parse().map(Self::Fd).map_err(|_| unknown()),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Environment(name.to_owned())),
            None if text == "prompt" => Ok(Self::Prompt),
            None if text == "protected" => Ok(Self::Protected),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for PinSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Fd(number) => write!(f, "fd:{number}"),
            Self::Prompt => f.write_str("prompt"),
            Self::Protected => f.write_str("protected"),
            Self::Environment(name) => write!(f, "env:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(mode: u32, text: &str) -> (tempfile::TempDir, PinSource) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (dir, PinSource::File(path))
    }

    #[test]
    fn a_private_file_is_read_without_its_line_end() {
        let (_dir, source) = file(0o400, "1234\n");
        assert_eq!(source.read().unwrap().expose(), b"1234");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_dir, source) = file(0o440, "1234");
        assert!(matches!(source.read(), Err(PinError::TooWide { mode: 0o440, .. })));
    }

    #[test]
    fn a_pipe_in_a_files_place_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let said = PinSource::File(path).read().unwrap_err().to_string();
        assert!(said.contains("not a regular file"), "{said}");
    }

    #[test]
    fn empty_and_endless_pins_are_refused() {
        for text in ["", "\n", &"1".repeat(257)] {
            let (_dir, source) = file(0o600, text);
            assert!(matches!(source.read(), Err(PinError::Length(_))), "{text:?}");
        }
    }

    #[test]
    fn sources_are_written_as_they_are_read_and_a_bare_pin_is_not_repeated() {
        for text in ["credential:pin", "file:/run/pin", "fd:3", "prompt", "protected", "env:PIN"] {
            assert_eq!(text.parse::<PinSource>().unwrap().to_string(), text);
        }
        for pin in ["s3cret", "s3cret:5678", "s3cret:"] {
            let error = pin.parse::<PinSource>().unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("5678"), "{error}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Pin::new("s3cret".into())), "Pin(..)");
    }
}
