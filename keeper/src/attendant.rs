//! The attendant: the thread that calls the token for all that is no signature. It draws random numbers, and every minute it reads the
//! keys' attributes back and keeps the newest checkpoint.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{SendTimeoutError, Sender};
use hsm_config::{TokenError, TokenSession};
use zeroize::Zeroizing;

use crate::custody::Custody;
use crate::entropy::{BLOCK, Block, NotDrawn, Source, Tested};
use crate::metrics::{Call, Metrics};
use crate::rollback::Newest;
use crate::sequencer::Command;
use crate::workers::Pulse;

/// How often the keys' attributes are read back while running.
const RECHECK_EVERY: Duration = Duration::from_secs(60);

/// What the attendant is given.
pub(crate) struct Attendant {
    pub(crate) custody: Arc<Custody>,
    pub(crate) blocks: Sender<Block>,
    pub(crate) pulse: Pulse,
    pub(crate) done: Sender<Command>,
    pub(crate) metrics: Metrics,
    pub(crate) newest: Newest,
}

impl Attendant {
    /// Starts it. It ends when the blocks' other end is gone, or the token is lost.
    ///
    /// # Errors
    /// A session cannot be opened.
    pub(crate) fn start(self) -> Result<JoinHandle<()>, TokenError> {
        let session = self.custody.bare_session()?;
        Ok(thread::spawn(move || {
            if let Err(error) = self.run(&session) {
                // Whoever reads this ends the process; if no one does, it has ended.
                let _ = self.done.send(Command::TokenLost(error.to_string()));
            }
        }))
    }

    fn run(&self, session: &TokenSession) -> Result<(), TokenError> {
        let mut tested = Tested::new(Source::Token, self.metrics.clone());
        let mut checked = Instant::now();
        let mut block = None;
        loop {
            let filled = match block.take() {
                Some(kept) => kept,
                None => self.calling(|| self.draw(session, &mut tested))?,
            };
            if checked.elapsed() >= RECHECK_EVERY {
                self.calling(|| self.check(session))?;
                checked = Instant::now();
            }
            match self.blocks.send_timeout(filled, RECHECK_EVERY) {
                Ok(()) => {}
                Err(SendTimeoutError::Timeout(kept)) => block = Some(kept),
                Err(SendTimeoutError::Disconnected(_)) => {
                    // The sequencer has ended.
                    self.newest.keep(session);
                    return Ok(());
                }
            }
        }
    }

    /// A tested block. Of a source that failed its tests an empty one comes: nobody draws from it any more.
    fn draw(&self, session: &TokenSession, tested: &mut Tested) -> Result<Block, TokenError> {
        let mut fresh: Block = Zeroizing::new(vec![0u8; BLOCK]);
        let filled = tested.fill(&mut fresh, |out| {
            let drawn = session.random(out);
            self.metrics.call(Call::Random, &drawn);
            drawn
        });
        match filled {
            Ok(()) => Ok(fresh),
            Err(NotDrawn::Silent(error)) => Err(error),
            Err(NotDrawn::Unhealthy(failed)) => {
                let _ = self.done.send(Command::Unhealthy(failed));
                Ok(Block::default())
            }
        }
    }

    fn check(&self, session: &TokenSession) -> Result<(), TokenError> {
        let checked = self.custody.check(session);
        self.metrics.call(Call::Check, &checked);
        checked?;
        self.newest.keep(session);
        Ok(())
    }

    /// Does something in the module, in sight of who looks for calls that hang.
    fn calling<T>(&self, call: impl FnOnce() -> T) -> T {
        let place = self.pulse.attendant();
        self.pulse.begin(place);
        let outcome = call();
        self.pulse.end(place);
        outcome
    }
}
