//! Which controller asks, and with which credentials.

use std::path::{Path, PathBuf};

use client::{Caller, Credentials, Pair};
use sys::files::FileError;

use super::As;
use crate::error::Failure;
use crate::session::Session;

/// Connects as the controller that was named, or as the only one there is; past half of its certificate's life renews that first.
///
/// # Errors
/// There is none, or more than one; the service refuses, or what it says does not verify.
pub(crate) async fn connect(session: &Session, who: &As) -> Result<Caller, Failure> {
    let oid = session.config()?.attributes_oid();
    Ok(Caller::connect(credentials(session, who)?, session.clock(), oid).await?)
}

/// The same without renewing.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn present(session: &Session, who: &As) -> Result<Caller, Failure> {
    let oid = session.config()?.attributes_oid();
    Ok(Caller::present(credentials(session, who)?, session.clock(), oid).await?)
}

fn credentials(session: &Session, who: &As) -> Result<Credentials, Failure> {
    Credentials::load(&directory(session, who)?).map_err(|error| match error {
        client::Error::File(FileError::Io { .. }) => {
            Failure::from(error).mended_by("rootcellar controller add NAME --grant 'agents=…;roles=…'")
        }
        error => error.into(),
    })
}

/// The directory of a controller of this user.
///
/// # Errors
/// There is no home directory.
pub(crate) fn usual_directory(session: &Session, name: &cell::ControllerName) -> Result<PathBuf, Failure> {
    Ok(session.places()?.config().join("controllers").join(name.as_str()))
}

/// The credentials that were named, or the only ones there are.
///
/// # Errors
/// None were named, and there are none or several.
pub(crate) fn directory(session: &Session, who: &As) -> Result<PathBuf, Failure> {
    match (&who.credentials, &who.controller) {
        (Some(dir), _) => Ok(dir.clone()),
        (None, Some(name)) => usual_directory(session, name),
        (None, None) => only(&session.places()?.config().join("controllers")),
    }
}

fn only(dir: &Path) -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| Pair::in_dir(path).chain().exists()).collect();
    found.sort();
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::usage(format!("there is no controller in {}", dir.display()))
            .mended_by("rootcellar controller add NAME --grant 'agents=…;roles=…;ttl=1h;budget=1000'")),
        several => {
            let names: Vec<String> = several.iter().filter_map(name).collect();
            Err(Failure::usage(format!("there are several controllers: {}", names.join(", ")))
                .mended_by(format!("the same with --controller {}", names[0])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn the_only_controller_is_taken_and_of_several_one_must_be_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(only(dir.path()).unwrap_err().to_string().contains("no controller"));
        let add = |name: &str| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("chain.pem"), "").unwrap();
        };
        add("build");
        std::fs::create_dir(dir.path().join("half-made")).unwrap();
        assert_eq!(only(dir.path()).unwrap(), dir.path().join("build"));
        add("deploy");
        let failure = only(dir.path()).unwrap_err();
        assert!(failure.to_string().contains("build, deploy"), "{failure}");
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
