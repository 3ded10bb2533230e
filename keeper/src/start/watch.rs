//! Watches the calls into the token's module that a start makes: one that never comes back would leave a keeper that neither serves nor ends.

use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender};
use hsm_config::PinSource;

use super::{Config, end_for_certain};

/// After so long it is said that it is waited for.
const SLOW: Duration = Duration::from_secs(10);

/// Lasts until it is dropped, or the process ends.
pub(super) struct Watch {
    _watched: Option<Sender<()>>,
}

impl Watch {
    /// Over what follows. Where a person enters the PIN nobody knows how long that takes.
    pub(super) fn over(config: &Config) -> Self {
        let by_hand = |source: &PinSource| matches!(source, PinSource::Prompt | PinSource::Protected);
        if config.tokens.iter().any(|token| by_hand(&token.pin)) {
            return Self { _watched: None };
        }
        let (watched, over) = crossbeam_channel::bounded::<()>(0);
        let most = config.start_timeout;
        thread::spawn(move || {
            let slow = SLOW.min(most);
            let waits = |time| over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
            if waits(slow) {
                tracing::warn!("the token's module has not come back for {slow:?}: a start waits for it");
                if waits(most.saturating_sub(slow)) {
                    tracing::error!(
                        alarm = "module-hangs",
                        "the token's module has not come back for {most:?} ([token] start-timeout): this keeper ends"
                    );
                    end_for_certain();
                }
            }
        });
        Self { _watched: Some(watched) }
    }
}
