//! Charters and trust bundles that a service hands out: believed as far as officers signed them.

use audit::Trust;
use ledger::bundle::Bundle;
use ledger::charter::Charters;
use proto::v1::{GetCharterRequest, GetTrustBundleRequest};

use crate::connection::Client;
use crate::error::Error;

/// Fetches the trust bundle and checks that officers published it: those of the pinned charter, or of one that follows from it. With it, its
/// note.
///
/// # Errors
/// The service refuses, or its bundle does not verify.
pub async fn fetch_trust(client: &Client, pinned: &Charters) -> Result<(Trust, String), Error> {
    let answer = client.trust().get_trust_bundle(GetTrustBundleRequest {}).await?.into_inner();
    let bundle = answer.bundle.ok_or(Error::Incomplete("bundle"))?;
    let mut charters = pinned.clone();
    charters
        .follow(bundle.charters.iter().map(String::as_str))
        .map_err(|error| Error::unverified("the charter", error))?;
    let trust = Trust::open(charters, bundle.note.as_bytes());
    Ok((trust.map_err(|error| Error::unverified("the trust bundle", error))?, bundle.note))
}

/// Fetches the service's charters: they must begin with the pinned one, and go on at least as far as whoever pinned it has followed them.
///
/// # Errors
/// The service refuses, or is another cell's.
pub async fn fetch_charters(client: &Client, pinned: Option<&Charters>) -> Result<Charters, Error> {
    let served = client.admin().get_charter(GetCharterRequest {}).await?.into_inner().charters;
    let served = Charters::parse(served.concat().as_bytes());
    let served = served.map_err(|error| Error::unverified("the charter", error))?;
    let agrees = |pinned: &Charters| {
        let mut followed = pinned.clone();
        let grew = followed.follow(served.notes().iter().map(String::as_str));
        served.first() == pinned.first() && grew.is_ok() && followed.in_force() == served.in_force()
    };
    if pinned.is_none_or(agrees) {
        Ok(served)
    } else {
        let why = "it is another than the pinned one, or does not follow from it";
        Err(Error::unverified("the service's charter", why))
    }
}

/// Refuses a bundle that is older than one that was seen before, or another of the same number.
///
/// # Errors
/// [`ledger::bundle::NotNewer`], as what does not verify.
pub fn not_older(offered: &Bundle, seen: &Bundle) -> Result<(), Error> {
    offered.supersedes(seen).map_err(|error| Error::unverified("the trust bundle", error))
}
