//! Asks the keeper whether it still knows who is connected: when a connection is made, and now and then while it lasts. A certificate that was revoked
//! would else hold a place for as long as nothing is asked with it.

use std::{sync::Arc, time::Duration};

use proto::door::{Recognise, ask::Ask};
use tokio::time::sleep;

use crate::{Clock, chance, gone::Gone, keeper::Keeper, steps::Caller};

/// How often it is asked of each connection; four thousand are some seventy asks a second.
const EVERY: Duration = Duration::from_secs(60);
/// How far chance shortens that.
const SHARE: f64 = 0.2;
/// How long an answer is waited for: a keeper that does not answer changes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// What it takes to ask.
#[derive(Clone)]
pub(crate) struct Recogniser {
    pub(crate) keeper: Keeper,
    pub(crate) clock: Clock,
    pub(crate) gone: Arc<Gone>,
}

impl Recogniser {
    /// Asks once: whose certificate the keeper knows no more, is gone.
    pub(crate) async fn look(&self, caller: &Caller) {
        let Some(asked) = caller.certificate().and_then(|_| caller.at((self.clock)()).ok()) else { return };
        self.gone.heed(caller, &self.keeper.ask(asked, PATIENCE, Ask::Recognise(Recognise {})).await);
    }

    /// Asks without end.
    pub(crate) async fn keep_looking(&self, caller: &Caller) {
        loop {
            sleep(chance::shortened(EVERY, SHARE)).await;
            self.look(caller).await;
        }
    }
}
