//! The transcript of a ceremony, written from its record.
//!
//! - `openings`: the tokens, as they were when something was done in them

mod openings;

use audit::ceremony::{NO_PROOF, step_name};
use certs::{ATTRIBUTES_OID, CertificateSummary, Issuer, SignatureAlgorithm, csr};
use data_encoding::{BASE64, HEXLOWER};
use jiff::Timestamp;
use ledger::note::Note;
use ledger::plan::{ApprovedPlan, KeyRef, Plan, Step};
use ledger::transcript::Transcript;
use sha2::{Digest, Sha256};

use crate::host::KeyFacts;
use crate::record::{self, Event, Record};
use openings::Openings;
pub(crate) use openings::of_token;

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

/// Lines of a transcript.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<(String, String)>);

impl Lines {
    pub(crate) fn line(&mut self, key: &str, value: impl ToString) {
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
    let told = Told { plan: plan.plan(), plan_sha256: plan.sha256(), events: record.events() };
    Ok(Transcript { cell: plan.plan().cell.clone(), plan: note.to_string(), fields: told.fields(anchors)? })
}

/// What is told: a plan, and what happened.
pub(crate) struct Told<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) plan_sha256: [u8; 32],
    pub(crate) events: &'a [Event],
}

impl<'a> Told<'a> {
    /// The lines beside the plan.
    pub(crate) fn fields(&self, anchors: &[Vec<u8>]) -> Result<Vec<(String, String)>, TranscriptGap> {
        let mut lines = Lines::default();
        let mut began = self.events.iter().filter_map(|event| match event {
            Event::Began { at_ms, tool, binary_sha256, .. } => Some((*at_ms, tool, binary_sha256)),
            _ => None,
        });
        let ended = self.last(|event| if let Event::Ended { at_ms } = event { Some(*at_ms) } else { None });
        let ended = ended.ok_or(TranscriptGap::NotEnded)?;
        let (at_ms, tool, binary_sha256) = began.next().ok_or(TranscriptGap::Missing("beginning"))?;
        lines.line("tool", tool);
        lines.line("binary-sha256", binary_sha256);
        lines.line("began", time(at_ms)?);
        for (at_ms, tool, binary_sha256) in began {
            lines.line("resumed", format!("{} by {tool} {binary_sha256}", time(at_ms)?));
        }
        lines.line("ended", time(ended)?);
        for event in self.events {
            if let Event::EntropyFailed { source, samples, flaw } = event {
                lines.line("entropy-failed", format!("{source}: {samples} octets: {flaw}"));
            }
        }
        for root in anchors.iter().filter(|der| is_used(self.plan, der)) {
            lines.line("root", BASE64.encode(root));
        }
        let openings = Openings::of(self);
        openings.tell(&mut lines);
        for (step, what) in self.plan.steps.iter().enumerate() {
            lines.line("step", format!("{} {}", step + 1, step_name(what)));
            match what {
                Step::MakeKey(make) => {
                    let opening = openings.of_key(&make.token, step);
                    lines.line("opening", opening.ok_or(TranscriptGap::Missing("opened token"))?);
                    self.made(&mut lines, step)?;
                }
                Step::Certify(_) => self.signed(&mut lines, step, "certificate")?,
                Step::MakeCrl(_) => self.signed(&mut lines, step, "crl")?,
                Step::Destroy(_) => self.destroyed(&mut lines, step)?,
            }
        }
        Ok(lines.0)
    }

