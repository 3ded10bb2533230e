//! Carries a plan out, step by step, from wherever it stands: each thing is written down before it is done and after.
//!
//! A crash at any point leaves a record from which the next execution goes on; no key is made that the record does not name beforehand.
//! - `rehearsal`: certificates and CRLs without keys, before anything is done; `room`: whether the transcript can be; `entropy`: the sources of random numbers, tested first;
//!   `keys`: make; `certificates`: certificates and CRLs; `destruction`: the end of a key
//!
//! Does not: decide whether a plan may be executed (an `ApprovedPlan` says so), speak to the service.

mod certificates;
mod destruction;
mod entropy;
mod error;
mod keys;
mod rehearsal;
mod room;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use audit::ceremony::anchor;
use cell::TrustDomain;
use certs::{Blocklist, PublicKey};
use data_encoding::HEXLOWER;
use hsm_config::TokenUri;
use hsm_config::health::START_UP;
use keeper::{Clock, Probe, Random};
use ledger::plan::{ApprovedPlan, KeyRef, MAX_LIFETIME_SECS, Step};
use sha2::{Digest, Sha256};

pub use error::ExecuteError;
pub use rehearsal::lint;

use crate::host::{HostError, TokenFacts, TokenHost};
use crate::record::{Event, Record};

/// What an execution stands on.
pub struct Ground<'a> {
    /// The plan.
    pub plan: &'a ApprovedPlan,
    /// CA certificates of the cell, for signers that the plan does not make: the anchors of its trust bundle.
    pub anchors: &'a [Vec<u8>],
    /// Public keys, by SHA-256, that were made on another machine and are accepted here by whoever executes.
    pub accepted: &'a [[u8; 32]],
    /// Name and version of the program.
    pub tool: String,
    /// SHA-256 of its file.
    pub binary_sha256: [u8; 32],
    /// Keys that are known to be weak.
    pub weak_keys: Arc<Blocklist>,
    /// The time.
    pub clock: Clock,
    /// The operating system's random octets.
    pub random: Random,
    /// Told of each thing written down.
    pub probe: Probe,
}

/// How far an execution came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// All is done.
    Done,
    /// What is left needs these tokens, which are not of this machine.
    Elsewhere(Vec<String>),
}

/// One execution of a plan.
struct Execution<'a, Open> {
    ground: &'a Ground<'a>,
    cell: TrustDomain,
    record: Record,
    open: Open,
    /// Tokens by their URI in the plan; none where it is not of this machine.
    tokens: BTreeMap<String, Option<TokenHost>>,
    /// Tokens of steps that could not be done here.
    elsewhere: Vec<String>,
    /// Keys of the plan, by name, that were seen in their token in this execution.
    seen: Vec<String>,
    /// Whether the operating system's random numbers were tested in this execution.
    system_tested: bool,
    /// Whether the record says that all is done: it is then looked at, and nothing more is written to it.
    ended: bool,
}

/// Executes a plan in its directory, or goes on with it. `open` gives the process of the token with this URI, or none where the token is
/// not of this machine; it is asked once for each.
///
/// # Errors
/// [`ExecuteError`]; the record is kept.
pub fn execute(
    dir: &Path,
    ground: &Ground<'_>,
    open: impl FnMut(&str) -> Result<Option<TokenHost>, HostError>,
) -> Result<(Progress, Record), ExecuteError> {
    let plan = ground.plan.plan();
    let cell = plan.cell.parse().map_err(internal)?;
    let record = Record::open(dir)?;
    let mut execution = Execution {
        ground,
        cell,
        record,
        open,
        tokens: BTreeMap::new(),
        elsewhere: Vec::new(),
        seen: Vec::new(),
        system_tested: false,
        ended: false,
    };
    execution.begin()?;
    for (step, what) in plan.steps.iter().enumerate() {
        let tokens = match what {
            Step::MakeKey(make) => execution.make_key(step, make)?,
            Step::Certify(certify) => execution.certify(step, certify)?,
            Step::MakeCrl(crl) => execution.make_crl(step, crl)?,
            Step::Destroy(destroy) => execution.destroy_key(step, destroy)?,
        };
        execution.elsewhere.extend(tokens.map(ToOwned::to_owned));
    }
    let progress = execution.end()?;
    Ok((progress, execution.record))
}

fn internal(error: impl ToString) -> ExecuteError {
    ExecuteError::Internal(error.to_string())
}

