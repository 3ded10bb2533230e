//! RSA keys: their form, their size, and the ways in which a look at the modulus shows that it can be factored.

use std::ops::RangeInclusive;

use der::{Decode, Sequence, asn1::UintRef};
use num_bigint::BigUint;

use super::{KeyError, KeyKind, factors};

/// Moduli that are taken, in bits, both inclusive: below is broken (NIST SP 800-131A), above costs our time.
const BITS: RangeInclusive<usize> = 2048..=4096;

/// RFC 8017 §A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// RSAPublicKey (RFC 8017 §A.1.1): modulus within [`BITS`] and not weak, exponent odd, at least 65537 and below 2^32.
///
/// Costs about as much as the verification of one signature: the front's look at a request and the keeper's at the key
/// can both afford it.
pub(super) fn kind(key: &[u8]) -> Result<KeyKind, KeyError> {
    let key = RsaPublicKey::from_der(key).map_err(|_| KeyError::Malformed)?;
    let modulus = BigUint::from_bytes_be(key.modulus.as_bytes());
    let bits = usize::try_from(modulus.bits()).map_err(|_| KeyError::Malformed)?;
    if bits < *BITS.start() {
        return Err(KeyError::Weak("an RSA modulus of less than 2048 bits"));
    }
    if bits > *BITS.end() {
        return Err(KeyError::Weak("an RSA modulus of more than 4096 bits"));
    }
    demand_exponent(key.exponent.as_bytes())?;
    demand_modulus(&modulus)?;
    Ok(KeyKind::Rsa { bits })
}

/// What takes some ten times as long as [`kind`]: the modulus is the product of several large primes (NIST SP 800-89 §5.3.3), as far as that
/// can be seen without them.
pub(super) fn demand_hard_to_factor(key: &[u8]) -> Result<(), KeyError> {
    let key = RsaPublicKey::from_der(key).map_err(|_| KeyError::Malformed)?;
    let modulus = BigUint::from_bytes_be(key.modulus.as_bytes());
    if factors::has_medium_factor(&modulus) {
        return Err(KeyError::Weak("an RSA modulus with a factor below 2^20"));
    }
    if factors::is_prime_power(&modulus) {
        return Err(KeyError::Weak("an RSA modulus that is a prime or a power of one"));
    }
    Ok(())
}

/// NIST SP 800-56B §6.2 and FIPS 186-5 §A.1.1: odd, above 2^16; the upper bound is that of common verifiers.
fn demand_exponent(exponent: &[u8]) -> Result<(), KeyError> {
    let small = exponent.len() <= 4;
    let exponent = exponent.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    if small && exponent >= 65_537 && exponent % 2 == 1 {
        Ok(())
    } else {
        Err(KeyError::Weak("an RSA exponent that is not odd, at least 65537 and below 2^32"))
    }
}

