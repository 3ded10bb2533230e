//! What a custody manifest looks like to people and programs.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use hsm_config::KeyAttributes;
use ledger::custody::{UNKNOWN, state_name};
use ledger::entry::{self, Custody, CustodyDifference, KeyCustody, RootTokenCustody};
use serde::Serialize;

use crate::commands::view::Moment;
use crate::output::{Page, Show};

/// A manifest as its entry says it.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct Manifest {
    keys: Vec<Key>,
    tokens: Vec<Token>,
    module: Option<Module>,
    root_tokens: Vec<RootToken>,
    /// Entry of the manifest before.
    previous: Option<u64>,
    differences: Vec<Difference>,
    /// How many differences there are beyond those.
    differences_untold: u32,
    /// Unknown keys of the token beyond those.
    keys_untold: u32,
}

/// A manifest with its place in the log.
#[derive(Debug, Serialize)]
pub(super) struct Placed {
    pub(super) entry: u64,
    pub(super) recorded: Moment,
    #[serde(flatten)]
    pub(super) manifest: Manifest,
}

#[derive(Debug, Serialize)]
struct Key {
    purpose: String,
    state: &'static str,
    spki_sha256: String,
    cka_id: String,
    token_label: String,
    token_serial: String,
    attestation: String,
    /// Why it is not fit for a CA (invariant I1), where it is not.
    flaw: Option<String>,
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Token {
    label: String,
    serial: String,
    manufacturer: String,
    model: String,
    firmware: String,
    /// Claims of invariant I1 that it cannot make, and that its profile excuses.
    exceptions: Vec<String>,
    /// Whether it keeps the log's newest checkpoint.
    keeps_checkpoint: bool,
}

#[derive(Debug, Serialize)]
struct Module {
    path: String,
    sha256: String,
    library: String,
    library_version: String,
    cryptoki_version: String,
}

#[derive(Debug, Serialize)]
struct RootToken {
    label: String,
    serial: String,
    spki_sha256: String,
    visible: bool,
}

/// What differs between two manifests.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    subject: String,
    before: String,
    after: String,
}

impl From<&Custody> for Manifest {
    fn from(custody: &Custody) -> Self {
        let hex = |bytes: &[u8]| HEXLOWER.encode(bytes);
        Self {
            keys: custody.keys.iter().map(|key| Key::new(key, custody)).collect(),
            tokens: custody.tokens.iter().cloned().map(Token::from).collect(),
            module: custody.module.as_ref().map(|module| Module {
                path: module.path.clone(),
                sha256: hex(&module.sha256),
                library: module.library.clone(),
                library_version: module.library_version.clone(),
                cryptoki_version: module.cryptoki_version.clone(),
            }),
            root_tokens: custody.root_tokens.iter().cloned().map(RootToken::from).collect(),
            previous: custody.previous.as_ref().map(|previous| previous.index),
            differences: custody.differences.iter().cloned().map(Difference::from).collect(),
            differences_untold: custody.differences_untold,
            keys_untold: custody.keys_untold,
        }
    }
}

impl Manifest {
    /// Why the first key that is not fit for a CA is not; or that the root's token was seen.
    pub(super) fn flaw(&self) -> Option<String> {
        let visible = self.root_tokens.iter().any(|root| root.visible);
        let seen = visible.then(|| "the service could see the root's token (invariant I1)".to_owned());
        // What nobody knows is no key of the service: it is told, and the doctor looks at it.
        let ours = self.keys.iter().filter(|key| key.purpose != UNKNOWN);
        let unfit = |key: &Key| key.flaw.as_ref().map(|flaw| format!("{} key: {flaw}", key.purpose));
        ours.into_iter().find_map(unfit).or(seen)
    }

    /// How many private keys of the token no trust bundle names.
    pub(super) fn unknown(&self) -> usize {
        self.keys.iter().filter(|key| key.purpose == UNKNOWN).count()
    }
}

impl Key {
    fn new(key: &KeyCustody, custody: &Custody) -> Self {
        // By both: the serial number alone may be that of several tokens.
        let of_its = |token: &&entry::TokenCustody| {
            (&token.label, &token.serial) == (&key.token_label, &key.token_serial)
        };
        let exceptions = custody.tokens.iter().find(of_its).map(|token| token.exceptions.clone());
        let attributes: BTreeMap<String, String> =
            key.attributes.iter().map(|of| (of.name.clone(), of.value.clone())).collect();
        let reported = KeyAttributes::reported(attributes.clone());
        Self {
            purpose: key.purpose.clone(),
            state: state_name(key.state()),
            spki_sha256: HEXLOWER.encode(&key.spki_sha256),
            cka_id: HEXLOWER.encode(&key.cka_id),
            token_label: key.token_label.clone(),
            token_serial: key.token_serial.clone(),
            attestation: key.attestation.clone(),
            flaw: reported.require(&exceptions.unwrap_or_default()).err().map(|flaw| flaw.to_string()),
            attributes,
        }
    }

