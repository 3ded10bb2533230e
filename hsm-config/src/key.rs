//! Keys in a token: bound by their public key, and their attributes read back (invariant I1).

use std::collections::BTreeMap;

use audit::KeyAttributes;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use sha2::{Digest, Sha256};

use crate::error::TokenError;
use crate::module::text;
use crate::public_key;
use crate::session::{TokenKey, TokenSession};

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

/// What is read of a private key: what its custody demands ([`audit::REQUIRED`]), and what is shown beside it.
const READ: [(AttributeType, &str); 17] = [
    (AttributeType::Token, "CKA_TOKEN"),
    (AttributeType::Private, "CKA_PRIVATE"),
    (AttributeType::Local, "CKA_LOCAL"),
    (AttributeType::Sensitive, "CKA_SENSITIVE"),
    (AttributeType::AlwaysSensitive, "CKA_ALWAYS_SENSITIVE"),
    (AttributeType::Extractable, "CKA_EXTRACTABLE"),
    (AttributeType::NeverExtractable, "CKA_NEVER_EXTRACTABLE"),
    (AttributeType::Sign, "CKA_SIGN"),
    (AttributeType::SignRecover, "CKA_SIGN_RECOVER"),
    (AttributeType::Decrypt, "CKA_DECRYPT"),
    (AttributeType::Unwrap, "CKA_UNWRAP"),
    (AttributeType::Derive, "CKA_DERIVE"),
    (AttributeType::Modifiable, "CKA_MODIFIABLE"),
    (AttributeType::Copyable, "CKA_COPYABLE"),
    (AttributeType::Destroyable, "CKA_DESTROYABLE"),
    (AttributeType::AlwaysAuthenticate, "CKA_ALWAYS_AUTHENTICATE"),
    (AttributeType::AllowedMechanisms, "CKA_ALLOWED_MECHANISMS"),
];

/// Whether a CA's key must report this attribute.
pub(crate) fn is_required(kind: AttributeType) -> bool {
    let name = READ.iter().find(|(read, _)| *read == kind).map(|(_, name)| *name);
    name.is_some_and(|name| audit::REQUIRED.iter().any(|(required, ..)| *required == name))
}

fn read(session: &Session, key: ObjectHandle) -> KeyAttributes {
    let mut values = BTreeMap::new();
    for (kind, name) in READ {
        // One by one: a token that does not know one attribute must not hide the others.
        for attribute in session.get_attributes(key, &[kind]).unwrap_or_default() {
            values.extend(show(&attribute).map(|value| (name.to_owned(), value)));
        }
    }
    // Fails as a whole for imported keys, whose mechanism is CK_UNAVAILABLE_INFORMATION.
    if let Ok([Attribute::KeyGenMechanism(mechanism)]) =
        session.get_attributes(key, &[AttributeType::KeyGenMechanism]).as_deref()
    {
        values.insert("CKA_KEY_GEN_MECHANISM".into(), mechanism.to_string());
    }
    KeyAttributes::reported(values)
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
                let attributes = read(self.raw(), handle);
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
                strays.push(Stray { id, attributes: read(self.raw(), handle) });
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
