//! Keys: made, read back, proved.

use certs::{Blocklist, PublicKey, SignatureAlgorithm};
use data_encoding::HEXLOWER;
use ledger::plan::MakeKey;
use sha2::{Digest, Sha256};

use super::{ExecuteError, Execution, decoded, internal};
use crate::host::{HostError, KeyFacts, TokenHost};
use crate::record::Event;

/// Octets of a source in one draw.
const SHARE: usize = 32;

impl<Open: FnMut(&str) -> Result<Option<TokenHost>, HostError>> Execution<'_, Open> {
    /// Makes a key and has it prove itself, or looks at the one that was made; gives the token for which the step waits.
    pub(super) fn make_key<'p>(
        &mut self,
        step: usize,
        make: &'p MakeKey,
    ) -> Result<Option<&'p str>, ExecuteError> {
        let id = HEXLOWER.encode(&self.ground.plan.cka_id(step));
        let here = self.token(&make.token)?.is_some();
        match self.made(&make.name)? {
            Some((_, key)) if here => self.see(step, make, &id, &key)?,
            Some(_) => {}
            None if here => self.make(step, make, &id)?,
            None => return Ok(Some(&make.token)),
        }
        Ok(None)
    }

    /// The record is not believed: the key must be in its token, under this plan's CKA_ID, and be described as it describes itself.
    fn see(&mut self, step: usize, make: &MakeKey, id: &str, key: &PublicKey) -> Result<(), ExecuteError> {
        let unfit = |what: String| ExecuteError::Unfit { step: step + 1, what };
        let found = self.ask(&make.token, |host| host.find(key.spki_sha256()))?;
        let found =
            found.ok_or_else(|| unfit("the record names a key that its token does not hold".into()))?;
        demand_fit(make, id, &found, &self.ground.weak_keys).map_err(unfit)?;
        let recorded = self.record.last(|event| match event {
            Event::Made { step: of, key } if *of == step => Some(&**key),
            _ => None,
        });
        if recorded != Some(&found) {
            return Err(unfit("the record describes the key otherwise than its token does".into()));
        }
        self.seen.push(make.name.clone());
        Ok(())
    }

    /// Its CKA_ID is written down first, so that a key that a crash leaves is found again.
    fn make(&mut self, step: usize, make: &MakeKey, id: &str) -> Result<(), ExecuteError> {
        let intended = |event: &Event| matches!(event, Event::Intended { step: of, .. } if *of == step);
        if !self.record.events().iter().any(intended) {
            if self.ask(&make.token, |host| host.is_taken(id))? {
                let what = format!(
                    "the token holds a key under CKA_ID {id}, which this plan alone uses and did not make: find out who did"
                );
                return Err(ExecuteError::Unfit { step: step + 1, what });
            }
            self.write(Event::Intended { step, id: id.to_owned() })?;
        }
        let key = match self.ask(&make.token, |host| host.make(id, &make.label, &make.algorithm)) {
            Err(ExecuteError::Token { uri, source: HostError::Reported(why) }) => {
                self.write(Event::Unmade { step, why: why.clone() })?;
                return Err(ExecuteError::Token { uri, source: HostError::Reported(why) });
            }
            made => made?,
        };
        if let Err(what) = demand_fit(make, id, &key, &self.ground.weak_keys) {
            return Err(self.discard(step, &make.token, id, &key, what));
        }
        self.write(Event::Made { step, key: Box::new(key.clone()) })?;
        let csr = match self.prove(step, &make.token, &decoded(&key.spki)?) {
            Err(ExecuteError::Unfit { what, .. }) => {
                return Err(self.discard(step, &make.token, id, &key, what));
            }
            proved => proved?,
        };
        self.seen.push(make.name.clone());
        self.write(Event::Proved { step, csr: HEXLOWER.encode(&csr) })
    }

    /// Destroys an unfit key, which signed no certificate; that it is about to be is written down first. No key but this plan's has that CKA_ID. Gives
    /// the reason for which the step ends.
    fn discard(&mut self, step: usize, token: &str, id: &str, key: &KeyFacts, what: String) -> ExecuteError {
        let unfit = ExecuteError::Unfit { step: step + 1, what: what.clone() };
        if key.id != id {
            return unfit;
        }
        let discarded = decoded(&key.spki).and_then(|spki| {
            self.write(Event::Discarding { step, key: Box::new(key.clone()), why: what })?;
            self.ask(token, |host| host.destroy(Sha256::digest(spki).into()))
        });
        discarded.map_or_else(|error| error, |_| unfit)
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

    /// Octets from the token and the operating system: one honest source is enough.
    pub(super) fn draw<const N: usize>(
        &mut self,
        token: &str,
        purpose: &'static str,
    ) -> Result<[u8; N], ExecuteError> {
        let ours = self.ask(token, |host| host.random(SHARE))?;
        let mut system = [0u8; SHARE];
        (self.ground.random)(&mut system).map_err(|_| ExecuteError::NoRandom)?;
        keeper::mix_entropy(&ours, &system, purpose).ok_or(ExecuteError::NoRandom)
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

/// A key is the one that was ordered, and not weak. Its attributes the token's process has checked.
fn demand_fit(make: &MakeKey, id: &str, key: &KeyFacts, weak: &Blocklist) -> Result<(), String> {
    let spki = HEXLOWER.decode(key.spki.as_bytes()).map_err(|error| error.to_string())?;
    let public_key = PublicKey::try_from(spki.as_slice()).map_err(|error| error.to_string())?;
    weak.check(&public_key).map_err(|error| error.to_string())?;
    if key.algorithm != make.algorithm || key.id != id || key.label != make.label {
        return Err("the token made another key than was ordered".into());
    }
    Ok(())
}
