//! What the keeper says it recorded of an officer's: asked for until it is proved, or for so long.

use std::time::Duration;

use audit::Trust;
use ledger::entry::entry::Kind;
use proto::v1::Receipt;

use super::local;
use crate::error::{Exit, Failure};
use crate::session::Session;

/// A keeper that starts again, as it does for a new issuing key, is asked again so often.
const TRIES: (Duration, u32) = (Duration::from_millis(250), 20);
/// How long the proof of one act is waited for altogether.
const PATIENCE: Duration = Duration::from_secs(8);

/// Asks the keeper for the entries from `receipt` on that hold these kinds, and for proofs that the log holds them, and checks both.
///
/// # Errors
/// An entry is another than was handed in, or its proof does not verify; or none is to be had yet: then the message says which entry is
/// there by the service's word alone.
pub(crate) async fn demand(
    session: &Session,
    trust: &Trust,
    receipt: &Receipt,
    kinds: &[Kind],
) -> Result<(), Failure> {
    let (pause, tries) = TRIES;
    let asked = async {
        for _ in 1..tries {
            match once(session, trust, receipt, kinds).await {
                Err(failure) if failure.exit() == Exit::TryLater => tokio::time::sleep(pause).await,
                done => return done,
            }
        }
        once(session, trust, receipt, kinds).await
    };
    let late = || Failure::new("LATE", "no proof came").ending(Exit::TryLater);
    match tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_elapsed| Err(late())) {
        Err(failure) if failure.exit() == Exit::TryLater => {
            Err(Failure::not_proved(receipt.index, &receipt.origin, &failure))
        }
        done => done,
    }
}

async fn once(session: &Session, trust: &Trust, receipt: &Receipt, kinds: &[Kind]) -> Result<(), Failure> {
    let client = local::connect(session).await?;
    Ok(client::holds(&client, trust, receipt, kinds).await?)
}
