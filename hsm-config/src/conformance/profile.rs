//! A profile made of what was found.

use std::fmt::Write as _;

use audit::Provenance;

use crate::profile::{Omitted, Profile};
use crate::token::TokenInfo;

use super::keys::Examined;

/// The profile, TOML: its module, environment and files are those of `known`, the rest is what was found. `keys` are those that a cell can use.
pub(super) fn written(info: &TokenInfo, known: &Profile, sessions: usize, keys: &[Examined]) -> String {
    let good = || keys.iter();
    let exceptions =
        Provenance::ALL.into_iter().filter(|exception| good().any(|key| key.exceptions.contains(exception)));
    let omitted = Omitted::ALL.into_iter().filter(|omitted| good().any(|key| key.omitted.contains(omitted)));
    let list =
        |names: Vec<&str>| format!("[{}]", names.into_iter().map(quoted).collect::<Vec<_>>().join(", "));
    let kinds = good().map(|key| key.algorithm.to_string()).collect::<Vec<_>>().join(", ");
    let modules = known.module.iter().map(|path| quoted(&path.to_string_lossy())).collect::<Vec<_>>();
    let mut text = format!(
        "\
# Made by `rootcellar token conformance` from what it found: {what}.
# Keys that a cell can use there: {kinds}.

# Name shown in lists and reports.
name = {name}

# Where the PKCS#11 module may lie; the first that exists is loaded.
module = [{modules}]

# Sessions that sign at once: the fewest with which four fifths of the best rate were reached.
sessions = {sessions}

# Whether a token may be initialised by software (C_InitToken). It was not tried.
initializable = {initializable}

# Directory whose files hold the token, synced by us after each change; empty for hardware.
files = {files}

# What attests that a key was made in hardware: \"none\", or the vendor's name for it.
attestation = {attestation}

# What the token did not report as a CA key must be, and is therefore not checked. Ask its vendor why.
provenance_exceptions = {exceptions}

# What the token refused in the template of a new key.
generation_omits = {omitted}

# Environment of the process that loads the module.
[environment]
",
        what = one_line(&format!("{} {}, firmware {}", info.manufacturer, info.model, info.firmware)),
        kinds = if kinds.is_empty() { "none" } else { &kinds },
        name = quoted(&one_line(&info.model)),
        modules = modules.join(", "),
        initializable = known.initializable,
        files = quoted(&known.files),
        attestation = quoted(&known.attestation),
        exceptions = list(exceptions.map(Provenance::name).collect()),
        omitted = list(omitted.map(Omitted::name).collect()),
    );
    let mut table = |entries: &std::collections::BTreeMap<String, String>| {
        for (key, value) in entries {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{} = {}", quoted(key), quoted(value));
        }
    };
    table(&known.environment);
    if !known.setup.is_empty() {
        text.push_str("\n# Files written once, with mode 0600, before the module is loaded for the first time.\n[setup]\n");
        for (key, value) in &known.setup {
            let _ = writeln!(text, "{} = {}", quoted(key), quoted(value));
        }
    }
    text
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A token's own words, which are not to begin another line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
