//! What a note says, in plain words, for whoever signs it.

use audit::ceremony::Evidence;
use cell::RevocationReason;
use certs::{ATTRIBUTES_OID, CertificateSummary};
use data_encoding::HEXLOWER;
use ledger::bundle::Contents;
use ledger::charter::Terms;
use ledger::note::Note;
use ledger::plan::{Plan, Revoke, Step};
use ledger::proposal::Proposal;
use ledger::text::Kind;
use ledger::transcript::Transcript;
use sha2::{Digest as _, Sha256};

/// The note's text; of a transcript what is not the plan, whose lines its officers have read before.
pub(super) fn shown(note: &Note) -> String {
    match note.kind() {
        Some(Kind::Transcript) => note
            .text()
            .lines()
            .filter(|line| !line.starts_with("plan: "))
            .fold(String::new(), |text, line| text + line + "\n"),
        _ => note.text().to_owned(),
    }
}

/// One sentence for each thing that signing it allows.
pub(super) fn in_plain_words(note: &Note) -> Vec<String> {
    let words = match note.kind() {
        Some(Kind::Charter) => Terms::read(note).ok().map(charter),
        Some(Kind::Bundle) => Contents::read(note).ok().map(|contents| bundle(&contents)),
        Some(Kind::Plan) => Plan::read(note).ok().map(|plan| self::plan(&plan)),
        Some(Kind::Proposal) => Proposal::read(note).ok().map(proposal),
        Some(Kind::Transcript) => Transcript::read(note).ok().map(|transcript| self::transcript(&transcript)),
        Some(Kind::PinFailureCleared) | None => None,
    };
    words.unwrap_or_else(|| vec!["This is nothing that Rootcellar knows. Do not sign it.".to_owned()])
}

fn charter(terms: Terms) -> Vec<String> {
    let officers: Vec<String> = terms.officers.iter().map(|officer| officer.name().to_string()).collect();
    vec![format!(
        "Charter {} of the cell {}: from now on any {} of these {} officers can do everything that widens trust: {}.",
        terms.revision,
        terms.cell,
        terms.quorum,
        officers.len(),
        officers.join(", ")
    )]
}

fn bundle(contents: &Contents) -> Vec<String> {
    let mut words = vec![format!(
        "Trust bundle {} of the cell {}: every client that pins the charter believes exactly these roots, and these logs.",
        contents.number, contents.cell
    )];
    for der in &contents.anchors {
        let subject =
            CertificateSummary::parse(der, ATTRIBUTES_OID).map(|summary| summary.subject).unwrap_or_default();
        words.push(format!("Root {subject}, SHA-256 {}.", HEXLOWER.encode(&Sha256::digest(der))));
    }
    words.extend(
        contents
            .issuers
            .iter()
            .map(|line| format!("Issuer {}: {}.", HEXLOWER.encode(&line.spki_sha256), line.state)),
    );
    words.extend(
        contents.log_keys().map(|(origin, key)| format!("Log {origin}: checkpoints signed by {key}.")),
    );
    words
}

fn plan(plan: &Plan) -> Vec<String> {
    let mut words = vec![format!(
        "A ceremony ({}) of {} steps for the cell {}. It needs {} officers of charter {}.",
        plan.ceremony,
        plan.steps.len(),
        plan.cell,
        plan.quorum,
        plan.charter_revision
    )];
    words.extend(plan.steps.iter().map(|step| match step {
        Step::MakeKey(make) => {
            let excused = match make.exceptions.as_slice() {
                [] => String::new(),
                claims => format!(" Its token is EXCUSED from these claims of custody: {}.", claims.join(", ")),
            };
            format!("A new {} key \"{}\" is made in {}.{excused}", make.algorithm, make.name, make.token)
        }
        Step::Certify(certify) => format!(
            "The key {} signs a certificate for the key {}: {}, valid for {} days.",
            certify.signer, certify.subject, certify.profile, certify.days
        ),
        Step::MakeCrl(crl) => {
            let listed: Vec<String> = crl.revoked.iter().map(revoked).collect();
            format!(
                "The key {} signs CRL {}, good for {} days. Every certificate that it revokes, none besides: {}.",
                crl.signer,
                crl.number,
                crl.days,
                if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
            )
        }
        Step::Destroy(destroy) => {
            format!("The key {} in {} is DESTROYED, for ever.", destroy.key, destroy.token)
        }
    }));
    words
}

/// A certificate by its serial number, and why it is revoked.
fn revoked(revoke: &Revoke) -> String {
    let reason = RevocationReason::try_from(i32::from(revoke.reason));
    let reason = reason.map_or_else(|_| "no known reason".to_owned(), |reason| reason.to_string());
    format!("{} ({reason})", HEXLOWER.encode(&revoke.serial))
}

/// What a transcript proves, for an officer to compare with what the machines of the ceremony showed: whoever carried it may have put another
/// ceremony's in its place, of the same plan and with tokens of their own.
pub(super) fn proven(evidence: &Evidence) -> Vec<String> {
    let keys = evidence.keys.iter().map(|key| {
        let spki_sha256 = HEXLOWER.encode(&key.public_key.spki_sha256());
        let (label, serial) = &key.token;
        format!(
            "COMPARE: the key \"{}\" is SHA-256 {spki_sha256}, made in {label} (serial {serial}).",
            key.name
        )
    });
    let certificates = evidence.certificates.iter().map(|one| {
        let der_sha256 = HEXLOWER.encode(&Sha256::digest(&one.der));
        format!("The {} certificate is SHA-256 {der_sha256}.", one.profile)
    });
    let destroyed =
        evidence.destroyed.iter().map(|key| format!("The key SHA-256 {} is gone.", HEXLOWER.encode(key)));
    keys.chain(certificates).chain(destroyed).collect()
}

fn proposal(proposal: Proposal) -> Vec<String> {
    let fields: Vec<String> =
        proposal.act_fields.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let what = match proposal.act_name.as_str() {
        "controller.add" => "A new controller may ask for certificates, within these grants",
        "controller.remove" => "A controller is refused from now on",
        "controller.reissue" => "A controller gets a new certificate, for another key",
        "grant.set" => "A controller may from now on ask for what this grant says",
        "grant.remove" => "A controller loses this grant",
        "freeze" => "The cell is frozen: no new identity, grant or controller",
        "thaw" => "Everything goes on, renewals too",
        "renewals.stop" | "renewals.stop-confirm" => "No certificate is renewed",
        "certificate.revoke" => "Certificates end before their time",
        "clock.confirm" => "The service's clock is right as it is",
        "epoch.open" => "The log begins anew on what is left of it",
        _ => "An act",
    };
    vec![format!(
        "{what}: {} ({}). It can be handed in until {}.",
        fields.join("; "),
        proposal.act_name,
        until(&proposal)
    )]
}

fn until(proposal: &Proposal) -> String {
    crate::output::rfc3339(proposal.expires_unix)
}

fn transcript(transcript: &Transcript) -> Vec<String> {
    let steps = transcript.sections("step").count();
    vec![
        format!(
            "You were present at this ceremony of the cell {}, and its {steps} steps were done as these lines say.",
            transcript.cell
        ),
        format!(
            "It began {} and ended {}.",
            transcript.value("began").unwrap_or("?"),
            transcript.value("ended").unwrap_or("?")
        ),
    ]
}
