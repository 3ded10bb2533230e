//! `rootcellar renew`: a controller's own certificate.

use clap::Args;
use serde::Serialize;

use super::view::Moment;
use crate::client::As;
use crate::client::caller;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use audit::Chain;

/// Renew a controller's own certificate now, with a new key (other commands do it past half of its life)
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  rootcellar renew --credentials /etc/build/rootcellar")]
pub(crate) struct Renew {
    #[command(flatten)]
    who: As,
}

pub(super) fn run(session: &Session, args: &Renew) -> Result<(), Failure> {
    session.block_on(async {
        let mut caller = caller::present(session, &args.who).await?;
        caller.renew().await?;
        let credentials = &caller.credentials;
        let oid = session.config()?.attributes_oid();
        let chain = Chain::verify(&credentials.chain, credentials.trust.bundle().anchors(), oid)
            .map_err(|error| Failure::unverified("the controller's certificate", error))?;
        session.output().say(&Renewed {
            identity: credentials.identity.spiffe_id(),
            serial: chain.leaf().serial.clone(),
            not_after: Moment(chain.leaf().not_after),
        })
    })
}

#[derive(Serialize)]
struct Renewed {
    identity: String,
    serial: String,
    not_after: Moment,
}

impl Show for Renewed {
    fn show(&self, page: &mut Page) {
        page.field("identity", &self.identity);
        page.field("serial", &self.serial);
        page.moment("expires", self.not_after.0);
    }
}
