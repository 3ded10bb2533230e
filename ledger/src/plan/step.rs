//! The steps of a plan: each a comment of ours, then its fields.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use super::Ceremony;
use crate::text::{Reader, TextError, Writer};

/// What every private key that a ceremony makes reports, or it is destroyed again (invariant I1; PKCS#11 v3.1 §4.9).
const ATTRIBUTES: &str = "CKA_TOKEN CKA_PRIVATE CKA_LOCAL CKA_SENSITIVE CKA_ALWAYS_SENSITIVE CKA_NEVER_EXTRACTABLE CKA_SIGN; \
     not CKA_EXTRACTABLE CKA_SIGN_RECOVER CKA_DECRYPT CKA_UNWRAP CKA_DERIVE";

/// Most certificates that one CRL of a root revokes: a cell has few issuers.
const MAX_REVOKED: usize = 64;

/// Most claims from which a key is excused.
const MAX_EXCEPTIONS: usize = 16;

/// Longest name of a key within a plan, in bytes.
const MAX_NAME: usize = 32;

/// One thing that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A key pair is made.
    MakeKey(MakeKey),
    /// A CA certificate is signed.
    Certify(Certify),
    /// A CRL is signed.
    MakeCrl(MakeCrl),
    /// A key is destroyed.
    Destroy(Destroy),
}

/// A key pair to be made in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeKey {
    /// Its name in this plan: a word of lower-case letters, digits and hyphens.
    pub name: String,
    /// Kind of key ("p256").
    pub algorithm: String,
    /// PKCS#11 URI of the token: label or serial, and model; never a slot or a PIN (RFC 7512).
    pub token: String,
    /// CKA_LABEL.
    pub label: String,
    /// Claims of invariant I1 from which the token's profile excuses its keys, at most 16: officers approve them by name.
    pub exceptions: Vec<String>,
}

/// A CA certificate to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certify {
    /// What the certificate is.
    pub profile: CertifyAs,
    /// The key that it is for.
    pub subject: KeyRef,
    /// The key that signs it; a root's is its own.
    pub signer: KeyRef,
    /// The signer's token.
    pub token: String,
    /// Days for which it is valid, from the moment of the ceremony.
    pub days: u32,
}

/// What a CA certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertifyAs {
    /// A trust anchor that signs itself.
    Root,
    /// An issuer of end-entity certificates.
    Issuer,
    /// A root that another root vouches for.
    Cross,
}

/// A key: one that the plan makes, or one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyRef {
    /// By its name in the plan.
    Named(String),
    /// By SHA-256 of its SubjectPublicKeyInfo.
    Sha256([u8; 32]),
}

/// A CRL to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeCrl {
    /// The key that signs it: a root's.
    pub signer: KeyRef,
    /// Its token.
    pub token: String,
    /// CRL number, higher than that of the one before (RFC 5280 §5.2.3).
    pub number: u64,
    /// Days until the next one.
    pub days: u32,
    /// Every certificate of this signer that is revoked, at most 64.
    pub revoked: Vec<Revoke>,
}

/// A certificate on a CRL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoke {
    /// Serial number, 1 to 20 octets.
    pub serial: Vec<u8>,
    /// Reason, as RFC 5280 §5.3.1 numbers it.
    pub reason: u8,
}

/// A key to be destroyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destroy {
    /// The key.
    pub key: KeyRef,
    /// Its token.
    pub token: String,
}

impl Step {
    pub(super) fn write(&self, number: usize, text: Writer) -> Writer {
        let text = text.raw(&format!("# Step {number}. {}\n", self.comment()));
        match self {
            Self::MakeKey(make) => {
                let text = text
                    .line("step", "make-key")
                    .line("name", &make.name)
                    .line("algorithm", &make.algorithm)
                    .line("token", &make.token)
                    .line("label", &make.label)
                    .line("attributes", ATTRIBUTES);
                make.exceptions.iter().fold(text, |text, claim| text.line("exception", claim))
            }
            Self::Certify(certify) => text
                .line("step", "certify")
                .line("profile", certify.profile)
                .line("subject", &certify.subject)
                .line("signer", &certify.signer)
                .line("token", &certify.token)
                .line("days", certify.days),
            Self::MakeCrl(crl) => {
                let text = text
                    .line("step", "make-crl")
                    .line("signer", &crl.signer)
                    .line("token", &crl.token)
                    .line("number", crl.number)
                    .line("days", crl.days);
                crl.revoked.iter().fold(text, |text, revoke| text.line("revoke", revoke))
            }
            Self::Destroy(destroy) => {
                text.line("step", "destroy-key").line("key", &destroy.key).line("token", &destroy.token)
            }
        }
    }

    pub(super) fn read(lines: &mut Reader<'_>) -> Result<Self, TextError> {
        let step = match lines.value("step")? {
            "make-key" => {
                let mut make = MakeKey {
                    name: lines.value("name")?.to_owned(),
                    algorithm: lines.value("algorithm")?.to_owned(),
                    token: lines.value("token")?.to_owned(),
                    label: lines.value("label")?.to_owned(),
                    exceptions: Vec::new(),
                };
                lines.value("attributes")?;
                make.exceptions = lines.repeated("exception", MAX_EXCEPTIONS)?;
                if !is_word(&make.name) {
                    return Err(lines.bad("name"));
                }
                Self::MakeKey(make)
            }
            "certify" => Self::Certify(Certify {
                profile: lines.parse("profile")?,
                subject: lines.parse("subject")?,
                signer: lines.parse("signer")?,
                token: lines.value("token")?.to_owned(),
                days: lines.parse("days")?,
            }),
            "make-crl" => Self::MakeCrl(MakeCrl {
                signer: lines.parse("signer")?,
                token: lines.value("token")?.to_owned(),
                number: lines.parse("number")?,
                days: lines.parse("days")?,
                revoked: lines.repeated("revoke", MAX_REVOKED)?,
            }),
            "destroy-key" => {
                Self::Destroy(Destroy { key: lines.parse("key")?, token: lines.value("token")?.to_owned() })
            }
            _ => return Err(lines.bad("step")),
        };
        if names_a_model(step.token()) { Ok(step) } else { Err(lines.bad("token")) }
    }

