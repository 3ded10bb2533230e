//! `rootcellar issue`: a certificate for an agent, with the proof that it was recorded before it was signed.

mod ask;
mod prove;

use std::path::{Path, PathBuf};

use cell::AgentId;
use certs::csr::RequestedName;
use clap::Args;
use serde::Serialize;

use super::agent::Traits;
use super::view::Moment;
use crate::client::caller;
use crate::client::{As, request_id};
use crate::error::Failure;
use crate::files::{self, PUBLIC, certificates_pem, suffixed};
use crate::output::{Page, Show};
use crate::session::Session;
use crate::spec::Lifetime;
use client::Caller;
use client::Key;
use client::{Pair, Pending};

/// Get a certificate for an agent, and check all of it; the agent is created where it does not exist
#[derive(Debug, Args)]
#[command(after_help = "\
Writes PREFIX.key.pem (mode 0600), PREFIX.chain.pem and PREFIX.proof, which `rootcellar ledger verify` checks offline.

Example:
  rootcellar issue build/logger-1 --role logger --tag blue --ttl 1h --out /run/logger-1/mesh")]
pub(crate) struct Issue {
    /// The agent's id: 1 to 8 segments of [a-zA-Z0-9._-] parted by /
    agent: AgentId,
    #[command(flatten)]
    traits: Traits,
    /// Lifetime wanted, 10s to what the grant allows [default: 1h, or the grant's longest if that is less]
    #[arg(long, value_name = "TIME")]
    ttl: Option<Lifetime>,
    /// A PKCS#10 request, PEM or DER, instead of a key made here
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Where the files go [default: the agent's id, / as -, in the working directory]
    #[arg(long, value_name = "PREFIX")]
    out: Option<PathBuf>,
    /// Idempotency key: after a lost answer the same command gets the same certificate
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    who: As,
}

/// Whose key is certified.
enum Subject {
    /// One made here, which waits in its file.
    Own(Pending),
    /// Somebody's, who sent a request: its DER, and the public key in it.
    Theirs { csr: Vec<u8>, public_key: Vec<u8> },
}

pub(super) fn run(session: &Session, args: &Issue) -> Result<(), Failure> {
    session.block_on(issue(session, args))
}

async fn issue(session: &Session, args: &Issue) -> Result<(), Failure> {
    let caller = caller::connect(session, &args.who).await?;
    let prefix = args.out.clone().unwrap_or_else(|| args.agent.as_str().replace('/', "-").into());
    let pair = Pair::with_prefix(&prefix);
    let subject = Subject::new(args, &pair)?;
    let uri = args.agent.spiffe_id(&caller.credentials.identity.cell).to_string();
    let csr = subject.csr(&uri)?;
    let named = args.request_id.clone().map_or_else(request_id, Ok)?;
    let certificate = match ask::ask(&caller, args, &named, csr).await {
        Ok(certificate) => certificate,
        Err(refused) => return Err(subject.refused(refused, args, &caller)),
    };
    let (proof, proven) = prove::prove(session, &caller, &named, &certificate).await?;
    let chain = proven
        .chain
        .held_by(&uri, &subject.public_key())
        .and_then(|chain| chain.valid_at(session.now_secs()))
        .map_err(|error| Failure::unverified("the certificate", error))?;
    let proof_path = suffixed(&prefix, ".proof");
    let key = subject.put(&pair, &certificate.chain)?;
    files::replace(&proof_path, proof.as_bytes(), PUBLIC)?;
    session.output().say(&Issued {
        identity: uri,
        serial: chain.leaf().serial.clone(),
        not_before: Moment(chain.leaf().not_before),
        not_after: Moment(chain.leaf().not_after),
        entry: proven.index,
        log: proven.checkpoint.origin.to_string(),
        checkpoint_size: proven.checkpoint.size,
        key,
        chain: pair.chain().to_owned(),
        proof: proof_path,
    })
}

impl Subject {
    fn new(args: &Issue, pair: &Pair) -> Result<Self, Failure> {
        if let Some(path) = &args.csr {
            return Self::theirs(path);
        }
        let Some(_) = &args.request_id else {
            return Ok(Self::Own(Pending::create(pair.clone(), Key::generate()?)?));
        };
        // With an idempotency key the same key must ask again, so it is kept until it has its certificate.
        let waiting = Pending::resume(pair.clone())?;
        let pending = waiting.map_or_else(|| Pending::create(pair.clone(), Key::generate()?), Ok)?;
        Ok(Self::Own(pending.keep()))
    }

    fn theirs(path: &Path) -> Result<Self, Failure> {
        let bytes = files::read(path)?;
        let malformed = |error: &dyn std::fmt::Display| Failure::malformed(path, error);
        let csr = certs::csr::from_pem_or_der(&bytes).map_err(|error| malformed(&error))?.to_vec();
        let verified = certs::csr::check(&csr).map_err(|error| malformed(&error))?;
        if !verified.names().iter().any(|name| matches!(name, RequestedName::Uri(_))) {
            tracing::warn!(
                "the CSR names no SPIFFE ID: whoever carries it could hand it in for another agent first (openssl req -addext subjectAltName=URI:...)"
            );
        }
        Ok(Self::Theirs { public_key: verified.public_key().spki_der().to_vec(), csr })
    }

    /// For the agent of this name: nobody else can use the request.
    fn csr(&self, uri: &str) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Own(pending) => Ok(pending.key().csr(uri)?),
            Self::Theirs { csr, .. } => Ok(csr.clone()),
        }
    }

    fn public_key(&self) -> Vec<u8> {
        match self {
            Self::Own(pending) => pending.key().public_key(),
            Self::Theirs { public_key, .. } => public_key.clone(),
        }
    }

    /// With an idempotency key the same key asks again, whatever was said: what is refused may have been carried out.
    fn refused(self, why: Failure, args: &Issue, caller: &Caller) -> Failure {
        if let (Self::Own(pending), None) = (self, &args.request_id) {
            pending.give_up();
        }
        ask::explained(why, args, &caller.credentials.identity.controller)
    }

    /// Puts the chain in place, with the key where it is ours; returns the key's file.
    fn put(self, pair: &Pair, chain: &[Vec<u8>]) -> Result<Option<PathBuf>, Failure> {
        match self {
            Self::Own(pending) => {
                pending.replace(chain)?;
                Ok(Some(pair.key().to_owned()))
            }
            Self::Theirs { .. } => {
                files::replace(pair.chain(), certificates_pem(chain).as_bytes(), PUBLIC)?;
                Ok(None)
            }
        }
    }
}

#[derive(Serialize)]
struct Issued {
    identity: String,
    serial: String,
    not_before: Moment,
    not_after: Moment,
    entry: u64,
    log: String,
    checkpoint_size: u64,
    key: Option<PathBuf>,
    chain: PathBuf,
    proof: PathBuf,
}

impl Show for Issued {
    fn show(&self, page: &mut Page) {
        page.field("identity", &self.identity);
        page.field("serial", &self.serial);
        page.moment("valid from", self.not_before.0);
        page.moment("expires", self.not_after.0);
        page.field(
            "recorded",
            format!("entry {} of {}, below checkpoint {}", self.entry, self.log, self.checkpoint_size),
        );
        if let Some(key) = &self.key {
            page.field("key", key.display());
        }
        page.field("chain", self.chain.display());
        page.field("proof", self.proof.display());
    }
}
