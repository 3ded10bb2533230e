//! Moments and durations for people.

use jiff::Timestamp;

/// Units that a time is shown in: its letter or word, and its seconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];

/// A moment in UTC (RFC 3339), from seconds since 1970.
pub(crate) fn rfc3339(secs: i64) -> String {
    Timestamp::from_second(secs).map_or_else(|_| format!("{secs} s since 1970"), |moment| moment.to_string())
}

/// How far a moment is from now, both in seconds since 1970: "in 52 min", "3 d ago".
pub(crate) fn relative(secs: i64, now: i64) -> String {
    let length = duration(secs.abs_diff(now));
    match secs.cmp(&now) {
        std::cmp::Ordering::Less => format!("{length} ago"),
        std::cmp::Ordering::Equal => "now".to_owned(),
        std::cmp::Ordering::Greater => format!("in {length}"),
    }
}

/// A duration in the largest unit of which it has at least two, rounded down.
pub(crate) fn duration(secs: u64) -> String {
    let unit = UNITS.into_iter().find(|(_, unit)| secs >= 2 * unit).unwrap_or(("s", 1));
    format!("{} {}", secs / unit.1, unit.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339_and_relative() {
        assert_eq!(rfc3339(1_767_225_600), "2026-01-01T00:00:00Z");
        assert_eq!(relative(3120, 0), "in 52 min");
        assert_eq!(relative(0, 3 * 86_400), "3 d ago");
        assert_eq!(relative(5, 5), "now");
        assert_eq!(
            (duration(119), duration(120), duration(1)),
            ("119 s".into(), "2 min".into(), "1 s".into())
        );
        assert_eq!(rfc3339(i64::MAX), format!("{} s since 1970", i64::MAX));
    }
}
