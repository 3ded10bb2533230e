//! `rootcellar serve`: the supervisor of the keeper and the front.

use clap::Args;
use keeper::Journal;

use super::journal;
use crate::error::Failure;
use crate::logging;
use crate::processes::{Bound, Inherited, supervise};
use crate::session::Session;

/// Serve the cell: start the keeper and the front, and start them again when they end
#[derive(Debug, Args)]
#[command(after_help = "\
It stops on SIGTERM and SIGINT when everything that has begun is finished. When it is ready it says so in one line on standard \
output; the log goes to standard error.

Example:
  rootcellar serve")]
pub(crate) struct Serve {}

pub(super) fn run(session: &Session, _args: &Serve) -> Result<(), Failure> {
    // Whoever holds its end of a door is front or keeper to the other.
    sys::harden().map_err(|error| Failure::new("SUPERVISOR", error))?;
    let config = session.config_of_service()?;
    let tokens: Vec<_> = [config.issuing_token()].into_iter().chain(config.standby_token()).collect();
    let inherited = Inherited::take(tokens.iter().map(|token| &token.pin));
    // Asked here, so that one sentence says it and not each child in its own way; the keeper asks again for itself.
    Journal::is_free(config.data_dir()).map_err(|error| journal::missing(session, error))?;
    logging::start_of_service(config.log_level(), config.log_format());
    let environment: Vec<_> = tokens.iter().flat_map(hsm_config::TokenConfig::environment).collect();
    let keeper = || {
        let mut command = session.again(&environment)?;
        command.arg("keeper");
        inherited.hand_to_keeper(&mut command).map_err(|error| Failure::new("SUPERVISOR", error))?;
        Ok(command)
    };
    let front = || {
        let mut command = session.again(&[])?;
        command.arg("front");
        inherited.keep_from_front(&mut command);
        Ok(command)
    };
    let (output, socket) = (*session.output(), config.socket().to_owned());
    let ready = move |bound: Bound| {
        let text = if output.is_json() {
            let Bound { mtls, ops, crl } = bound;
            let said = serde_json::json!({ "event": "ready", "mtls": mtls, "ops": ops, "crl": crl, "socket": socket });
            format!("{said}\n")
        } else {
            format!("ready: gRPC on https://{}, health on http://{}/readyz\n", bound.mtls, bound.ops)
        };
        if let Err(error) = output.raw(&text) {
            tracing::warn!(cause = error.to_string(), "nobody reads that it is ready");
        }
    };
    session.block_on(supervise(keeper, front, ready))
}
