//! `rootcellar keeper`: the process with the token and the journal.

use std::os::unix::net::UnixStream;
use std::sync::Arc;

use cell::DnsNames;
use clap::Args;
use keeper::{Ended, JournalError, Keeper as Running, StartError};

use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::logging;
use crate::processes::{Control, Message, orphans};
use crate::session::Session;

/// The process that records and signs (started by serve)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar keeper")]
pub(crate) struct Keeper {}

pub(super) fn run(session: &Session, _args: &Keeper) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("KEEPER", error);
    // Before the PIN is read.
    sys::harden().map_err(failed)?;
    let config = session.config_of_service()?;
    logging::start_of_service(config.log_level(), config.log_format());
    // SoftHSM2 opens two files for each signature, and running out of them poisons its keys.
    sys::raise_descriptors().map_err(failed)?;
    // What its module leaves behind stays its own, and is not taken for the front's.
    orphans::adopt().map_err(failed)?;
    let control = Control::of_this_process().map_err(failed)?;
    let running = Running::start(settings(&config)?, surroundings(session))?;
    control.send(&Message::Ready(None), None).map_err(|error| not_alone(&error))?;
    let telling = control.try_clone().map_err(failed)?;
    let (doors, stopper) = (running.doors(), running.stopper());
    std::thread::spawn(move || {
        loop {
            match control.receive() {
                Ok(Some((Message::Door, Some(door)))) => {
                    if let Err(error) = doors.serve(UnixStream::from(door)) {
                        tracing::error!(cause = error.to_string(), "a door could not be served");
                    }
                }
                Ok(Some((Message::Ready(Some(bound)), None))) => doors.listens_at(bound.mtls),
                _ => break,
            }
        }
        // Told to stop, or the supervisor is gone.
        stopper.stop();
    });
    // A supervisor that is gone is seen by the thread above.
    let alive = || drop(telling.send(&Message::Alive, None));
    match running.wait(alive) {
        Ended::Stopped => Ok(()),
        ended => Err(Failure::new("KEEPER", ended).ending(Exit::TryLater)),
    }
}

fn surroundings(session: &Session) -> keeper::Surroundings {
    let crate::Surroundings { clock, boot, random, probe } = session.surroundings();
    keeper::Surroundings { clock, boot, random, probe }
}

fn settings(config: &Config) -> Result<keeper::Config, Failure> {
    let names = DnsNames::try_from(config.dns_names().to_vec());
    Ok(keeper::Config {
        data_dir: config.data_dir().to_owned(),
        socket: config.socket().to_owned(),
        pin_record: config.state_dir().to_owned(),
        cell: config.cell().clone(),
        tokens: std::iter::once(config.issuing_token()).chain(config.standby_token()).collect(),
        service_dns: names
            .map_err(|error| Failure::new("CONFIGURATION", error).ending(Exit::Configuration))?,
        service_addresses: config.addresses().to_vec(),
        attributes_oid: config.attributes_oid(),
        weak_keys: config.weak_keys(),
        keep_free: config.keep_free(),
        start_timeout: config.start_timeout(),
    })
}

/// The keeper is started by the supervisor, at the other end of its standard input.
pub(super) fn not_alone(error: &std::io::Error) -> Failure {
    Failure::new("NOT_SUPERVISED", format!("standard input is not the supervisor's socket: {error}"))
        .mended_by("rootcellar serve")
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Token(error) => error.into(),
            StartError::Socket(_) => Self::new("SOCKET", error)
                .ending(Exit::Configuration)
                .mended_by("set `socket` below [service] to a path in a directory that this user can write"),
            StartError::NotTaken(ref laid) => {
                let remedy = match laid.act() {
                    Some("freeze") => "rootcellar freeze".to_owned(),
                    Some("renewals.stop") => "rootcellar freeze --renewals".to_owned(),
                    Some("renewals.stop-confirm") => "rootcellar freeze --renewals --confirm".to_owned(),
                    _ => format!("mv {} /var/tmp/", laid.path.display()),
                };
                Self::new("STOPPED", error).mended_by(remedy)
            }
            StartError::WrongCell { .. } => Self::new("WRONG_CELL", error).ending(Exit::Configuration),
            StartError::Journal(JournalError::Missing(_)) => {
                Self::new("JOURNAL", error).mended_by("rootcellar init")
            }
            StartError::Journal(JournalError::Locked(_)) => {
                Self::new("JOURNAL", error).mended_by("rootcellar status")
            }
            StartError::WentBack { .. } => {
                Self::new("LOG_WENT_BACK", error).mended_by("rootcellar ledger open-epoch")
            }
            StartError::KeepsNone { .. } => {
                Self::new("LOG_UNANCHORED", error).mended_by("rootcellar ledger open-epoch")
            }
            StartError::OtherCharter => {
                Self::new("OTHER_CHARTER", error).mended_by("rootcellar journal restore FILE")
            }
            StartError::Journal(JournalError::NotAsRecorded(_)) => {
                Self::new("TABLES_DIFFER", error).mended_by("rootcellar ledger rebuild --replace")
            }
            StartError::Journal(ref damage) if damage.is_damage() => {
                Self::new("JOURNAL", error).mended_by("rootcellar journal restore FILE")
            }
            StartError::Journal(_) | StartError::Unfounded(_) => Self::new("JOURNAL", error),
        }
    }
}

/// The clock as the parts of the house take it: they share its type.
const _: fn(crate::Clock) -> keeper::Clock = |clock| Arc::clone(&clock);
