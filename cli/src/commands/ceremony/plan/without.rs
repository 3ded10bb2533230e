//! The trust bundle without a root or a key of a log: what ends their rotation.

use certs::Issuer;
use ledger::bundle::{Bundle, Contents};
use ledger::charter::Charter;
use ledger::note::VerifierKey;

use super::args::NewBundle;
use super::hash;
use crate::error::Failure;

/// What the bundle says that follows.
///
/// # Errors
/// The bundle in force names no such root or key, or would be left without any.
pub(super) fn apply(charter: &Charter, before: &Bundle, args: &NewBundle) -> Result<Contents, Failure> {
    let mut contents = before.contents().following(charter.revision());
    args.without_root.iter().try_for_each(|root| without_root(&mut contents, root))?;
    args.without_log_key.iter().try_for_each(|key| without_log_key(&mut contents, key))?;
    Ok(contents)
}

fn without_root(contents: &mut Contents, root: &str) -> Result<(), Failure> {
    let wanted = hash(root)?;
    let mut kept = Vec::new();
    for der in &contents.anchors {
        let anchor = Issuer::parse(der).map_err(|error| Failure::unverified("the trust bundle", error))?;
        if anchor.spki_sha256() != wanted {
            kept.push(der.clone());
        }
    }
    if kept.len() == contents.anchors.len() {
        return Err(named_none(&format!("root {root}")));
    }
    if kept.is_empty() {
        return Err(Failure::usage("it is the only root: nothing would be believed any more")
            .mended_by("rootcellar ceremony plan root --help"));
    }
    contents.anchors = kept;
    Ok(())
}

/// A log of which no key is left is named no more: what it proved counts no more either.
fn without_log_key(contents: &mut Contents, wanted: &str) -> Result<(), Failure> {
    let is_meant = |key: &VerifierKey| {
        let hash = format!("{:08x}", key.id());
        wanted == hash || wanted == format!("{}+{hash}", key.name()) || wanted == key.to_string()
    };
    let count = |contents: &Contents| contents.log_keys().count();
    let before = count(contents);
    for log in &mut contents.logs {
        log.keys.retain(|key| !is_meant(key));
    }
    contents.logs.retain(|log| !log.keys.is_empty());
    match before - count(contents) {
        0 => Err(named_none(&format!("log key {wanted}"))),
        1 if contents.logs.is_empty() => {
            Err(Failure::usage("it is the only key of the only log: nothing could be proved any more")
                .mended_by("rootcellar ceremony plan log-key --help"))
        }
        1 => Ok(()),
        _ => Err(Failure::usage(format!("{wanted}: more than one key is meant; write NAME+HASH"))),
    }
}

fn named_none(what: &str) -> Failure {
    Failure::usage(format!("the trust bundle names no {what}")).mended_by("rootcellar ca bundle --note")
}