    fn show(&self, page: &mut Page) {
        page.field("key", format!("{} {}", self.purpose, self.state));
        page.field("public key", format!("sha256:{}", self.spki_sha256));
        page.field("id", &self.cka_id);
        page.field("in token", format!("{} (serial {})", self.token_label, self.token_serial));
        page.field_if("attestation", &self.attestation);
        page.field("custody", self.flaw.as_deref().unwrap_or("as a CA key must be (invariant I1)"));
        for (name, value) in &self.attributes {
            page.field(&format!("  {name}"), value);
        }
    }
}

impl From<entry::TokenCustody> for Token {
    fn from(token: entry::TokenCustody) -> Self {
        let entry::TokenCustody {
            label,
            serial,
            manufacturer,
            model,
            firmware,
            exceptions,
            keeps_checkpoint,
        } = token;
        Self { label, serial, manufacturer, model, firmware, exceptions, keeps_checkpoint }
    }
}

impl From<RootTokenCustody> for RootToken {
    fn from(root: RootTokenCustody) -> Self {
        let RootTokenCustody { label, serial, spki_sha256, visible } = root;
        Self { label, serial, spki_sha256: HEXLOWER.encode(&spki_sha256), visible }
    }
}

impl From<CustodyDifference> for Difference {
    fn from(difference: CustodyDifference) -> Self {
        let CustodyDifference { subject, before, after } = difference;
        Self { subject, before, after }
    }
}

impl Show for Manifest {
    fn show(&self, page: &mut Page) {
        if let Some(module) = &self.module {
            page.field("module", &module.path);
            page.field("  sha256", &module.sha256);
            let Module { library, library_version, cryptoki_version, .. } = module;
            page.field("  library", format!("{library} {library_version}, PKCS#11 {cryptoki_version}"));
        }
        for token in &self.tokens {
            page.field("token", format!("{} (serial {})", token.label, token.serial));
            let Token { manufacturer, model, firmware, .. } = token;
            page.field("  model", format!("{manufacturer} {model}, firmware {firmware}"));
            page.field_if("  cannot claim", token.exceptions.join(", "));
            page.field("  newest checkpoint", if token.keeps_checkpoint { "kept" } else { "not kept" });
        }
        for root in &self.root_tokens {
            let state = if root.visible { "VISIBLE to the service" } else { "absent from the service" };
            let key = format!("key sha256:{}", root.spki_sha256);
            let token = format!("{} (serial {})", root.label, root.serial);
            // Of a root that came later the key alone is known.
            let named = if root.label.is_empty() { key } else { token };
            page.field("root's token", format!("{named}: {state}"));
        }
        for key in &self.keys {
            page.line("");
            key.show(page);
        }
        if self.keys_untold > 0 {
            page.line("");
            page.line(&format!("and {} more unknown keys", self.keys_untold));
        }
        page.line("");
        match (self.previous, self.differences.as_slice()) {
            (None, _) => page.line("The first manifest of this log."),
            (Some(previous), []) => page.line(&format!("Nothing differs from entry {previous}.")),
            (Some(previous), differences) => {
                page.line(&format!("Differs from entry {previous}:"));
                show_differences(differences, self.differences_untold, page);
            }
        }
    }
}

impl Show for Placed {
    fn show(&self, page: &mut Page) {
        page.field("entry", self.entry);
        page.moment("recorded", self.recorded.0);
        self.manifest.show(page);
    }
}

/// A table of differences, and how many more there are.
pub(super) fn show_differences(differences: &[Difference], untold: u32, page: &mut Page) {
    page.head(["what", "before", "after"]);
    for Difference { subject, before, after } in differences {
        page.row([subject.clone(), before.clone(), after.clone()]);
    }
    if untold > 0 {
        page.line(&format!("and {untold} more: the manifests say all of it"));
    }
}

#[cfg(test)]
mod tests {
    use ledger::entry::{Attribute, TokenCustody};

    use super::*;

    #[test]
    fn another_token_of_the_same_serial_number_excuses_nothing() {
        let token = |label: &str, exceptions: &[&str]| TokenCustody {
            label: label.into(),
            serial: "0000000000000000".into(),
            exceptions: exceptions.iter().map(ToString::to_string).collect(),
            ..TokenCustody::default()
        };
        let custody =
            Custody { tokens: vec![token("weak", &["local"]), token("strict", &[])], ..Custody::default() };
        let one = |name: &str, value: bool| Attribute { name: name.into(), value: value.to_string() };
        let yes = ["TOKEN", "PRIVATE", "SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "SIGN"];
        let no = ["LOCAL", "EXTRACTABLE", "SIGN_RECOVER", "DECRYPT", "UNWRAP", "DERIVE"];
        let named = |names: &[&str], value| {
            names.iter().map(|name| one(&format!("CKA_{name}"), value)).collect::<Vec<_>>()
        };
        let flaw = |label: &str| {
            let key = KeyCustody {
                token_label: label.into(),
                token_serial: "0000000000000000".into(),
                attributes: [named(&yes, true), named(&no, false)].concat(),
                ..KeyCustody::default()
            };
            Key::new(&key, &custody).flaw
        };
        assert_eq!(flaw("weak"), None, "its profile excuses CKA_LOCAL");
        assert!(flaw("strict").is_some_and(|flaw| flaw.contains("CKA_LOCAL")));
    }
}
