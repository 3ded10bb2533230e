//! The table of rules for a CRL.

use x509_parser::{
    extensions::{ParsedExtension, X509Extension},
    oid_registry::{
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER as AKI, OID_X509_EXT_CRL_NUMBER as NUMBER,
        OID_X509_EXT_REASON_CODE as REASON, Oid,
    },
    prelude::FromDer,
    revocation_list::RevokedCertificate,
    time::ASN1Time,
    x509::{AlgorithmIdentifier, X509Version},
};

use super::{CrlRule, Reason, Revoked, lint::CrlCandidate};
use crate::{lint::demand, raw};

/// Every rule, in the order of the fields.
pub(super) const RULES: &[CrlRule] = &[
    CrlRule { name: "crl-whole-input", section: "X.690 §10", check: whole_input },
    CrlRule { name: "crl-form", section: "RFC 5280 §5.1", check: form },
    CrlRule { name: "crl-version-2", section: "RFC 5280 §5.1.2.1", check: version_2 },
    CrlRule { name: "crl-signature-algorithm", section: "RFC 5280 §5.1.2.2", check: signature_algorithm },
    CrlRule { name: "crl-issuer-name", section: "RFC 5280 §5.1.2.3", check: issuer_name },
    CrlRule { name: "crl-this-update", section: "RFC 5280 §5.1.2.4", check: this_update },
    CrlRule { name: "crl-next-update", section: "RFC 5280 §5.1.2.5", check: next_update },
    CrlRule { name: "crl-time-encoding", section: "RFC 5280 §5.1.2.4", check: time_encoding },
    CrlRule { name: "crl-entries", section: "RFC 5280 §5.1.2.6", check: entries },
    CrlRule { name: "crl-entries-once", section: "RFC 5280 §5.1.2.6", check: entries_once },
    CrlRule { name: "crl-reasons", section: "RFC 5280 §5.3.1", check: reasons },
    CrlRule { name: "crl-authority-key-identifier", section: "RFC 5280 §5.2.1", check: aki },
    CrlRule { name: "crl-number", section: "RFC 5280 §5.2.3", check: number },
    CrlRule { name: "crl-extensions", section: "RFC 5280 §5.2", check: extensions },
];

/// The fields of a TBSCertList that are always there: version, signature, issuer, both times, extensions.
const FIELDS_WITHOUT_ENTRIES: usize = 6;
/// Where revokedCertificates stand when they are there.
const ENTRIES: usize = 5;

fn whole_input(c: &CrlCandidate<'_>) -> Result<(), String> {
    let read = AsRef::<[u8]>::as_ref(&c.tbs).len();
    demand(read == c.input.len(), || format!("{read} of {} bytes were read", c.input.len()))
}

/// No field more or less, in the list and in each entry; no empty list (RFC 5280 §5.1.2.6). x509-parser overlooks those.
fn form(c: &CrlCandidate<'_>) -> Result<(), String> {
    let read = |bytes| raw::fields(bytes).map_err(|error| format!("a sequence cannot be read: {error}"));
    let fields = read(c.input)?;
    let with_entries = usize::from(!c.expected.revoked.is_empty());
    demand(fields.len() == FIELDS_WITHOUT_ENTRIES + with_entries, || format!("{} fields", fields.len()))?;
    if with_entries == 0 {
        return Ok(());
    }
    let entries = read(fields.get(ENTRIES).copied().unwrap_or_default())?;
    for (entry, revoked) in entries.into_iter().zip(&c.tbs.revoked_certificates) {
        let fields = read(entry)?.len();
        let right = 2 + usize::from(!revoked.extensions().is_empty());
        demand(fields == right, || format!("an entry has {fields} fields, not {right}"))?;
    }
    Ok(())
}

fn version_2(c: &CrlCandidate<'_>) -> Result<(), String> {
    // X509Version counts as the encoding does: v2 is 1.
    demand(c.tbs.version == Some(X509Version(1)), || format!("the version is {:?}", c.tbs.version))
}

/// The same identifier as the CRL will have outside, parameters included.
fn signature_algorithm(c: &CrlCandidate<'_>) -> Result<(), String> {
    let (found, algorithm) = (&c.tbs.signature, c.issuer.algorithm());
    let expected = AlgorithmIdentifier::from_der(algorithm.identifier_der());
    let same = matches!(&expected, Ok((_, expected)) if expected == found);
    demand(same, || format!("the algorithm is {}, not {algorithm}", found.algorithm))
}

/// Byte for byte the issuer's subject.
fn issuer_name(c: &CrlCandidate<'_>) -> Result<(), String> {
    demand(c.tbs.issuer.as_raw() == c.issuer.subject_der(), || format!("the issuer is `{}`", c.tbs.issuer))
}

fn this_update(c: &CrlCandidate<'_>) -> Result<(), String> {
    demand_time(c.tbs.this_update, c.expected.this_update)
}

/// Always there, and later.
fn next_update(c: &CrlCandidate<'_>) -> Result<(), String> {
    let Some(next) = c.tbs.next_update else { return Err("there is none".to_owned()) };
    demand_time(next, c.expected.next_update)?;
    demand(next > c.tbs.this_update, || "it is not after this update".to_owned())
}

