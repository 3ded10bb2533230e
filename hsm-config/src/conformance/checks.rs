//! The checks of a token as a whole, and the sheet that every check is written on.

use crate::error::TokenError;
use crate::health::{self, START_UP};
use crate::session::TokenSession;
use crate::token::{Token, TokenInfo};

use super::keys::Examined;
use super::making;
use super::opened::Opened;
use super::{Check, LABEL, Surroundings, Verdict};

/// Sessions that a keeper has open at the least: one signs, one is the login, one reads attributes back and draws random numbers.
const SESSIONS_NEEDED: usize = 3;
/// Sessions that are tried: more than a keeper opens for any token that is not the busiest.
const SESSIONS_TRIED: usize = 32;

/// What a token does that destroys nothing.
const DESTROYED_SIGNS: &str = "a key that was destroyed signs";

/// The sheet that checks are written on.
#[derive(Default)]
pub(super) struct Sheet {
    pub(super) checks: Vec<Check>,
    /// No cell can use the token, whatever its keys are like.
    pub(super) unfit: bool,
}

impl Sheet {
    pub(super) fn note(
        &mut self,
        name: impl Into<String>,
        verdict: Verdict,
        found: impl ToString,
        means: &str,
    ) {
        self.checks.push(Check {
            name: name.into(),
            verdict,
            found: found.to_string(),
            means: means.to_owned(),
        });
    }

    /// A check that either passes or fails, and whether it passed.
    pub(super) fn outcome(
        &mut self,
        name: &str,
        outcome: Result<String, String>,
        good: &str,
        bad: &str,
    ) -> bool {
        let passed = outcome.is_ok();
        match outcome {
            Ok(found) => self.note(name, Verdict::Pass, found, good),
            Err(found) => self.note(name, Verdict::Fail, found, bad),
        }
        passed
    }

    /// The same, of something without which no cell can use the token.
    fn needed(&mut self, name: &str, outcome: Result<String, String>, good: &str, bad: &str) {
        self.unfit |= !self.outcome(name, outcome, good, bad);
    }

    pub(super) fn token(&mut self, info: &TokenInfo) {
        let outcome = if info.label.is_empty() {
            Err("it is not told, or cannot be read".to_owned())
        } else {
            Ok(format!("label {}, serial {}", info.label, info.serial))
        };
        self.needed(
            "token information",
            outcome,
            "the configuration can name it",
            "no configuration can name it: a cell cannot use it",
        );
    }

    pub(super) fn random(&mut self, session: &TokenSession) {
        let (mut first, mut second) = ([0u8; START_UP], [0u8; START_UP]);
        let drawn = session.random(&mut first).and_then(|()| session.random(&mut second));
        let flaw = health::examine(&first).flaw.or(health::examine(&second).flaw);
        let outcome = match (drawn, flaw) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), Some(flaw)) => Err(flaw.to_string()),
            (Ok(()), None) if first == second => Err(format!("twice the same {START_UP} octets")),
            (Ok(()), None) => Ok(format!("{START_UP} octets, twice, which pass SP 800-90B §4.4")),
        };
        self.needed(
            "random",
            outcome,
            "serial numbers are mixed from its random numbers and the system's",
            "serial numbers need a second source of random numbers: a cell cannot use it",
        );
    }

    pub(super) fn sessions(&mut self, token: &Token) {
        let opened: Vec<_> = (0..SESSIONS_TRIED).map_while(|_| token.session().ok()).collect();
        let found = format!("{} of {SESSIONS_TRIED} at once", opened.len());
        let outcome = if opened.len() >= SESSIONS_NEEDED { Ok(found) } else { Err(found) };
        self.needed(
            "sessions",
            outcome,
            "one for each that signs, and two",
            "a keeper opens three at the least: a cell cannot use it",
        );
    }

    /// An error, and then whether a new session signs. Whether the old one still does is nobody's concern: it is dropped.
    pub(super) fn recovers(&mut self, opened: &mut Opened<'_>, keys: &[Examined]) {
        let Some(key) = keys.iter().find(|key| key.good) else { return };
        let mut attempt = || -> Result<bool, TokenError> {
            let stale = making::stale(opened, key)?;
            let (broken, message) = (opened.token()?.session()?, b"rootcellar/v1 conformance after an error");
            let refused = broken.sign(&stale, message).is_err();
            drop(broken);
            opened.token()?.session()?.sign(&opened.again(key)?, message)?;
            Ok(refused)
        };
        let outcome = match attempt() {
            Ok(true) => Ok("a key that was destroyed is refused, and another one signs".to_owned()),
            Ok(false) => Err(DESTROYED_SIGNS.to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let bad = match &outcome {
            Err(found) if found == DESTROYED_SIGNS => {
                self.unfit = true;
                "no key can be retired, for what is destroyed goes on signing: a cell cannot use it"
            }
            _ => "no session signs after an error: the keeper is started anew each time",
        };
        self.outcome("after an error", outcome, "another session signs: the keeper goes on", bad);
    }

    pub(super) fn other_process(&mut self, surroundings: &Surroundings<'_>) {
        let Some(outcome) = (surroundings.other_process)() else {
            let means = "not tried: give a PIN source that can be read twice, as file:PATH";
            self.note("another process", Verdict::Unsupported, "the PIN can be read once", means);
            return;
        };
        self.outcome(
            "another process",
            outcome.map(|()| "logs in while this one is".to_owned()),
            "`token inspect` works while the service runs, and a keeper that was killed can be started anew",
            "only the service may use it, and what a killed one left there stands in its way. A TPM needs a resource manager",
        );
    }

    pub(super) fn data_objects(&mut self, session: &TokenSession) {
        let value = b"rootcellar/v1 conformance";
        let attempt = || -> Result<bool, TokenError> {
            session.keep(LABEL, value)?;
            Ok(session.kept(LABEL)?.iter().any(|kept| kept == value))
        };
        let outcome = attempt();
        // Best effort: what was made is in nobody's way.
        let _ = session.forget(LABEL);
        let (verdict, found) = match outcome {
            Ok(true) => (Verdict::Pass, "kept and read back".to_owned()),
            Ok(false) => (Verdict::Fail, "another value was read back".to_owned()),
            Err(error) => (Verdict::Unsupported, error.to_string()),
        };
        let means = if verdict == Verdict::Pass {
            "it keeps the newest checkpoint: a journal that went back is refused"
        } else {
            "a journal that went back is seen by witnesses and receipts alone"
        };
        self.note("data objects", verdict, found, means);
    }
}
