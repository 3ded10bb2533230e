//! What a doctor finds, and how it is told.

use serde::Serialize;

use crate::output::{Page, Show};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// The service does not do its work, or must not.
    Critical,
    /// It will not for long, or something is not as it is meant to be.
    Warning,
    /// Worth knowing.
    Info,
}

/// One finding.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    severity: Severity,
    /// Its name, for programs; it stays the same.
    check: &'static str,
    finding: String,
    evidence: String,
    /// The line that mends it.
    fix: Option<String>,
}

/// Everything that was looked at.
#[derive(Debug, Default)]
pub(super) struct Checkup {
    findings: Vec<Finding>,
    passed: Vec<&'static str>,
}

/// The same in order, for people and programs.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    findings: Vec<Numbered>,
    passed: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Numbered {
    number: usize,
    #[serde(flatten)]
    finding: Finding,
}

impl Finding {
    /// `check` names the finding for programs ("token.pin"), `finding` says it in a sentence, `evidence` is what was seen.
    pub(super) fn new(
        severity: Severity,
        check: &'static str,
        finding: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self { severity, check, finding: finding.into(), evidence: evidence.into(), fix: None }
    }

    pub(super) fn critical(
        check: &'static str,
        finding: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Critical, check, finding, evidence)
    }

    pub(super) fn warning(
        check: &'static str,
        finding: impl Into<String>,
        evidence: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, check, finding, evidence)
    }

    pub(super) fn info(check: &'static str, finding: impl Into<String>, evidence: impl Into<String>) -> Self {
        Self::new(Severity::Info, check, finding, evidence)
    }

    /// The line that mends it.
    pub(super) fn mended_by(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl Checkup {
    /// Notes what one check found; where that is nothing, that it was made.
    pub(super) fn note(&mut self, check: &'static str, found: impl IntoIterator<Item = Finding>) {
        let before = self.findings.len();
        self.findings.extend(found);
        if self.findings.len() == before {
            self.passed.push(check);
        }
    }

    /// The findings, worst first, numbered from 1.
    pub(super) fn report(self) -> Report {
        let Self { mut findings, passed } = self;
        findings.sort_by_key(|finding| finding.severity);
        let numbered = findings.into_iter().zip(1..).map(|(finding, number)| Numbered { number, finding });
        Report { findings: numbered.collect(), passed }
    }
}

impl Report {
    /// Findings above info.
    pub(super) fn above_info(&self) -> usize {
        self.findings.iter().filter(|numbered| numbered.finding.severity < Severity::Info).count()
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        for Numbered { number, finding } in &self.findings {
            let severity = match finding.severity {
                Severity::Critical => "CRITICAL",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            page.line(&format!("{number}. {severity}: {} [{}]", finding.finding, finding.check));
            page.line(&format!("   seen: {}", finding.evidence));
            if let Some(fix) = &finding.fix {
                page.line(&format!("   fix:  {fix}"));
            }
        }
        page.line(&format!("as it should be: {}", self.passed.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_what_passed_is_told() {
        let mut checkup = Checkup::default();
        checkup.note("a", [Finding::info("a.b", "worth knowing", "x")]);
        checkup.note("b", []);
        checkup.note("c", [Finding::critical("c.d", "broken", "y").mended_by("rootcellar init")]);
        let report = checkup.report();
        assert_eq!(report.above_info(), 1);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][0]["number"], 1);
        assert_eq!(json["findings"][0]["check"], "c.d");
        assert_eq!(json["findings"][0]["severity"], "critical");
        assert_eq!(json["findings"][1]["severity"], "info");
        assert_eq!(json["passed"], serde_json::json!(["b"]));
    }
}
