//! A token's profile: a TOML file that says how its module is loaded and what it can.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use audit::{KeyAttributes, NotInCustody, Provenance};
use serde::Deserialize;

use crate::error::TokenError;

mod quirks;
mod set_up;

pub(crate) use quirks::Omitted;

/// The profiles that ship, by name: one for each token that our tests run.
const SHIPPED: [(&str, &str); 3] = [
    ("softhsm2", include_str!("../profiles/softhsm2.toml")),
    ("kryoptic", include_str!("../profiles/kryoptic.toml")),
    ("tpm2", include_str!("../profiles/tpm2.toml")),
];
/// The template that ships for every token without a profile of its own.
const TEMPLATE: &str = include_str!("../profiles/template.toml");
/// What stands for the token's directory in the values of a profile.
const DIR: &str = "{dir}";
/// Most sessions that a profile may ask for.
const SESSIONS_MAX: u16 = 256;

/// How a token's module is loaded and what it can. Unknown keys are refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name for lists and reports.
    pub name: String,
    pub(crate) module: Vec<PathBuf>,
    sessions: u16,
    /// Whether software may initialise a token here.
    pub initializable: bool,
    /// `CK_TOKEN_INFO.model` of a token that is initialised here, so that a plan can name it before there is one; else empty.
    #[serde(default)]
    pub model: String,
    pub(crate) files: String,
    /// What attests that a key was made in hardware.
    pub attestation: String,
    pub(crate) provenance_exceptions: Vec<Provenance>,
    #[serde(default)]
    pub(crate) generation_omits: Vec<Omitted>,
    /// Whether the module is loaded anew before each key is made.
    #[serde(default)]
    pub reopen_to_generate: bool,
    #[serde(default)]
    pub(crate) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) setup: BTreeMap<String, String>,
}

/// The operator's: a profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No file, and no profile of that name.
    #[error("`{name}` is no profile that ships with rootcellar ({names}), and {source}",
        names = shipped().collect::<Vec<_>>().join(", "))]
    Unreadable {
        /// Name or path.
        name: String,
        /// Why the file could not be read.
        source: std::io::Error,
    },
    /// Not the keys or types of a profile.
    #[error("profile {name}: {reason}")]
    Malformed {
        /// Name or path.
        name: String,
        /// What is wrong, with the line.
        reason: String,
    },
}

