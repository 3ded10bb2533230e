//! The transcript of a ceremony, written from its record.

use certs::{Issuer, csr};
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use keeper::{NO_PROOF, step_name};
use ledger::note::Note;
use ledger::plan::{ApprovedPlan, KeyRef, Step};
use ledger::transcript::Transcript;
use sha2::{Digest, Sha256};

use crate::host::{KeyFacts, TokenFacts};
use crate::record::{Event, Record};

/// Why a record makes no transcript.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptGap {
    /// The ceremony is not at its end.
    #[error("the ceremony is not at its end: execute it first")]
    NotEnded,
    /// The record lacks something that the plan leads to, or holds something that is no record's.
    #[error("the record has no {0}")]
    Missing(&'static str),
}

/// What the names of mechanisms have in them that make or use signing keys: the others matter to nobody here.
const MECHANISMS: [&str; 5] = ["KEY_PAIR_GEN", "ECDSA", "EDDSA", "RSA_PKCS", "ML_DSA"];

/// Lines of a transcript.
#[derive(Default)]
struct Lines(Vec<(String, String)>);

impl Lines {
    fn line(&mut self, key: &str, value: impl ToString) {
        // A value that a token left empty is said so: every line has one.
        let value = value.to_string().trim().to_owned();
        self.0.push((key.to_owned(), if value.is_empty() { "-".to_owned() } else { value }));
    }
}

/// Writes the transcript of a plan that was executed to its end. `anchors` are the roots that were there before, DER: those that the plan
/// names are told, so that the transcript is verified with nothing beside it.
///
/// # Errors
/// [`TranscriptGap`].
pub fn transcript(
    plan: &ApprovedPlan,
    note: &Note,
    record: &Record,
    anchors: &[Vec<u8>],
) -> Result<Transcript, TranscriptGap> {
    let mut lines = Lines::default();
    let mut began = record.events().iter().filter_map(|event| match event {
        Event::Began { at_ms, tool, binary_sha256, .. } => Some((*at_ms, tool, binary_sha256)),
        _ => None,
    });
    let ended = record.last(|event| if let Event::Ended { at_ms } = event { Some(*at_ms) } else { None });
    let ended = ended.ok_or(TranscriptGap::NotEnded)?;
    let (at_ms, tool, binary_sha256) = began.next().ok_or(TranscriptGap::Missing("beginning"))?;
    lines.line("tool", tool);
    lines.line("binary-sha256", binary_sha256);
    lines.line("began", time(at_ms)?);
    for (at_ms, tool, binary_sha256) in began {
        lines.line("resumed", format!("{} by {tool} {binary_sha256}", time(at_ms)?));
    }
    lines.line("ended", time(ended)?);
    lines.line(
        "system-entropy",
        entropy(record, "system").ok_or(TranscriptGap::Missing("test of the system's random numbers"))?,
    );
    for root in anchors.iter().filter(|der| is_used(plan, der)) {
        lines.line("root", BASE64.encode(root));
    }
    tokens(&mut lines, record);
    for (step, what) in plan.plan().steps.iter().enumerate() {
        lines.line("step", format!("{} {}", step + 1, step_name(what)));
        match what {
            Step::MakeKey(_) => made(&mut lines, record, step)?,
            Step::Certify(_) => signed(&mut lines, record, step, "certificate")?,
            Step::MakeCrl(_) => signed(&mut lines, record, step, "crl")?,
            Step::Destroy(_) => destroyed(&mut lines, plan, record, step)?,
        }
    }
    Ok(Transcript { cell: plan.plan().cell.clone(), plan: note.to_string(), fields: lines.0 })
}

/// Whether a plan names the key of a root that was there before.
fn is_used(plan: &ApprovedPlan, root: &[u8]) -> bool {
    let Ok(root) = Issuer::parse(root) else { return false };
    let named = KeyRef::Sha256(root.spki_sha256());
    plan.plan().steps.iter().flat_map(Step::uses).any(|key| *key == named)
}

/// Every token that was opened, once, as it described itself last.
fn tokens(lines: &mut Lines, record: &Record) {
    let mut opened: Vec<(&String, &TokenFacts)> = Vec::new();
    for event in record.events() {
        if let Event::Token { uri, facts } = event {
            match opened.iter_mut().find(|(known, _)| *known == uri) {
                Some((_, known)) => *known = facts,
                None => opened.push((uri, facts)),
            }
        }
    }
    for (uri, facts) in opened {
        lines.line("token", uri);
        lines.line("token-label", &facts.label);
        lines.line("token-serial", &facts.serial);
        lines.line("token-manufacturer", &facts.manufacturer);
        lines.line("token-model", &facts.model);
        lines.line("token-firmware", &facts.firmware);
        lines.line("module", &facts.module);
        lines.line("module-sha256", &facts.module_sha256);
        lines.line("library", &facts.library);
        lines.line("attestation", &facts.attestation);
        if let Some(tested) = entropy(record, uri) {
            lines.line("entropy", tested);
        }
        facts.exceptions.iter().for_each(|exception| lines.line("exception", exception));
        let signing =
            facts.mechanisms.iter().filter(|name| MECHANISMS.iter().any(|part| name.contains(part)));
        lines.line("mechanisms", signing.map(String::as_str).collect::<Vec<_>>().join(" "));
    }
}