impl<Open: FnMut(&str) -> Result<Option<TokenHost>, HostError>> Execution<'_, Open> {
    /// Checks that the record is this plan's, and that every certificate the plan orders can be, before any key is made.
    fn begin(&mut self) -> Result<(), ExecuteError> {
        let plan = HEXLOWER.encode(&self.ground.plan.sha256());
        let other = |event: &Event| matches!(event, Event::Began { plan: other, .. } if *other != plan);
        if self.record.events().iter().any(other) {
            return Err(ExecuteError::OtherPlan);
        }
        self.demand_begun_within()?;
        let (plan_text, approvals) = (self.ground.plan.plan(), self.ground.plan.approvals());
        lint(plan_text, self.ground.anchors, approvals.officers(), (self.ground.clock)())?;
        self.ended = self.is_ended();
        if self.ended {
            return self.demand_whole();
        }
        self.write(Event::Began {
            plan,
            at_ms: (self.ground.clock)(),
            tool: self.ground.tool.clone(),
            binary_sha256: HEXLOWER.encode(&self.ground.binary_sha256),
        })
    }

    /// The beginning that the record tells of is within the time in which the plan may be executed, and is over: it bounds what is signed, and
    /// another would make a transcript that nobody believes, once all is done.
    fn demand_begun_within(&self) -> Result<(), ExecuteError> {
        let expires = self.ground.plan.plan().expires_unix;
        let began = self.record.events().iter().find_map(|event| match event {
            Event::Began { at_ms, .. } => Some(*at_ms),
            _ => None,
        });
        let allowed = expires - MAX_LIFETIME_SECS..expires;
        if began
            .is_none_or(|began| allowed.contains(&began.div_euclid(1000)) && began <= (self.ground.clock)())
        {
            return Ok(());
        }
        let why = "it began when its plan was not to be executed, or after now: look at the clocks";
        Err(ExecuteError::Disbelieved(why.to_owned()))
    }

    /// The end: every step has its outcome, and every key was seen here or accepted by whoever executes, whatever the record says.
    fn end(&mut self) -> Result<Progress, ExecuteError> {
        if !self.elsewhere.is_empty() {
            self.elsewhere.dedup();
            return Ok(Progress::Elsewhere(self.elsewhere.clone()));
        }
        self.demand_whole()?;
        for step in &self.ground.plan.plan().steps {
            if let Step::MakeKey(make) = step {
                self.demand_accepted(&make.name)?;
            }
        }
        if !self.ended {
            self.write(Event::Ended { at_ms: (self.ground.clock)() })?;
        }
        Ok(Progress::Done)
    }

    /// The record has the outcome of every step.
    fn demand_whole(&self) -> Result<(), ExecuteError> {
        for (step, what) in self.ground.plan.plan().steps.iter().enumerate() {
            let done = match what {
                Step::MakeKey(make) => self.made(&make.name)?.is_some(),
                Step::Certify(_) | Step::MakeCrl(_) => self.signed(step)?.is_some(),
                Step::Destroy(_) => self.is_destroyed(step),
            };
            if !done {
                let what = format!("it does not say how step {} came out", step + 1);
                return Err(ExecuteError::Disbelieved(what));
            }
        }
        Ok(())
    }

    /// A key that this machine did not see counts only when somebody here says which it is.
    fn demand_accepted(&self, name: &str) -> Result<(), ExecuteError> {
        let Some((_, key)) = self.made(name)? else { return Ok(()) };
        if self.seen.iter().any(|seen| seen == name) || self.ground.accepted.contains(&key.spki_sha256()) {
            return Ok(());
        }
        Err(ExecuteError::NotAccepted { name: name.to_owned() })
    }

    fn is_ended(&self) -> bool {
        self.record.events().iter().any(|event| matches!(event, Event::Ended { .. }))
    }

    fn is_destroyed(&self, step: usize) -> bool {
        let is_it = |event: &Event| matches!(event, Event::Destroyed { step: of, .. } if *of == step);
        self.record.events().iter().any(is_it)
    }

    /// Writes an event down; only then does what follows happen.
    fn write(&mut self, event: Event) -> Result<(), ExecuteError> {
        let told = match &event {
            Event::Began { .. } => "ceremony began",
            Event::Token { .. } => "ceremony token",
            Event::Entropy { .. } => "ceremony entropy",
            Event::EntropyFailed { .. } => "ceremony entropy-failed",
            Event::Intended { .. } => "ceremony intended",
            Event::Unmade { .. } => "ceremony unmade",
            Event::Discarding { .. } => "ceremony discarding",
            Event::Made { .. } => "ceremony made",
            Event::Proved { .. } => "ceremony proved",
            Event::Composed { .. } => "ceremony composed",
            Event::Signed { .. } => "ceremony signed",
            Event::Destroying { .. } => "ceremony destroying",
            Event::Destroyed { .. } => "ceremony destroyed",
            Event::Ended { .. } => "ceremony ended",
        };
        self.record.write(event)?;
        (self.ground.probe)(told);
        Ok(())
    }

    /// The token's process; none where the token is not of this machine.
    fn token(&mut self, uri: &str) -> Result<Option<&mut TokenHost>, ExecuteError> {
        let failed = |source| ExecuteError::Token { uri: uri.to_owned(), source };
        if !self.tokens.contains_key(uri) {
            // A token in which nothing is left to be made is not made either, nor one that the plan knows by its serial: it is elsewhere.
            let mut create = false;
            let wanted: TokenUri = uri.parse().map_err(internal)?;
            for step in &self.ground.plan.plan().steps {
                if let Step::MakeKey(make) = step {
                    create |=
                        make.token == uri && wanted.serial().is_none() && self.made(&make.name)?.is_none();
                }
            }
            let mut opened = None;
            if let Some(mut host) = (self.open)(uri).map_err(failed)?
                && let Some(facts) = host.open(create).map_err(failed)?
            {
                demand_meant(uri, &facts)?;
                room::demand_tellable(self.ground.plan.plan(), &facts)
                    .map_err(|why| ExecuteError::Unspeakable { uri: uri.to_owned(), why })?;
                if !self.ended {
                    self.write(Event::Token { uri: uri.to_owned(), facts: Box::new(facts) })?;
                    self.test_system()?;
                    self.test_source(uri, || host.random(START_UP).map_err(failed))?;
                }
                opened = Some(host);
            }
            self.tokens.insert(uri.to_owned(), opened);
        }
        Ok(self.tokens.get_mut(uri).and_then(Option::as_mut))
    }

    /// The public key that a step made; none where that step waits.
    fn made(&self, name: &str) -> Result<Option<(usize, PublicKey)>, ExecuteError> {
        let steps = &self.ground.plan.plan().steps;
        let step = steps.iter().position(|step| matches!(step, Step::MakeKey(make) if make.name == name));
        let step = step.ok_or_else(|| internal(format!("no step makes {name}")))?;
        let key = self.record.last(|event| match event {
            Event::Made { step: made, key } if *made == step => Some(key),
            _ => None,
        });
        let proved = self
            .record
            .events()
            .iter()
            .any(|event| matches!(event, Event::Proved { step: of, .. } if *of == step));
        match key {
            Some(key) if proved => Ok(Some((step, public_key(&key.spki)?))),
            _ => Ok(None),
        }
    }

    /// The public key that a step speaks of; none where it is not made yet, or is known by its certificate alone.
    fn key(&self, key: &KeyRef) -> Result<Option<PublicKey>, ExecuteError> {
        match key {
            KeyRef::Named(name) => Ok(self.made(name)?.map(|(_, key)| key)),
            KeyRef::Sha256(hash) => {
                Ok(anchor(self.ground.anchors, hash).map(|anchor| anchor.public_key().clone()))
            }
        }
    }
}

fn demand_meant(uri: &str, facts: &TokenFacts) -> Result<(), ExecuteError> {
    let wanted: TokenUri = uri.parse().map_err(internal)?;
    if wanted.matches(&facts.label, &facts.serial, &facts.model) {
        return Ok(());
    }
    let TokenFacts { label, serial, model, .. } = facts.clone();
    Err(ExecuteError::OtherToken { uri: uri.to_owned(), label, serial, model })
}

fn decoded(hex: &str) -> Result<Vec<u8>, ExecuteError> {
    HEXLOWER.decode(hex.as_bytes()).map_err(internal)
}

fn public_key(spki: &str) -> Result<PublicKey, ExecuteError> {
    PublicKey::try_from(decoded(spki)?.as_slice()).map_err(internal)
}

/// SHA-256 of a file, such as the program's own.
///
/// # Errors
/// The file system's.
pub fn file_sha256(path: &Path) -> io::Result<[u8; 32]> {
    Ok(Sha256::digest(std::fs::read(path)?).into())
}
