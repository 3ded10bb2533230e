//! One revoked certificate, and why it is.

use super::Reason;

/// A revoked certificate, as a CRL lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its serial number, big-endian without leading zero bytes.
    pub serial: Vec<u8>,
    /// When it was revoked, in seconds since 1970.
    pub revoked_at: u64,
    /// Why.
    pub reason: Reason,
}

impl Revoked {
    /// The serial number as an order by value: of numbers without leading zero bytes the longer one is the larger.
    pub(super) fn rank(&self) -> (usize, &[u8]) {
        (self.serial.len(), &self.serial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_have_the_order_of_their_values() {
        let revoked =
            |serial: &[u8]| Revoked { serial: serial.to_vec(), revoked_at: 0, reason: Reason::default() };
        assert!(revoked(&[9]).rank() < revoked(&[1, 0]).rank());
        assert!(revoked(&[1, 2]).rank() < revoked(&[1, 3]).rank());
    }
}
