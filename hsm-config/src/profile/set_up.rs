//! The files that a token's module reads, such as softhsm2.conf: written before it is loaded for the first time.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::DIR;
use sys::durable;

/// Writes the file where it is missing, and anew where it is what the profile says for another directory: a token that was moved or
/// copied would else not be found, or be the one that it was copied from. A file that somebody edited stays as it is. Two processes may set up one token at the same time.
///
/// # Errors
/// The file system's.
pub(super) fn file(path: &Path, template: &str, dir: &str) -> io::Result<()> {
    let text = template.replace(DIR, dir);
    match fs::read_to_string(path) {
        Ok(there) if there == text => Ok(()),
        Ok(there) if is_of_another(&there, template) => {
            tracing::warn!(file = %path.display(), "written anew: it was for another directory");
            durable::replace(path, text.as_bytes(), 0o600)
        }
        Ok(there) => {
            if template.contains(DIR) && !there.contains(dir) {
                tracing::warn!(file = %path.display(), dir, "edited by hand, and left as it is: it does not name the token's directory");
            }
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => durable::replace(path, text.as_bytes(), 0o600),
        Err(error) => Err(error),
    }
}

/// Whether this is the template filled in for some directory.
fn is_of_another(text: &str, template: &str) -> bool {
    let Some((before, after)) = template.split_once(DIR) else { return false };
    let next = after.split_once(DIR).map_or(after, |(next, _)| next);
    let Some(rest) = text.strip_prefix(before) else { return false };
    // A directory's name has no line end in it, and what stands behind it begins with one or leads to one.
    let line = rest.lines().next().unwrap_or_default();
    let behind = next.lines().next().unwrap_or_default();
    line.strip_suffix(behind).is_some_and(|dir| template.replace(DIR, dir) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "dir = {dir}/tokens\nlevel = ERROR\nlog = {dir}/log\n";

    #[test]
    fn what_was_written_for_another_directory_is_written_anew_and_an_edit_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        let read = || fs::read_to_string(&path).unwrap();
        let here = "dir = /here/tokens\nlevel = ERROR\nlog = /here/log\n";
        file(&path, TEMPLATE, "/elsewhere").unwrap();
        file(&path, TEMPLATE, "/here").unwrap();
        assert_eq!(read(), here);
        for edited in [here.replace("ERROR", "DEBUG"), here.replace("/here/log", "/var/log"), String::new()] {
            fs::write(&path, &edited).unwrap();
            file(&path, TEMPLATE, "/here").unwrap();
            file(&path, TEMPLATE, "/there").unwrap();
            assert_eq!(read(), edited);
        }
    }
}
