//! Where things are: the service's data, the officer's files, this user's controllers, what this user's tokens refused.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{ConfigError, Problem};

/// The directories, each an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    data: PathBuf,
    officer: PathBuf,
    config: PathBuf,
    state: PathBuf,
}

impl Places {
    /// From the flags, and where they are not given from the environment (XDG Base Directory Specification).
    ///
    /// # Errors
    /// A directory is not named, and there is no home directory.
    pub(crate) fn new(
        data: Option<&Path>,
        officer: Option<&Path>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        // The specification: paths that are not absolute are ignored.
        let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let base = |variable: &str, below: &str| {
            absolute(variable)
                .or_else(|| home.as_ref().map(|home| home.join(below)))
                .map(|dir| dir.join("rootcellar"))
        };
        let config = base("XDG_CONFIG_HOME", ".config");
        let data = named(data)?.or_else(|| base("XDG_DATA_HOME", ".local/share"));
        let officer = named(officer)?.or_else(|| config.as_ref().map(|config| config.join("officer")));
        let missing =
            |flag| ConfigError::of(Problem::whole(format!("there is no home directory: give {flag}")));
        let data = data.ok_or_else(|| missing("--data-dir DIR"))?;
        // A service has no home: it opens neither controllers nor the officer's files, which would lie beside its data.
        let officer = officer.unwrap_or_else(|| data.join("officer"));
        let config = config.unwrap_or_else(|| data.join("user"));
        let at_home = home.filter(|home| home.is_dir()).map(|home| home.join(".local/state"));
        let state = absolute("XDG_STATE_HOME").or(at_home).map(|dir| dir.join("rootcellar"));
        let state = state.unwrap_or_else(|| data.clone());
        Ok(Self { data, officer, config, state })
    }

    /// The service's directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The officer's directory.
    pub(crate) fn officer(&self) -> &Path {
        &self.officer
    }

    /// This user's directory.
    pub(crate) fn config(&self) -> &Path {
        &self.config
    }

    /// Where the record of refused PINs is: one for all commands and cells of this user, so that no token is tried twice with one wrong PIN
    /// because it was reached in two ways (invariant I7). Of a user without a home it is the service's directory.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// A text with `{data}` and `{officer}` filled in.
    pub(super) fn fill(&self, text: &str) -> String {
        text.replace("{data}", &self.data.to_string_lossy())
            .replace("{officer}", &self.officer.to_string_lossy())
    }
}

fn named(path: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    let absolute = path.map(std::path::absolute).transpose();
    absolute.map_err(|error| ConfigError::of(Problem::whole(format!("a directory cannot be used: {error}"))))
}
