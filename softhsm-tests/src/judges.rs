//! Judges that are not ours: OpenSSL and webpki.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject};
use webpki::{EndEntityCert, KeyUsage};

/// Runs openssl and returns its standard output.
///
/// # Panics
/// It fails.
#[track_caller]
pub fn openssl<S: AsRef<OsStr>>(dir: &Path, arguments: &[S]) -> String {
    let output = Command::new("openssl").args(arguments).current_dir(dir).output().expect("openssl runs");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A private key and a CSR made by `openssl req`: DER of the CSR. The key is at `dir/NAME.key`.
///
/// # Panics
/// openssl fails.
#[track_caller]
pub fn openssl_csr(dir: &Path, name: &str, new_key: &[&str], more: &[&str]) -> Vec<u8> {
    let (key, out) = (format!("{name}.key"), format!("{name}.csr"));
    let mut arguments = vec![
        "req",
        "-new",
        "-nodes",
        "-subj",
        "/CN=ignored",
        "-keyout",
        &key,
        "-outform",
        "DER",
        "-out",
        &out,
    ];
    arguments.extend(["-newkey"]);
    arguments.extend(new_key);
    arguments.extend(more);
    openssl(dir, &arguments);
    fs::read(dir.join(out)).expect("openssl wrote the CSR")
}

/// `openssl verify -x509_strict` of a chain (leaf first, DER) up to the anchors (PEM), for a purpose ("sslclient", "sslserver").
///
/// # Panics
/// It does not verify.
#[track_caller]
pub fn openssl_verifies(dir: &Path, anchors_pem: &str, chain: &[Vec<u8>], purpose: &str) {
    fs::write(dir.join("judge-anchors.pem"), anchors_pem).expect("anchors written");
    let pem = |der: &[u8]| {
        fs::write(dir.join("judge.der"), der).expect("certificate written");
        openssl(dir, &["x509", "-inform", "DER", "-in", "judge.der"])
    };
    let issuers: String = chain[1..].iter().map(|der| pem(der)).collect();
    fs::write(dir.join("judge-issuers.pem"), issuers).expect("issuers written");
    fs::write(dir.join("judge-leaf.pem"), pem(&chain[0])).expect("leaf written");
    let verdict = openssl(
        dir,
        &[
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-CAfile",
            "judge-anchors.pem",
            "-untrusted",
            "judge-issuers.pem",
            "judge-leaf.pem",
        ],
    );
    assert!(verdict.contains("judge-leaf.pem: OK"), "{verdict}");
}

/// What `openssl x509 -text` says of a certificate.
///
/// # Panics
/// It is none.
#[track_caller]
pub fn openssl_text(dir: &Path, certificate: &[u8]) -> String {
    fs::write(dir.join("judge-text.der"), certificate).expect("certificate written");
    openssl(dir, &["x509", "-inform", "DER", "-in", "judge-text.der", "-noout", "-text"])
}

/// webpki's verdict on a chain for TLS client authentication at a second since 1970.
///
/// # Errors
/// webpki's reason.
///
/// # Panics
/// The anchors are no certificates.
pub fn webpki_verifies(anchors_pem: &str, chain: &[Vec<u8>], at_secs: u64) -> Result<(), webpki::Error> {
    let anchors: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(anchors_pem.as_bytes())
        .collect::<Result<_, _>>()
        .expect("PEM anchors");
    let anchors: Vec<_> =
        anchors.iter().map(|der| webpki::anchor_from_trusted_cert(der).expect("an anchor")).collect();
    let chain: Vec<CertificateDer<'_>> =
        chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let leaf = EndEntityCert::try_from(&chain[0])?;
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &chain[1..],
        UnixTime::since_unix_epoch(Duration::from_secs(at_secs)),
        KeyUsage::client_auth(),
        None,
        None,
    )?;
    Ok(())
}
