//! Certificates as PEM (RFC 7468 §5), in the strict form: 64 characters a line, nothing between the blocks.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::text::{Reader, TextError};

/// First line of a block.
pub(super) const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Characters of base64 in a full line (RFC 7468 §2).
const LINE_LEN: usize = 64;

pub(super) fn encode(certificates: &[Vec<u8>]) -> String {
    certificates.iter().map(|der| encode_one(der)).collect()
}

fn encode_one(der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let mut block = format!("{BEGIN}\n");
    for (i, c) in base64.chars().enumerate() {
        if i > 0 && i % LINE_LEN == 0 {
            block.push('\n');
        }
        block.push(c);
    }
    block + "\n" + END + "\n"
}

/// Reads blocks up to the end of the text. Where lines break is not looked at: the caller compares the whole text.
pub(super) fn decode(lines: &mut Reader<'_>, max: usize) -> Result<Vec<Vec<u8>>, TextError> {
    let mut certificates = Vec::new();
    while let Some(line) = lines.line() {
        if line != BEGIN {
            return Err(lines.extra());
        }
        if certificates.len() == max {
            return Err(TextError::Count(BEGIN));
        }
        certificates.push(decode_one(lines)?);
    }
    Ok(certificates)
}

fn decode_one(lines: &mut Reader<'_>) -> Result<Vec<u8>, TextError> {
    let mut base64 = String::new();
    loop {
        match lines.line() {
            Some(END) => break,
            Some(line) => base64.push_str(line),
            None => return Err(lines.bad(BEGIN)),
        }
    }
    let der = BASE64_STANDARD.decode(base64).ok().filter(|der| is_one_sequence(der));
    der.ok_or_else(|| lines.bad(BEGIN))
}

/// True when the bytes are one DER SEQUENCE with nothing after it (X.690 §8.1, §10.1): no second certificate hides
/// behind the first.
fn is_one_sequence(der: &[u8]) -> bool {
    let Some((&[0x30, first], rest)) = der.split_first_chunk() else { return false };
    if first < 0x80 {
        return rest.len() == usize::from(first);
    }
    let count = usize::from(first & 0x7f);
    if !(1..=3).contains(&count) || rest.len() < count {
        return false;
    }
    let (length, body) = rest.split_at(count);
    let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    // A length that fits in fewer bytes must be written in fewer.
    body.len() == length && length >= 0x80 && (count == 1 || length >> (8 * (count - 1)) > 0)
}
