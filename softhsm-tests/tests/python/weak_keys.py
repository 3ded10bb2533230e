"""RSA keys that can be factored, as PKCS#1 DER: close-primes.der, roca.der, exponent-one.der, in the directory named."""

import pathlib
import random
import sys

SMALL = [n for n in range(2, 702) if all(n % m for m in range(2, int(n**0.5) + 1))]
CHANCE = random.Random(7)


def is_prime(n):
    """Miller and Rabin, with enough rounds for a test."""
    if any(n % p == 0 for p in SMALL):
        return n in SMALL
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for _ in range(12):
        x = pow(CHANCE.randrange(2, n - 1), d, n)
        if x in (1, n - 1):
            continue
        if not any((x := x * x % n) == n - 1 for _ in range(r - 1)):
            return False
    return True


def next_prime(n):
    n |= 1
    while not is_prime(n):
        n += 2
    return n


def roca_prime():
    """k M + (65537^a mod M), M the product of the first 126 primes (Nemec and others, CCS 2017, section 2)."""
    m = 1
    for p in SMALL[:126]:
        m *= p
    while True:
        p = CHANCE.getrandbits(1024 - m.bit_length() + 1) * m + pow(65537, CHANCE.getrandbits(128), m)
        if p.bit_length() == 1024 and p >> 1022 == 3 and is_prime(p):
            return p


def integer(n):
    octets = n.to_bytes(n.bit_length() // 8 + 1, "big")
    return element(2, octets)


def element(tag, octets):
    if len(octets) < 128:
        return bytes([tag, len(octets)]) + octets
    length = len(octets).to_bytes((len(octets).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + octets


def private_key(p, q, e):
    """RSAPrivateKey (RFC 8017, appendix A.1.2)."""
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = [0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]
    return element(0x30, b"".join(map(integer, numbers)))


out = pathlib.Path(sys.argv[1])
first = next_prime(CHANCE.getrandbits(1022) | 3 << 1022)
far = next_prime(CHANCE.getrandbits(1022) | 3 << 1022)
(out / "close-primes.der").write_bytes(private_key(next_prime(first + 2), first, 65537))
(out / "exponent-one.der").write_bytes(private_key(far, first, 1))
(out / "roca.der").write_bytes(private_key(roca_prime(), roca_prime(), 65537))
