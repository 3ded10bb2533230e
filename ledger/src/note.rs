//! Signed notes (c2sp.org/signed-note): parse, check, sign.
//!
//! Stricter than the standard: no control, invisible or direction-changing character, so that what an officer reads is
//! what is signed, and at most 60 KiB, so that a note fits in an entry.
//!
//! Does not: know what a text means.

mod key;
mod sign;

use std::fmt;

pub use key::{Algorithm, KeyError, KeyName, NameError, VerifierKey};
pub use sign::{Ed25519Signer, NoteSigner, SigningError};
pub use signed_note::Signature;

use crate::text::Kind;

/// Longest note in bytes, signatures included. The transcript of a founding with ML-DSA-65 keys, three officers and twenty resumptions takes up
/// to 55 KiB, and the rest of an entry, which has at most 65,535 bytes (c2sp.org/tlog-tiles), less than 4 KiB.
pub const MAX_LEN: usize = 60 * 1024;

/// Most signatures that a note may have. The standard asks for at least 16; a charter has at most 32 officers, and a
/// checkpoint a few witnesses.
pub const MAX_SIGNATURES: usize = 64;

/// What is no note, or not one that is signed as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`MAX_LEN`], or more signatures than [`MAX_SIGNATURES`].
    #[error("the note is too long")]
    TooLong,
    /// No UTF-8.
    #[error("the note is not UTF-8")]
    Encoding,
    /// A character that a reader does not see, or that changes how others are seen.
    #[error("the note contains the character U+{:04X}", u32::from(*.0))]
    Character(char),
    /// The text is empty or does not end with a newline.
    #[error("the text of the note does not end with a newline")]
    Text,
    /// A text, but no signature.
    #[error("the note is not signed")]
    Unsigned,
    /// A signature line that is none.
    #[error("signature line {0} of the note is malformed")]
    SignatureLine(usize),
    /// A signature that names a known key, and that this key did not make.
    #[error("the signature of {0} is not valid")]
    BadSignature(KeyName),
    /// The key has signed the note already.
    #[error("{0} has signed already")]
    SignedAlready(KeyName),
}

/// A text and the signatures under it. The signatures say nothing until they are checked with a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A text that nobody has signed yet.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Character`], [`NoteError::Text`].
    pub fn unsigned(text: &str) -> Result<Self, NoteError> {
        check_characters(text)?;
        if text.len() > MAX_LEN {
            return Err(NoteError::TooLong);
        }
        if !text.ends_with('\n') || text.starts_with('\n') {
            return Err(NoteError::Text);
        }
        Ok(Self { text: text.to_owned(), signatures: Vec::new() })
    }

    /// Parses a note that has at least one signature. The signatures are not checked.
    ///
    /// # Errors
    /// Any but [`NoteError::BadSignature`] and [`NoteError::SignedAlready`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_LEN {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Encoding)?;
        check_characters(note)?;
        // signed-note, "Format": the last empty line separates the text from the signatures.
        let (text, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Unsigned)?;
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Unsigned)?;
        let mut parsed = Self::unsigned(&format!("{text}\n"))?;
        for (i, line) in signatures.split('\n').enumerate() {
            if i == MAX_SIGNATURES {
                return Err(NoteError::TooLong);
            }
            let signature = Signature::from_bytes(line.as_bytes());
            parsed.signatures.push(signature.map_err(|_| NoteError::SignatureLine(i + 1))?);
        }
        Ok(parsed)
    }

    /// The text, with its last newline: what is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the text says it is; `None` for a checkpoint or a stranger's note.
    pub fn kind(&self) -> Option<Kind> {
        Kind::of(&self.text)
    }

    /// The signatures as they stand there, unchecked.
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Tells whether a key has signed the text. Lines of other keys are ignored, as the standard asks.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when a line names this key and its signature is not valid: then the note as a whole is
    /// to be refused.
    pub fn is_signed_by(&self, key: &VerifierKey) -> Result<bool, NoteError> {
        let mut signed = false;
        // Every line of the key is checked, not the first alone: no invalid one may hide behind a valid one.
        for signature in self.signatures.iter().filter(|signature| key.names(signature)) {
            if !key.verify(self.text.as_bytes(), signature.signature()) {
                return Err(NoteError::BadSignature(key.name().clone()));
            }
            signed = true;
        }
        Ok(signed)
    }

    /// Adds a signature over the text that was made elsewhere, after checking it.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`], [`NoteError::SignedAlready`], [`NoteError::TooLong`].
    pub fn add_signature(&mut self, key: &VerifierKey, signature: &[u8]) -> Result<(), NoteError> {
        if self.signatures.iter().any(|signature| key.names(signature)) {
            return Err(NoteError::SignedAlready(key.name().clone()));
        }
        if !key.verify(self.text.as_bytes(), signature) {
            return Err(NoteError::BadSignature(key.name().clone()));
        }
        let signature = Signature::new(key.name().to_string(), key.id(), signature.to_owned())
            .map_err(|_| NoteError::BadSignature(key.name().clone()))?;
        self.signatures.push(signature);
        if self.signatures.len() > MAX_SIGNATURES || self.to_string().len() > MAX_LEN {
            self.signatures.pop();
            return Err(NoteError::TooLong);
        }
        Ok(())
    }

    /// Has a signer sign the text, checks what it returns, and adds it.
    ///
    /// # Errors
    /// What the signer says, or [`SigningError::Note`] as [`Note::add_signature`].
    pub fn sign_with<S: NoteSigner + ?Sized>(&mut self, signer: &S) -> Result<(), SigningError<S::Error>> {
        let signature = signer.sign(self.text.as_bytes()).map_err(SigningError::Signer)?;
        Ok(self.add_signature(signer.key(), &signature)?)
    }
}

/// The bytes of the note. A note without a signature is shown as its text alone.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.signatures.is_empty() {
            f.write_str("\n")?;
        }
        self.signatures
            .iter()
            .try_for_each(|signature| f.write_str(&String::from_utf8_lossy(&signature.to_bytes())))
    }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    match text.chars().find(|&c| c != '\n' && is_deceptive(c)) {
        Some(c) => Err(NoteError::Character(c)),
        None => Ok(()),
    }
}

/// True for what cannot be told from its looks: controls, spaces but U+0020, and characters that are invisible or change
/// the direction of others (Unicode general category Cf, Default_Ignorable_Code_Point).
pub fn is_deceptive(c: char) -> bool {
    let invisible = matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{070F}' | '\u{115F}'..='\u{1160}'
        | '\u{0600}'..='\u{0605}' | '\u{06DD}' | '\u{0890}'..='\u{0891}' | '\u{08E2}'
        | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFFB}' | '\u{110BD}' | '\u{110CD}' | '\u{13430}'..='\u{1343F}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}');
    invisible || c.is_control() || (c.is_whitespace() && c != ' ')
}
