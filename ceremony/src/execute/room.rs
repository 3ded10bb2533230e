//! Whether the transcript to which a plan leads is short enough to be signed: found out before a key is made, since afterwards nothing can be
//! left out of it.

use certs::{KeyKind, PublicKey};
use data_encoding::HEXLOWER;
use ledger::note::{KeyName, MAX_LEN, NoteError};
use ledger::plan::{MakeKey, Plan, Step};
use ledger::transcript::{Transcript, TranscriptError};

use crate::host::{KeyFacts, TokenFacts};
use crate::record::Event;
use crate::transcript::{Told, of_token};

/// Resumptions for which there is room.
const RESUMPTIONS: usize = 20;
/// Octets of what a token and its module say of themselves, as the transcript has it, for which there is room.
const TOKEN_LEN: usize = 1600;
/// Octets of the attributes of a key, likewise.
const ATTRIBUTES_LEN: usize = 640;
/// Base64 digits of an officer's signature with its key ID: of ECDSA on P-256, the longest.
const SIGNATURE_LEN: usize = 104;
/// Octets of a line's key, its separators and its short hash.
const LINE_LEN: usize = 32;

/// What a plan's execution would write down, with keys and signatures of the right length.
#[derive(Default)]
pub(super) struct Room(Vec<Event>);

impl Room {
    pub(super) fn begin(&mut self) {
        let began = || Event::Began {
            plan: String::new(),
            at_ms: 0,
            tool: "t".repeat(32),
            binary_sha256: "0".repeat(64),
        };
        self.0.extend(std::iter::repeat_with(began).take(RESUMPTIONS + 1));
    }

    /// Each step may be done after a crash of its own, with its token opened anew.
    pub(super) fn open(&mut self, uri: &str, step: usize) {
        let facts = TokenFacts { mechanisms: vec!["ECDSA".repeat(TOKEN_LEN / 5)], ..TokenFacts::default() };
        self.0.push(Event::Token { uri: uri.to_owned(), facts: Box::new(facts) });
        self.0.extend(["system", uri].map(|source| Event::Entropy {
            source: source.to_owned(),
            samples: 1000 + step,
            longest_run: 10,
            most_in_window: 10,
        }));
    }

    pub(super) fn make(&mut self, step: usize, make: &MakeKey, key: &PublicKey) {
        let spki = HEXLOWER.encode(key.spki_der());
        let attributes = vec![("A".repeat(ATTRIBUTES_LEN), String::new())];
        let (algorithm, label) = (make.algorithm.clone(), make.label.clone());
        let key_facts = KeyFacts { spki, id: "0".repeat(32), label, algorithm, attributes };
        self.0.push(Event::Made { step, key: Box::new(key_facts) });
        // A request is its key, its name and its signature.
        let csr = "00".repeat(key.spki_der().len() + signature_len(key) + 128);
        self.0.push(Event::Proved { step, csr });
    }

    pub(super) fn sign(&mut self, step: usize, tbs: &[u8], signer: &PublicKey) {
        self.0.push(Event::Composed { step, tbs: String::new(), at_ms: 0 });
        self.0.push(Event::Signed { step, der: "00".repeat(tbs.len() + signature_len(signer) + 32) });
    }

    /// There is room for it, with the signatures of these officers under the plan and under the transcript.
    pub(super) fn demand(
        mut self,
        plan: &Plan,
        anchors: &[Vec<u8>],
        officers: &[KeyName],
    ) -> Result<(), String> {
        self.0.push(Event::Ended { at_ms: 0 });
        // The end of a key: its proof, as long as the longest, and little else.
        let ends = plan.steps.iter().filter(|step| matches!(step, Step::Destroy(_))).count();
        let without = plan.steps.iter().filter(|step| !matches!(step, Step::Destroy(_))).cloned().collect();
        let proofs = ends * (signature_len_of(KeyKind::MlDsa65) * 3 + 512);
        let told = Plan { steps: without, ..plan.clone() };
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let told = Told { plan: &told, plan_sha256: [0; 32], events: &self.0 };
        let fields = told.fields(anchors).map_err(|error| said(&error))?;
        let signature = |name: &KeyName| format!("— {name} {}\n", "A".repeat(SIGNATURE_LEN));
        let signatures: String = officers.iter().map(signature).collect();
        let text = plan.draft().map_err(|error| said(&error))?.text().to_owned();
        let lines = text.lines().count() + officers.len() + fields.len();
        let fields: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
        let length = text.len() + 2 * signatures.len() + fields + proofs + lines * LINE_LEN / 2;
        if length <= MAX_LEN {
            return Ok(());
        }
        Err(format!(
            "its transcript would be longer than a note can be, about {length} of {MAX_LEN} bytes: plan its keys in several ceremonies"
        ))
    }
}

