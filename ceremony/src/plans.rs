//! Plans, by what they are for: each kind of ceremony as its steps.

use hsm_config::{KeyAlgorithm, TokenUri};
use keeper::bundles::LOG;
use ledger::charter::Charter;
use ledger::plan::{Ceremony, Certify, CertifyAs, Destroy, KeyRef, MakeCrl, MakeKey, Plan, Revoke, Step};

/// Days for which a root is valid: ten years of 365.
pub const ROOT_DAYS: u32 = 3650;
/// Days for which a mesh issuer is valid.
pub const ISSUER_DAYS: u32 = 365;

const ROOT: &str = "root";
const ISSUER: &str = "issuer";

/// What every plan needs.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The charter whose officers approve it: the first one, for a cell that is being founded.
    pub charter: &'a ledger::charter::Terms,
    /// 16 random bytes.
    pub nonce: [u8; 16],
    /// First second at which it is executed no more, since 1970.
    pub expires_unix: i64,
}

/// A token as plans name it.
#[derive(Clone, Debug)]
pub struct Place {
    /// By label or serial, and by model.
    pub uri: TokenUri,
    /// Claims of invariant I1 from which its profile excuses it.
    pub exceptions: Vec<String>,
}

/// A token and the kind of key to be made in it.
#[derive(Clone, Copy, Debug)]
pub struct KeyIn<'a> {
    /// The token.
    pub token: &'a Place,
    /// Kind of key.
    pub algorithm: KeyAlgorithm,
}

/// A root that is there.
#[derive(Clone, Copy, Debug)]
pub struct RootIn<'a> {
    /// Its token.
    pub token: &'a Place,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
}

impl Terms<'_> {
    fn plan(&self, ceremony: Ceremony, steps: Vec<Step>) -> Plan {
        Plan {
            cell: self.charter.cell.clone(),
            ceremony,
            charter_revision: self.charter.revision,
            charter_sha256: self.charter.sha256(),
            quorum: self.charter.quorum,
            nonce: self.nonce,
            expires_unix: self.expires_unix,
            steps,
        }
    }

    /// A new cell: root, issuing and log key, the root's certificate and the issuer's.
    pub fn found(&self, root: KeyIn<'_>, issuer: KeyIn<'_>, log: KeyIn<'_>) -> Plan {
        let (token, signer) = (&root.token.uri, named(ROOT));
        let steps = vec![
            make(ROOT, root),
            make(ISSUER, issuer),
            make(LOG, log),
            certify(CertifyAs::Root, named(ROOT), signer.clone(), token, ROOT_DAYS),
            certify(CertifyAs::Issuer, named(ISSUER), signer, token, ISSUER_DAYS),
        ];
        self.plan(Ceremony::Found, steps)
    }

    /// Another root.
    pub fn root(&self, root: KeyIn<'_>, days: u32) -> Plan {
        let certify = certify(CertifyAs::Root, named(ROOT), named(ROOT), &root.token.uri, days);
        self.plan(Ceremony::Root, vec![make(ROOT, root), certify])
    }

    /// Another issuing key, with a log key beside it where one is wanted: a token that stands ready needs both.
    pub fn issuer(
        &self,
        ceremony: Ceremony,
        issuer: KeyIn<'_>,
        log: Option<KeyIn<'_>>,
        root: RootIn<'_>,
        days: u32,
    ) -> Plan {
        let mut steps = vec![make(ISSUER, issuer)];
        steps.extend(log.map(|log| make(LOG, log)));
        let signer = KeyRef::Sha256(root.spki_sha256);
        steps.push(certify(CertifyAs::Issuer, named(ISSUER), signer, &root.token.uri, days));
        self.plan(ceremony, steps)
    }

    /// Another key for the log.
    pub fn log_key(&self, log: KeyIn<'_>) -> Plan {
        self.plan(Ceremony::LogKey, vec![make(LOG, log)])
    }

    /// One root vouches for another.
    pub fn cross(&self, subject: [u8; 32], signer: RootIn<'_>, days: u32) -> Plan {
        let (subject, by) = (KeyRef::Sha256(subject), KeyRef::Sha256(signer.spki_sha256));
        self.plan(Ceremony::Cross, vec![certify(CertifyAs::Cross, subject, by, &signer.token.uri, days)])
    }

    /// The end of a key.
    pub fn retirement(&self, spki_sha256: [u8; 32], token: &Place) -> Plan {
        let destroy =
            Step::Destroy(Destroy { key: KeyRef::Sha256(spki_sha256), token: token.uri.to_string() });
        self.plan(Ceremony::Retirement, vec![destroy])
    }

    /// A CRL of a root.
    pub fn root_crl(&self, root: RootIn<'_>, number: u64, days: u32, revoked: Vec<Revoke>) -> Plan {
        let (signer, token) = (KeyRef::Sha256(root.spki_sha256), root.token.uri.to_string());
        self.plan(Ceremony::RootCrl, vec![Step::MakeCrl(MakeCrl { signer, token, number, days, revoked })])
    }
}

/// The terms of a charter in force.
pub fn terms_of(charter: &Charter, nonce: [u8; 16], expires_unix: i64) -> Terms<'_> {
    Terms { charter: charter.terms(), nonce, expires_unix }
}

fn named(name: &str) -> KeyRef {
    KeyRef::Named(name.to_owned())
}

fn make(name: &str, key: KeyIn<'_>) -> Step {
    Step::MakeKey(MakeKey {
        name: name.to_owned(),
        algorithm: key.algorithm.to_string(),
        token: key.token.uri.to_string(),
        label: format!("rootcellar {name}"),
        exceptions: key.token.exceptions.clone(),
    })
}

fn certify(profile: CertifyAs, subject: KeyRef, signer: KeyRef, token: &TokenUri, days: u32) -> Step {
    Step::Certify(Certify { profile, subject, signer, token: token.to_string(), days })
}