    /// PKCS#11 URI of the token in which it is done.
    pub fn token(&self) -> &str {
        match self {
            Self::MakeKey(make) => &make.token,
            Self::Certify(certify) => &certify.token,
            Self::MakeCrl(crl) => &crl.token,
            Self::Destroy(destroy) => &destroy.token,
        }
    }

    /// Keys that it speaks of, and does not make.
    pub fn uses(&self) -> Vec<&KeyRef> {
        match self {
            Self::MakeKey(_) => vec![],
            Self::Certify(certify) => vec![&certify.subject, &certify.signer],
            Self::MakeCrl(crl) => vec![&crl.signer],
            Self::Destroy(destroy) => vec![&destroy.key],
        }
    }

    /// Whether a ceremony of this kind has such steps: officers approve a plan by what it is called, too. A founding knows no key but its
    /// own.
    pub(super) fn belongs_to(&self, ceremony: Ceremony) -> bool {
        let own = self.uses().iter().all(|key| matches!(key, KeyRef::Named(_)));
        let certifies = |profile| matches!(self, Self::Certify(certify) if certify.profile == profile);
        let makes = matches!(self, Self::MakeKey(_));
        match ceremony {
            Ceremony::Found => own,
            Ceremony::Root => makes || certifies(CertifyAs::Root),
            Ceremony::Issuer | Ceremony::Rotation => makes || certifies(CertifyAs::Issuer),
            Ceremony::LogKey => makes,
            Ceremony::Cross => certifies(CertifyAs::Cross),
            Ceremony::Retirement => matches!(self, Self::Destroy(_)),
            Ceremony::RootCrl => matches!(self, Self::MakeCrl(_)),
        }
    }

    /// What the step does, for whoever signs it.
    fn comment(&self) -> &'static str {
        match self {
            Self::MakeKey(_) => {
                "A key pair is made in this token. The private key never leaves it, and only signs; its attributes are read back."
            }
            Self::Certify(Certify { profile: CertifyAs::Root, .. }) => {
                "A root certifies itself. It becomes a trust anchor only when officers publish a trust bundle with it."
            }
            Self::Certify(Certify { profile: CertifyAs::Issuer, .. }) => {
                "The signer certifies an issuer, which then signs certificates of agents, controllers and services of this cell."
            }
            Self::Certify(Certify { profile: CertifyAs::Cross, .. }) => {
                "One root vouches for another: whoever trusts the signer trusts the subject, and all that it issues."
            }
            Self::MakeCrl(_) => {
                "The signer revokes these certificates of its own, for everyone who looks at its list."
            }
            Self::Destroy(_) => {
                "A key is destroyed in this token, then looked for and not found. This cannot be undone."
            }
        }
    }
}

/// Whether a token's URI says of which model it is, so that a plan for one kind of hardware is not carried out in another (RFC 7512 §2.3).
fn names_a_model(uri: &str) -> bool {
    let path = uri.strip_prefix("pkcs11:").unwrap_or_default();
    path.split(';').any(|attribute| attribute.strip_prefix("model=").is_some_and(|model| !model.is_empty()))
}

/// True for a word of lower-case letters, digits and hyphens.
fn is_word(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    name.len() <= MAX_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(allowed)
}

/// Before the hash of a key that is there already.
const SHA256: &str = "sha256:";

impl FromStr for KeyRef {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        match text.strip_prefix(SHA256) {
            Some(hex) => {
                let octets = HEXLOWER.decode(hex.as_bytes()).ok().and_then(|octets| octets.try_into().ok());
                octets.map(Self::Sha256).ok_or(TextError::NotCanonical)
            }
            None if is_word(text) => Ok(Self::Named(text.to_owned())),
            None => Err(TextError::NotCanonical),
        }
    }
}

impl fmt::Display for KeyRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Sha256(octets) => write!(f, "{SHA256}{}", HEXLOWER.encode(octets)),
        }
    }
}

impl FromStr for CertifyAs {
    type Err = TextError;

    fn from_str(word: &str) -> Result<Self, TextError> {
        match word {
            "root" => Ok(Self::Root),
            "issuer" => Ok(Self::Issuer),
            "cross" => Ok(Self::Cross),
            _ => Err(TextError::NotCanonical),
        }
    }
}

impl fmt::Display for CertifyAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Issuer => "issuer",
            Self::Cross => "cross",
        })
    }
}

impl FromStr for Revoke {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let (serial, reason) = text.split_once(' ').ok_or(TextError::NotCanonical)?;
        let serial = HEXLOWER.decode(serial.as_bytes()).map_err(|_| TextError::NotCanonical)?;
        if !(1..=20).contains(&serial.len()) {
            return Err(TextError::NotCanonical);
        }
        Ok(Self { serial, reason: reason.parse().map_err(|_| TextError::NotCanonical)? })
    }
}

impl fmt::Display for Revoke {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", HEXLOWER.encode(&self.serial), self.reason)
    }
}
