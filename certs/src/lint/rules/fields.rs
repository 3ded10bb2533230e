//! Rules for the fields before the names and extensions.

use x509_parser::{
    certificate::TbsCertificate,
    prelude::FromDer,
    time::ASN1Time,
    x509::{AlgorithmIdentifier, X509Version},
};

use super::super::{
    Rule,
    candidate::{Candidate, demand},
};

/// The rules of this file.
pub(in super::super) const FIELDS: &[Rule] = &[
    Rule { name: "whole-input", section: "X.690 §10", check: whole_input },
    Rule { name: "version-3", section: "RFC 5280 §4.1.2.1", check: version_3 },
    Rule { name: "serial-positive", section: "RFC 5280 §4.1.2.2", check: serial_positive },
    Rule { name: "serial-length", section: "RFC 5280 §4.1.2.2", check: serial_length },
    Rule { name: "serial-entropy", section: "CA/Browser Forum BR §7.1", check: serial_entropy },
    Rule { name: "signature-algorithm", section: "RFC 5280 §4.1.2.3", check: signature_algorithm },
    Rule { name: "validity-order", section: "RFC 5280 §4.1.2.5", check: validity_order },
    Rule { name: "validity-encoding", section: "RFC 5280 §4.1.2.5", check: validity_encoding },
    Rule { name: "validity-granted", section: "design §5", check: validity_granted },
    Rule { name: "validity-now", section: "RFC 5280 §6.1.3", check: validity_now },
    Rule { name: "validity-issuer", section: "design §5", check: validity_issuer },
    Rule { name: "validity-cap", section: "design §5", check: validity_cap },
    Rule { name: "public-key", section: "RFC 5280 §4.1.2.7", check: public_key },
    Rule { name: "no-unique-ids", section: "RFC 5280 §4.1.2.8", check: no_unique_ids },
];

fn whole_input(c: &Candidate<'_>) -> Result<(), String> {
    let read = AsRef::<[u8]>::as_ref(&c.tbs).len();
    demand(read == c.input.len(), || format!("{read} of {} bytes were read", c.input.len()))
}

fn version_3(c: &Candidate<'_>) -> Result<(), String> {
    demand(c.tbs.version == X509Version::V3, || format!("the version is {}", c.tbs.version))
}

fn serial_positive(c: &Candidate<'_>) -> Result<(), String> {
    let serial = c.tbs.raw_serial();
    let positive = serial.first().is_some_and(|&b| b < 0x80) && serial.iter().any(|&b| b != 0);
    demand(positive, || "the serial number is negative or zero".to_owned())
}

fn serial_length(c: &Candidate<'_>) -> Result<(), String> {
    let octets = c.tbs.raw_serial().len();
    demand(octets <= 20, || format!("the serial number has {octets} octets"))
}

fn serial_entropy(c: &Candidate<'_>) -> Result<(), String> {
    let bits = c.tbs.serial.bits();
    demand(bits >= 64, || format!("the serial number has {bits} bits"))
}

/// The same identifier as the certificate will have outside, parameters included.
fn signature_algorithm(c: &Candidate<'_>) -> Result<(), String> {
    let expected = AlgorithmIdentifier::from_der(c.algorithm().identifier_der());
    let same = matches!(&expected, Ok((_, expected)) if *expected == c.tbs.signature);
    demand(same, || format!("the algorithm is {}, not {}", c.tbs.signature.algorithm, c.algorithm()))
}

/// Not before and not after, in seconds since 1970.
fn ends(tbs: &TbsCertificate<'_>) -> (i128, i128) {
    (tbs.validity.not_before.timestamp().into(), tbs.validity.not_after.timestamp().into())
}

fn validity_order(c: &Candidate<'_>) -> Result<(), String> {
    let (start, end) = ends(&c.tbs);
    demand(start <= end, || format!("it ends at {end}, before it starts at {start}"))
}

/// UTCTime through 2049, GeneralizedTime from 2050.
fn validity_encoding(c: &Candidate<'_>) -> Result<(), String> {
    let right = |time: &ASN1Time| time.is_utctime() == (time.to_datetime().year() < 2050);
    let both = right(&c.tbs.validity.not_before) && right(&c.tbs.validity.not_after);
    demand(both, || "a time is not UTCTime through 2049, or not GeneralizedTime after".to_owned())
}

fn validity_granted(c: &Candidate<'_>) -> Result<(), String> {
    let granted = c.expected.validity;
    let same = ends(&c.tbs) == (granted.not_before().into(), granted.not_after().into());
    demand(same, || format!("it is {:?}, not {granted:?}", ends(&c.tbs)))
}

fn validity_now(c: &Candidate<'_>) -> Result<(), String> {
    let ((start, end), now) = (ends(&c.tbs), i128::from(c.expected.now));
    demand((start..=end).contains(&now), || format!("now, {now}, is not within {start} to {end}"))
}

fn validity_issuer(c: &Candidate<'_>) -> Result<(), String> {
    let Some(issuer) = c.expected.issuer else { return Ok(()) };
    let ((start, end), issuer) = (ends(&c.tbs), issuer.validity());
    let within = i128::from(issuer.not_before()) <= start && end <= i128::from(issuer.not_after());
    demand(within, || format!("{start} to {end} is not within the issuer's {issuer:?}"))
}

/// The caps are those of the design: a day, a week, a year and a day, ten years and ten days.
fn validity_cap(c: &Candidate<'_>) -> Result<(), String> {
    let (start, end) = ends(&c.tbs);
    let (secs, cap) = (end - start + 1, c.expected.profile.max_lifetime_secs());
    demand(secs <= cap.into(), || format!("it lasts {secs} s, where {cap} s are allowed"))
}

fn public_key(c: &Candidate<'_>) -> Result<(), String> {
    demand(c.tbs.subject_pki.raw == c.expected.public_key.spki_der(), || "it is another key".to_owned())
}

fn no_unique_ids(c: &Candidate<'_>) -> Result<(), String> {
    let none = c.tbs.issuer_uid.is_none() && c.tbs.subject_uid.is_none();
    demand(none, || "there is a unique identifier".to_owned())
}
