//! Algorithms that common clients refuse in a CA's certificate: a small table, with sources.

use hsm_config::KeyAlgorithm;

use super::finding::Finding;

/// What refuses an algorithm, and who says so.
struct Refused {
    /// Algorithms whose name begins so.
    algorithm: &'static str,
    by: &'static str,
    source: &'static str,
}

/// P-256 and P-384 with ECDSA, and so the defaults, are taken by all of these.
const TABLE: [Refused; 8] = [
    Refused {
        algorithm: "ed25519",
        by: "web browsers take no Ed25519 in certificates",
        source: "CA/Browser Forum, TLS Baseline Requirements §7.1.3: RSA and ECDSA only",
    },
    Refused { algorithm: "ed25519", by: "Java before 15", source: "openjdk.org/jeps/339" },
    Refused { algorithm: "ed25519", by: "Go before 1.13", source: "go.dev/doc/go1.13, crypto/x509" },
    Refused { algorithm: "ed25519", by: "OpenSSL before 1.1.1", source: "OpenSSL's NEWS, 1.1.1" },
    Refused {
        algorithm: "rsa-",
        by: "Java before 11 knows no RSASSA-PSS (8u251 does)",
        source: "bugs.openjdk.org/browse/JDK-8146293",
    },
    Refused {
        algorithm: "rsa-2048",
        by: "policies that ask for 112 bits no longer than 2030, before a root of ten years ends",
        source: "NIST SP 800-57 part 1 rev. 5, table 4",
    },
    Refused {
        algorithm: "ml-dsa",
        by: "web browsers, and Java before 24",
        source: "openjdk.org/jeps/497; RFC 9881 is of 2025",
    },
    Refused { algorithm: "ml-dsa", by: "OpenSSL before 3.5", source: "OpenSSL's NEWS, 3.5" },
];

/// A finding for a CA's key that common clients refuse; `key` is its key in the configuration ("token.issuing-key").
pub(super) fn judge(key: &str, algorithm: KeyAlgorithm) -> Option<Finding> {
    let name = algorithm.to_string();
    let rows: Vec<String> = TABLE
        .iter()
        .filter(|row| name.starts_with(row.algorithm))
        .map(|row| format!("{} ({})", row.by, row.source))
        .collect();
    (!rows.is_empty()).then(|| {
        Finding::warning(
            "algorithm.clients",
            format!("some clients refuse certificates signed with {name}"),
            rows.join("; "),
        )
        .mended_by(format!("{key} = \"p256\", where such clients are to be served; it needs a new key"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_taken_by_all_and_others_are_not() {
        let found = |algorithm| judge("token.issuing-key", algorithm).is_some();
        assert!(!found(KeyAlgorithm::EcdsaP256) && !found(KeyAlgorithm::EcdsaP384));
        assert!(found(KeyAlgorithm::Ed25519) && found(KeyAlgorithm::RsaPss(2048)));
    }
}