/// The newest start-up test of a source.
fn entropy(record: &Record, of: &str) -> Option<String> {
    record.last(|event| match event {
        Event::Entropy { source, samples, longest_run, most_in_window } if source == of => Some(format!(
            "{samples} octets: at most {longest_run} equal in a row, at most {most_in_window} equal in 512: passed (SP 800-90B 4.4)"
        )),
        _ => None,
    })
}

fn made(lines: &mut Lines, record: &Record, step: usize) -> Result<(), TranscriptGap> {
    let key: Option<&KeyFacts> = record.last(|event| match event {
        Event::Made { step: of, key } if *of == step => Some(&**key),
        _ => None,
    });
    let csr = record.last(|event| match event {
        Event::Proved { step: of, csr } if *of == step => Some(csr),
        _ => None,
    });
    let (key, csr) = key.zip(csr).ok_or(TranscriptGap::Missing("key"))?;
    let spki = octets(&key.spki)?;
    lines.line("cka-id", &key.id);
    lines.line("cka-label", &key.label);
    lines.line("algorithm", &key.algorithm);
    lines.line("public-key-sha256", HEXLOWER.encode(&Sha256::digest(&spki)));
    lines.line("public-key", BASE64.encode(&spki));
    key.attributes.iter().for_each(|(name, value)| lines.line("attribute", format!("{name} {value}")));
    lines.line("csr", BASE64.encode(&octets(csr)?));
    Ok(())
}

fn signed(lines: &mut Lines, record: &Record, step: usize, kind: &'static str) -> Result<(), TranscriptGap> {
    let at_ms = record.last(|event| match event {
        Event::Composed { step: of, at_ms, .. } if *of == step => Some(*at_ms),
        _ => None,
    });
    let der = record.last(|event| match event {
        Event::Signed { step: of, der } if *of == step => Some(der),
        _ => None,
    });
    let (at_ms, der) = at_ms.zip(der).ok_or(TranscriptGap::Missing(kind))?;
    let der = octets(der)?;
    lines.line("composed", time(at_ms)?);
    lines.line("sha256", HEXLOWER.encode(&Sha256::digest(&der)));
    lines.line(kind, BASE64.encode(&der));
    Ok(())
}

/// A proof of the key's own is told only where it is one: without it, nobody can tell whether the key was there to be destroyed.
fn destroyed(
    lines: &mut Lines,
    plan: &ApprovedPlan,
    record: &Record,
    step: usize,
) -> Result<(), TranscriptGap> {
    let key = record.last(|event| match event {
        Event::Destroying { step: of, key, proof } if *of == step => Some((key, proof)),
        _ => None,
    });
    let objects = record.last(|event| match event {
        Event::Destroyed { step: of, objects } if *of == step => Some(*objects),
        _ => None,
    });
    let ((key, proof), objects) = key.zip(objects).ok_or(TranscriptGap::Missing("destruction"))?;
    lines.line("cka-id", &key.id);
    lines.line("cka-label", &key.label);
    lines.line("public-key-sha256", key.spki_sha256());
    let proof = proof.as_ref().and_then(|proof| HEXLOWER.decode(proof.as_bytes()).ok());
    let proof = proof.filter(|proof| {
        csr::check_farewell(proof, &plan.sha256())
            .is_ok_and(|farewell| HEXLOWER.encode(&farewell.public_key().spki_sha256()) == key.spki_sha256())
    });
    lines.line("proof", proof.map_or_else(|| NO_PROOF.to_owned(), |proof| BASE64.encode(&proof)));
    lines.line("objects", objects);
    lines.line("looked-for", "not found");
    Ok(())
}

/// To the second, as the certificates have it.
fn time(ms: i64) -> Result<Timestamp, TranscriptGap> {
    Timestamp::from_second(ms.div_euclid(1000)).map_err(|_| TranscriptGap::Missing("time"))
}

fn octets(hex: &str) -> Result<Vec<u8>, TranscriptGap> {
    HEXLOWER.decode(hex.as_bytes()).map_err(|_| TranscriptGap::Missing("octets"))
}
