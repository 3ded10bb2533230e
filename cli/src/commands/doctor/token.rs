//! What the token shows, judged.

use hsm_config::{KeyAlgorithm, TokenUri};

use super::facts::{Facts, Inside, Random};
use super::finding::Finding;
use crate::error::Failure;

/// The token's flags (PKCS#11 v3.1 §3.2).
pub(super) fn flags(facts: &Facts) -> Vec<Finding> {
    let (flags, seen) = (&facts.flags, format!("token {} (serial {})", facts.label, facts.serial));
    let mut found = Vec::new();
    if flags.pin_locked || flags.pin_final_try {
        let flag = if flags.pin_locked { "CKF_USER_PIN_LOCKED" } else { "CKF_USER_PIN_FINAL_TRY" };
        let finding = "the token lets nobody log in, or would not after one more wrong PIN: nothing is tried";
        found.push(
            Finding::critical("token.pin", finding, format!("{seen}: {flag}"))
                .mended_by("unlock it with the vendor's tool, then rootcellar token inspect"),
        );
    } else if flags.pin_count_low {
        found.push(
            Finding::warning(
                "token.pin",
                "a wrong PIN was entered since the last login",
                format!("{seen}: CKF_USER_PIN_COUNT_LOW"),
            )
            .mended_by("rootcellar token inspect (a right PIN clears it where the token clears it), and find out who tried"),
        );
    }
    if !flags.rng {
        let finding = "the token has no random number generator";
        found.push(
            Finding::critical("token.rng", finding, format!("{seen}: no CKF_RNG"))
                .mended_by("token.uri = \"pkcs11:token=LABEL\", of one that has it: rootcellar token conformance MODULE --token LABEL"),
        );
    }
    if flags.write_protected {
        let finding = "the token cannot be written: it keeps no checkpoint, and a log that goes back is not noticed by it";
        found.push(
            Finding::warning("token.write-protected", finding, format!("{seen}: CKF_WRITE_PROTECTED"))
                .mended_by("rootcellar token list, once the vendor's tool has lifted the protection"),
        );
    }
    found
}

/// The service's token that is not in use: whether it is there and would let someone in. Nobody logs in to it: what only stands ready costs no
/// PIN try.
pub(super) fn other(facts: Result<Facts, Failure>, serves: bool) -> Vec<Finding> {
    match facts {
        Ok(facts) => flags(&facts),
        Err(failure) if !serves => {
            let finding = "the service does not answer, and one of its tokens is not there: where the key that signs was in it, another takes over";
            vec![
                Finding::critical("token.other", finding, failure.to_string()).mended_by(
                    "rootcellar issuer list, then rootcellar issuer activate (docs/custody-drill.md)",
                ),
            ]
        }
        Err(failure) => {
            let finding =
                "the service's other token is not there: where the one in use is lost, none takes over";
            let fix = failure.remedy().unwrap_or("rootcellar token list").to_owned();
            vec![Finding::warning("token.other", finding, failure.to_string()).mended_by(fix)]
        }
    }
}