/// CA/Browser Forum BR §6.1.1.3 and §6.1.6: no small factor, no close factors, not of the form of a faulty library.
fn demand_modulus(modulus: &BigUint) -> Result<(), KeyError> {
    if !modulus.bit(0) {
        return Err(KeyError::Weak("an even RSA modulus"));
    }
    if factors::is_not_random(modulus) {
        return Err(KeyError::Weak("an RSA modulus that is not random: it has a pattern, or few bits"));
    }
    let residues = factors::residues(modulus);
    if factors::has_small_factor(&residues) {
        return Err(KeyError::Weak("an RSA modulus with a factor below 752"));
    }
    if factors::has_roca_fingerprint(&residues) {
        return Err(KeyError::Weak(
            "an RSA modulus of a faulty generator, which can be factored (ROCA, CVE-2017-15361)",
        ));
    }
    if factors::has_close_factors(modulus) {
        return Err(KeyError::Weak("an RSA modulus whose two factors are too close to each other (Fermat)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use num_bigint::BigUint;

    use super::super::{ID_RSA, KeyError, KeyKind, PublicKey};
    use crate::raw;

    const F4: &[u8] = &[1, 0, 1];

    /// A key of this modulus and exponent, both DER INTEGER contents.
    fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<KeyKind, KeyError> {
        let key = raw::element(0x30, &[&raw::element(2, &[modulus]), &raw::element(2, &[exponent])]);
        let spki = raw::element(0x30, &[ID_RSA, &raw::element(3, &[&[0], &key])]);
        PublicKey::try_from(spki.as_slice()).map(|key| key.kind())
    }

    fn of(modulus: &BigUint) -> Result<KeyKind, KeyError> {
        rsa(&contents(modulus), F4)
    }

    /// The contents of the INTEGER.
    fn contents(number: &BigUint) -> Vec<u8> {
        let mut bytes = number.to_bytes_be();
        if bytes[0] >= 0x80 {
            bytes.insert(0, 0);
        }
        bytes
    }

    /// From this number upwards, the first without a factor below a thousand.
    fn rough(mut number: BigUint) -> BigUint {
        while (2_u32..1000).any(|factor| &number % factor == BigUint::ZERO) {
            number += 1_u32;
        }
        number
    }

    /// A number of this many bits without small factors, its digits those of √2 from some place on.
    fn modulus(bits: u64) -> BigUint {
        root(2, bits)
    }

    /// As [`modulus`], of √`of`, which is from 1 to 4: the product of two such numbers is round where their roots' is.
    fn root(of: u32, bits: u64) -> BigUint {
        let root = (BigUint::from(of) << 9000_u32).sqrt();
        rough(root >> (4501 - bits))
    }

    fn weakness(modulus: &BigUint) -> &'static str {
        match of(modulus) {
            Err(KeyError::Weak(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn moduli_have_bounds() {
        for bits in [2048, 2049, 3072, 4096] {
            let expected = KeyKind::Rsa { bits: usize::try_from(bits).unwrap() };
            assert_eq!(of(&modulus(bits)), Ok(expected));
        }
        for bits in [8, 1024, 2047] {
            assert_eq!(weakness(&modulus(bits)), "an RSA modulus of less than 2048 bits");
        }
        assert_eq!(weakness(&modulus(4097)), "an RSA modulus of more than 4096 bits");
        assert_eq!(weakness(&(modulus(2048) + 1_u32)), "an even RSA modulus");
        assert!(matches!(rsa(&[0], F4), Err(KeyError::Weak(_))));
        assert_eq!(rsa(&[0x80; 256], F4), Err(KeyError::Malformed), "a negative modulus");
    }

    #[test]
    fn exponents_have_bounds() {
        let modulus = contents(&modulus(2048));
        for good in [F4, &[1, 0, 3], &[0, 0xff, 0xff, 0xff, 0xff]] {
            assert!(rsa(&modulus, good).is_ok(), "{good:x?}");
        }
        for weak in [[1].as_slice(), &[3], &[0, 0xff, 0xff], &[1, 0, 2], &[1, 0, 0, 0, 1], &[0]] {
            let why = "an RSA exponent that is not odd, at least 65537 and below 2^32";
            assert_eq!(rsa(&modulus, weak), Err(KeyError::Weak(why)), "{weak:x?}");
        }
    }

    #[test]
    fn small_factors_are_found() {
        for factor in [3_u32, 5, 7, 101, 499, 743, 751] {
            let other = modulus(2100);
            assert_eq!(weakness(&(other * factor)), "an RSA modulus with a factor below 752", "{factor}");
        }
        assert!(of(&(modulus(2100) * 757_u32)).is_ok(), "the first prime beyond the bound");
    }

    /// The first probable primes from these numbers upwards; by the base 3, which the tested code does not use.
    fn prime(from: BigUint) -> BigUint {
        let mut candidate = from | BigUint::from(1_u32);
        let is_prime = |n: &BigUint| {
            (3_u32..2000).step_by(2).all(|factor| n % factor != BigUint::ZERO)
                && BigUint::from(3_u32).modpow(&(n - 1_u32), n) == BigUint::from(1_u32)
        };
        while !is_prime(&candidate) {
            candidate += 2_u32;
        }
        candidate
    }

    fn hard(modulus: &BigUint) -> Result<(), KeyError> {
        let key = raw::element(0x30, &[&raw::element(2, &[&contents(modulus)]), &raw::element(2, &[F4])]);
        let spki = raw::element(0x30, &[ID_RSA, &raw::element(3, &[&[0], &key])]);
        PublicKey::try_from(spki.as_slice()).unwrap().demand_hard_to_factor()
    }

    #[test]
    fn factors_below_two_to_the_twentieth_are_found() {
        let why = "an RSA modulus with a factor below 2^20";
        let (p, q) = (prime(modulus(1100)), prime(root(3, 1060)));
        // 1048573 is the last prime below 2^20, 1048583 the first above.
        for factor in [757_u32, 31_337, 1_048_573] {
            assert_eq!(hard(&(&p * &q * factor)), Err(KeyError::Weak(why)), "{factor}");
        }
        assert_eq!(hard(&(&p * &q * 1_048_583_u32)), Ok(()));
    }

    #[test]
    fn a_prime_and_its_powers_are_found() {
        let why = "an RSA modulus that is a prime or a power of one";
        assert_eq!(hard(&prime(modulus(2048))), Err(KeyError::Weak(why)));
        let third = prime(modulus(700));
        assert_eq!(hard(&third.pow(3)), Err(KeyError::Weak(why)));
        assert_eq!(hard(&prime(modulus(60)).pow(37)), Err(KeyError::Weak(why)));
        assert_eq!(hard(&(prime(modulus(1100)) * prime(root(3, 1060)))), Ok(()));
    }

    #[test]
    fn moduli_that_nobody_drew_are_found() {
        let why = "an RSA modulus that is not random: it has a pattern, or few bits";
        // The first primes after two round numbers.
        let (p, q) = (rough(BigUint::from(0xc0_u32) << 1016), rough(BigUint::from(0xe0_u32) << 1016));
        assert_eq!(weakness(&(p * q)), why);
        // A run of 16 octets in the middle, and one of 15.
        let middle = |octets: usize| {
            let mut bytes = modulus(2048).to_bytes_be();
            bytes[100..100 + octets].fill(0x5a);
            rough(BigUint::from_bytes_be(&bytes))
        };
        assert_eq!(weakness(&middle(16)), why);
        assert!(of(&middle(15)).is_ok());
        // Every other octet loses bits, or has them all.
        for octet in [0x01, 0xfe] {
            let mut bytes = modulus(2048).to_bytes_be();
            bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = octet);
            assert_eq!(weakness(&rough(BigUint::from_bytes_be(&bytes))), why, "{octet:x}");
        }
    }

    #[test]
    fn close_factors_are_found() {
        let why = "an RSA modulus whose two factors are too close to each other (Fermat)";
        // Later digits of the root, whose square is not round.
        let top = BigUint::from(1_u32) << 1023;
        let p = rough(modulus(1500) % &top + top);
        for distance in [0_u32, 2, 1000, 1_000_000] {
            let q = rough(&p + distance);
            assert_eq!(weakness(&(&p * &q)), why, "{distance}");
        }
        // The difference of the factors grows with the root of the rounds that are needed.
        let far = rough(&p + (BigUint::from(1_u32) << 540));
        assert!(of(&(&p * far)).is_ok());
    }

    #[test]
    fn the_fingerprint_of_roca_is_found() {
        // Nemec et al., 2017, §2.1: both primes are k·M + (65537^a mod M), M being the product of the first primes. So is
        // their product modulo M, with the sum of both exponents.
        let primes = |n: usize| (2_u32..).filter(|p| (2..*p).all(|d| p % d != 0)).take(n);
        for (bits, count) in [(2048_u64, 126), (3072, 126), (4096, 225)] {
            let m: BigUint = primes(count).map(BigUint::from).product();
            let power = BigUint::from(65_537_u32).modpow(&BigUint::from(0xdead_beef_u32), &m);
            let k = modulus(bits) / &m + 1_u32;
            let why = "an RSA modulus of a faulty generator, which can be factored (ROCA, CVE-2017-15361)";
            assert_eq!(weakness(&(&k * &m + &power)), why, "{bits}");
            // Not a power of 65537 modulo 11, where only 1 and 10 are.
            let other = rough(&k * &m + power + 2_u32);
            assert!(of(&other).is_ok(), "{bits}");
        }
    }
}
