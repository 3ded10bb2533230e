//! `rootcellar front`: the process that faces the network.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use ca_service::{FrontConfig, FrontError};
use clap::Args;
use tokio::sync::{mpsc, oneshot};

use super::keeper::not_alone;
use crate::config::Config;
use crate::error::{Exit, Failure};
use crate::logging;
use crate::processes::{Bound, Control, Message};
use crate::session::Session;

/// Doors that wait to be taken: a keeper that starts again faster than that is not waited for.
const DOORS: usize = 4;

/// The process that faces the network (started by serve)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar front")]
pub(crate) struct Front {}

pub(super) fn run(session: &Session, _args: &Front) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::new("FRONT", error);
    // It holds the service's own private key.
    sys::harden().map_err(failed)?;
    let config = session.config_of_service()?;
    logging::start_of_service(config.log_level(), config.log_format());
    let descriptors = sys::raise_descriptors().map_err(failed)?;
    let control = Control::of_this_process().map_err(failed)?;
    let telling = control.try_clone().map_err(failed)?;
    let (doors, taken) = mpsc::channel(DOORS);
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        while let Ok(Some((Message::Door, Some(door)))) = control.receive() {
            if doors.blocking_send(UnixStream::from(door)).is_err() {
                return;
            }
        }
        // Told to stop, or the supervisor is gone.
        drop(stop);
    });
    let ready = move |bound: ca_service::Bound| {
        let bound = Bound { mtls: bound.mtls, ops: bound.ops, crl: bound.crl };
        if let Err(error) = telling.send(&Message::Ready(Some(bound)), None) {
            tracing::error!(reason = not_alone(&error).to_string(), "the supervisor is gone");
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed)?;
    let stopped = async {
        let _ = stopped.await;
    };
    Ok(runtime.block_on(ca_service::run(
        settings(&config, descriptors),
        session.clock(),
        session.probe(),
        taken,
        ready,
        stopped,
    ))?)
}

/// Where the front keeps its own key and certificate.
pub(super) fn own_dir(config: &Config) -> PathBuf {
    config.data_dir().join("front")
}

fn settings(config: &Config, descriptors: u64) -> FrontConfig {
    FrontConfig {
        listen: config.listen(),
        ops_listen: config.ops_listen(),
        crl_listen: config.crl_listen(),
        state_dir: own_dir(config),
        cell: config.cell().clone(),
        limits: config.limits().clone(),
        descriptors,
    }
}

impl From<FrontError> for Failure {
    fn from(error: FrontError) -> Self {
        match error {
            FrontError::Listen { .. } | FrontError::OpsNotLoopback { .. } => {
                Self::new("LISTEN", error).ending(Exit::Configuration)
            }
            FrontError::TooFewDescriptors { .. } => {
                Self::new("TOO_FEW_DESCRIPTORS", error).ending(Exit::Configuration)
            }
            FrontError::DoorLost => Self::new("DOOR_LOST", error).ending(Exit::TryLater),
            _ => Self::new("FRONT", error),
        }
    }
}