/// Octets of the longest signature of a key.
fn signature_len(key: &PublicKey) -> usize {
    signature_len_of(key.kind())
}

fn signature_len_of(kind: KeyKind) -> usize {
    match kind {
        KeyKind::P256 => 72,
        KeyKind::P384 => 104,
        KeyKind::Ed25519 => 64,
        KeyKind::Rsa { bits } => bits / 8,
        // FIPS 204 §4, table 2.
        KeyKind::MlDsa65 => 3309,
    }
}

/// What a token says of itself can stand in a transcript, and there is room for it.
pub(super) fn demand_tellable(plan: &Plan, facts: &TokenFacts) -> Result<(), String> {
    let fields = of_token(facts);
    let length: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
    if length > TOKEN_LEN + 2 * LINE_LEN * fields.len() {
        return Err(format!("it takes {length} bytes"));
    }
    let said = |error: TranscriptError| match error {
        TranscriptError::Note(NoteError::Character(c)) => {
            format!("it has the character U+{:04X}", u32::from(c))
        }
        error => error.to_string(),
    };
    let text = plan.draft().map_err(|error| error.to_string())?;
    let plan_text = format!("{}\n", text.text());
    let transcript = Transcript { cell: plan.cell.clone(), plan: plan_text, fields };
    transcript.draft().map(drop).map_err(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::execute::lint;
    use crate::plans::{KeyIn, Place, Terms};
    use hsm_config::KeyAlgorithm;
    use ledger::charter;

    /// Now and the day after, in seconds.
    const NOW: i64 = 1_790_000_000;

    fn place(name: &str) -> Place {
        let uri = format!("pkcs11:token=rootcellar-{name};model=SoftHSM%20v2").parse().unwrap();
        Place { uri, exceptions: Vec::new() }
    }

    fn officers() -> Vec<KeyName> {
        ["alice", "bob", "carol"]
            .map(|name| format!("cell.internal/officer/{name}").parse().unwrap())
            .to_vec()
    }

    fn founding(algorithm: KeyAlgorithm) -> Plan {
        let charter =
            charter::Terms { cell: "cell.internal".into(), revision: 1, quorum: 2, officers: Vec::new() };
        let terms = Terms { charter: &charter, nonce: [0; 16], expires_unix: NOW + 86_400 };
        let (root, issuing) = (place("root"), place("issuing"));
        let log = KeyIn { token: &issuing, algorithm: KeyAlgorithm::EcdsaP256 };
        terms.found(KeyIn { token: &root, algorithm }, KeyIn { token: &issuing, algorithm }, log)
    }

    #[test]
    fn a_founding_of_the_longest_keys_fits_with_three_officers() {
        for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::RsaPss(4096), KeyAlgorithm::MlDsa65] {
            lint(&founding(algorithm), &[], &officers(), NOW * 1000).unwrap();
        }
    }

    #[test]
    fn a_plan_whose_transcript_is_too_long_is_refused() {
        let mut plan = founding(KeyAlgorithm::MlDsa65);
        for n in 0..4 {
            let Some(Step::MakeKey(make)) = plan.steps.first().cloned() else { panic!("a key") };
            plan.steps.push(Step::MakeKey(MakeKey { name: format!("more-{n}"), ..make }));
        }
        let error = lint(&plan, &[], &officers(), NOW * 1000).unwrap_err();
        assert!(error.to_string().contains("longer than a note can be"), "{error}");
    }

    #[test]
    fn what_a_token_says_of_itself_adds_no_line() {
        let plan = founding(KeyAlgorithm::EcdsaP256);
        let named = |model: &str| TokenFacts { model: model.to_owned(), ..TokenFacts::default() };
        demand_tellable(&plan, &named("SoftHSM v2")).unwrap();
        demand_tellable(&plan, &named("a\nstep: 1 destroy-key")).unwrap_err();
        demand_tellable(&plan, &named("a\u{202E}b")).unwrap_err();
        demand_tellable(&plan, &named(&"a".repeat(4096))).unwrap_err();
    }
}
