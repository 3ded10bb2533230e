//! The three parts that a certificate and a request share, as exact slices of their DER, and the way back.

use der::{Decode, Reader, SliceReader, asn1::BitStringRef};

/// `SEQUENCE { to-be-signed, AlgorithmIdentifier, BIT STRING }` (RFC 5280 §4.1, RFC 2986 §4.2), not copied.
pub(crate) struct Signed<'a> {
    /// The exact bytes that are signed.
    pub(crate) tbs: &'a [u8],
    /// The AlgorithmIdentifier with its header.
    pub(crate) algorithm: &'a [u8],
    /// The contents of the BIT STRING.
    pub(crate) signature: &'a [u8],
}

/// Why bytes are not a signed structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawError {
    /// Not DER, or not of this shape.
    Malformed,
    /// A whole structure with bytes behind it.
    TrailingBytes,
}

impl From<der::Error> for RawError {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

/// The parts of exactly one signed structure.
pub(crate) fn signed(der: &[u8]) -> Result<Signed<'_>, RawError> {
    let mut reader = SliceReader::new(der)?;
    let signed = reader.sequence(|parts| {
        let (tbs, algorithm, bits) = (parts.tlv_bytes()?, parts.tlv_bytes()?, parts.tlv_bytes()?);
        let signature = BitStringRef::from_der(bits)?.as_bytes().ok_or(RawError::Malformed)?;
        Ok::<_, RawError>(Signed { tbs, algorithm, signature })
    })?;
    if reader.is_finished() { Ok(signed) } else { Err(RawError::TrailingBytes) }
}

/// The fields of one SEQUENCE, each with its header.
pub(crate) fn fields(sequence: &[u8]) -> Result<Vec<&[u8]>, der::Error> {
    let mut reader = SliceReader::new(sequence)?;
    let fields = reader.sequence(|r| {
        let mut fields = Vec::new();
        while !r.is_finished() {
            fields.push(r.tlv_bytes()?);
        }
        Ok::<_, der::Error>(fields)
    })?;
    reader.finish()?;
    Ok(fields)
}

/// One DER element: tag, definite length in its shortest form (X.690 §10.1), the parts in a row.
pub(crate) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    append(&mut out, tag, parts);
    out
}

/// As [`element`], behind what is there.
pub(crate) fn append(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    out.reserve(len + 10);
    out.push(tag);
    let bytes = len.to_be_bytes();
    let zeros = bytes.iter().take_while(|&&b| b == 0).count();
    let digits = bytes.get(zeros..).unwrap_or_default();
    if len >= 0x80 {
        out.extend(digits.len().to_be_bytes().last().map(|n| 0x80 | n));
        out.extend(digits);
    } else {
        out.extend(bytes.last());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// A non-negative INTEGER of these big-endian digits (X.690 §8.3): a zero byte before a set top bit.
pub(crate) fn append_uint(out: &mut Vec<u8>, digits: &[u8]) {
    const INTEGER: u8 = 0x02;

    let positive: &[u8] = if digits.first().is_none_or(|&b| b >= 0x80) { &[0] } else { &[] };
    append(out, INTEGER, &[positive, digits]);
}

#[cfg(test)]
mod tests {
    use der::{Encode, asn1::OctetStringRef};

    use super::*;

    #[test]
    fn lengths_are_those_of_another_encoder() {
        for len in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let value = vec![7; len];
            assert_eq!(
                element(4, &[&value]),
                OctetStringRef::new(&value).unwrap().to_der().unwrap(),
                "{len}"
            );
        }
    }

    #[test]
    fn integers_are_those_of_another_encoder() {
        for number in [0_u64, 1, 127, 128, 255, 256, u64::MAX] {
            let digits: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|&b| b == 0).collect();
            let mut out = Vec::new();
            append_uint(&mut out, &digits);
            assert_eq!(out, number.to_der().unwrap(), "{number}");
        }
    }

    #[test]
    fn a_signed_structure_is_three_parts_and_nothing_more() {
        let good = element(0x30, &[b"\x30\x00", b"\x30\x00", b"\x03\x02\x00\xff"]);
        assert_eq!(signed(&good).unwrap_or_else(|e| panic!("{e:?}")).signature, [0xff]);
        let refused = |der: &[u8]| signed(der).err();
        assert_eq!(refused(&[good.clone(), vec![0]].concat()), Some(RawError::TrailingBytes));
        assert_eq!(refused(&good[..good.len() - 1]), Some(RawError::Malformed));
        let unused_bits = element(0x30, &[b"\x30\x00", b"\x30\x00", b"\x03\x02\x01\xfe"]);
        assert_eq!(refused(&unused_bits), Some(RawError::Malformed));
        let four = element(0x30, &[b"\x30\x00", b"\x30\x00", b"\x03\x01\x00", b"\x05\x00"]);
        assert_eq!(refused(&four), Some(RawError::Malformed));
        assert_eq!(refused(b""), Some(RawError::Malformed));
    }
}
