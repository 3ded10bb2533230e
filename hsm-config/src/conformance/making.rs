//! Makes keys of an examination's own, and finds out which attributes of theirs a token refuses to be told.

use crate::algorithm::KeyAlgorithm;
use crate::error::TokenError;
use crate::key::{KeyFound, is_required};
use crate::profile::{Omitted, Profile};
use crate::provision::KeyRequest;
use crate::session::TokenKey;

use super::LABEL;
use super::keys::Examined;
use super::opened::Opened;

/// Octets of a CKA_ID.
const ID_LEN: usize = 16;

/// Makes such a key with every attribute that we ask for, or with as many as the token takes. `before` is what it refused for another
/// kind of key.
pub(super) fn make(
    opened: &mut Opened<'_>,
    algorithm: KeyAlgorithm,
    before: &[Omitted],
) -> Result<(KeyFound, Vec<Omitted>), TokenError> {
    let label = format!("{LABEL} {algorithm}");
    let mut attempt = |omitted: &[Omitted]| attempt(opened, algorithm, &label, omitted);
    let refused = match attempt(before) {
        Ok(found) => return Ok((found, before.to_vec())),
        Err(refused) => refused,
    };
    // What a CA's key must report is left out last: a token may then set it as it must not be (tpm2-pkcs11 1.9 does, with CKA_DECRYPT).
    let harmless: Vec<_> = Omitted::ALL.into_iter().filter(|omitted| !is_required(omitted.kind())).collect();
    let all = [harmless.as_slice(), &Omitted::ALL].into_iter().find(|all| attempt(all).is_ok());
    let all = all.ok_or(refused)?;
    let omitted = needed(&mut |omitted| attempt(omitted).is_ok(), all, &[]);
    Ok((attempt(&omitted)?, omitted))
}

/// Which of `some` must be omitted beside `others`, given that all of both together are enough. Halves what is in question.
fn needed(enough: &mut dyn FnMut(&[Omitted]) -> bool, some: &[Omitted], others: &[Omitted]) -> Vec<Omitted> {
    if enough(others) {
        return Vec::new();
    }
    if some.len() <= 1 {
        return some.to_vec();
    }
    let (left, right) = some.split_at(some.len() / 2);
    let of_left = needed(enough, left, &[others, right].concat());
    let of_right = needed(enough, right, &[others, &of_left].concat());
    [of_left, of_right].concat()
}

/// A key that was just destroyed.
pub(super) fn stale(opened: &mut Opened<'_>, like: &Examined) -> Result<TokenKey, TokenError> {
    let label = format!("{LABEL} stale");
    let key = attempt(opened, like.algorithm, &label, &like.omitted)?.key;
    opened.session()?.forget_keys(&label)?;
    Ok(key)
}

/// A new key under this label, and none from before.
fn attempt(
    opened: &mut Opened<'_>,
    algorithm: KeyAlgorithm,
    label: &str,
    omitted: &[Omitted],
) -> Result<KeyFound, TokenError> {
    opened.anew()?;
    let session = opened.session()?;
    session.forget_keys(label)?;
    let mut id = vec![0u8; ID_LEN];
    session.random(&mut id)?;
    let request = KeyRequest { id: id.clone(), label: label.to_owned(), algorithm };
    session.make(&request, &Profile::plain(&[]).omitting(omitted))?;
    let found = session.keys()?.into_iter().find(|found| found.key.id() == id.as_slice());
    found.ok_or(TokenError::Malformed("no key with the CKA_ID that the new one was given"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_found_in_few_tries_and_nothing_else_is() {
        let all = Omitted::ALL;
        for wanted in [vec![], vec![all[0], all[1]], vec![all[9]], vec![all[1], all[4], all[8]], all.to_vec()]
        {
            let mut tries = 0;
            let mut enough = |omitted: &[Omitted]| {
                tries += 1;
                wanted.iter().all(|wanted| omitted.contains(wanted))
            };
            assert_eq!(needed(&mut enough, &all, &[]), wanted);
            assert!(tries <= 1 + 2 * wanted.len() * 4, "{tries} tries for {wanted:?}");
        }
    }
}
