//! A controller that asks: which one, with credentials that are renewed in time.

use std::path::{Path, PathBuf};

use client::{Asker, Client, fetch_trust};
use proto::v1::{GetTrustBundleRequest, RenewCertificateBody};

use super::As;
use super::credentials::Credentials;
use super::pending::{CHAIN, Pair, Pending, WAITING_MAX};
use crate::error::Failure;
use crate::keys::LeafKey;
use crate::session::Session;
use audit::Chain;

/// Reason where another has the key, by the service's word.
const KEY_IN_USE: &str = "KEY_IN_USE";
/// Reason where the certificate that was presented is not the newest, likewise.
const NOT_NEWEST: &str = "CERTIFICATE_NOT_NEWEST";

/// A controller with its connection.
pub(crate) struct Caller {
    /// The connection.
    pub(crate) client: Client,
    /// Its credentials, the bundle as new as the service's.
    pub(crate) credentials: Credentials,
}

impl Caller {
    /// Connects as the controller that was named, or as the only one there is; past half of its certificate's life renews that
    /// first. Where that fails the command goes on with the certificate there is: who revokes must not wait for it.
    ///
    /// # Errors
    /// There is none, or more than one; the service refuses, or what it says does not verify.
    pub(crate) async fn connect(session: &Session, who: &As) -> Result<Self, Failure> {
        let mut caller = Self::present(session, who).await?;
        if caller.is_past_half(session)?
            && let Err(failure) = caller.renew(session).await
        {
            tracing::warn!(cause = failure.to_string(), "the controller's certificate is not renewed");
        }
        Ok(caller)
    }

    /// The same without renewing.
    ///
    /// # Errors
    /// As [`Caller::connect`].
    pub(crate) async fn present(session: &Session, who: &As) -> Result<Self, Failure> {
        let mut credentials = Credentials::load(&directory(session, who)?)?;
        let client = credentials.connect().await?;
        let (trust, note) = fetch_trust(&client, credentials.trust.charters()).await?;
        credentials.renew_trust(trust, &note)?;
        Ok(Self { client: credentials.signing(client, session)?, credentials })
    }

    /// Gets the next certificate and puts it in place. After a crash, a lost answer or a refusal the same key asks again and gets the same
    /// certificate: what is said of it may be false, and where it was recorded only this key goes on. A key that is said to be another's, or to
    /// have no newest certificate, keeps waiting, and the next one asks; none goes before one is in place.
    ///
    /// # Errors
    /// The service refuses, or what it says does not verify.
    pub(crate) async fn renew(&mut self, session: &Session) -> Result<(), Failure> {
        let first = Pair::in_dir(&self.credentials.dir);
        let mut refused = None;
        let mut is_last = false;
        for pair in (0..WAITING_MAX).map(|number| first.numbered(number)) {
            let pending = match (Pending::resume(pair.clone())?, &refused) {
                _ if is_last => break,
                (Some(pending), _) => pending,
                // Another key is no newer than this one.
                (None, Some(NOT_NEWEST)) => break,
                (None, _) => {
                    // One new key a time: whoever refuses them all has not burnt the next one.
                    is_last = true;
                    Pending::create(pair, LeafKey::generate()?)?.keep()
                }
            };
            match self.renew_once(session, pending).await {
                Err(failure) if failure.reason() == KEY_IN_USE => refused = Some(KEY_IN_USE),
                Err(failure) if failure.reason() == NOT_NEWEST => refused = Some(NOT_NEWEST),
                done => return done,
            }
        }
        let why = refused.unwrap_or(KEY_IN_USE);
        Err(Failure::new(why, "none of the keys that wait for the controller's next certificate gets it"))
    }

