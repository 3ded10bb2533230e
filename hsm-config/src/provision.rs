//! Sets up a token and makes keys in it.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::UserType;
use data_encoding::HEXLOWER;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::algorithm::KeyAlgorithm;
use crate::attempt::PinGuard;
use crate::error::{TokenError, is_of_the_pin};
use crate::key::KeyFound;
use crate::module::Module;
use crate::pin::{Pin, PinError};
use crate::profile::Profile;
use crate::public_key;
use crate::session::TokenSession;
use crate::token::Token;
use audit::TokenUri;

/// Digits of a PIN that we make: 10²⁴ of them are more than 2⁷⁹.
const PIN_DIGITS: usize = 24;

/// A key to be made.
#[derive(Clone, Debug)]
pub struct KeyRequest {
    /// CKA_ID, 16 octets that are known beforehand: by them the key is found again after a crash. A ceremony's follow from its plan's hash and
    /// the step, others are drawn and written down.
    pub id: Vec<u8>,
    /// CKA_LABEL.
    pub label: String,
    /// Kind of key.
    pub algorithm: KeyAlgorithm,
}

/// A new PIN of decimal digits, which every token takes.
///
/// # Errors
/// The operating system has no random numbers.
pub fn fresh_pin() -> Result<SecretString, getrandom::Error> {
    let mut pin = Zeroizing::new(String::with_capacity(PIN_DIGITS));
    let mut octet = Zeroizing::new([0u8; 1]);
    while pin.len() < PIN_DIGITS {
        getrandom::fill(&mut *octet)?;
        // 250 is the largest multiple of ten that an octet reaches: each digit is as likely as the others.
        if octet[0] < 250 {
            pin.push(char::from(b'0' + octet[0] % 10));
        }
    }
    Ok(SecretString::from(pin.as_str()))
}

impl Token {
    /// Initialises a free slot of `module` as a token with this label and SO PIN (PKCS#11 v3.1 §5.5.7). It has no user PIN: a crash leaves a
    /// token that nobody can log in to, and that [`Token::set_user_pin`] finishes.
    ///
    /// # Errors
    /// A token with the label is there already, no slot is free, or the module refuses.
    pub fn initialise(module: &Arc<Module>, uri: &TokenUri, so_pin: &Pin) -> Result<Self, TokenError> {
        let label = uri.label().ok_or(TokenError::Malformed("no label to initialise it with"))?;
        let tokens = Self::list(module)?;
        let taken =
            tokens.iter().filter(|token| token.info().initialized && token.info().label == label).count();
        if taken > 0 {
            return Err(TokenError::ManyTokens { wanted: uri.to_string(), count: taken + 1 });
        }
        let free = tokens.iter().find(|token| !token.info().initialized);
        let free = free.ok_or(TokenError::Malformed("no slot with an uninitialised token"))?;
        {
            let (library, _alone) = module.alone();
            library.init_token(free.slot, so_pin.secret().ok_or(PinError::NotToBeSetHere)?, label)?;
        }
        // The module may have moved the token to another slot.
        Self::find(module, &TokenUri::with_label(label).map_err(|_| TokenError::Malformed("no label"))?)
    }

    /// Gives a token that was just initialised its first user PIN (PKCS#11 v3.1 §5.5.8). One that holds anything is somebody's, and stays
    /// as it is. CKF_USER_PIN_INITIALIZED is for the caller: tpm2-pkcs11 1.9 shows it from the first. The SO PIN is tried once (invariant I7).
    ///
    /// # Errors
    /// It is such a token, the SO PIN is refused, or the module refuses.
    pub fn set_user_pin(&self, so_pin: &Pin, pin: &Pin, guard: &PinGuard) -> Result<(), TokenError> {
        let pin = pin.secret().ok_or(PinError::NotToBeSetHere)?;
        let session = self.session()?;
        let (_, _alone) = self.module.alone();
        // Public objects are seen without a login; every key that is made here has a public half.
        // Objects of other classes are the module's own: Kryoptic shows its profiles in a new token (PKCS#11 v3.1 §4.13).
        for class in
            [ObjectClass::PUBLIC_KEY, ObjectClass::PRIVATE_KEY, ObjectClass::CERTIFICATE, ObjectClass::DATA]
        {
            if !session.raw().find_objects(&[Attribute::Class(class)])?.is_empty() {
                return Err(TokenError::Malformed("that it is in use: no PIN of it was set"));
            }
        }
        let login = || session.raw().login(UserType::So, so_pin.secret());
        guard.attempt(&self.info().name(), so_pin, login, is_of_the_pin)??;
        session.raw().init_pin(pin)?;
        Ok(session.raw().logout()?)
    }
}

impl TokenSession {
    /// Makes a key pair with the attributes of invariant I1 and reads every one back, its public half twice. Needs a login. That it
    /// signs, and that the signature is its own, is for the caller to see, who has a verifier and something that it may sign.
    ///
    /// # Errors
    /// The token fails, or the key it made is not as asked for: it is then destroyed again.
    pub fn generate(&self, request: &KeyRequest, profile: &Profile) -> Result<KeyFound, TokenError> {
        let (public, _) = self.make(request, profile)?;
        let checked = self.check_generated(public, &request.id, profile);
        checked.map_err(|why| self.without(&request.id, why))
    }

