//! Keys: made, read back, proved; and destroyed, looked for, not found.

use certs::{PublicKey, SignatureAlgorithm};
use data_encoding::HEXLOWER;
use ledger::plan::{Destroy, KeyRef, MakeKey};
use sha2::{Digest, Sha256};

use super::{ExecuteError, Execution, decoded, internal};
use crate::host::{HostError, KeyFacts, TokenHost};
use crate::record::Event;

/// Octets of a CKA_ID that we give.
const ID_LEN: usize = 16;
/// Octets of a source in one draw.
const SHARE: usize = 32;

impl<Open: FnMut(&str) -> Result<Option<TokenHost>, HostError>> Execution<'_, Open> {
    /// Makes a key and has it prove itself. Its CKA_ID is written down first, so that a key that a crash leaves is found again.
    pub(super) fn make_key(&mut self, step: usize, make: &MakeKey) -> Result<(), ExecuteError> {
        if self.is_ended() || self.token(&make.token)?.is_none() {
            return Ok(());
        }
        if let Some((_, key)) = self.made(&make.name)? {
            // The record is not believed: the key must be there.
            let found = self.ask(&make.token, |host| host.find(key.spki_sha256()))?;
            let what = || "the record names a key that its token does not hold".to_owned();
            let found = found.ok_or_else(|| ExecuteError::Unfit { step: step + 1, what: what() })?;
            is_fit(make, &found.id, &found).map_err(|what| ExecuteError::Unfit { step: step + 1, what })?;
            self.seen.push(make.name.clone());
            return Ok(());
        }
        let intended = self.record.last(|event| match event {
            Event::Intended { step: of, id } if *of == step => Some(id.clone()),
            _ => None,
        });
        let resumed = intended.is_some();
        let id = if let Some(id) = intended {
            id
        } else {
            let id = HEXLOWER.encode(&self.draw::<ID_LEN>(&make.token, "rootcellar/v1 cka-id")?);
            self.write(Event::Intended { step, id: id.clone() })?;
            id
        };
        let key = self.ask(&make.token, |host| host.make(&id, &make.label, &make.algorithm))?;
        if let Err(what) = is_fit(make, &id, &key) {
            if resumed {
                // The record alone says that it is ours, and may have been altered to name another key: it stays.
                let what =
                    format!("the key under CKA_ID {id} of the record is another, and was left: {what}");
                return Err(ExecuteError::Unfit { step: step + 1, what });
            }
            // It signed nothing: it goes again, and the step says why.
            let spki_sha256 = Sha256::digest(decoded(&key.spki)?).into();
            self.ask(&make.token, |host| host.destroy(&id, spki_sha256))?;
            return Err(ExecuteError::Unfit { step: step + 1, what });
        }
        self.write(Event::Made { step, key: Box::new(key.clone()) })?;
        let csr = self.prove(step, &make.token, &decoded(&key.spki)?)?;
        self.seen.push(make.name.clone());
        self.write(Event::Proved { step, csr: HEXLOWER.encode(&csr) })
    }

    /// Has a key sign a certification request, which is no certificate, and verifies it (pairwise consistency).
    fn prove(&mut self, step: usize, token: &str, spki: &[u8]) -> Result<Vec<u8>, ExecuteError> {
        let key = PublicKey::try_from(spki).map_err(internal)?;
        let info = certs::compose::request(&self.cell, &key).map_err(internal)?;
        let signature = self.ask(token, |host| host.sign(spki, &info))?;
        let algorithm = SignatureAlgorithm::of(key.kind());
        let what = "the token returned a signature that is not its key's".to_owned();
        algorithm
            .verify_by(&key, &info, &signature)
            .map_err(|_| ExecuteError::Unfit { step: step + 1, what })?;
        Ok(certs::compose::join(&info, algorithm, &signature))
    }

    /// Destroys a key. That it is about to be is written down first: one that is gone after a crash was destroyed here.
    pub(super) fn destroy_key(&mut self, step: usize, destroy: &Destroy) -> Result<(), ExecuteError> {
        let done = |event: &Event| matches!(event, Event::Destroyed { step: of, .. } if *of == step);
        if self.record.events().iter().any(done) || self.token(&destroy.token)?.is_none() {
            return Ok(());
        }
        let spki_sha256 = match &destroy.key {
            KeyRef::Sha256(hash) => *hash,
            KeyRef::Named(name) => {
                let (_, key) = self.made(name)?.ok_or_else(|| internal("a key that was not made"))?;
                key.spki_sha256()
            }
        };
        let began = self.record.last(|event| match event {
            Event::Destroying { step: of, key } if *of == step => Some(key.clone()),
            _ => None,
        });
        let key = if let Some(key) = began {
            *key
        } else {
            let key = self.ask(&destroy.token, |host| host.find(spki_sha256))?;
            let why = || "the token holds no such key".to_owned();
            let key = key.ok_or_else(|| ExecuteError::Plan { step: step + 1, why: why() })?;
            self.write(Event::Destroying { step, key: Box::new(key.clone()) })?;
            key
        };
        let objects = self.ask(&destroy.token, |host| host.destroy(&key.id, spki_sha256))?;
        if self.ask(&destroy.token, |host| host.find(spki_sha256))?.is_some() {
            let what = "the key is still there after it was destroyed".to_owned();
            return Err(ExecuteError::Unfit { step: step + 1, what });
        }
        self.write(Event::Destroyed { step, objects })
    }

    /// Octets from the token and the operating system: one honest source is enough.
    pub(super) fn draw<const N: usize>(
        &mut self,
        token: &str,
        purpose: &'static str,
    ) -> Result<[u8; N], ExecuteError> {
        let ours = self.ask(token, |host| host.random(SHARE))?;
        let mut system = [0u8; SHARE];
        getrandom::fill(&mut system).map_err(|_| ExecuteError::NoRandom)?;
        Ok(keeper::mix_entropy(&ours, &system, purpose))
    }

    /// Asks a token that was opened before.
    pub(super) fn ask<T>(
        &mut self,
        uri: &str,
        ask: impl FnOnce(&mut TokenHost) -> Result<T, HostError>,
    ) -> Result<T, ExecuteError> {
        let host = self.token(uri)?.ok_or_else(|| internal("a token that is not of this machine"))?;
        ask(host).map_err(|source| ExecuteError::Token { uri: uri.to_owned(), source })
    }
}

/// Whether a key is the one that was ordered, and not weak. Its attributes the token's process has checked.
fn is_fit(make: &MakeKey, id: &str, key: &KeyFacts) -> Result<(), String> {
    let spki = HEXLOWER.decode(key.spki.as_bytes()).map_err(|error| error.to_string())?;
    PublicKey::try_from(spki.as_slice()).map_err(|error| error.to_string())?;
    if key.algorithm != make.algorithm || key.id != id || key.label != make.label {
        return Err("the token made another key than was ordered".into());
    }
    Ok(())
}
