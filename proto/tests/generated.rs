//! The checked-in code is what the .proto files generate. `ROOTCELLAR_REGENERATE=1` writes it anew.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};

const CONTRACT: [&str; 7] = ["admin", "agent", "issuance", "ledger", "reason", "signature", "trust"];

#[test]
fn generated_code_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let scratch = tempfile::tempdir().unwrap();
    let contract = CONTRACT.map(|name| format!("rootcellar/v1/{name}.proto"));
    let mut all: Vec<String> = contract.to_vec();
    all.push("rootcellar/keeper/v1/door.proto".into());
    generate(root, scratch.path(), &all);
    generate(root, scratch.path(), &["rootcellar/ledger/v1/entry.proto".into()]);
    let descriptors = protox::Compiler::new([root])
        .unwrap()
        .include_imports(true)
        .include_source_info(false)
        .open_files(contract)
        .unwrap()
        .encode_file_descriptor_set();
    fs::write(scratch.path().join("rootcellar.v1.bin"), descriptors).unwrap();

    let generated = root.join("src/gen");
    for name in ["rootcellar.v1.rs", "rootcellar.keeper.v1.rs", "rootcellar.v1.bin"] {
        compare(&scratch.path().join(name), &generated.join(name));
    }
    let entries = "rootcellar.ledger.v1.rs";
    compare(&scratch.path().join(entries), &root.join("../ledger/src/gen").join(entries));
}

fn generate(root: &Path, out: &Path, files: &[String]) {
    let descriptors = protox::compile(files, [root]).unwrap();
    tonic_prost_build::configure()
        .out_dir(out)
        .build_transport(false)
        .client_mod_attribute("rootcellar.v1", "#[cfg(feature = \"client\")]")
        .server_mod_attribute("rootcellar.v1", "#[cfg(feature = \"server\")]")
        .compile_fds(descriptors)
        .unwrap();
}

fn compare(fresh: &Path, kept: &PathBuf) {
    let fresh = fs::read(fresh).unwrap();
    if std::env::var_os("ROOTCELLAR_REGENERATE").is_some() {
        fs::write(kept, &fresh).unwrap();
    }
    assert!(
        fs::read(kept).is_ok_and(|kept| kept == fresh),
        "{} is not what the .proto files generate: run `make generate`",
        kept.display()
    );
}
