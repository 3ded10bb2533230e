//! The tokens of a ceremony, as they described themselves when something was done in them: a module or a source of random numbers may be
//! another after a crash.

use ledger::plan::Step;

use super::{Lines, Told};
use crate::host::TokenFacts;
use crate::record::Event;

/// What the names of mechanisms have in them that make or use signing keys: the others matter to nobody here.
const MECHANISMS: [&str; 5] = ["KEY_PAIR_GEN", "ECDSA", "EDDSA", "RSA_PKCS", "ML_DSA"];

/// One opening of a token.
struct Opening<'a> {
    uri: &'a str,
    facts: &'a TokenFacts,
    /// Its start-up test, and that of the operating system in the same execution.
    entropy: Option<String>,
    system: Option<String>,
    /// The execution, counted from 1.
    execution: usize,
    /// Steps that made, signed or destroyed something in it.
    steps: Vec<usize>,
}

/// Those that matter: in which something was done, or else the last of its token. Equal ones of a token are one.
pub(super) struct Openings<'a>(Vec<(Section, Opening<'a>)>);

/// The lines of one.
type Section = Vec<(String, String)>;

impl<'a> Openings<'a> {
    pub(super) fn of(told: &Told<'a>) -> Self {
        let all = all(told);
        let mut kept: Vec<(Section, Opening<'a>)> = Vec::new();
        let is_last = |i: usize| {
            let uri = all[i].uri;
            !all.iter().any(|other| other.uri == uri && !other.steps.is_empty())
                && !all[i + 1..].iter().any(|later| later.uri == uri)
        };
        let matters: Vec<bool> = (0..all.len()).map(|i| !all[i].steps.is_empty() || is_last(i)).collect();
        for (opening, _) in all.into_iter().zip(matters).filter(|(_, matters)| *matters) {
            let lines = opening.lines();
            match kept.iter_mut().find(|(known, of)| of.uri == opening.uri && *known == lines) {
                Some((_, known)) => known.steps.extend(opening.steps),
                None => kept.push((lines, opening)),
            }
        }
        Self(kept)
    }

    /// A section for each, those of one token numbered.
    pub(super) fn tell(&self, lines: &mut Lines) {
        for (i, (section, opening)) in self.0.iter().enumerate() {
            lines.line("token", opening.uri);
            lines.line("opening", self.number(i));
            lines.0.extend(section.iter().cloned());
        }
    }

    /// The number of the one in which a step made its key.
    pub(super) fn of_key(&self, uri: &str, step: usize) -> Option<usize> {
        let made = self.0.iter().position(|(_, opening)| opening.uri == uri && opening.steps.contains(&step));
        made.map(|i| self.number(i))
    }

    fn number(&self, i: usize) -> usize {
        let uri = self.0[i].1.uri;
        self.0[..=i].iter().filter(|(_, opening)| opening.uri == uri).count()
    }
}

/// Every opening, in order; a step is told of the last one in which it was done.
fn all<'a>(told: &Told<'a>) -> Vec<Opening<'a>> {
    let mut openings: Vec<Opening<'a>> = Vec::new();
    let (mut execution, mut system) = (0, None);
    for event in told.events {
        match event {
            Event::Began { .. } => (execution, system) = (execution + 1, None),
            Event::Token { uri, facts } => openings.push(Opening {
                uri,
                facts,
                entropy: None,
                system: system.clone(),
                execution,
                steps: Vec::new(),
            }),
            Event::Entropy { source, samples, longest_run, most_in_window } => {
                let report = format!(
                    "{samples} octets: at most {longest_run} equal in a row, at most {most_in_window} equal in 512: passed (SP 800-90B 4.4)"
                );
                let here = openings.iter_mut().filter(|opening| opening.execution == execution);
                if source == "system" {
                    here.for_each(|opening| opening.system = Some(report.clone()));
                    system = Some(report);
                } else if let Some(opening) = here.filter(|opening| opening.uri == source).last() {
                    opening.entropy = Some(report);
                }
            }
            Event::Made { step, .. } | Event::Signed { step, .. } | Event::Destroyed { step, .. } => {
                let uri = told.plan.steps.get(*step).map(Step::token);
                for opening in &mut openings {
                    opening.steps.retain(|done| done != step);
                }
                if let Some(opening) = openings.iter_mut().rfind(|opening| Some(opening.uri) == uri) {
                    opening.steps.push(*step);
                }
            }
            _ => {}
        }
    }
    openings
}

impl Opening<'_> {
    fn lines(&self) -> Section {
        let mut lines = Lines(of_token(self.facts));
        if let Some(tested) = &self.entropy {
            lines.line("entropy", tested);
        }
        if let Some(tested) = &self.system {
            lines.line("system-entropy", tested);
        }
        lines.0
    }
}

/// What a token says of itself.
pub(crate) fn of_token(facts: &TokenFacts) -> Section {
    let mut lines = Lines::default();
    lines.line("token-label", &facts.label);
    lines.line("token-serial", &facts.serial);
    lines.line("token-manufacturer", &facts.manufacturer);
    lines.line("token-model", &facts.model);
    lines.line("token-firmware", &facts.firmware);
    lines.line("module", &facts.module);
    lines.line("module-sha256", &facts.module_sha256);
    lines.line("library", &facts.library);
    lines.line("attestation", &facts.attestation);
    facts.exceptions.iter().for_each(|exception| lines.line("exception", exception));
    let signing = facts.mechanisms.iter().filter(|name| MECHANISMS.iter().any(|part| name.contains(part)));
    lines.line("mechanisms", signing.map(String::as_str).collect::<Vec<_>>().join(" "));
    lines.0
}
