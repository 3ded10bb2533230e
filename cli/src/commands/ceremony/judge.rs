//! What an officer is about to sign, judged first: a transcript must prove what it says, a trust bundle must be what follows from it, and
//! what else lies in a directory is not signed along.

use audit::ceremony::Evidence;
use ceremony::directory::{self, Directory};
use data_encoding::HEXLOWER;
use keeper::bundles;
use ledger::bundle::{Bundle, Contents};
use ledger::charter::{Charter, Terms};
use ledger::note::Note;
use ledger::plan::{Ceremony, Plan};
use ledger::text::Kind;
use ledger::transcript::Transcript;
use sha2::{Digest as _, Sha256};

use super::in_force::InForce;
use super::{carried_out, charters, describe};
use crate::client::own;
use crate::error::Failure;
use crate::files;
use crate::session::Session;

/// Judges a note of a directory; gives what the officer must know beyond its own words.
///
/// # Errors
/// It is not to be signed.
pub(super) fn judge(session: &Session, dir: &Directory, note: &Note) -> Result<Vec<String>, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::new("NOT_SIGNED", why);
    let plan = files::note(dir, directory::PLAN)?;
    match note.kind() {
        Some(Kind::Charter) => {
            let terms = Terms::read(note).map_err(|error| refused(&error))?;
            if terms.revision > 1 && plan.is_some() {
                return Err(refused(
                    &"a new charter lies beside a plan, and no ceremony brings one: find out who put it there",
                ));
            }
            Ok(Vec::new())
        }
        Some(Kind::Proposal) if plan.is_some() => Err(refused(
            &"an act of administration lies beside a plan, and no ceremony is one: find out who put it there",
        )),
        Some(Kind::Transcript) => {
            evidence(session, dir, note).map(|(evidence, ..)| describe::proven(&evidence))
        }
        Some(Kind::Bundle) => {
            let contents = Contents::read(note).map_err(|error| refused(&error))?;
            match (plan, files::note(dir, directory::TRANSCRIPT)?) {
                (Some(plan), Some(transcript)) => follows(session, dir, (&plan, &transcript), &contents),
                (Some(_), None) => {
                    Err(refused(&"a trust bundle lies beside a plan that was not carried out"))
                }
                (None, _) if contents.number == 1 => {
                    Err(refused(&"the first trust bundle of a cell lies without the ceremony that founds it"))
                }
                (None, _) => changes(session, dir, &contents),
            }
        }
        _ => Ok(Vec::new()),
    }
}

/// What a transcript proves, under which charter, and the bundle in force before.
fn evidence(
    session: &Session,
    dir: &Directory,
    transcript: &Note,
) -> Result<(Evidence, Charter, Option<Bundle>), Failure> {
    let charter = charters::in_force(session, dir)?;
    let plan = Transcript::read(transcript).ok().and_then(|read| read.plan().ok());
    let plan = plan.ok_or_else(|| Failure::new("NOT_SIGNED", "the transcript has no plan"))?;
    let before = InForce::before(session, &plan, &charter)?.map(|before| before.bundle);
    let anchors = before.as_ref().map_or(&[][..], Bundle::anchors);
    let evidence = Evidence::of_unsigned(transcript, &charter, anchors)?;
    carried_out::demand_same(session, evidence.plan.sha256(), transcript)?;
    Ok((evidence, charter, before))
}

/// Demands that the bundle is the one to which the transcript leads, from the bundle in force; gives what the transcript proves.
fn follows(
    session: &Session,
    dir: &Directory,
    (plan, transcript): (&Note, &Note),
    contents: &Contents,
) -> Result<Vec<String>, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::new("NOT_SIGNED", why);
    let (evidence, charter, before) = evidence(session, dir, transcript)?;
    if Plan::read(plan).map_err(|error| refused(&error))? != *evidence.plan.plan() {
        return Err(refused(&"the transcript is of another plan than the one beside it"));
    }
    if before.as_ref().is_some_and(|before| before.contents() == contents) {
        // In force already.
        return Ok(describe::proven(&evidence));
    }
    let expected = bundles::after(&evidence, &charter, before.as_ref().map(Bundle::contents));
    let expected = expected.map_err(|error| refused(&error))?;
    if evidence.plan.plan().ceremony != Ceremony::Found && expected.is_none() {
        return Err(refused(&"a trust bundle lies beside a ceremony that changes none"));
    }
    if expected.as_ref() == Some(contents) {
        return Ok(describe::proven(&evidence));
    }
    let number = before.map_or(0, |bundle| bundle.number());
    Err(refused(&format!(
        "the trust bundle is not the one that follows from the ceremony and from bundle {number}, which this officer knows"
    ))
    .mended_by("rootcellar ceremony execute DIR writes it anew; an officer's old copy: rootcellar ca bundle --note"))
}

/// What a bundle changes, against the one that this officer knows. Beside a new charter it may not change anything, which the ledger sees
/// to; else an officer who knows none has nothing to judge it by.
fn changes(session: &Session, dir: &Directory, contents: &Contents) -> Result<Vec<String>, Failure> {
    let known = charters::pinned(session)?;
    let Some(before) = known.and_then(|charter| own::bundle(session, &charter).ok()) else {
        if files::note(dir, directory::CHARTER)?.is_some() {
            return Ok(vec![
                "This officer has no trust bundle to compare it with. Under a new charter the ledger takes none that says something else than the one before."
                    .to_owned(),
            ]);
        }
        let what = "this officer has no trust bundle under this charter to compare it with";
        return Err(Failure::new("NO_BUNDLE", what)
            .mended_by("copy charter.note and bundle.note of another officer, or rootcellar ca bundle --note --out, to --officer-dir"));
    };
    let (before, mut words) = (before.contents(), Vec::new());
    let hash = |der: &Vec<u8>| format!("root SHA-256 {}", HEXLOWER.encode(&Sha256::digest(der)));
    let roots = |contents: &Contents| contents.anchors.iter().map(hash).collect::<Vec<_>>();
    let logs = |contents: &Contents| {
        let keys = contents.log_keys();
        keys.map(|(origin, key)| format!("log {origin} {key}")).collect::<Vec<_>>()
    };
    let issuers = |contents: &Contents| {
        let lines = contents.issuers.iter();
        lines
            .map(|line| format!("issuer {} {}", line.state, HEXLOWER.encode(&line.spki_sha256)))
            .collect::<Vec<_>>()
    };
    for (old, new) in [
        (roots(before), roots(contents)),
        (logs(before), logs(contents)),
        (issuers(before), issuers(contents)),
    ] {
        words.extend(new.iter().filter(|one| !old.contains(one)).map(|one| format!("It ADDS {one}.")));
        words.extend(old.iter().filter(|one| !new.contains(one)).map(|one| format!("It TAKES AWAY {one}.")));
    }
    if words.is_empty() {
        words.push(format!("It changes nothing of bundle {}, which this officer knows.", before.number));
    }
    Ok(words)
}
