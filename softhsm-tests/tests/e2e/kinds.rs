//! Every other kind of ceremony, by its command: another root, a certificate across, a rotation, a retirement, the root's CRL, a log key.
//! OpenSSL judges what they sign.

use std::fs;
use std::path::{Path, PathBuf};

use rootcellar_softhsm_tests::Cell;
use rootcellar_softhsm_tests::judges::{openssl, webpki_verifies};

use crate::officer::now_secs;
use crate::support::{
    BINARY, Holder, House, STANDBY, ask, csr, eventually, files_below, request, still_issues,
};

/// A ceremony of this kind in a cell of one officer, from its plan to the ledger: what its transcript proves, as JSON.
pub(crate) fn held(house: &House, dir: &str, plan: &[&str]) -> serde_json::Value {
    let planned: Vec<&str> = ["ceremony", "plan"].iter().chain(plan).copied().chain(["--out", dir]).collect();
    house.cell.run(&planned).ok();
    house.cell.run(&["ceremony", "approve", "--yes", dir]).ok();
    house.cell.run(&["ceremony", "execute", "--rehearse", dir]).ok();
    house.cell.run(&["ceremony", "execute", dir]).ok();
    house.cell.run(&["ceremony", "approve", "--yes", dir]).ok();
    let transcript = format!("{dir}/transcript.note");
    let verified = ["ceremony", "verify", &transcript, "--out", "proven", "--output", "json"];
    let verified = house.cell.run(&verified).json();
    house.cell.run(&["ceremony", "import", dir]).ok();
    verified
}

/// The file of what was proven last, of this profile: PROFILE-SHA256.EXTENSION.
fn proven(house: &House, profile: &str, certificate: &serde_json::Value) -> PathBuf {
    let sha256 = certificate["sha256"].as_str().unwrap();
    house.cell.path("proven").join(format!("{profile}-{}.pem", &sha256[..8]))
}

/// SHA-256 of the public key of this name that a ceremony made.
pub(crate) fn key<'a>(verified: &'a serde_json::Value, name: &str) -> &'a str {
    let keys = verified["keys"].as_array().unwrap();
    keys.iter().find(|key| key["name"] == name).unwrap()["sha256"].as_str().unwrap()
}

pub(crate) fn active(house: &House) -> String {
    let listed = house.cell.run(&["issuer", "list", "--output", "json"]).json();
    let issuers = listed["issuers"].as_array().unwrap();
    issuers.iter().find(|issuer| issuer["state"] == "active").unwrap()["sha256"].as_str().unwrap().to_owned()
}

fn logs_keys(house: &House) -> usize {
    let bundle = fs::read_to_string(house.cell.officer_dir().join("bundle.note")).unwrap();
    bundle.lines().filter(|line| line.starts_with("log: ")).count()
}

fn now() -> u64 {
    u64::try_from(now_secs()).unwrap()
}

/// OpenSSL's word on a chain, from what an agent got to this anchor.
fn verifies(dir: &Path, anchor: &Path, untrusted: &[&Path], leaf: &Path) {
    let mut arguments = vec!["verify", "-x509_strict", "-CAfile", anchor.to_str().unwrap()];
    for path in untrusted {
        arguments.extend(["-untrusted", path.to_str().unwrap()]);
    }
    arguments.push(leaf.to_str().unwrap());
    assert!(openssl(dir, &arguments).contains("OK"));
}