/// UTCTime through 2049, GeneralizedTime from 2050 (RFC 5280 §5.1.2.4 to §5.1.2.6).
fn time_encoding(c: &CrlCandidate<'_>) -> Result<(), String> {
    let revoked = c.tbs.revoked_certificates.iter().map(|entry| entry.revocation_date);
    let mut times = revoked.chain([c.tbs.this_update]).chain(c.tbs.next_update);
    // 2050-01-01T00:00:00Z.
    let all = times.all(|time| time.is_utctime() == (time.timestamp() < 2_524_608_000));
    demand(all, || "a time is not UTCTime through 2049, or not GeneralizedTime after".to_owned())
}

/// Exactly the certificates that were revoked, each with its time and reason.
fn entries(c: &CrlCandidate<'_>) -> Result<(), String> {
    let (found, mut expected) = (&c.tbs.revoked_certificates, Vec::from_iter(c.expected.revoked));
    demand(found.len() == expected.len(), || format!("{} entries, not {}", found.len(), expected.len()))?;
    expected.sort_by_key(|revoked| revoked.rank());
    match found.iter().zip(expected).find(|(found, expected)| !is(found, expected)) {
        Some((found, expected)) => Err(format!("{} is not {expected:?}", found.raw_serial_as_string())),
        None => Ok(()),
    }
}

fn is(found: &RevokedCertificate<'_>, expected: &Revoked) -> bool {
    let code = found.reason_code().map_or(Reason::Unspecified.code(), |(_critical, code)| code.0);
    digits(found) == expected.serial
        && demand_time(found.revocation_date, expected.revoked_at).is_ok()
        && code == expected.reason.code()
}

/// The serial number without the zero byte of its sign.
fn digits<'a>(entry: &'a RevokedCertificate<'_>) -> &'a [u8] {
    let serial = entry.raw_serial();
    serial.strip_prefix(&[0]).unwrap_or(serial)
}

/// Ascending, so that none is there twice.
fn entries_once(c: &CrlCandidate<'_>) -> Result<(), String> {
    let rank = |entry| (digits(entry).len(), digits(entry));
    let wrong = c.tbs.revoked_certificates.windows(2).find(|pair| match pair {
        [a, b] => rank(a) >= rank(b),
        _ => false,
    });
    match wrong {
        Some(pair) => Err(format!("{} is twice or not in order", pair[1].raw_serial_as_string())),
        None => Ok(()),
    }
}

/// A reason that lasts, not critical, or nothing at all: `unspecified` is left out.
fn reasons(c: &CrlCandidate<'_>) -> Result<(), String> {
    let right = |entry: &RevokedCertificate<'_>| match entry.extensions() {
        [] => true,
        [X509Extension { oid, critical: false, .. }] if *oid == REASON => {
            let code = entry.reason_code().map(|(_critical, code)| Reason::try_from(i32::from(code.0)));
            matches!(code, Some(Ok(reason)) if reason != Reason::Unspecified)
        }
        _ => false,
    };
    match c.tbs.revoked_certificates.iter().find(|entry| !right(entry)) {
        Some(entry) => Err(format!("{} has another extension", entry.raw_serial_as_string())),
        None => Ok(()),
    }
}

/// The issuer's subject key identifier and nothing beside it.
fn aki(c: &CrlCandidate<'_>) -> Result<(), String> {
    let value = [b"\x30\x16\x80\x14".as_slice(), &c.issuer.key_identifier()].concat();
    demand(extension(c, &AKI)?.value == value, || "it is not the issuer's".to_owned())
}

fn number(c: &CrlCandidate<'_>) -> Result<(), String> {
    let digits = match extension(c, &NUMBER)?.parsed_extension() {
        ParsedExtension::CRLNumber(number) => number.to_u64_digits(),
        _ => return Err("it cannot be read".to_owned()),
    };
    let same = match digits[..] {
        [] => c.expected.number == 0,
        [number] => c.expected.number == number,
        _ => false,
    };
    demand(same, || format!("it is another one than {}", c.expected.number))
}

/// No other than those two, each once.
fn extensions(c: &CrlCandidate<'_>) -> Result<(), String> {
    let found: Vec<_> = c.tbs.extensions().iter().map(|extension| &extension.oid).collect();
    demand(found == [&AKI, &NUMBER], || format!("they are {found:?}"))
}

fn extension<'c>(c: &'c CrlCandidate<'_>, oid: &Oid<'_>) -> Result<&'c X509Extension<'c>, String> {
    let Some(extension) = c.tbs.find_extension(oid) else {
        return Err("the extension is missing".to_owned());
    };
    demand(!extension.critical, || "the extension is critical".to_owned())?;
    Ok(extension)
}

fn demand_time(found: ASN1Time, expected: u64) -> Result<(), String> {
    let same = u64::try_from(found.timestamp()) == Ok(expected);
    demand(same, || format!("it is {}, not {expected}", found.timestamp()))
}