    fn last<T>(&self, pick: impl Fn(&'a Event) -> Option<T>) -> Option<T> {
        record::last(self.events, pick)
    }

    fn made(&self, lines: &mut Lines, step: usize) -> Result<(), TranscriptGap> {
        let key: Option<&KeyFacts> = self.last(|event| match event {
            Event::Made { step: of, key } if *of == step => Some(&**key),
            _ => None,
        });
        let csr = self.last(|event| match event {
            Event::Proved { step: of, csr } if *of == step => Some(csr),
            _ => None,
        });
        for event in self.events {
            match event {
                Event::Unmade { step: of, why } if *of == step => lines.line("unmade", one_line(why)),
                Event::Discarding { step: of, key, why } if *of == step => {
                    lines.line("discarded", format!("{} {}", key.spki_sha256(), one_line(why)));
                }
                _ => {}
            }
        }
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

    fn signed(&self, lines: &mut Lines, step: usize, kind: &'static str) -> Result<(), TranscriptGap> {
        let composed = self.events.iter().filter_map(|event| match event {
            Event::Composed { step: of, tbs, at_ms } if *of == step => Some((tbs, *at_ms)),
            _ => None,
        });
        let composed: Vec<_> = composed.collect();
        let der = self.last(|event| match event {
            Event::Signed { step: of, der } if *of == step => Some(der),
            _ => None,
        });
        let ((&(_, at_ms), before), der) =
            composed.split_last().zip(der).ok_or(TranscriptGap::Missing(kind))?;
        let der = octets(der)?;
        // Nobody can say whether those before the last one were signed before the crash.
        for &(tbs, at_ms) in before {
            let tbs = octets(tbs)?;
            let unsigned = certs::compose::join(&tbs, SignatureAlgorithm::EcdsaP256Sha256, &[0]);
            let serial = CertificateSummary::parse(&unsigned, ATTRIBUTES_OID).map(|summary| summary.serial);
            let (at, serial) = (time(at_ms)?, serial.unwrap_or_else(|_| "-".to_owned()));
            let sha256 = HEXLOWER.encode(&Sha256::digest(&tbs));
            lines.line("composed-before", format!("{at} serial {serial} tbs-sha256 {sha256}, signed or not"));
        }
        lines.line("composed", time(at_ms)?);
        lines.line("sha256", HEXLOWER.encode(&Sha256::digest(&der)));
        lines.line(kind, BASE64.encode(&der));
        Ok(())
    }

    /// A proof of the key's own is told only where it is one: without it, nobody can tell whether the key was there to be destroyed.
    fn destroyed(&self, lines: &mut Lines, step: usize) -> Result<(), TranscriptGap> {
        let key = self.last(|event| match event {
            Event::Destroying { step: of, key, proof } if *of == step => Some((key, proof)),
            _ => None,
        });
        let objects = self.last(|event| match event {
            Event::Destroyed { step: of, objects } if *of == step => Some(*objects),
            _ => None,
        });
        let ((key, proof), objects) = key.zip(objects).ok_or(TranscriptGap::Missing("destruction"))?;
        lines.line("cka-id", &key.id);
        lines.line("cka-label", &key.label);
        lines.line("public-key-sha256", key.spki_sha256());
        let proof = proof.as_ref().and_then(|proof| farewell(proof, &self.plan_sha256, &key.spki_sha256()));
        lines.line("proof", proof.map_or_else(|| NO_PROOF.to_owned(), |proof| BASE64.encode(&proof)));
        lines.line("objects", objects);
        lines.line("looked-for", "not found");
        Ok(())
    }
}

/// A key's word that it is there for a plan to destroy, DER; none of what is not that, or another key's or plan's.
pub(crate) fn farewell(proof: &str, plan_sha256: &[u8; 32], spki_sha256: &str) -> Option<Vec<u8>> {
    let proof = HEXLOWER.decode(proof.as_bytes()).ok()?;
    let key = csr::check_farewell(&proof, plan_sha256).ok()?.public_key().spki_sha256();
    (HEXLOWER.encode(&key) == spki_sha256).then_some(proof)
}

/// Whether a plan names the key of a root that was there before.
fn is_used(plan: &Plan, root: &[u8]) -> bool {
    let Ok(root) = Issuer::parse(root) else { return false };
    let named = KeyRef::Sha256(root.spki_sha256());
    plan.steps.iter().flat_map(Step::uses).any(|key| *key == named)
}

/// What a token's process reported, with nothing in it that a note may not say.
fn one_line(why: &str) -> String {
    why.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// To the second, as the certificates have it.
fn time(ms: i64) -> Result<Timestamp, TranscriptGap> {
    Timestamp::from_second(ms.div_euclid(1000)).map_err(|_| TranscriptGap::Missing("time"))
}

fn octets(hex: &str) -> Result<Vec<u8>, TranscriptGap> {
    HEXLOWER.decode(hex.as_bytes()).map_err(|_| TranscriptGap::Missing("octets"))
}