impl Profile {
    /// The profile of that name, or the one in the file of that path.
    ///
    /// # Errors
    /// There is none, or it is malformed.
    pub fn load(name: &str) -> Result<Self, ProfileError> {
        if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
            return Self::parse(name, text);
        }
        let text = fs::read_to_string(name)
            .map_err(|source| ProfileError::Unreadable { name: name.to_owned(), source })?;
        Self::parse(name, &text)
    }

    /// The commented template for a token that has no profile yet.
    pub fn template() -> &'static str {
        TEMPLATE
    }

    fn parse(name: &str, text: &str) -> Result<Self, ProfileError> {
        let malformed = |reason: String| ProfileError::Malformed { name: name.to_owned(), reason };
        let profile: Self = toml::from_str(text).map_err(|error| malformed(error.to_string()))?;
        if profile.module.is_empty() {
            return Err(malformed("`module` names no file".into()));
        }
        if profile.sessions > SESSIONS_MAX {
            return Err(malformed(format!("`sessions` is above {SESSIONS_MAX}")));
        }
        Ok(profile)
    }

    /// A profile for a module of which nothing is known: it may not be initialised, has no files and no quirks.
    pub fn plain(module: &[PathBuf]) -> Self {
        Self {
            name: "plain".into(),
            module: module.to_vec(),
            sessions: 1,
            initializable: false,
            model: String::new(),
            files: String::new(),
            attestation: "none".into(),
            provenance_exceptions: Vec::new(),
            generation_omits: Vec::new(),
            reopen_to_generate: false,
            environment: BTreeMap::new(),
            setup: BTreeMap::new(),
        }
    }

    /// The same profile with these variables in the environment of its module.
    #[must_use]
    pub fn with_environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment.extend(variables);
        self
    }

    pub(crate) fn excepting(mut self, exceptions: &[Provenance]) -> Self {
        self.provenance_exceptions = exceptions.to_vec();
        self
    }

    pub(crate) fn omitting(mut self, omitted: &[Omitted]) -> Self {
        self.generation_omits = omitted.to_vec();
        self
    }

    /// The same profile with another module.
    #[must_use]
    pub fn with_module(mut self, module: PathBuf) -> Self {
        self.module = vec![module];
        self
    }

    /// The module: the first of its places that exists.
    ///
    /// # Errors
    /// None exists.
    pub fn module_path(&self) -> Result<PathBuf, TokenError> {
        let found = self.module.iter().find(|path| path.exists());
        found.cloned().ok_or_else(|| TokenError::NoModule(self.module.clone()))
    }

    /// Sessions that sign at once: what the profile says, or `cores`.
    pub fn sessions(&self, cores: usize) -> usize {
        if self.sessions == 0 {
            cores.clamp(1, usize::from(SESSIONS_MAX))
        } else {
            usize::from(self.sessions)
        }
    }

    /// Names of the I1 claims that this token cannot make.
    pub fn exceptions(&self) -> Vec<String> {
        self.provenance_exceptions.iter().map(ToString::to_string).collect()
    }

    /// Refuses a key of such a token that is not as a CA key must be (invariant I1).
    ///
    /// # Errors
    /// The first attribute at fault.
    pub fn require_custody(&self, attributes: &KeyAttributes) -> Result<(), NotInCustody> {
        attributes.require(&self.exceptions())
    }

    /// Environment of the process that loads the module, with `{dir}` filled in.
    pub fn environment(&self, dir: &Path) -> Vec<(String, String)> {
        self.environment.iter().map(|(name, value)| (name.clone(), fill(value, dir))).collect()
    }

    /// Directory of the token's files under `dir`, where it has files.
    pub fn files(&self, dir: &Path) -> Option<PathBuf> {
        (!self.files.is_empty()).then(|| PathBuf::from(fill(&self.files, dir)))
    }

    /// Makes the token's directories (mode 0700) and its set-up files (mode 0600) where they are missing. A set-up file that was written
    /// for another directory is written anew: the token was moved here, or copied.
    ///
    /// # Errors
    /// The file system's.
    pub fn set_up(&self, dir: &Path) -> Result<(), TokenError> {
        let make = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|source| TokenError::Files { path: path.to_owned(), source })
        };
        make(dir)?;
        if let Some(files) = self.files(dir) {
            make(&files)?;
        }
        self.files_of_setup(dir, |_| true)
    }

    /// The same for a token that is there: no directory and no file is made, but a set-up file that was written for another directory
    /// is written anew.
    ///
    /// # Errors
    /// The file system's.
    pub fn settle_in(&self, dir: &Path) -> Result<(), TokenError> {
        self.files_of_setup(dir, Path::exists)
    }

    fn files_of_setup(&self, dir: &Path, wanted: impl Fn(&Path) -> bool) -> Result<(), TokenError> {
        for (name, text) in &self.setup {
            let path = dir.join(name);
            if wanted(&path) {
                set_up::file(&path, text, &dir.to_string_lossy())
                    .map_err(|source| TokenError::Files { path, source })?;
            }
        }
        Ok(())
    }
}

/// Names of the profiles that ship.
fn shipped() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

fn fill(text: &str, dir: &Path) -> String {
    text.replace(DIR, &dir.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_that_ship_parse() {
        for name in shipped() {
            assert_eq!(Profile::load(name).unwrap().name, name);
        }
        Profile::parse("template", TEMPLATE).unwrap();
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name() {
        let error = Profile::parse("x", &format!("pin = \"1234\"\n{}", SHIPPED[0].1)).unwrap_err();
        assert!(error.to_string().contains("pin"), "{error}");
    }

    #[test]
    fn set_up_writes_private_files_and_keeps_those_that_are_there() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let profile = Profile::load("softhsm2").unwrap();
        profile.set_up(dir.path()).unwrap();
        let conf = dir.path().join("softhsm2.conf");
        assert_eq!(fs::metadata(&conf).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&conf).unwrap().contains(&*dir.path().to_string_lossy()));
        fs::write(&conf, "kept").unwrap();
        profile.set_up(dir.path()).unwrap();
        assert_eq!(fs::read_to_string(&conf).unwrap(), "kept");
    }
}
