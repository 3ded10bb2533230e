//! An officer at the local socket: writes an act, signs it, hands it in.

use std::ops::ControlFlow;
use std::path::PathBuf;

use cell::Act;
use ceremony::officer::{OfficerKey, ProposalTerms, propose};
use clap::Args;
use client::{Client, fetch_charters, fetch_trust};
use ledger::bundle::Log;
use ledger::charter::Charter;
use ledger::entry;
use ledger::entry::entry::Kind;
use ledger::note::{KeyName, Note};
use proto::v1::{GetStatusRequest, SubmitProposalRequest, SubmitProposalResponse};

use super::own::{CHARTER, charters};
use super::{local, own, recorded};
use crate::error::Failure;
use crate::files::{self, PUBLIC};
use crate::officer_key::load;
use crate::session::Session;
use crate::spec::Lifetime;
use audit::Trust;

/// How an act is signed, and what becomes of it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Signing")]
pub(crate) struct Signing {
    /// The officer's key [default: OFFICER_DIR/officer.key]
    #[arg(long, value_name = "FILE")]
    officer_key: Option<PathBuf>,
    /// Print the proposal, sign nothing, hand nothing in
    #[arg(long, conflicts_with = "proposal_out")]
    dry_run: bool,
    /// Write the signed proposal to a file instead of handing it in, for other officers to sign
    #[arg(long, value_name = "FILE")]
    proposal_out: Option<PathBuf>,
    /// How long the proposal is good for, up to 7d
    #[arg(long, value_name = "TIME", default_value = "10m")]
    expires: Lifetime,
}

/// What the officer believes of the cell: the service's word, held against the officer's own copy of the charter.
pub(crate) struct Desk {
    client: Client,
    /// Charter and bundle, verified.
    pub(crate) trust: Trust,
    /// The bundle's note.
    pub(crate) bundle_note: String,
    /// The log in force.
    pub(crate) log: Log,
    /// Entries of the log, as the service says.
    pub(crate) entries: u64,
    /// The URL that clients use: the configuration's name, and the port that the front really has.
    pub(crate) server: String,
}

/// What became of an act.
pub(crate) enum Outcome {
    /// It was shown.
    Shown,
    /// It was written to a file.
    Written(PathBuf),
    /// It was carried out.
    Done(Box<SubmitProposalResponse>),
    /// It lies beside the journal, in this file, and no service starts but by it.
    Laid(PathBuf),
}

impl Desk {
    /// Asks the service of this machine who it is, and believes nothing that the pinned charter does not vouch for.
    ///
    /// # Errors
    /// The service is not there, or is another than the officer's.
    pub(crate) async fn open(session: &Session) -> Result<Self, Failure> {
        let config = session.config()?;
        let pinned_path = config.officer_dir().join(CHARTER);
        let pinned = files::read(&pinned_path).map_err(|error| {
            Failure::from(error)
                .mended_by("the same with --officer-dir DIR, where `rootcellar init` put charter.note")
        })?;
        let pinned = charters(&pinned)?;
        let client = local::connect(session).await?;
        let served = fetch_charters(&client, Some(&pinned)).await?;
        if served.in_force() != pinned.in_force() {
            // What is pinned stays the first; the officer's own copy follows.
            own::follow(session, &served)?;
        }
        let (trust, bundle_note) = fetch_trust(&client, &served).await?;
        let status = client.admin().get_status(GetStatusRequest {}).await?.into_inner();
        let server = config.server_at(status.listen.parse().ok());
        let log = trust.bundle().log(&status.origin).cloned();
        let log =
            log.ok_or_else(|| Failure::unverified("the service's log", "the bundle does not name it"))?;
        Ok(Self { client, trust, bundle_note, log, entries: status.tree_size, server })
    }

    /// The connection.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Writes and signs an act, and does with it what was asked for.
    ///
    /// # Errors
    /// The officer's key cannot be used, or the service refuses.
    pub(crate) async fn act(
        &self,
        session: &Session,
        act: &Act,
        signing: &Signing,
    ) -> Result<Outcome, Failure> {
        match signed(session, act, signing, (self.trust.charter(), &self.log.origin))? {
            ControlFlow::Break(outcome) => Ok(outcome),
            ControlFlow::Continue(note) => self.submit(session, note).await,
        }
    }

    /// Hands a signed proposal in, and has the log prove that it holds this proposal.
    ///
    /// # Errors
    /// The service refuses, or what it says it recorded is not in the log.
    pub(crate) async fn submit(&self, session: &Session, proposal: String) -> Result<Outcome, Failure> {
        let act = Kind::Act(entry::Act { note: proposal.clone().into_bytes() });
        let request = SubmitProposalRequest { proposal };
        let response = self.client.admin().submit_proposal(request).await?.into_inner();
        let receipt = response.receipt.as_ref().ok_or_else(|| Failure::incomplete("receipt"))?;
        recorded::demand(session, &self.trust, receipt, &[act]).await?;
        Ok(Outcome::Done(Box::new(response)))
    }
}

/// Writes an act for the log of this name under this charter, signs it, and gives the note that is to be handed in; or what was asked
/// for instead.
///
/// # Errors
/// The officer's key cannot be used, or a file cannot be written.
pub(crate) fn signed(
    session: &Session,
    act: &Act,
    signing: &Signing,
    whose: (&Charter, &KeyName),
) -> Result<ControlFlow<Outcome, String>, Failure> {
    if signing.dry_run {
        session.output().text("proposal", write(session, act, signing, whose, &[])?.text())?;
        return Ok(ControlFlow::Break(Outcome::Shown));
    }
    let (_, key) = load(session, signing.officer_key.as_ref())?;
    let note = write(session, act, signing, whose, &[&key])?.to_string();
    let Some(path) = &signing.proposal_out else { return Ok(ControlFlow::Continue(note)) };
    files::replace(path, note.as_bytes(), PUBLIC)?;
    Ok(ControlFlow::Break(Outcome::Written(path.clone())))
}

fn write(
    session: &Session,
    act: &Act,
    signing: &Signing,
    (charter, log): (&Charter, &KeyName),
    signers: &[&OfficerKey],
) -> Result<Note, Failure> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(|error| Failure::new("RANDOM", error))?;
    let expires_unix = session.now_secs() + i64::from(signing.expires.secs());
    let terms = ProposalTerms { charter, log, nonce, expires_unix };
    let note = propose(act.name(), &act.fields(), &terms, signers);
    note.map_err(|error| Failure::new("PROPOSAL", error).mended_by("the same with --officer-key FILE"))
}

/// How long an act may wait that is laid beside the journal: nearly as long as any proposal is good, so that a clock that is set back makes it
/// none of a time too far ahead.
const LAID: Lifetime = Lifetime::from_secs(7 * 86_400 - 3_600);

impl Signing {
    /// The same for an act that may have to wait.
    pub(crate) fn for_long(&self) -> Self {
        Self { expires: LAID, ..self.clone() }
    }

    /// Whether the act is only shown.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}
