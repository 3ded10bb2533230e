//! Keys in a token: bound by their public key, and their attributes read back (invariant I1).

use std::collections::BTreeMap;

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use sha2::{Digest, Sha256};

use crate::error::TokenError;
use crate::module::text;
use crate::profile::{Profile, Provenance};
use crate::public_key;
use crate::session::{TokenKey, TokenSession};

/// Attributes of a private key as its token reports them, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyAttributes(Vec<(String, String)>);

/// A key pair found in a token.
#[derive(Clone, Debug)]
pub struct KeyFound {
    /// The key.
    pub key: TokenKey,
    /// CKA_LABEL of the private key.
    pub label: String,
    /// Its attributes.
    pub attributes: KeyAttributes,
}

/// A public key found in a token.
#[derive(Clone, Debug)]
pub struct PublicHalf {
    /// CKA_ID; empty where it has none.
    pub id: Vec<u8>,
    /// SubjectPublicKeyInfo, DER.
    pub spki: Vec<u8>,
}

/// A private key found in a token without a public half that we can read.
#[derive(Clone, Debug)]
pub struct Stray {
    /// CKA_ID; empty where it has none.
    pub id: Vec<u8>,
    /// Its attributes.
    pub attributes: KeyAttributes,
}

/// The token's: a key that is not generated there, sensitive, never extractable and sign-only.
#[derive(Debug, thiserror::Error)]
#[error(
    "the key is not fit for a CA (invariant I1): the token reports {found}, {wanted} is needed. It is not used"
)]
pub struct NotInCustody {
    found: String,
    wanted: String,
}

