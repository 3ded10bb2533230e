//! A controller that asks, with credentials that are renewed in time.

use audit::Chain;
use certs::ObjectIdentifier;
use proto::v1::{GetTrustBundleRequest, RenewCertificateBody};

use crate::connection::Client;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::key::Key;
use crate::pending::{Pair, Pending, WAITING_MAX};
use crate::recorded::Asker;
use crate::signer::Clock;
use crate::trust::fetch_trust;

/// Reason where another has the key, by the service's word.
const KEY_IN_USE: &str = "KEY_IN_USE";
/// Reason where the certificate that was presented is not the newest, likewise.
const NOT_NEWEST: &str = "CERTIFICATE_NOT_NEWEST";

/// A controller with its connection.
pub struct Caller {
    /// The connection.
    pub client: Client,
    /// Its credentials, the bundle as new as the service's.
    pub credentials: Credentials,
    clock: Clock,
    attributes_oid: ObjectIdentifier,
}

impl Caller {
    /// Connects with credentials; past half of its certificate's life renews that first. Where that fails it goes on with the certificate there
    /// is: who revokes must not wait for it. `attributes_oid` is of the extension with an agent's roles and tags.
    ///
    /// # Errors
    /// The service refuses, or what it says does not verify.
    pub async fn connect(
        credentials: Credentials,
        clock: Clock,
        attributes_oid: ObjectIdentifier,
    ) -> Result<Self, Error> {
        let mut caller = Self::present(credentials, clock, attributes_oid).await?;
        if caller.is_past_half()?
            && let Err(error) = caller.renew().await
        {
            tracing::warn!(cause = error.to_string(), "the controller's certificate is not renewed");
        }
        Ok(caller)
    }

    /// The same without renewing.
    ///
    /// # Errors
    /// As [`Caller::connect`].
    pub async fn present(
        mut credentials: Credentials,
        clock: Clock,
        attributes_oid: ObjectIdentifier,
    ) -> Result<Self, Error> {
        let client = credentials.connect().await?;
        let (trust, note) = fetch_trust(&client, credentials.trust.charters()).await?;
        credentials.renew_trust(trust, &note)?;
        let client = credentials.signing(client, Clock::clone(&clock))?;
        Ok(Self { client, credentials, clock, attributes_oid })
    }

    /// Gets the next certificate and puts it in place. After a crash, a lost answer or a refusal the same key asks again and gets the same
    /// certificate: what is said of it may be false, and where it was recorded only this key goes on. A key that is said to be another's, or to
    /// have no newest certificate, keeps waiting, and the next one asks; none goes before one is in place.
    ///
    /// # Errors
    /// The service refuses, or what it says does not verify.
    pub async fn renew(&mut self) -> Result<(), Error> {
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
                    Pending::create(pair, Key::generate()?)?.keep()
                }
            };
            match self.renew_once(pending).await {
                Err(error) if error.is_refusal(KEY_IN_USE) => refused = Some(KEY_IN_USE),
                Err(error) if error.is_refusal(NOT_NEWEST) => refused = Some(NOT_NEWEST),
                done => return done,
            }
        }
        Err(Error::NoKeyGetsIt(refused.unwrap_or(KEY_IN_USE)))
    }

    async fn renew_once(&mut self, pending: Pending) -> Result<(), Error> {
        let request = RenewCertificateBody {
            csr: pending.key().csr(&self.credentials.identity.spiffe_id())?,
            lifetime: None,
            request_id: pending.request_id(),
        };
        let answer = self.client.issuance().renew_certificate(request).await?.into_inner();
        let certificate = answer.certificate.ok_or(Error::Incomplete("certificate"))?;
        self.verify(&certificate.chain, &pending.key().public_key())?;
        let (proof, _) = self.asker().of_certificate(&certificate, &pending.request_id()).await?;
        let oid = self.attributes_oid;
        let proven = self.credentials.trust.prove(&certificate.chain, proof.as_bytes(), oid);
        proven.map_err(|error| Error::unverified("the proof", error))?;
        // The old certificate stays in place until the new one has been used once: where the service lost the new one, the old one still
        // renews.
        let renewed = self.credentials.connect_with(&certificate.chain, &pending.key().pem()).await?;
        renewed.trust().get_trust_bundle(GetTrustBundleRequest {}).await?;
        pending.replace(&certificate.chain)?;
        self.credentials = Credentials::load(&self.credentials.dir)?;
        self.client =
            self.credentials.signing(self.credentials.connect().await?, Clock::clone(&self.clock))?;
        Ok(())
    }

    /// Who asks for the proof of what it asked before.
    pub fn asker(&self) -> Asker<'_> {
        let Credentials { identity, trust, .. } = &self.credentials;
        Asker { client: &self.client, trust, path: identity.path() }
    }

    /// Checks a chain that names this controller.
    fn verify(&self, chain: &[Vec<u8>], public_key: &[u8]) -> Result<(), Error> {
        let Credentials { identity, trust, .. } = &self.credentials;
        Chain::verify(chain, trust.bundle().anchors(), self.attributes_oid)
            .and_then(|chain| chain.held_by(&identity.spiffe_id(), public_key))
            .and_then(|chain| chain.valid_at(self.now_secs()))
            .map(drop)
            .map_err(|error| Error::unverified("the controller's certificate", error))
    }

    fn is_past_half(&self) -> Result<bool, Error> {
        let Credentials { chain, trust, .. } = &self.credentials;
        let oid = self.attributes_oid;
        let chain = Chain::verify(chain, trust.bundle().anchors(), oid)
            .map_err(|error| Error::unverified("the controller's certificate", error))?;
        let leaf = chain.leaf();
        let half = leaf.not_before.midpoint(leaf.not_after);
        Ok(self.now_secs() >= half)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    fn now_secs(&self) -> i64 {
        (self.clock)().div_euclid(1000)
    }
}
