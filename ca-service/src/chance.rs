//! Chance: request ids, and jitter so that many do not come at once.
//!
//! Does not: make keys or serial numbers.

use std::time::Duration;

use data_encoding::HEXLOWER;
use rustls::crypto::aws_lc_rs;

/// 16 lower-case hexadecimal digits, fresh.
pub(crate) fn request_id() -> String {
    HEXLOWER.encode(&bytes::<8>())
}

/// Between 1 − `share` and 1 times `most`; `share` is 0 to 1.
pub(crate) fn shortened(most: Duration, share: f64) -> Duration {
    let unit = f64::from(u32::from_le_bytes(bytes())) / f64::from(u32::MAX);
    most.mul_f64(1.0 - share.clamp(0.0, 1.0) * unit)
}

/// Zeros where the system gives none: ids then repeat and jitter is gone, neither of which is a matter of safety.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if aws_lc_rs::default_provider().secure_random.fill(&mut bytes).is_err() {
        bytes = [0; N];
    }
    bytes
}
