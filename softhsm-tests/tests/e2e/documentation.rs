//! What the documents promise to be tested, is.

use std::fs;
use std::path::Path;

use crate::support::files_below;

/// The root of the repository.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The cells of every row of the tables in a document, headings left out.
pub(crate) fn rows(document: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let is_row = |line: &str| line.starts_with('|') && !line.starts_with("|---");
    let body = lines
        .iter()
        .enumerate()
        .filter(|(i, line)| is_row(line) && !lines.get(i + 1).is_some_and(|next| next.starts_with("|---")));
    body.map(|(_, line)| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// The text of a theme, where it has a test of this name.
fn theme_with(theme: &str, test: &str) -> String {
    let path = root().join(format!("softhsm-tests/tests/e2e/{theme}.rs"));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{theme}::{test}: there is no {}", path.display()));
    let (before, _) =
        text.split_once(&format!("fn {test}()")).unwrap_or_else(|| panic!("{theme} has no test {test}"));
    let marked = before
        .lines()
        .rev()
        .take(2)
        .any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    assert!(marked, "{theme}::{test} is no test");
    text
}

#[test]
fn every_row_has_its_test() {
    let errors = rows("docs/errors.md");
    assert!(errors.len() > 40, "the tables are read");
    let mut without = Vec::new();
    for row in &errors {
        let test = row.last().unwrap().trim_matches('`');
        let Some((theme, test)) = test.split_once("::") else {
            without.push(row[0].as_str());
            continue;
        };
        let text = theme_with(theme, test);
        // A reason stands in quotes in the theme that is to see it.
        let reasons = row[1..3]
            .iter()
            .flat_map(|cell| cell.split(", "))
            .filter(|word| word.contains('_') && !is_code(word));
        for reason in reasons {
            assert!(text.contains(&format!("\"{reason}\"")), "{theme}::{test} does not look for {reason}");
        }
    }
    assert_eq!(without, ["a fault of our own"], "rows without a test");
    let invariants: Vec<_> = rows("SECURITY.md").into_iter().filter(|row| row[0].starts_with('I')).collect();
    assert_eq!(invariants.len(), 7);
    for row in invariants {
        theme_with("invariants", row.last().unwrap().trim_matches('`'));
    }
}

/// The names of gRPC's codes (grpc.github.io/grpc/core/md_doc_statuscodes.html) that look like reasons.
fn is_code(word: &str) -> bool {
    let codes = [
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
    ];
    codes.contains(&word)
}

/// A test of this name, or a theme, wherever it is.
fn is_tested(name: &str) -> bool {
    let crates = ["ca-service", "keeper", "audit", "client", "cli", "certs", "cell", "hsm-config"]
        .map(|name| root().join(name));
    let themes = root().join("softhsm-tests/tests/e2e");
    let has = |path: &Path| fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {name}()")));
    themes.join(format!("{name}.rs")).is_file()
        || crates.iter().chain([&themes]).flat_map(|dir| files_below(dir)).any(|path| has(&path))
}

#[test]
fn what_security_promises_is_tested() {
    let mut seen = 0;
    let attacks = rows("docs/attacks.md");
    assert_eq!(attacks.len(), 35 + 15 + 5);
    for row in attacks.iter().chain(rows("SECURITY.md").iter().filter(|row| !row[0].starts_with('I'))) {
        let tests: Vec<&str> = row.last().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "{}: it names no test", row[0]);
        for test in tests {
            match test.split_once("::") {
                Some((theme, test)) => drop(theme_with(theme, test)),
                None => assert!(is_tested(test), "{test} is no test"),
            }
            seen += 1;
        }
    }
    assert!(seen > 80, "{seen} tests: the tables are read");
}