/// What the private key of a CA must report (PKCS#11 v3.1 §4.9, Table 25), and which exception may excuse it.
const REQUIRED: [(AttributeType, &str, bool, Option<Provenance>); 12] = [
    (AttributeType::Token, "CKA_TOKEN", true, None),
    (AttributeType::Private, "CKA_PRIVATE", true, None),
    (AttributeType::Local, "CKA_LOCAL", true, Some(Provenance::Local)),
    (AttributeType::Sensitive, "CKA_SENSITIVE", true, None),
    (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE", true, Some(Provenance::AlwaysSensitive)),
    (AttributeType::Extractable, "CKA_EXTRACTABLE", false, None),
    (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE", true, Some(Provenance::NeverExtractable)),
    (AttributeType::Sign, "CKA_SIGN", true, None),
    (AttributeType::SignRecover, "CKA_SIGN_RECOVER", false, None),
    (AttributeType::Decrypt, "CKA_DECRYPT", false, None),
    (AttributeType::Unwrap, "CKA_UNWRAP", false, None),
    (AttributeType::Derive, "CKA_DERIVE", false, None),
];
/// What is shown beside those.
const SHOWN: [(AttributeType, &str); 5] = [
    (AttributeType::Modifiable, "CKA_MODIFIABLE"),
    (AttributeType::Copyable, "CKA_COPYABLE"),
    (AttributeType::Destroyable, "CKA_DESTROYABLE"),
    (AttributeType::AlwaysAuthenticate, "CKA_ALWAYS_AUTHENTICATE"),
    (AttributeType::AllowedMechanisms, "CKA_ALLOWED_MECHANISMS"),
];

/// Whether a CA's key must report this attribute.
pub(crate) fn is_required(kind: AttributeType) -> bool {
    REQUIRED.iter().any(|(required, ..)| *required == kind)
}

impl NotInCustody {
    /// What the token reports: "CKA_LOCAL = false".
    pub(crate) fn found(&self) -> &str {
        &self.found
    }
}

impl KeyAttributes {
    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Attributes as someone reports them, by name.
    pub fn reported(attributes: BTreeMap<String, String>) -> Self {
        Self(attributes.into_iter().collect())
    }

    /// Refuses a key that is not as a CA key must be. An attribute that the token does not report fails too, unless the profile
    /// names it as an exception.
    ///
    /// # Errors
    /// The first attribute at fault.
    pub fn require_custody(&self, profile: &Profile) -> Result<(), NotInCustody> {
        self.require(&profile.exceptions())
    }

    /// The same for attributes that were written down: `exceptions` are those of the token's profile, as [`Profile::exceptions`] names
    /// them.
    ///
    /// # Errors
    /// The first attribute at fault.
    pub fn require(&self, exceptions: &[String]) -> Result<(), NotInCustody> {
        for (_, name, wanted, exception) in REQUIRED {
            let excused = exception
                .is_some_and(|exception| exceptions.iter().any(|named| *named == exception.to_string()));
            let found = self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
            if !excused && found != Some(if wanted { "true" } else { "false" }) {
                let found = found.map_or_else(|| format!("no {name}"), |found| format!("{name} = {found}"));
                return Err(NotInCustody { found, wanted: format!("{name} = {wanted}") });
            }
        }
        Ok(())
    }

    fn read(session: &Session, key: ObjectHandle) -> Self {
        let named: Vec<(AttributeType, &str)> =
            REQUIRED.iter().map(|(kind, name, ..)| (*kind, *name)).chain(SHOWN).collect();
        let mut values = Vec::new();
        for (kind, name) in named {
            // One by one: a token that does not know one attribute must not hide the others.
            for attribute in session.get_attributes(key, &[kind]).unwrap_or_default() {
                values.extend(show(&attribute).map(|value| (name.to_owned(), value)));
            }
        }
        // Fails as a whole for imported keys, whose mechanism is CK_UNAVAILABLE_INFORMATION.
        if let Ok([Attribute::KeyGenMechanism(mechanism)]) =
            session.get_attributes(key, &[AttributeType::KeyGenMechanism]).as_deref()
        {
            values.push(("CKA_KEY_GEN_MECHANISM".into(), mechanism.to_string()));
        }
        values.sort();
        Self(values)
    }
}

fn show(attribute: &Attribute) -> Option<String> {
    use Attribute::{
        AllowedMechanisms, AlwaysAuthenticate, AlwaysSensitive, Copyable, Decrypt, Derive, Destroyable,
        Extractable, Local, Modifiable, NeverExtractable, Private, Sensitive, Sign, SignRecover, Token,
        Unwrap,
    };
    match attribute {
        Token(value)
        | Private(value)
        | Local(value)
        | Sensitive(value)
        | AlwaysSensitive(value)
        | Extractable(value)
        | NeverExtractable(value)
        | Sign(value)
        | SignRecover(value)
        | Decrypt(value)
        | Unwrap(value)
        | Derive(value)
        | Modifiable(value)
        | Copyable(value)
        | Destroyable(value)
        | AlwaysAuthenticate(value) => Some(value.to_string()),
        AllowedMechanisms(list) => Some(list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")),
        _ => None,
    }
}

impl TokenSession {
    /// Every key pair that we could use, in the token's order.
    ///
    /// # Errors
    /// The token fails.
    pub fn keys(&self) -> Result<Vec<KeyFound>, TokenError> {
        let (_, _alone) = self.module().alone();
        let mut keys = Vec::new();
        for public in self.raw().find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)])? {
            let Some((algorithm, spki)) = public_key::read(self.raw(), public)? else { continue };
            for (handle, id, label) in privates_of(self.raw(), public)? {
                let attributes = KeyAttributes::read(self.raw(), handle);
                let key = TokenKey { handle, algorithm, spki: spki.as_slice().into(), id: id.into() };
                keys.push(KeyFound { key, label, attributes });
            }
        }
        Ok(keys)
    }

    /// Every public key object that we can read, whether a private key belongs to it or not.
    ///
    /// # Errors
    /// The token fails.
    pub fn public_halves(&self) -> Result<Vec<PublicHalf>, TokenError> {
        let (_, _alone) = self.module().alone();
        let mut halves = Vec::new();
        for public in self.raw().find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)])? {
            let Some((_, spki)) = public_key::read(self.raw(), public)? else { continue };
            if let Some(Attribute::Id(id)) = self.raw().get_attributes(public, &[AttributeType::Id])?.pop() {
                halves.push(PublicHalf { id, spki });
            }
        }
        Ok(halves)
    }

    /// Private keys that [`TokenSession::keys`] leaves out: without a public half that we can read, as a key of another kind or one whose public
    /// object is gone.
    ///
    /// # Errors
    /// The token fails.
    pub fn strays(&self) -> Result<Vec<Stray>, TokenError> {
        let known: Vec<ObjectHandle> = self.keys()?.into_iter().map(|found| found.key.handle).collect();
        let (_, _alone) = self.module().alone();
        let mut strays = Vec::new();
        for handle in self.raw().find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])? {
            if !known.contains(&handle) {
                let id = match self.raw().get_attributes(handle, &[AttributeType::Id])?.pop() {
                    Some(Attribute::Id(id)) => id,
                    _ => Vec::new(),
                };
                strays.push(Stray { id, attributes: KeyAttributes::read(self.raw(), handle) });
            }
        }
        Ok(strays)
    }

    /// Whether the token shows a public key object of this SubjectPublicKeyInfo. Needs no login: for choosing among tokens.
    ///
    /// # Errors
    /// The token fails.
    pub fn has_public_key(&self, spki: &[u8]) -> Result<bool, TokenError> {
        let (_, _alone) = self.module().alone();
        for public in self.raw().find_objects(&[Attribute::Class(ObjectClass::PUBLIC_KEY)])? {
            if public_key::read(self.raw(), public)?.is_some_and(|(_, found)| found == spki) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The one private key that belongs to `spki`, with its attributes: the public object with that key gives the CKA_ID, and one
    /// private key must bear it.
    ///
    /// # Errors
    /// There is none, there are more, or the token fails.
    pub fn find_key(&self, spki: &[u8]) -> Result<KeyFound, TokenError> {
        let mut found: Vec<KeyFound> =
            self.keys()?.into_iter().filter(|found| &*found.key.spki == spki).collect();
        match (found.pop(), found.len()) {
            (Some(only), 0) => Ok(only),
            (one, others) => {
                let spki = data_encoding::HEXLOWER.encode(&Sha256::digest(spki));
                Err(TokenError::KeyNotUnique { spki, count: others + usize::from(one.is_some()) })
            }
        }
    }
}

type PrivateKey = (ObjectHandle, Vec<u8>, String);

fn privates_of(session: &Session, public: ObjectHandle) -> Result<Vec<PrivateKey>, TokenError> {
    let attributes = session.get_attributes(public, &[AttributeType::Id])?;
    let Some(Attribute::Id(id)) = attributes.first() else { return Ok(Vec::new()) };
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Id(id.clone())];
    let mut keys = Vec::new();
    for handle in session.find_objects(&template)? {
        let label = session.get_attributes(handle, &[AttributeType::Label])?;
        let label = match label.first() {
            Some(Attribute::Label(label)) => text(&String::from_utf8_lossy(label)),
            _ => String::new(),
        };
        keys.push((handle, id.clone(), label));
    }
    Ok(keys)
}
