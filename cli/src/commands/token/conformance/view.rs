//! What an examination looks like to people and programs.

use std::path::{Path, PathBuf};

use hsm_config::{Conformance, Verdict};
use serde::Serialize;

use crate::output::{Page, Show};

/// What was found, and where its profile was written.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    module: PathBuf,
    fit: bool,
    passed: usize,
    failed: usize,
    unsupported: usize,
    #[serde(flatten)]
    found: Conformance,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<PathBuf>,
}

impl Report {
    pub(super) fn new(module: &Path, written: Option<&Path>, found: Conformance) -> Self {
        let count = |verdict| found.checks.iter().filter(|check| check.verdict == verdict).count();
        Self {
            module: module.to_owned(),
            fit: found.fit(),
            passed: count(Verdict::Pass),
            failed: count(Verdict::Fail),
            unsupported: count(Verdict::Unsupported),
            written: written.map(Path::to_owned),
            found,
        }
    }
}

impl Show for Report {
    fn show(&self, page: &mut Page) {
        page.head(["check", "verdict", "found", "means"]);
        for check in &self.found.checks {
            let verdict = match check.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "FAIL",
                Verdict::Unsupported => "unsupported",
            };
            page.row([check.name.clone(), verdict.to_owned(), check.found.clone(), check.means.clone()]);
        }
        self.show_rates(page);
        page.line("");
        let score = format!("{} pass, {} fail, {} unsupported", self.passed, self.failed, self.unsupported);
        page.field("score", score);
        page.field("issuing keys", or_none(&self.found.issuing_keys));
        page.field("log keys", or_none(&self.found.log_keys));
        page.field("sessions", format!("{} (in its profile)", self.found.sessions));
        page.field("verdict", if self.fit { "a cell can use it" } else { "a cell cannot use it" });
        if let Some(path) = &self.written {
            page.field("profile", path.display());
        }
    }
}

impl Report {
    fn show_rates(&self, page: &mut Page) {
        if self.found.rates.is_empty() {
            return;
        }
        page.line("");
        page.head(["signatures a second", "1 session", "2", "4", "8"]);
        let mut kinds: Vec<&str> = self.found.rates.iter().map(|rate| rate.algorithm.as_str()).collect();
        kinds.dedup();
        for kind in kinds {
            let of = |sessions| {
                let rate =
                    self.found.rates.iter().find(|rate| rate.algorithm == kind && rate.sessions == sessions);
                rate.map(|rate| rate.per_second.to_string()).unwrap_or_default()
            };
            page.row([kind.to_owned(), of(1), of(2), of(4), of(8)]);
        }
    }
}

fn or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
