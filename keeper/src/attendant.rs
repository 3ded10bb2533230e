//! The attendant: the thread that calls the token for all that is no signature. It draws random numbers; every minute it reads the keys'
//! attributes back and keeps the newest checkpoint; and it observes what a custody manifest says.

use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, select};
use hsm_config::{TokenError, TokenSession};
use zeroize::Zeroizing;

use crate::command::Command;
use crate::entropy::{BLOCK, Block, NotDrawn, Source, Tested};
use crate::manifest::Observer;
use crate::metrics::{Call, Metrics};
use crate::rollback::Newest;
use crate::workers::Pulse;

/// How often the keys' attributes are read back while running.
const RECHECK_EVERY: Duration = Duration::from_secs(60);

/// What the attendant is given.
pub(crate) struct Attendant {
    pub(crate) observer: Observer,
    /// Each asks for a manifest.
    pub(crate) orders: Receiver<()>,
    pub(crate) blocks: Sender<Block>,
    pub(crate) pulse: Pulse,
    pub(crate) done: Sender<Command>,
    pub(crate) metrics: Metrics,
    pub(crate) newest: Newest,
}

impl Attendant {
    /// Starts it, once it has observed a first manifest. It ends when the blocks' other end is gone, or the token is lost.
    ///
    /// # Errors
    /// A session cannot be opened, or a key is not as a CA key must be.
    pub(crate) fn start(self) -> Result<JoinHandle<()>, TokenError> {
        let session = self.observer.custody.bare_session()?;
        self.observe(&session)?;
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
        let mut block: Option<Block> = None;
        loop {
            if block.is_none() {
                block = Some(self.calling(|| self.draw(session, &mut tested))?);
            }
            if checked.elapsed() >= RECHECK_EVERY {
                self.calling(|| self.check(session))?;
                checked = Instant::now();
            }
            let ordered = select! {
                send(self.blocks, block.take().unwrap_or_default()) -> sent => sent.map(|()| false).ok(),
                recv(self.orders) -> order => order.map(|()| true).ok(),
                default(RECHECK_EVERY.saturating_sub(checked.elapsed())) => Some(false),
            };
            match ordered {
                Some(true) => self.calling(|| self.observe(session))?,
                Some(false) => {}
                None => {
                    // The sequencer has ended.
                    self.newest.keep(session);
                    return Ok(());
                }
            }
        }
    }

    fn observe(&self, session: &TokenSession) -> Result<(), TokenError> {
        let observed = self.observer.observe(session);
        self.metrics.call(Call::Observe, &observed);
        let _ = self.done.send(Command::Observed(Box::new(observed?)));
        Ok(())
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
        let checked = self.observer.custody.check(session);
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