    /// Destroys an unfit key, and says why it is; and which key is left, where it cannot be destroyed.
    fn without(&self, id: &[u8], why: TokenError) -> TokenError {
        match self.destroy(id) {
            Ok(_) => why,
            Err(error) => {
                TokenError::LeftBehind { id: HEXLOWER.encode(id), why: Box::new(why), error: Box::new(error) }
            }
        }
    }

    /// The key pair that was made under this CKA_ID before a crash, checked as a new one is; `None` where there is none. What is left
    /// of one that was only half made is destroyed: it has signed nothing.
    ///
    /// # Errors
    /// As [`TokenSession::generate`].
    pub fn made_before(
        &self,
        request: &KeyRequest,
        profile: &Profile,
    ) -> Result<Option<KeyFound>, TokenError> {
        let [public, private] = self.objects_of(&request.id)?;
        if let ([public], [_]) = (public.as_slice(), private.as_slice()) {
            let checked = self.check_generated(*public, &request.id, profile);
            return checked.map(Some).map_err(|why| self.without(&request.id, why));
        }
        self.destroy(&request.id).map(|_| None)
    }

    /// Whether any key object has this CKA_ID.
    ///
    /// # Errors
    /// The token fails.
    pub fn has_id(&self, id: &[u8]) -> Result<bool, TokenError> {
        Ok(!self.objects_of(id)?.concat().is_empty())
    }

    /// Destroys the key pair under a CKA_ID, both halves, and looks for them again: how many objects it was. The private half goes first: what a
    /// crash leaves is then the public one, which still says of which key it is.
    ///
    /// # Errors
    /// The token fails, or an object is still there.
    pub fn destroy(&self, id: &[u8]) -> Result<usize, TokenError> {
        let [public, private] = self.objects_of(id)?;
        let objects = [private, public].concat();
        {
            let (_, _alone) = self.module().alone();
            objects.iter().try_for_each(|object| self.raw().destroy_object(*object))?;
        }
        if self.objects_of(id)?.concat().is_empty() {
            Ok(objects.len())
        } else {
            Err(TokenError::Malformed("a key that it said it had destroyed"))
        }
    }

    /// The public and the private objects under a CKA_ID.
    fn objects_of(&self, id: &[u8]) -> Result<[Vec<ObjectHandle>; 2], TokenError> {
        let (_, _alone) = self.module().alone();
        let find = |class| {
            self.raw().find_objects(&[
                Attribute::Class(class),
                Attribute::Token(true),
                Attribute::Id(id.to_vec()),
            ])
        };
        Ok([find(ObjectClass::PUBLIC_KEY)?, find(ObjectClass::PRIVATE_KEY)?])
    }

    pub(crate) fn make(
        &self,
        request: &KeyRequest,
        profile: &Profile,
    ) -> Result<(ObjectHandle, ObjectHandle), TokenError> {
        let named =
            || [Attribute::Id(request.id.clone()), Attribute::Label(request.label.as_bytes().to_vec())];
        let mut public = vec![
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::Encrypt(false),
            Attribute::Wrap(false),
            Attribute::Modifiable(false),
        ];
        public.extend(request.algorithm.parameters());
        public.extend(named());
        let mut private = vec![
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            Attribute::SignRecover(false),
            Attribute::Decrypt(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Modifiable(false),
            Attribute::Copyable(false),
            Attribute::AllowedMechanisms(vec![request.algorithm.signing().mechanism_type()]),
        ];
        private.extend(named());
        for template in [&mut public, &mut private] {
            template.retain(|attribute| {
                !profile.generation_omits.iter().any(|omitted| omitted.kind() == attribute.attribute_type())
            });
        }
        let (_, _alone) = self.module().alone();
        Ok(self.raw().generate_key_pair(&request.algorithm.generation(), &public, &private)?)
    }

    /// Destroys every key whose label begins so.
    ///
    /// # Errors
    /// The token fails.
    pub(crate) fn forget_keys(&self, label: &str) -> Result<(), TokenError> {
        let (_, _alone) = self.module().alone();
        for class in [ObjectClass::PRIVATE_KEY, ObjectClass::PUBLIC_KEY] {
            for object in self.raw().find_objects(&[Attribute::Class(class)])? {
                let read = self.raw().get_attributes(object, &[AttributeType::Label])?;
                let ours = matches!(read.first(), Some(Attribute::Label(found)) if found.starts_with(label.as_bytes()));
                if ours {
                    self.raw().destroy_object(object)?;
                }
            }
        }
        Ok(())
    }

    fn check_generated(
        &self,
        public: ObjectHandle,
        id: &[u8],
        profile: &Profile,
    ) -> Result<KeyFound, TokenError> {
        let first = {
            let (_, _alone) = self.module().alone();
            public_key::read(self.raw(), public)?
        };
        let (_, spki) = first.ok_or(TokenError::Malformed("a key of another kind than asked for"))?;
        let found = self.find_key(&spki)?;
        if &*found.key.id != id {
            return Err(TokenError::Malformed("another key than the one just made"));
        }
        profile.require_custody(&found.attributes)?;
        Ok(found)
    }
}

/// Makes what a token wrote durable. SoftHSM2 2.6.1 calls no fsync: a power cut after key generation may lose the key.
///
/// # Errors
/// The file system's.
pub fn sync_files(profile: &Profile, dir: &Path) -> Result<(), TokenError> {
    let Some(path) = profile.files(dir) else { return Ok(()) };
    let synced = File::open(&path).and_then(|directory| Ok(rustix::fs::syncfs(directory)?));
    synced.map_err(|source| TokenError::Files { path, source })
}
