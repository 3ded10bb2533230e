//! A request as it may arrive: DER, or one PEM block and nothing else.

use std::borrow::Cow;

use super::{CsrError, MAX_CSR_BYTES};

/// The labels of a request (RFC 7468 §7: the second is the older one, still written by some tools).
const LABELS: [&str; 2] = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];

/// The first byte of every DER request, and of no PEM: SEQUENCE.
const SEQUENCE: u8 = 0x30;

/// The DER of a request that came as DER or as PEM; text around a PEM block is refused.
///
/// # Errors
/// [`CsrError::TooLarge`], [`CsrError::Malformed`], [`CsrError::TrailingBytes`].
pub fn from_pem_or_der(bytes: &[u8]) -> Result<Cow<'_, [u8]>, CsrError> {
    if bytes.first() == Some(&SEQUENCE) {
        return Ok(Cow::Borrowed(bytes));
    }
    // Base64 and line ends take less than half as much again.
    if bytes.len() > MAX_CSR_BYTES + MAX_CSR_BYTES / 2 {
        return Err(CsrError::TooLarge);
    }
    if !bytes.starts_with(b"-----BEGIN ") {
        return Err(CsrError::Malformed);
    }
    let end = bytes.windows(9).position(|w| w == b"-----END ").ok_or(CsrError::Malformed)?;
    let after_end = bytes[end..].iter().skip_while(|&&b| b != b'\n' && b != b'\r');
    if after_end.copied().any(|b| !b.is_ascii_whitespace()) {
        return Err(CsrError::TrailingBytes);
    }
    let (label, der) = der::pem::decode_vec(bytes.trim_ascii_end()).map_err(|_| CsrError::Malformed)?;
    if LABELS.contains(&label) { Ok(Cow::Owned(der)) } else { Err(CsrError::Malformed) }
}
