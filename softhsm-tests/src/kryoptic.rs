//! Kryoptic, a PKCS#11 3.2 token in software, as the token of a cell. `make tokens` builds its module; nothing else needs it.

use std::path::{Path, PathBuf};

use crate::cell::Cell;

/// The module that `make tokens` builds.
///
/// # Panics
/// It is not built.
pub fn module() -> PathBuf {
    let built =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kryoptic/release/libkryoptic_pkcs11.so");
    built.canonicalize().unwrap_or_else(|_| panic!("{} is missing: `make tokens` builds it", built.display()))
}

/// Has `cell` keep the root and the issuing key, both of this kind, in tokens of Kryoptic's. Before the cell is founded.
///
/// # Panics
/// The module is not built, or the disk's.
pub fn configure(cell: &Cell, key: &str) {
    let token = format!("profile = \"kryoptic\"\nmodule = \"{}\"\n", module().display());
    cell.configure(&format!(
        "[token]\n{token}issuing-key = \"{key}\"\n[root-token]\n{token}key = \"{key}\"\n"
    ));
}
