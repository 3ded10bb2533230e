//! Serial numbers.

use std::fmt;

/// A certificate's serial number: 159 random bits, positive, at least 64 bits long (RFC 5280 §4.1.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 20]);

/// The randomness is broken: chance alone makes such a number once in 2^95 times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("twenty random bytes make a serial number of less than 64 bits: the randomness is broken")]
pub struct SerialError;

impl TryFrom<[u8; 20]> for Serial {
    type Error = SerialError;

    /// Takes 20 random bytes; the top bit is cleared, so that the number is positive in 20 octets.
    fn try_from(mut random: [u8; 20]) -> Result<Self, SerialError> {
        random[0] &= 0x7f;
        // At least 64 bits: a bit above the lowest 63.
        let above = random[..12].iter().any(|&b| b != 0) || random[12] & 0x80 != 0;
        if above { Ok(Self(random)) } else { Err(SerialError) }
    }
}

impl Serial {
    /// The number, big-endian, in 20 bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

/// Lower-case hexadecimal without leading zero bytes, as OpenSSL's but for case.
impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().skip_while(|&&b| b == 0).try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_bit_is_cleared() {
        assert_eq!(Serial::try_from([0xff; 20]).unwrap().as_bytes()[..2], [0x7f, 0xff]);
    }

    #[test]
    fn sixty_four_bits_are_enough_and_sixty_three_are_not() {
        let with = |at: usize, byte: u8| {
            let mut random = [0; 20];
            random[at] = byte;
            Serial::try_from(random)
        };
        assert!(with(12, 0x80).is_ok() && with(11, 1).is_ok() && with(0, 0x40).is_ok());
        assert_eq!(with(12, 0x7f), Err(SerialError));
        assert_eq!(with(0, 0x80), Err(SerialError));
        assert_eq!(Serial::try_from([0; 20]), Err(SerialError));
    }

    #[test]
    fn it_prints_without_leading_zero_bytes() {
        let mut random = [0; 20];
        (random[2], random[19]) = (0x0a, 0xff);
        assert_eq!(Serial::try_from(random).unwrap().to_string(), format!("0a{}ff", "00".repeat(16)));
    }
}
