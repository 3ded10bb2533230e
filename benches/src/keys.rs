//! Every key of the summary, in the order in which it is shown, with what it must reach. docs/benchmarks.md says what each one is.

use std::fmt;

/// A figure of the summary. The end of its name is its unit.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it must reach on a quiet machine with two cores.
    pub must: Must,
}

/// What a figure must reach.
#[derive(Clone, Copy, Debug)]
pub enum Must {
    /// Nothing: a yardstick, or what another figure follows from.
    Nothing,
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

use Must::{AtLeast, AtMost, Nothing};

/// Groups of keys by what they are about.
pub const GROUPS: &[(&str, &[Key])] = &[
    (
        "yardsticks of this run",
        &[
            key("cores", Nothing),
            key("token_raw_per_s", Nothing),
            key("echo_per_s", Nothing),
            key("fsync_us", Nothing),
        ],
    ),
    (
        "issuing",
        &[
            key("unary_64_per_s", AtLeast(4200.0)),
            key("unary_64_p50_ms", Nothing),
            key("unary_64_p99_ms", AtMost(60.0)),
            key("batch_per_s", AtLeast(5000.0)),
            key("ceiling_per_s", Nothing),
            key("ceiling_share", AtLeast(0.75)),
            key("slow_token_raw_per_s", Nothing),
            key("slow_token_per_s", Nothing),
            key("slow_token_share", AtLeast(0.97)),
        ],
    ),
    (
        "by callers in flight",
        &[
            key("unary_1_per_s", AtLeast(1000.0)),
            key("unary_1_p50_ms", AtMost(0.9)),
            key("unary_1_p99_ms", Nothing),
            key("unary_2_per_s", Nothing),
            key("unary_2_p50_ms", Nothing),
            key("unary_2_p99_ms", Nothing),
            key("unary_4_per_s", Nothing),
            key("unary_4_p50_ms", Nothing),
            key("unary_4_p99_ms", Nothing),
            key("unary_8_per_s", Nothing),
            key("unary_8_p50_ms", Nothing),
            key("unary_8_p99_ms", Nothing),
            key("unary_16_per_s", Nothing),
            key("unary_16_p50_ms", Nothing),
            key("unary_16_p99_ms", Nothing),
            key("unary_32_per_s", Nothing),
            key("unary_32_p50_ms", Nothing),
            key("unary_32_p99_ms", Nothing),
            key("unary_128_per_s", Nothing),
            key("unary_128_p50_ms", Nothing),
            key("unary_128_p99_ms", Nothing),
        ],
    ),
    (
        "CPU time of a step",
        &[
            key("goodkey_ec_us", Nothing),
            key("csr_verify_us", AtMost(52.0)),
            key("compose_us", AtMost(6.0)),
            key("lint_us", AtMost(20.0)),
            key("record_us", AtMost(25.0)),
            key("sign_us", AtMost(90.0)),
            key("verify_us", AtMost(55.0)),
            key("store_us", Nothing),
            key("door_us", Nothing),
            key("rpc_server_us", Nothing),
            key("rpc_client_us", Nothing),
        ],
    ),
    (
        "CPU time of one issuance, 64 in flight",
        &[key("cpu_client_us", Nothing), key("cpu_front_us", Nothing), key("cpu_keeper_us", Nothing)],
    ),
    (
        "time in the keeper for one certificate, 64 in flight",
        &[
            key("keeper_plan_us", Nothing),
            key("keeper_record_us", Nothing),
            key("keeper_sign_us", Nothing),
            key("keeper_verify_us", Nothing),
            key("keeper_store_us", Nothing),
        ],
    ),
    (
        "as the journal grows",
        &[
            key("at_1e4_per_s", Nothing),
            key("at_1e4_empty_per_s", Nothing),
            key("at_1e4_share", Nothing),
            key("at_1e5_per_s", Nothing),
            key("at_1e5_empty_per_s", Nothing),
            key("at_1e5_share", Nothing),
            key("at_3e5_per_s", Nothing),
            key("at_3e5_empty_per_s", Nothing),
            key("at_3e5_share", Nothing),
            key("at_1e6_per_s", Nothing),
            key("at_1e6_p99_ms", Nothing),
            key("at_1e6_share", AtLeast(0.85)),
            key("rss_front_mib_at_1e6", Nothing),
            key("rss_keeper_mib_at_1e6", Nothing),
            key("rss_mib_at_1e6", AtMost(80.0)),
            key("start_ms_at_1e6", AtMost(300.0)),
            key("journal_mib_at_1e6", Nothing),
            key("backup_us", Nothing),
            key("restore_us", Nothing),
        ],
    ),
    ("an officer, while one controller asks for all it can", &[key("freeze_ms", AtMost(1000.0))]),
    ("callers who only watch", &[key("watch_kib", Nothing)]),
    (
        "revocation",
        &[
            key("crl_100000_compose_ms", Nothing),
            key("revoke_100000_ms", Nothing),
            key("crl_100000_ms", AtMost(1000.0)),
            key("crl_100000_issue_p99_ms", AtMost(60.0)),
        ],
    ),
];

const fn key(name: &'static str, must: Must) -> Key {
    Key { name, must }
}

/// Every key.
pub fn all() -> impl Iterator<Item = Key> {
    GROUPS.iter().flat_map(|(_, keys)| *keys).copied()
}

impl Must {
    /// Whether this figure reaches it.
    pub fn is_met(self, figure: f64) -> bool {
        match self {
            Nothing => true,
            AtLeast(bound) => figure >= bound,
            AtMost(bound) => figure <= bound,
        }
    }
}

impl fmt::Display for Must {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nothing => f.pad(""),
            AtLeast(bound) => f.pad(&format!("≥ {bound}")),
            AtMost(bound) => f.pad(&format!("≤ {bound}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_is_there_once_and_explained() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/benchmarks.md")).unwrap();
        let names: BTreeSet<&str> = all().map(|key| key.name).collect();
        assert_eq!(names.len(), all().count());
        for name in names {
            // The keys of the other numbers of callers are explained together.
            let general = name.split('_').map(|part| if part.parse::<u32>().is_ok() { "N" } else { part });
            let general = general.collect::<Vec<_>>().join("_");
            let size = name.replace("1e4", "SIZE").replace("1e5", "SIZE").replace("3e5", "SIZE");
            let explained = [name, &general, &size].iter().any(|name| page.contains(&format!("`{name}`")));
            assert!(explained, "docs/benchmarks.md does not explain `{name}`");
        }
    }

    #[test]
    fn a_bound_is_met_from_its_own_side() {
        assert!(AtLeast(2.0).is_met(2.0) && !AtLeast(2.0).is_met(1.9));
        assert!(AtMost(2.0).is_met(2.0) && !AtMost(2.0).is_met(2.1));
    }
}