#[tokio::test]
async fn a_new_root_a_certificate_across_a_rotation_a_retirement_and_a_root_crl() {
    let cell = Cell::empty(BINARY);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    let client = house.build().await;
    let first = Holder::ask(&client, "build/first", |_| {}).await;
    let founding = house.cell.officer_dir().join("ceremonies/found/transcript.note").display().to_string();
    let founding =
        house.cell.run(&["ceremony", "verify", &founding, "--out", "proven", "--output", "json"]).json();
    let old_root = proven(&house, "root", &founding["certificates"][0]);
    let (old_issuer, old_issuer_pem) =
        (active(&house), proven(&house, "issuer", &founding["certificates"][1]));

    // Another root: clients believe both from the bundle on that follows.
    let root = held(&house, "root-2", &["root"]);
    let new_root = proven(&house, "root", &root["certificates"][0]);
    assert!(
        openssl(
            &house.cell.path("."),
            &["verify", "-CAfile", new_root.to_str().unwrap(), new_root.to_str().unwrap()]
        )
        .contains("OK")
    );
    // The first vouches for it, for those who know only the first.
    let across = ["cross", "--subject", key(&root, "root"), "--signer", key(&founding, "root")];
    let cross = held(&house, "cross", &across);
    let cross = proven(&house, "cross", &cross["certificates"][0]);
    verifies(&house.cell.path("."), &old_root, &[], &cross);

    // The issuer's key is rotated under the new root, in the same token; both sign what they sign, and both verify.
    let rotation = held(&house, "issuer-2", &["rotation", "--token", "issuing"]);
    let new_issuer = key(&rotation, "issuer").to_owned();
    assert_eq!(active(&house), old_issuer, "prepared is not active");
    house.cell.run(&["issuer", "activate", &new_issuer]).ok();
    assert_eq!(active(&house), new_issuer);
    eventually("the new issuer's keeper serves", async || {
        ask(&client, request("build/again", csr())).await.ok()
    })
    .await;
    let second = Holder::ask(&client, "build/second", |_| {}).await;
    house.cell.run(&["issue", "build/third", "--controller", "build", "--out", "third"]).ok();
    let chain = fs::read_to_string(house.cell.path("third.chain.pem")).unwrap();
    let issuer = proven(&house, "issuer", &rotation["certificates"][0]);
    assert!(chain.contains(&fs::read_to_string(&issuer).unwrap()), "the chain names the new issuer");
    let leaf = house.cell.path("third.chain.pem");
    verifies(&house.cell.path("."), &new_root, &[&issuer], &leaf);
    verifies(&house.cell.path("."), &old_root, &[&issuer, &cross], &leaf);
    let anchors = house.anchors();
    for holder in [&first, &second] {
        webpki_verifies(&anchors, &holder.certificate.chain, now()).expect("under the new bundle");
    }

    // The key before is destroyed: looked for, and not found. The active one cannot be.
    let refused =
        ["ceremony", "plan", "retirement", "--key", &new_issuer, "--token", "issuing", "--out", "no"];
    assert!(house.cell.run(&refused).fails(2).contains("it is the issuer that signs"));
    let retired = held(&house, "retire-1", &["retirement", "--key", &old_issuer, "--token", "issuing"]);
    assert_eq!(retired["destroyed"][0], old_issuer.as_str());
    let listed = house.cell.run(&["issuer", "list"]).ok();
    assert!(listed.contains("retired"), "{listed}");
    house.cell.run(&["issuer", "activate", &old_issuer]).fails(1);

    // An auditor verifies each with nothing but the file and the officers' public keys.
    let shown = house.cell.run(&["officer", "show", "--output", "json"]).json();
    let officer = shown["officer"].as_str().unwrap();
    for dir in ["root-2", "cross", "issuer-2", "retire-1"] {
        let transcript = format!("{dir}/transcript.note");
        let nobody = house.cell.path("nobody").display().to_string();
        let verify = [
            "--officer-dir",
            &nobody,
            "ceremony",
            "verify",
            &transcript,
            "--quorum",
            "1",
            "--officer",
            officer,
        ];
        let said = house.cell.run(&verify).ok();
        assert_eq!(said.contains("says the transcript"), ["cross", "issuer-2"].contains(&dir), "{said}");
    }

    // And its certificate is on the list of the root that signed it.
    let text = openssl(
        &house.cell.path("."),
        &["x509", "-in", old_issuer_pem.to_str().unwrap(), "-noout", "-serial"],
    );
    let serial = text.trim().trim_start_matches("serial=").to_lowercase();
    let revoke = format!("{serial}=superseded");
    let signer = key(&founding, "root");
    held(&house, "root-crl-1", &["root-crl", "--signer", signer, "--number", "1", "--revoke", &revoke]);
    let crl = fs::read_dir(house.cell.path("proven")).unwrap().map(|file| file.unwrap().path());
    let crl = crl.into_iter().find(|path| path.to_string_lossy().ends_with(".crl.pem")).expect("the CRL");
    let crl = crl.to_str().unwrap();
    let judged = openssl(
        &house.cell.path("."),
        &["crl", "-in", crl, "-noout", "-text", "-CAfile", old_root.to_str().unwrap()],
    );
    assert!(judged.to_lowercase().contains(&serial) && judged.contains("Superseded"), "{judged}");

    house.cell.run(&["ledger", "verify"]).ok();
    still_issues(&client).await;
}

