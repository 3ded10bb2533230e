//! What the process with the module tells its parent.

use hsm_config::TokenInfo;
use hsm_config::health::Report;
use serde::{Deserialize, Serialize};

/// A token and its module.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Facts {
    pub(super) module_path: String,
    /// SHA-256 of the module's file, hexadecimal.
    pub(super) module_sha256: String,
    pub(super) label: String,
    pub(super) serial: String,
    pub(super) flags: Flags,
    pub(super) mechanisms: Vec<String>,
    /// Label, serial and model of every initialised token that the module shows.
    pub(super) tokens: Vec<(String, String, String)>,
    pub(super) system_random: Random,
    /// What a login showed, or why there was none.
    pub(super) inside: Result<Inside, String>,
}

/// CK_TOKEN_INFO's flags that say something.
#[derive(Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "they are the token's flags, each under its own name")]
pub(super) struct Flags {
    pub(super) rng: bool,
    pub(super) write_protected: bool,
    pub(super) pin_count_low: bool,
    pub(super) pin_final_try: bool,
    pub(super) pin_locked: bool,
}

/// What a login showed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Inside {
    pub(super) keys: Vec<Key>,
    /// Sessions that the keeper opens, and those that were to be had.
    pub(super) sessions: (usize, usize),
    pub(super) random: Random,
    pub(super) rate: Result<Rate, String>,
}

/// A key pair.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) label: String,
    /// SHA-256 of its public key, hexadecimal.
    pub(super) spki_sha256: String,
    /// Its kind, as `KeyAlgorithm` writes it.
    pub(super) algorithm: String,
    pub(super) flaw: Option<String>,
}

/// A start-up test.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Random {
    pub(super) longest_run: u32,
    pub(super) most_in_window: u32,
    pub(super) flaw: Option<String>,
}

/// How fast it signs.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Rate {
    pub(super) per_second: f64,
    pub(super) threads: usize,
}

impl From<&TokenInfo> for Flags {
    fn from(info: &TokenInfo) -> Self {
        Self {
            rng: info.rng,
            write_protected: info.write_protected,
            pin_count_low: info.pin_count_low,
            pin_final_try: info.pin_final_try,
            pin_locked: info.pin_locked,
        }
    }
}

impl From<Report> for Random {
    fn from(report: Report) -> Self {
        Self {
            longest_run: report.longest_run,
            most_in_window: report.most_in_window,
            flaw: report.flaw.map(|flaw| flaw.to_string()),
        }
    }
}
