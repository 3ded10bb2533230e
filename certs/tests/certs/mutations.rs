//! Twelve thousand CSRs, each changed somewhere by chance: none of them is anybody's.

use certs::csr::check;
use rcgen::{CertificateParams, KeyPair, SanType};

/// Of each kind of key.
const MUTATIONS: u64 = 3000;

/// Chance that is the same each time (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let next = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        usize::try_from(next % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn octet(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    /// The same octets, changed in one to three places.
    fn mutate(&mut self, good: &[u8]) -> Vec<u8> {
        let mut changed = good.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(changed.len());
            let some = self.below(8).min(changed.len() - at);
            match self.below(7) {
                0 => changed[at] ^= 1 << self.below(8),
                1 => changed[at] = self.octet(),
                2 => drop(changed.drain(at..at + some)),
                3 => changed.insert(at, self.octet()),
                4 => changed.truncate(at.max(1)),
                5 => {
                    let copied = changed[at..at + some].to_vec();
                    let to = self.below(changed.len());
                    changed.splice(to..to, copied);
                }
                _ => {
                    let with = self.below(changed.len());
                    changed.swap(at, with);
                }
            }
            if changed.is_empty() {
                return vec![0];
            }
        }
        changed
    }
}

#[test]
fn a_changed_request_is_refused() {
    let kinds = [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
        &rcgen::PKCS_RSA_SHA256,
    ];
    let mut chance = Chance(0x5EED);
    for kind in kinds {
        let key = KeyPair::generate_for(kind).unwrap();
        let mut params = CertificateParams::default();
        let uri = "spiffe://cell.example/agent/x".try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(uri), SanType::DnsName("x.example".try_into().unwrap())];
        let good = params.serialize_request(&key).unwrap().der().to_vec();
        check(&good).unwrap();
        let mut changed = 0;
        while changed < MUTATIONS {
            let other = chance.mutate(&good);
            if other != good {
                assert!(check(&other).is_err(), "{kind:?}: {}", data_encoding::HEXLOWER.encode(&other));
                changed += 1;
            }
        }
    }
}
