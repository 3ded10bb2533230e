//! Ways to factor a bad RSA modulus, each tried for a bounded time. Moduli are public: nothing here hides its timing.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use num_bigint::BigUint;
use num_integer::gcd;

/// The primes below 752, which are looked for in a modulus (CA/Browser Forum BR §6.1.6).
const SMALL_PRIMES: [u64; 133] = first_primes();

/// So many small primes at a time make a product that fits into 64 bits: 752^6 < 2^64.
const PRIMES_AT_ONCE: usize = 6;

/// The faulty library makes primes p ≡ 65537^a modulo the product of the first 126 primes for moduli of 1984 to 3936 bits, of
/// the first 225 for longer ones (Nemec et al., "The Return of Coppersmith's Attack", 2017, §2.2). The 126th is 701.
const LAST_ROCA_PRIME: u64 = 701;

/// Rounds of Fermat's method (CA/Browser Forum BR §6.1.1.3).
const FERMAT_ROUNDS: usize = 100;

/// No factor below this is taken: badkeys and common factoring tools look no further.
const MEDIUM_PRIMES_BELOW: usize = 1 << 20;

/// So many equal octets on end are in no random number: one in 2^111 moduli of 4096 bits has them.
const RUN: usize = 16;

/// Bits of a hundred that a random modulus has set: of 2048 and more, fewer or more are further off than nine standard deviations.
const SET_BITS: RangeInclusive<u64> = 40..=60;

/// The product of all primes below [`MEDIUM_PRIMES_BELOW`]: 190 kB.
static MEDIUM_PRODUCT: LazyLock<BigUint> = LazyLock::new(|| product(primes_below(MEDIUM_PRIMES_BELOW)));

/// A prime and the rest of a modulus by it.
pub(super) struct Residue {
    prime: u64,
    rest: u64,
}

/// The rests of this modulus by all small primes.
pub(super) fn residues(modulus: &BigUint) -> Vec<Residue> {
    let of_some = |primes: &'static [u64]| {
        let rest = rest(modulus, primes.iter().product());
        primes.iter().map(move |&prime| Residue { prime, rest: rest % prime })
    };
    SMALL_PRIMES.chunks(PRIMES_AT_ONCE).flat_map(of_some).collect()
}

/// Whether nobody drew the modulus' factors at random: octets that repeat, or far fewer or more bits set than half of them.
pub(super) fn is_not_random(modulus: &BigUint) -> bool {
    let octets = modulus.to_bytes_be();
    let has_run = octets.windows(RUN).any(|run| run.iter().all(|octet| *octet == run[0]));
    has_run || !SET_BITS.contains(&(modulus.count_ones() * 100 / modulus.bits().max(1)))
}

/// Whether a small prime divides the modulus.
pub(super) fn has_small_factor(residues: &[Residue]) -> bool {
    residues.iter().any(|residue| residue.rest == 0)
}

/// Whether the modulus is a power of 65537 modulo each of the primes: a good one is by chance, once in 2^100 times or less.
pub(super) fn has_roca_fingerprint(residues: &[Residue]) -> bool {
    residues.iter().filter(|residue| residue.prime <= LAST_ROCA_PRIME).all(is_power_of_65537)
}

fn is_power_of_65537(residue: &Residue) -> bool {
    let Residue { prime, rest } = *residue;
    // The powers repeat once one of them is 1 again, after prime - 1 of them at the latest.
    let next = |power: &u64| Some(power * 65_537 % prime).filter(|&power| power != 1);
    std::iter::successors(Some(1), next).any(|power| power == rest)
}

/// Whether Fermat's method finds two factors: n = a² − b² = (a + b)(a − b), with a from √n upwards.
pub(super) fn has_close_factors(modulus: &BigUint) -> bool {
    let mut a = modulus.sqrt();
    if &a * &a < *modulus {
        a += 1_u32;
    }
    let mut b_squared = &a * &a - modulus;
    for _ in 0..FERMAT_ROUNDS {
        if is_square(&b_squared) {
            return true;
        }
        // (a + 1)² − n = a² − n + 2a + 1.
        b_squared += (&a << 1_u8) + 1_u32;
        a += 1_u32;
    }
    false
}

