//! `docs/reference/configuration.md` is what `docs/rootcellar.toml` says. `ROOTCELLAR_REGENERATE=1` writes it anew.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

#[test]
fn the_reference_is_current() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let source = fs::read_to_string(docs.join("rootcellar.toml")).unwrap();
    let text = format!(
        "<!-- Made from docs/rootcellar.toml by `make generate`; do not edit. -->\n\
         # Configuration\n\n{}",
        sections(&source)
    );
    let kept = docs.join("reference/configuration.md");
    if std::env::var_os("ROOTCELLAR_REGENERATE").is_some() {
        fs::create_dir_all(kept.parent().unwrap()).unwrap();
        fs::write(&kept, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&kept).is_ok_and(|kept| kept == text),
        "docs/reference/configuration.md is not what docs/rootcellar.toml says: run `make generate`"
    );
}

const HEAD: &str = "\n| key | default | |\n|---|---|---|\n";

/// Blocks between empty lines: an introduction, the head of a section, keys with one comment for all of them.
fn sections(source: &str) -> String {
    let (mut text, mut in_table) = (String::new(), false);
    for block in source.split("\n\n") {
        let block = Block::of(block);
        if let Some(section) = &block.section {
            write!(text, "\n## {section}\n").unwrap();
            in_table = false;
        }
        if block.keys.is_empty() {
            writeln!(text, "{}", block.comment).unwrap();
            continue;
        }
        if !in_table {
            text.push_str(HEAD);
            in_table = true;
        }
        let (keys, defaults): (Vec<_>, Vec<_>) = block.keys.into_iter().unzip();
        writeln!(
            text,
            "| {} | {} | {} |",
            keys.join("<br>"),
            defaults.join("<br>"),
            block.comment.replace('|', "\\|")
        )
        .unwrap();
    }
    text
}

/// Lines without an empty one between them.
#[derive(Default)]
struct Block {
    section: Option<String>,
    comment: String,
    /// Keys and their defaults.
    keys: Vec<(String, String)>,
}

impl Block {
    fn of(lines: &str) -> Self {
        let (mut block, mut comment) = (Self::default(), Vec::new());
        for line in lines.lines() {
            if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                block.section = Some(format!("`[{section}]`"));
            } else if let Some((key, default)) = key(line) {
                block.keys.push((format!("`{key}`"), format!("`{default}`")));
            } else if let Some((key, example)) = line.strip_prefix("# ").and_then(key) {
                block.keys.push((format!("`{key}`"), format!("none, or such as `{example}`")));
            } else {
                let words =
                    line.strip_prefix('#').unwrap_or_else(|| panic!("{line:?} is neither key nor comment"));
                comment.push(words.trim());
            }
        }
        block.comment = comment.join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        block
    }
}

/// A key and its value.
fn key(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(" = ")?;
    let is_key =
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (is_key && format!("x = {value}").parse::<toml::Table>().is_ok()).then_some((key, value))
}
