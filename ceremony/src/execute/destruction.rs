//! The end of a key: it proves that it is there, is destroyed, looked for, and not found.

use certs::{PublicKey, SignatureAlgorithm, csr};
use data_encoding::HEXLOWER;
use ledger::plan::{Destroy, KeyRef};

use super::{ExecuteError, Execution, decoded, internal};
use crate::host::{HostError, KeyFacts, TokenHost};
use crate::record::Event;
use crate::transcript::farewell;

impl<Open: FnMut(&str) -> Result<Option<TokenHost>, HostError>> Execution<'_, Open> {
    /// Destroys a key, and gives the token for which the step waits. That it is about to be is written down first, with the key's own word: it
    /// signs a request that names this plan. Only that tells, after a crash, a key that was destroyed here from one that never was. Which key
    /// it is, the plan alone says: it is looked for by its public key every time.
    pub(super) fn destroy_key<'p>(
        &mut self,
        step: usize,
        destroy: &'p Destroy,
    ) -> Result<Option<&'p str>, ExecuteError> {
        if self.token(&destroy.token)?.is_none() {
            return Ok(Some(&destroy.token));
        }
        let spki_sha256 = match &destroy.key {
            KeyRef::Sha256(hash) => *hash,
            KeyRef::Named(name) => {
                let (_, key) = self.made(name)?.ok_or_else(|| internal("a key that was not made"))?;
                key.spki_sha256()
            }
        };
        let found = self.ask(&destroy.token, |host| host.find_any(spki_sha256))?;
        let began = self.record.last(|event| match event {
            Event::Destroying { step: of, key, proof } if *of == step => {
                Some(((**key).clone(), proof.clone()))
            }
            _ => None,
        });
        match (found, began) {
            (Some(_), _) if self.is_destroyed(step) => {
                return Err(disbelieved("it says that a key was destroyed, and it is there"));
            }
            (Some(key), Some((began, _))) if began != key => {
                return Err(disbelieved(
                    "it describes the key to be destroyed otherwise than its token does",
                ));
            }
            (Some(key), began) => {
                let proof = began.and_then(|(_, proof)| proof);
                let plan_sha256 = self.ground.plan.sha256();
                let is_its = |proof: String| farewell(&proof, &plan_sha256, &key.spki_sha256()).is_some();
                if !proof.is_some_and(is_its) {
                    let proof = self.farewell(&destroy.token, &key)?;
                    self.write(Event::Destroying { step, key: Box::new(key), proof })?;
                }
            }
            (None, None) => {
                let why = "the token holds no such key".to_owned();
                return Err(ExecuteError::Plan { step: step + 1, why });
            }
            (None, Some((began, _))) if began.spki_sha256() != HEXLOWER.encode(&spki_sha256) => {
                return Err(disbelieved("it has another key destroyed than the plan names"));
            }
            (None, Some(_)) if self.is_destroyed(step) => return Ok(None),
            // The public half may be left: the token removes a pair's two objects one after the other.
            (None, Some(_)) => {}
        }
        let objects = self.ask(&destroy.token, |host| host.destroy(spki_sha256))?;
        if self.ask(&destroy.token, |host| host.find_any(spki_sha256))?.is_some() {
            let what = "the key is still there after it was destroyed".to_owned();
            return Err(ExecuteError::Unfit { step: step + 1, what });
        }
        self.write(Event::Destroyed { step, objects })?;
        Ok(None)
    }

    /// The key's word that it is there for this plan to destroy; none of one that signs no more, which is destroyed all the same.
    fn farewell(&mut self, token: &str, key: &KeyFacts) -> Result<Option<String>, ExecuteError> {
        let spki = decoded(&key.spki)?;
        let public_key = PublicKey::try_from(spki.as_slice()).map_err(internal)?;
        let plan_sha256 = self.ground.plan.sha256();
        let info = certs::compose::farewell(&plan_sha256, &public_key).map_err(internal)?;
        let signature = match self.ask(token, |host| host.sign(&spki, &info)) {
            Ok(signature) => signature,
            Err(ExecuteError::Token { source: HostError::Reported(_), .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let request = certs::compose::join(&info, SignatureAlgorithm::of(public_key.kind()), &signature);
        Ok(csr::check_farewell(&request, &plan_sha256).is_ok().then(|| HEXLOWER.encode(&request)))
    }
}

fn disbelieved(why: &str) -> ExecuteError {
    ExecuteError::Disbelieved(why.to_owned())
}
