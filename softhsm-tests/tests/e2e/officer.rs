//! An officer with its key in hand, who writes whatever it likes.

use cell::Act;
use ceremony::officer::{OfficerKey, ProposalTerms, propose};
use client::Client;
use ledger::charter::Charter;
use ledger::note::{KeyName, Note};
use proto::v1::{SubmitProposalRequest, SubmitProposalResponse};
use rootcellar_softhsm_tests::Cell;
use rustls::pki_types::UnixTime;
use tonic::Status;

/// The officer of a cell.
pub(crate) struct Officer {
    pub(crate) key: OfficerKey,
    pub(crate) charter: Charter,
    log: KeyName,
    nonce: u8,
}

impl Officer {
    pub(crate) fn of(cell: &Cell) -> Self {
        let key = OfficerKey::load(&cell.officer_dir().join("officer.key")).expect("the officer's key");
        let charter = std::fs::read(cell.officer_dir().join("charter.note")).expect("the charter");
        let charter = Charter::found(&Note::parse(&charter).expect("a note")).expect("a charter");
        Self { key, charter, log: "cell.internal/log/1".parse().expect("an origin"), nonce: 0 }
    }

    /// A signed proposal of an act that is good for ten minutes, another each time.
    pub(crate) fn propose(&mut self, act: &Act) -> String {
        self.propose_until(act, now_secs() + 600)
    }

    /// The same with another end.
    pub(crate) fn propose_until(&mut self, act: &Act, expires_unix: i64) -> String {
        self.nonce += 1;
        let terms =
            ProposalTerms { charter: &self.charter, log: &self.log, nonce: [self.nonce; 16], expires_unix };
        propose(act.name(), &act.fields(), &terms, &[&self.key]).expect("a proposal").to_string()
    }
}

/// Seconds since 1970, by the true clock.
pub(crate) fn now_secs() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).expect("a time")
}

/// Hands a proposal in.
pub(crate) async fn submit(client: &Client, proposal: &str) -> Result<SubmitProposalResponse, Status> {
    let request = SubmitProposalRequest { proposal: proposal.to_owned() };
    Ok(client.admin().submit_proposal(request).await?.into_inner())
}