#[tokio::test]
async fn another_log_key_stands_ready_in_another_token() {
    let cell = Cell::empty(BINARY);
    cell.configure(STANDBY);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    house.cell.run(&["ledger", "verify"]).ok();
    assert_eq!(logs_keys(&house), 1);
    held(&house, "log-2", &["log-key", "--token", "standby"]);
    house.cell.run(&["ledger", "verify"]).ok();
    house.cell.run(&["issuer", "list"]).ok();
    assert_eq!(logs_keys(&house), 2, "the bundle names both");
    still_issues(&house.build().await).await;
}

#[tokio::test]
async fn another_log_key_in_the_same_token_signs_from_the_next_start() {
    let cell = Cell::empty(BINARY);
    cell.run(&["init"]).ok();
    let mut house = House::of(cell);
    let signer = |house: &House| {
        let note = house.cell.run(&["ledger", "checkpoint"]).ok();
        note.lines().find(|line| line.starts_with("— ")).unwrap().to_owned()[..40].to_owned()
    };
    let before = signer(&house);
    held(&house, "log-2", &["log-key", "--token", "issuing"]);
    house.restart().await;
    house.cell.run(&["ledger", "verify"]).ok();
    eventually("a checkpoint by the newer key", async || (signer(&house) != before).then_some(())).await;
    house.cell.run(&["ledger", "verify"]).ok();
}

/// Key objects of the service's tokens: two for each pair, and the first token has two pairs.
pub(crate) fn objects(house: &House) -> usize {
    let files = files_below(&house.cell.data_dir().join("token/tokens"));
    let objects = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "object"));
    let objects = objects.filter(|path| path.file_name().is_some_and(|name| name != "token.object"));
    objects.filter(|path| !is_data(&fs::read(path).unwrap())).count()
}

/// Whether an object of SoftHSM2 holds data (CKA_CLASS is CKO_DATA): attribute, kind and value are 64 bits each.
fn is_data(object: &[u8]) -> bool {
    const CLASS: u64 = 0;
    const NUMBER: u64 = 2;
    const DATA: u64 = 0;
    let wanted: Vec<u8> = [CLASS, NUMBER, DATA].into_iter().flat_map(u64::to_be_bytes).collect();
    object.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn a_retirement_cut_short_at_every_step_goes_on() {
    let cell = Cell::empty(BINARY);
    cell.run(&["init"]).ok();
    let house = House::of(cell);
    for (n, step) in ["ceremony destroying", "token destroyed", "ceremony destroyed"].into_iter().enumerate()
    {
        let made = held(&house, &format!("issuer-{n}"), &["rotation", "--token", "issuing"]);
        assert_eq!(objects(&house), 6, "{step}");
        let dir = format!("retire-{n}");
        let plan = [
            "ceremony",
            "plan",
            "retirement",
            "--key",
            key(&made, "issuer"),
            "--token",
            "issuing",
            "--out",
            &dir,
        ];
        house.cell.run(&plan).ok();
        house.cell.run(&["ceremony", "approve", "--yes", &dir]).ok();
        fs::write(house.cell.path("kill"), format!("{step}#1")).unwrap();
        assert_ne!(house.cell.run(&["ceremony", "execute", &dir]).code, 0, "{step}: it was killed");
        fs::remove_file(house.cell.path("kill")).expect_err("it was killed there");
        house.cell.run(&["ceremony", "execute", &dir]).ok();
        assert_eq!(objects(&house), 4, "{step}: both halves are gone");
        house.cell.run(&["ceremony", "approve", "--yes", &dir]).ok();
        let verified = house
            .cell
            .run(&["ceremony", "verify", &format!("{dir}/transcript.note"), "--output", "json"])
            .json();
        assert_eq!(verified["destroyed"][0], key(&made, "issuer"));
        house.cell.run(&["ceremony", "import", &dir]).ok();
    }
}
