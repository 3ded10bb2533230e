//! Asking for the certificate, and creating the agent on the way.

use cell::ControllerName;
use data_encoding::HEXLOWER;
use prost_types::Duration;
use proto::v1;
use proto::v1::IssueCertificateBody;
use sha2::{Digest as _, Sha256};

use super::Issue;
use crate::commands::agent::Traits;
use crate::error::Failure;
use client::Caller;

/// Asks; where nothing is said of the agent it is taken as it is, and created bare only where it does not exist.
pub(super) async fn ask(
    caller: &Caller,
    args: &Issue,
    request_id: &str,
    csr: Vec<u8>,
) -> Result<v1::Certificate, Failure> {
    let described = args.traits.any();
    let first = send(caller, request(args, request_id, csr.clone(), described)).await;
    match first {
        Err(failure) if failure.reason() == "NOT_FOUND" && !described => {
            send(caller, request(args, request_id, csr, true)).await
        }
        answered => answered,
    }
}

/// A refusal for want of a grant, with the very grant that an officer would have to set.
pub(super) fn explained(refused: Failure, args: &Issue, controller: &ControllerName) -> Failure {
    if refused.reason() != "GRANT_DOES_NOT_COVER" {
        return refused;
    }
    let Traits { role, tag, dns } = &args.traits;
    let mut lists = vec![("roles", join(role)), ("tags", join(tag)), ("dns", join(dns))];
    lists.retain(|(_, list)| !list.is_empty());
    let lists = lists.iter().fold(String::new(), |grant, (key, list)| grant + ";" + key + "=" + list);
    let ttl = args.ttl.map(|ttl| format!(";ttl={ttl}")).unwrap_or_default();
    let grant = format!("agents={}{lists}{ttl}", args.agent);
    // A name of its own: a grant of the same name would take the place of one that was set before.
    let name = HEXLOWER.encode(&Sha256::digest(&grant)[..4]);
    refused.mended_by(format!("rootcellar grant set {controller} 'name=more-{name};{grant}'"))
}

fn join(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

async fn send(caller: &Caller, request: IssueCertificateBody) -> Result<v1::Certificate, Failure> {
    let answer = caller.client.issuance().issue_certificate(request).await?.into_inner();
    answer.certificate.ok_or_else(|| Failure::incomplete("certificate"))
}

fn request(args: &Issue, request_id: &str, csr: Vec<u8>, allow_missing: bool) -> IssueCertificateBody {
    IssueCertificateBody {
        agent: format!("agents/{}", args.agent),
        csr,
        lifetime: args.ttl.map(|ttl| Duration { seconds: ttl.secs().into(), nanos: 0 }),
        request_id: request_id.to_owned(),
        description: allow_missing.then(|| args.traits.described()),
        allow_missing,
    }
}