    async fn renew_once(&mut self, session: &Session, pending: Pending) -> Result<(), Failure> {
        let request = RenewCertificateBody {
            csr: pending.key().csr(&self.credentials.identity.spiffe_id())?,
            lifetime: None,
            request_id: pending.request_id(),
        };
        let answer = self.client.issuance().renew_certificate(request).await?.into_inner();
        let certificate = answer.certificate.ok_or_else(|| Failure::incomplete("certificate"))?;
        self.verify(session, &certificate.chain, &pending.key().public_key())?;
        let (proof, _) = self.asker().of_certificate(&certificate, &pending.request_id()).await?;
        let oid = session.config()?.attributes_oid();
        let proven = self.credentials.trust.prove(&certificate.chain, proof.as_bytes(), oid);
        proven.map_err(|error| Failure::unverified("the proof", error))?;
        // The old certificate stays in place until the new one has been used once: where the service lost the new one, the old one still
        // renews.
        let renewed = self.credentials.connect_with(&certificate.chain, &pending.key().pem()).await?;
        renewed.trust().get_trust_bundle(GetTrustBundleRequest {}).await?;
        pending.replace(&certificate.chain)?;
        self.credentials = Credentials::load(&self.credentials.dir)?;
        self.client = self.credentials.signing(self.credentials.connect().await?, session)?;
        Ok(())
    }

    /// Who asks for the proof of what it asked before.
    pub(crate) fn asker(&self) -> Asker<'_> {
        let Credentials { identity, trust, .. } = &self.credentials;
        Asker { client: &self.client, trust, path: identity.path() }
    }

    /// Checks a chain that names this controller.
    fn verify(&self, session: &Session, chain: &[Vec<u8>], public_key: &[u8]) -> Result<(), Failure> {
        let Credentials { identity, trust, .. } = &self.credentials;
        Chain::verify(chain, trust.bundle().anchors(), session.config()?.attributes_oid())
            .and_then(|chain| chain.held_by(&identity.spiffe_id(), public_key))
            .and_then(|chain| chain.valid_at(session.now_secs()))
            .map(drop)
            .map_err(|error| Failure::unverified("the controller's certificate", error))
    }

    fn is_past_half(&self, session: &Session) -> Result<bool, Failure> {
        let Credentials { chain, trust, .. } = &self.credentials;
        let oid = session.config()?.attributes_oid();
        let chain = Chain::verify(chain, trust.bundle().anchors(), oid)
            .map_err(|error| Failure::unverified("the controller's certificate", error))?;
        let leaf = chain.leaf();
        let half = leaf.not_before.midpoint(leaf.not_after);
        Ok(session.now_secs() >= half)
    }
}

/// The directory of a controller of this user.
///
/// # Errors
/// There is no home directory.
pub(crate) fn usual_directory(session: &Session, name: &cell::ControllerName) -> Result<PathBuf, Failure> {
    Ok(session.places()?.config().join("controllers").join(name.as_str()))
}

/// The credentials that were named, or the only ones there are.
///
/// # Errors
/// None were named, and there are none or several.
pub(crate) fn directory(session: &Session, who: &As) -> Result<PathBuf, Failure> {
    match (&who.credentials, &who.controller) {
        (Some(dir), _) => Ok(dir.clone()),
        (None, Some(name)) => usual_directory(session, name),
        (None, None) => only(&session.places()?.config().join("controllers")),
    }
}

fn only(dir: &Path) -> Result<PathBuf, Failure> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.join(CHAIN).exists()).collect();
    found.sort();
    let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure::usage(format!("there is no controller in {}", dir.display()))
            .mended_by("rootcellar controller add NAME --grant 'agents=…;roles=…;ttl=1h;budget=1000'")),
        several => {
            let names: Vec<String> = several.iter().filter_map(name).collect();
            Err(Failure::usage(format!("there are several controllers: {}", names.join(", ")))
                .mended_by(format!("the same with --controller {}", names[0])))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    #[test]
    fn the_only_controller_is_taken_and_of_several_one_must_be_named() {
        let dir = tempfile::tempdir().unwrap();
        assert!(only(dir.path()).unwrap_err().to_string().contains("no controller"));
        let add = |name: &str| {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("chain.pem"), "").unwrap();
        };
        add("build");
        std::fs::create_dir(dir.path().join("half-made")).unwrap();
        assert_eq!(only(dir.path()).unwrap(), dir.path().join("build"));
        add("deploy");
        let failure = only(dir.path()).unwrap_err();
        assert!(failure.to_string().contains("build, deploy"), "{failure}");
        assert_eq!(failure.exit(), Exit::Usage);
    }
}
