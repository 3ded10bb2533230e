//! The checks of one kind of key.

use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::MechanismType;
use cryptoki::object::{Attribute, AttributeType};

use crate::algorithm::KeyAlgorithm;
use crate::error::TokenError;
use crate::key::KeyFound;
use audit::Provenance;

use crate::profile::{Omitted, Profile};
use crate::session::TokenSession;

use super::checks::Sheet;
use super::making::make;
use super::opened::Opened;
use super::{Surroundings, Verdict};

/// What is signed. No TBS begins like this: DER's first octet there is 0x30.
const MESSAGE: &[u8] = b"rootcellar/v1 conformance";

/// A key that was made, and what its token needs for it.
pub(super) struct Examined {
    pub(super) algorithm: KeyAlgorithm,
    pub(super) found: KeyFound,
    pub(super) omitted: Vec<Omitted>,
    pub(super) exceptions: Vec<Provenance>,
    /// It is in custody, given the exceptions, its private value cannot be read, and its signatures verify.
    pub(super) good: bool,
}

impl Sheet {
    /// Makes such a key and looks at it; none where the token has none.
    pub(super) fn key(
        &mut self,
        opened: &mut Opened<'_>,
        algorithm: KeyAlgorithm,
        mechanisms: &[MechanismType],
        before: &[Omitted],
        surroundings: &Surroundings<'_>,
    ) -> Option<Examined> {
        let name = format!("{algorithm} key");
        let generation = algorithm.generation().mechanism_type();
        if !mechanisms.contains(&generation) {
            let found = format!("no {generation}");
            self.note(name, Verdict::Unsupported, found, "choose another kind of key");
            return None;
        }
        let (found, omitted) = match make(opened, algorithm, before) {
            Ok(made) => made,
            Err(error) => {
                let verdict = if absent(&error) { Verdict::Unsupported } else { Verdict::Fail };
                self.note(name, verdict, error, "choose another kind of key");
                return None;
            }
        };
        let (said, means) = if omitted.is_empty() {
            (
                "made, with every attribute that is asked for".to_owned(),
                "it is made and found by its public key",
            )
        } else {
            let names: Vec<_> = omitted.iter().map(|omitted| omitted.name()).collect();
            (format!("made, but for {}", names.join(", ")), "the profile leaves those out (generation_omits)")
        };
        self.note(name, Verdict::Pass, said, means);
        let Ok(session) = opened.session() else { return None };
        let exceptions = self.custody(algorithm, &found);
        let signs = self.signature(session, algorithm, &found, surroundings);
        let secret = self.secret(session, algorithm, &found);
        self.fixed(session, algorithm, &found);
        let good = exceptions.is_some() && signs && secret;
        Some(Examined { algorithm, found, omitted, exceptions: exceptions.unwrap_or_default(), good })
    }

    /// Which exceptions the key needs; none at all where it is unfit whatever is excepted.
    fn custody(&mut self, algorithm: KeyAlgorithm, found: &KeyFound) -> Option<Vec<Provenance>> {
        let name = format!("{algorithm} custody");
        let with = |exceptions: &[Provenance]| {
            Profile::plain(&[]).excepting(exceptions).require_custody(&found.attributes)
        };
        if let Err(flaw) = with(&Provenance::ALL) {
            self.note(name, Verdict::Fail, flaw, "a cell does not use such a key");
            return None;
        }
        let needed = |exception: &Provenance| {
            let others: Vec<_> = Provenance::ALL.into_iter().filter(|other| other != exception).collect();
            with(&others).is_err()
        };
        let needed: Vec<_> = Provenance::ALL.into_iter().filter(needed).collect();
        match with(&[]) {
            Ok(()) => self.note(
                name,
                Verdict::Pass,
                "generated there, sensitive, never extractable, sign-only",
                "as a CA key must be (invariant I1)",
            ),
            Err(flaw) => self.note(
                name,
                Verdict::Fail,
                flaw.found(),
                "usable with an exception in its profile, which every report then names",
            ),
        }
        Some(needed)
    }

    fn signature(
        &mut self,
        session: &TokenSession,
        algorithm: KeyAlgorithm,
        found: &KeyFound,
        surroundings: &Surroundings<'_>,
    ) -> bool {
        let name = format!("{algorithm} signature");
        let signed = session.sign(&found.key, MESSAGE);
        let length = signed.as_ref().map_or(0, Vec::len);
        let (verdict, said) = match signed {
            Ok(raw) => {
                if (surroundings.verify)(algorithm, found.key.public_key(), MESSAGE, raw) {
                    (Verdict::Pass, format!("{length} octets that verify"))
                } else {
                    (Verdict::Fail, format!("{length} octets that do not verify"))
                }
            }
            Err(error) if absent(&error) => (Verdict::Unsupported, error.to_string()),
            Err(error) => (Verdict::Fail, error.to_string()),
        };
        let good = verdict == Verdict::Pass;
        let means = if good { "a cell can issue with it" } else { "choose another kind of key" };
        self.note(name, verdict, said, means);
        good
    }

    /// Whether the private value stays where it is.
    fn secret(&mut self, session: &TokenSession, algorithm: KeyAlgorithm, found: &KeyFound) -> bool {
        let _alone = session.module().alone();
        let wanted = [AttributeType::Value, AttributeType::PrivateExponent, AttributeType::Prime1];
        let read = wanted.into_iter().any(|kind| {
            session.raw().get_attributes(found.key.handle, &[kind]).is_ok_and(|values| !values.is_empty())
        });
        let outcome = if read { Err("it can be read") } else { Ok("it cannot be read") };
        self.outcome(
            &format!("{algorithm} private value"),
            outcome.map(ToOwned::to_owned).map_err(ToOwned::to_owned),
            "the key stays in the token",
            "whoever has the PIN has the key: a cell does not use it",
        )
    }

    /// Whether the attributes that guard the key can be changed by whoever is logged in. Last: where they can, they now are.
    fn fixed(&mut self, session: &TokenSession, algorithm: KeyAlgorithm, found: &KeyFound) {
        let _alone = session.module().alone();
        let changes = [
            (Attribute::Extractable(true), "CKA_EXTRACTABLE = true"),
            (Attribute::Sensitive(false), "CKA_SENSITIVE = false"),
        ];
        let taken: Vec<_> = changes
            .into_iter()
            .filter(|(change, _)| {
                session.raw().update_attributes(found.key.handle, std::slice::from_ref(change)).is_ok()
            })
            .map(|(_, name)| name)
            .collect();
        let outcome = if taken.is_empty() {
            Ok("they cannot be changed".to_owned())
        } else {
            Err(format!("it takes {}", taken.join(" and ")))
        };
        self.outcome(
            &format!("{algorithm} fixed attributes"),
            outcome,
            "a login cannot make the key extractable",
            "what it reports is no proof: see that its vendor says the key cannot leave all the same",
        );
    }
}

/// The token says that it has no such thing, and did not fail at it.
fn absent(error: &TokenError) -> bool {
    use RvError::{
        AttributeValueInvalid, CurveNotSupported, DomainParamsInvalid, FunctionNotSupported, KeySizeRange,
        MechanismInvalid, MechanismParamInvalid,
    };
    matches!(
        error,
        TokenError::Call(Error::Pkcs11(
            MechanismInvalid
                | MechanismParamInvalid
                | CurveNotSupported
                | DomainParamsInvalid
                | FunctionNotSupported
                | KeySizeRange
                | AttributeValueInvalid,
            _
        ))
    )
}
