//! The newest CRL of each issuer, held here so that whoever asks for it over HTTP costs the keeper nothing.
//!
//! It is asked for when the keeper says unasked that there is a new one, when a door opens, and every few minutes in case that word
//! was lost.
//!
//! Does not: check a CRL's signature; the keeper did, and whoever uses it does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use data_encoding::HEXLOWER;
use hyper::body::Bytes;
use proto::{
    door::{Refused, ask::Ask},
    v1::{GetCrlRequest, GetCrlResponse},
};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::{
    Keeper,
    call::{other_answer, pick},
    chance,
};

/// Time for the keeper to hand one out, which may have some dozen megabytes.
const READ: Duration = Duration::from_secs(20);

/// The longest time between two reads while there is none.
const PAUSE: Duration = Duration::from_secs(2);

/// The longest time between two reads.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

/// A CRL, ready to be handed out.
#[derive(Debug)]
pub(crate) struct Crl {
    /// DER CertificateList (RFC 5280 §5.1).
    pub(crate) der: Bytes,
    /// Hexadecimal, of its hash: the same for the same octets.
    pub(crate) tag: String,
    /// Seconds since 1970.
    pub(crate) this_update: i64,
    /// Seconds since 1970.
    pub(crate) next_update: i64,
}

/// Those that are known, by the issuer's key identifier (lower-case hexadecimal).
#[derive(Debug, Default)]
pub(crate) struct Crls(ArcSwap<HashMap<String, Arc<Crl>>>);

impl Crls {
    /// Whether none is known yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }

    /// The newest of an issuer.
    pub(crate) fn of(&self, issuer: &str) -> Option<Arc<Crl>> {
        self.0.load().get(issuer).cloned()
    }

    /// Sees to it that they are the newest. Never returns.
    pub(crate) async fn keep(&self, keeper: &Keeper) {
        let (mut news, mut presence) = (keeper.crls(), keeper.presence());
        loop {
            news.borrow_and_update();
            presence.borrow_and_update();
            let wait = self.refresh(keeper).await.map_or_else(
                |no| {
                    tracing::debug!(reason = %no.message, "no CRL from the keeper: asking again");
                    chance::shortened(PAUSE, 0.5)
                },
                |()| LOOK_AGAIN,
            );
            // There is a newer one, a keeper that may have one, or it is time: either way it is asked for.
            let _ = timeout(wait, async {
                tokio::select! { _ = news.changed() => {} _ = presence.changed() => {} }
            })
            .await;
        }
    }

    /// Those of the active issuer, and of every other that was known.
    async fn refresh(&self, keeper: &Keeper) -> Result<(), Refused> {
        let active = read(keeper, String::new()).await?;
        let known: Vec<String> =
            self.0.load().keys().filter(|known| **known != active.issuer).cloned().collect();
        let mut crls = HashMap::from([keyed(active)]);
        for issuer in known {
            crls.extend([keyed(read(keeper, issuer).await?)]);
        }
        self.0.store(Arc::new(crls));
        Ok(())
    }
}

async fn read(keeper: &Keeper, issuer: String) -> Result<GetCrlResponse, Refused> {
    let ask = Ask::GetCrl(GetCrlRequest { issuer, min_number: 0 });
    pick!(GetCrl)(keeper.ask_as_front(READ, ask).await?).ok_or_else(other_answer)
}

fn keyed(wire: GetCrlResponse) -> (String, Arc<Crl>) {
    let seconds = |time: Option<prost_types::Timestamp>| time.map_or(0, |time| time.seconds);
    let crl = Crl {
        tag: HEXLOWER.encode(&Sha256::digest(&wire.crl)[..16]),
        der: wire.crl.into(),
        this_update: seconds(wire.this_update),
        next_update: seconds(wire.next_update),
    };
    (wire.issuer, Arc::new(crl))
}