/// Whether a number is a square; by its last bits and some rests first, which rule out all but one in a hundred.
fn is_square(number: &BigUint) -> bool {
    /// Bit n is set when n is the rest of a square by 64.
    const SQUARES_BY_64: u64 = 0x0202_0212_0203_0213;

    let last_bits = number.iter_u64_digits().next().unwrap_or(0) % 64;
    if SQUARES_BY_64 >> last_bits & 1 == 0 {
        return false;
    }
    let rest = rest(number, 63 * 65 * 11);
    let may_be = [63, 65, 11].into_iter().all(|n| (0..n).any(|root| root * root % n == rest % n));
    may_be && {
        let root = number.sqrt();
        &root * &root == *number
    }
}

/// Whether a prime below 2^20 divides the modulus: a millisecond and a half for 3072 bits.
pub(super) fn has_medium_factor(modulus: &BigUint) -> bool {
    gcd(&*MEDIUM_PRODUCT % modulus, modulus.clone()) != BigUint::from(1_u32)
}

/// Whether the modulus is a prime or a power of one, by a power of 2 that costs as much as a private key's operation.
///
/// Where n = p^k, p − 1 divides n − 1, so that 2^(n−1) is 1 modulo p (Fermat). Where n = p·q this is so only if the order of 2 modulo p
/// divides q − 1, which of large random primes it does not.
pub(super) fn is_prime_power(modulus: &BigUint) -> bool {
    let one = BigUint::from(1_u32);
    let power = BigUint::from(2_u32).modpow(&(modulus - &one), modulus);
    // power is not 0: the modulus is odd.
    gcd(power - &one, modulus.clone()) != one
}

fn primes_below(bound: usize) -> Vec<BigUint> {
    let mut composite = vec![false; bound];
    let mut primes = Vec::new();
    for number in 2..bound {
        if composite[number] {
            continue;
        }
        primes.push(BigUint::from(number));
        for multiple in (number * number..bound).step_by(number) {
            composite[multiple] = true;
        }
    }
    primes
}

/// Their product, by pairs of about the same length: long multiplication is faster for those.
fn product(mut numbers: Vec<BigUint>) -> BigUint {
    while numbers.len() > 1 {
        numbers = numbers.chunks(2).map(|pair| pair.iter().product()).collect();
    }
    numbers.pop().unwrap_or_else(|| BigUint::from(1_u32))
}

fn rest(number: &BigUint, by: u64) -> u64 {
    (number % by).iter_u64_digits().next().unwrap_or(0)
}

/// As many primes as there are below 752.
const fn first_primes() -> [u64; 133] {
    let mut primes = [0; 133];
    let (mut found, mut candidate) = (0, 2);
    while found < primes.len() {
        let mut i = 0;
        while i < found && candidate % primes[i] != 0 {
            i += 1;
        }
        if i == found {
            primes[found] = candidate;
            found += 1;
        }
        candidate += 1;
    }
    primes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primes_are_all_below_752() {
        let is_prime = |n: &u64| (2..*n).all(|divisor| !n.is_multiple_of(divisor));
        assert_eq!(SMALL_PRIMES.to_vec(), (2..752).filter(is_prime).collect::<Vec<_>>());
        assert_eq!(SMALL_PRIMES[125], LAST_ROCA_PRIME);
    }

    #[test]
    fn rests_are_those_of_a_division() {
        let number = BigUint::from(0x1234_5678_9abc_def1_u64).pow(40);
        for residue in residues(&number) {
            assert_eq!(&number % residue.prime, BigUint::from(residue.rest), "{}", residue.prime);
        }
    }

    #[test]
    fn squares_are_told_from_other_numbers() {
        let squares = (0_u32..300).filter(|&n| is_square(&n.into())).collect::<Vec<_>>();
        assert_eq!(squares, (0..18).map(|root| root * root).collect::<Vec<_>>());
        let root = BigUint::from(u64::MAX).pow(20) + 12_345_u32;
        assert!(is_square(&(&root * &root)) && !is_square(&(&root * &root + 64_u32)));
    }
}
