//! A rehearsal: the same plan, in throw-away SoftHSM2 tokens, approved by nobody; nothing of it is left.

use std::collections::BTreeMap;

use audit::ceremony::Evidence;
use ceremony::execute::{self, Progress};
use ceremony::plans::ROOT_DAYS;
use ceremony::transcript;
use ledger::charter::{Charter, Terms};
use ledger::note::{Ed25519Signer, KeyName, Note, NoteSigner as _};
use ledger::plan::{Ceremony, Certify, CertifyAs, KeyRef, MakeKey, Plan, Step};
use serde::Serialize;
use zeroize::Zeroizing;

use super::ground::Tool;
use crate::error::Failure;
use crate::output::{Page, Show};
use crate::session::Session;
use crate::tokens;

pub(super) fn run(session: &Session, note: &Note) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new("REHEARSAL", error);
    let planned = Plan::read(note).map_err(|error| failed(&error))?;
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(&mut *seed).map_err(|error| failed(&error))?;
    let name: KeyName = format!("{}/rehearsal", planned.cell).parse().map_err(|error| failed(&error))?;
    let officer = Ed25519Signer::from_seed(name, &seed).map_err(|error| failed(&error))?;
    let terms =
        Terms { cell: planned.cell.clone(), revision: 1, quorum: 1, officers: vec![officer.key().clone()] };
    let sign = |mut note: Note| note.sign_with(&officer).map(|()| note).map_err(|error| failed(&error));
    let charter = Charter::found(&sign(terms.draft().map_err(|error| failed(&error))?)?)
        .map_err(|error| failed(&error))?;
    let plan = rehearsal(&planned, &charter, session.now_secs());
    let note = sign(plan.draft().map_err(|error| failed(&error))?)?;
    let approved = Plan::approve(&note, &charter, session.now_secs()).map_err(|error| failed(&error))?;
    let (dir, tokens) = (tempdir()?, tempdir()?);
    let tool = Tool::own(session)?;
    let ground = tool.ground(&approved, &[], &[]);
    let (progress, record) =
        execute::execute(dir.path(), &ground, tokens::rehearsal(session, tokens.path()))?;
    if progress != Progress::Done {
        return Err(failed(&"a token could not be made"));
    }
    let done = transcript::transcript(&approved, &note, &record, &[]).map_err(|error| failed(&error))?;
    let signed = sign(done.draft().map_err(|error| failed(&error))?)?;
    let evidence =
        Evidence::open(signed.to_string().as_bytes(), &charter, &[]).map_err(|error| failed(&error))?;
    session.output().say(&Rehearsed {
        steps: planned.steps.len(),
        keys: evidence.keys.iter().map(|key| key.name.clone()).collect(),
        certificates: evidence.certificates.len(),
    })
}

fn tempdir() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new()
        .prefix("rootcellar-rehearsal-")
        .tempdir()
        .map_err(|error| Failure::new("REHEARSAL", error))
}

/// The plan with a key of its own wherever it uses or ends one that is there, and with tokens by label alone.
fn rehearsal(planned: &Plan, charter: &Charter, now_secs: i64) -> Plan {
    let mut stand_ins: BTreeMap<[u8; 32], String> = BTreeMap::new();
    let mut steps = Vec::new();
    for step in &planned.steps {
        let mut step = step.clone();
        match &mut step {
            Step::MakeKey(make) => {
                make.token = by_label(&make.token);
                make.exceptions.clear();
            }
            Step::Certify(certify) => {
                certify.token = by_label(&certify.token);
                let token = certify.token.clone();
                for key in [&mut certify.subject, &mut certify.signer] {
                    stand_in(key, &token, &mut stand_ins, &mut steps);
                }
            }
            Step::MakeCrl(crl) => {
                crl.token = by_label(&crl.token);
                let token = crl.token.clone();
                stand_in(&mut crl.signer, &token, &mut stand_ins, &mut steps);
            }
            Step::Destroy(destroy) => {
                destroy.token = by_label(&destroy.token);
                let token = destroy.token.clone();
                stand_in(&mut destroy.key, &token, &mut stand_ins, &mut steps);
            }
        }
        steps.push(step);
    }
    Plan {
        ceremony: Ceremony::Found,
        charter_revision: charter.revision(),
        charter_sha256: charter.sha256(),
        quorum: charter.quorum(),
        expires_unix: now_secs + 3600,
        steps,
        ..planned.clone()
    }
}

/// A key that stands in for one that is there: made and certified before it is first used.
fn stand_in(key: &mut KeyRef, token: &str, known: &mut BTreeMap<[u8; 32], String>, steps: &mut Vec<Step>) {
    let Some(hash) = super::execute::existing(key) else { return };
    let count = known.len();
    let name = known.entry(hash).or_insert_with(|| {
        let name = format!("stand-in-{}", count + 1);
        let named = KeyRef::Named(name.clone());
        steps.push(Step::MakeKey(MakeKey {
            name: name.clone(),
            algorithm: "p256".to_owned(),
            token: token.to_owned(),
            label: format!("rootcellar {name}"),
            exceptions: Vec::new(),
        }));
        steps.push(Step::Certify(Certify {
            profile: CertifyAs::Root,
            subject: named.clone(),
            signer: named,
            token: token.to_owned(),
            days: ROOT_DAYS,
        }));
        name
    });
    *key = KeyRef::Named(name.clone());
}

/// A throw-away token has the label of the one that it stands in for, and nothing else of it.
fn by_label(uri: &str) -> String {
    let parsed: Option<hsm_config::TokenUri> = uri.parse().ok();
    let label = parsed.as_ref().and_then(|uri| uri.label()).unwrap_or("rehearsal");
    let stand_in =
        hsm_config::TokenUri::with_label(label).map(|uri| uri.of_model(tokens::THROW_AWAY_MODEL, None));
    stand_in.map_or_else(|_| uri.to_owned(), |uri| uri.to_string())
}

#[derive(Serialize)]
struct Rehearsed {
    steps: usize,
    keys: Vec<String>,
    certificates: usize,
}

impl Show for Rehearsed {
    fn show(&self, page: &mut Page) {
        page.field("rehearsed", format!("{} steps, in throw-away tokens that are gone", self.steps));
        page.field("keys", self.keys.join(", "));
        page.field("certificates", self.certificates);
    }
}