/// Whether it lists what signs. Some tokens leave out what works (tpm2-pkcs11 does RSA-PSS and does not say so).
pub(super) fn mechanisms(facts: &Facts, keys: &[(&'static str, KeyAlgorithm)]) -> Vec<Finding> {
    let missing = keys.iter().filter_map(|(key, algorithm)| {
        let needed = mechanism(*algorithm);
        (!facts.mechanisms.iter().any(|listed| listed == needed)).then(|| {
            Finding::warning(
                "token.mechanism",
                format!("the token does not list the mechanism that {key} needs"),
                format!("{needed} is not among its {} mechanisms", facts.mechanisms.len()),
            )
            .mended_by(format!("{key} = \"…\" of a kind that it lists: rootcellar token inspect -v"))
        })
    });
    missing.collect()
}

fn mechanism(algorithm: KeyAlgorithm) -> &'static str {
    match algorithm {
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 => "CKM_ECDSA",
        KeyAlgorithm::Ed25519 => "CKM_EDDSA",
        KeyAlgorithm::RsaPss(_) => "CKM_RSA_PKCS_PSS",
        KeyAlgorithm::MlDsa65 => "CKM_ML_DSA",
    }
}

/// Whether the root's token can be seen beside the service's (invariant I1).
pub(super) fn root(facts: &Facts, root: &TokenUri) -> Vec<Finding> {
    let seen = facts.tokens.iter().filter(|(label, serial, model)| root.matches(label, serial, model));
    let found = seen.map(|(label, serial, _)| {
        Finding::critical(
            "token.root-visible",
            "the service's module shows the root's token",
            format!("token {label} (serial {serial})"),
        )
        .mended_by("root-token.dir = \"…\", on a medium of the officer's; a device is taken out of this machine (docs/how-to.md)")
    });
    found.collect()
}

/// The start-up test of one source (SP 800-90B §4.4).
pub(super) fn entropy(check: &'static str, source: &str, random: &Random) -> Vec<Finding> {
    let found = random.flaw.as_ref().map(|flaw| {
        Finding::critical(
            check,
            format!("the random numbers of {source} fail their health test"),
            format!(
                "{flaw}; of 1,024 octets the longest run is {}, the most of one in 512 is {}",
                random.longest_run, random.most_in_window
            ),
        )
        .mended_by(
            "rootcellar doctor, again: where it is found again, do not use this source (docs/custody.md)",
        )
    });
    found.into_iter().collect()
}

/// Attributes of the keys. `used` are those of the newest custody manifest, by SHA-256 of their public keys; `None` where it is not known.
pub(super) fn keys(inside: &Inside, used: Option<&[String]>) -> Vec<Finding> {
    let is_used = |spki: &String| used.is_none_or(|used| used.contains(spki));
    let mut found: Vec<Finding> = inside
        .keys
        .iter()
        .filter_map(|key| {
            let (flaw, evidence) = (key.flaw.as_ref()?, format!("{}, sha256:{}", key.label, key.spki_sha256));
            let finding = if is_used(&key.spki_sha256) {
                Finding::critical("token.attributes", format!("a key of the service: {flaw}"), evidence)
            } else {
                Finding::warning("token.attributes", format!("a key in its token: {flaw}"), evidence)
            };
            Some(finding.mended_by("rootcellar token inspect"))
        })
        .collect();
    let strangers: Vec<&str> =
        inside.keys.iter().filter(|key| !is_used(&key.spki_sha256)).map(|key| key.label.as_str()).collect();
    if !strangers.is_empty() {
        found.push(Finding::info(
            "token.other-keys",
            format!("the token holds {} key pairs that the service does not use", strangers.len()),
            strangers.join(", "),
        ));
    }
    found
}

/// Whether there are as many sessions as the keeper opens.
pub(super) fn sessions(inside: &Inside) -> Vec<Finding> {
    let (wanted, had) = inside.sessions;
    let found = (had < wanted).then(|| {
        Finding::critical(
            "token.sessions",
            "the token gives fewer sessions than the keeper opens",
            format!("{had} of {wanted}, beside those that are open already"),
        )
        .mended_by("sessions = N in the token's profile, N smaller")
    });
    found.into_iter().collect()
}

/// What attests the keys, and which claims are excused.
pub(super) fn provenance(attestation: &str, exceptions: &[String]) -> Vec<Finding> {
    let mut found = Vec::new();
    if attestation == "none" {
        found.push(Finding::info(
            "token.attestation",
            "nothing attests that the keys were made in hardware",
            "attestation = \"none\" in the token's profile",
        ));
    }
    if !exceptions.is_empty() {
        let finding = "the token's profile excuses claims about where its keys come from";
        found.push(Finding::warning("token.exceptions", finding, exceptions.join(", ")).mended_by(
            "provenance-exceptions = [], in the token's profile, for one that makes them: rootcellar token conformance MODULE --token LABEL",
        ));
    }
    found
}
