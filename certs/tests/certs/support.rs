//! Keys that can sign, a chain made with them, and the OpenSSL command line as the judge.

use std::{fs, path::Path, process::Command};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{self as aws, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair},
};
use cell::{SpiffeId, TrustDomain};
use certs::{
    ATTRIBUTES_OID, Attributes, Issuer, PublicKey, SignatureAlgorithm,
    compose::{self, Ca, Leaf, LeafProfile, Serial, Tbs, Validity, join},
};

/// When every test takes place: 2025-06-01T00:00:00Z.
pub(crate) const NOW: u64 = 1_748_736_000;

/// A key pair outside of any token.
pub(crate) enum TestKey {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl TestKey {
    pub(crate) fn p256() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&aws::ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn p384() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&aws::ECDSA_P384_SHA384_ASN1_SIGNING).unwrap())
    }

    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub(crate) fn public(&self) -> PublicKey {
        let spki = match self {
            Self::Ecdsa(key) => key.public_key().as_der().unwrap(),
            Self::Ed25519(key) => key.public_key().as_der().unwrap(),
            Self::Rsa(key) => key.public_key().as_der().unwrap(),
        };
        PublicKey::try_from(spki.as_ref()).unwrap()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ecdsa(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&aws::RSA_PSS_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }

    /// The certificate of these bytes, signed by this key.
    pub(crate) fn certify(&self, tbs: &Tbs) -> Vec<u8> {
        let algorithm = SignatureAlgorithm::of(self.public().kind());
        join(tbs.as_bytes(), algorithm, &self.sign(tbs.as_bytes()))
    }
}

pub(crate) fn cell() -> TrustDomain {
    "cell.example".parse().unwrap()
}

pub(crate) fn serial(n: u8) -> Serial {
    Serial::try_from([n; 20]).unwrap()
}

/// A root and an issuer under it.
pub(crate) struct Chain {
    pub(crate) root: Issuer,
    pub(crate) issuer: Issuer,
    pub(crate) issuer_key: TestKey,
}

impl Chain {
    pub(crate) fn new(root_key: &TestKey, issuer_key: TestKey) -> Self {
        let (cell, root_public, issuer_public) = (cell(), root_key.public(), issuer_key.public());
        let validity = Validity::for_root(NOW - 1000).unwrap();
        let root = Ca { cell: &cell, public_key: &root_public, serial: serial(1), validity };
        let root = Issuer::parse(&root_key.certify(&compose::root(&root).unwrap())).unwrap();
        let validity = Validity::for_issuer(NOW - 500, &root).unwrap();
        let issuer = Ca { cell: &cell, public_key: &issuer_public, serial: serial(2), validity };
        let issuer = root_key.certify(&compose::issuer(&root, &issuer).unwrap());
        Self { issuer: Issuer::parse(&issuer).unwrap(), root, issuer_key }
    }

    /// One of P-256 keys.
    pub(crate) fn p256() -> Self {
        Self::new(&TestKey::p256(), TestKey::p256())
    }

    pub(crate) fn tbs(&self, profile: LeafProfile, uri: &str, key: &PublicKey) -> Tbs {
        let uri: SpiffeId = uri.parse().unwrap();
        let validity = Validity::for_lifetime(NOW, 3600, self.issuer.validity()).unwrap();
        let leaf = Leaf { profile, uri: &uri, public_key: key, serial: serial(0x73), validity };
        compose::leaf(&self.issuer, &leaf, ATTRIBUTES_OID).unwrap()
    }

    pub(crate) fn leaf(&self, profile: LeafProfile, uri: &str, key: &PublicKey) -> Vec<u8> {
        self.issuer_key.certify(&self.tbs(profile, uri, key))
    }
}

/// The profile of an agent with two roles, a tag and a DNS name.
pub(crate) fn agent() -> LeafProfile {
    let attributes = Attributes {
        roles: vec!["scanner".parse().unwrap(), "logger".parse().unwrap()].try_into().unwrap(),
        tags: vec!["blue".parse().unwrap()].try_into().unwrap(),
    };
    let dns_names = vec!["x.agents.example".parse().unwrap()].try_into().unwrap();
    LeafProfile::Agent { dns_names, attributes }
}

/// Runs the OpenSSL command line in this directory: whether it succeeded, and all it said.
pub(crate) fn try_openssl(dir: &Path, args: &[&str]) -> (bool, String) {
    let output = Command::new("openssl").current_dir(dir).args(args).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// As [`try_openssl`], where success is expected.
pub(crate) fn openssl(dir: &Path, args: &[&str]) -> String {
    let (success, text) = try_openssl(dir, args);
    assert!(success, "openssl {args:?}: {text}");
    text
}

/// Writes a certificate as PEM.
pub(crate) fn write_pem(dir: &Path, name: &str, certificate: &[u8]) {
    let pem = der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, certificate).unwrap();
    fs::write(dir.join(name), pem).unwrap();
}
