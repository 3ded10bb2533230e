//! Pages of lists: as many items as were asked for, and no more than one message takes.

use prost::Message;

use crate::refusal::Refusal;

/// Items of a page where none is asked for, and at most.
const PAGE: (u64, u64) = (50, 500);
/// Octets of a page's items: the front takes a message of a mebibyte.
pub(crate) const PAGE_OCTETS: usize = 768 * 1024;
/// The largest index that the journal can hold (SQLite's integers are signed).
pub(crate) const INDEX_MAX: u64 = u64::MAX >> 1;

/// Items of a page (AIP-158): too many are taken as the most, a negative number is refused.
///
/// # Errors
/// It is negative.
pub(crate) fn limit(size: i32) -> Result<u64, Refusal> {
    match u64::try_from(size) {
        Ok(0) => Ok(PAGE.0),
        Ok(size) => Ok(size.min(PAGE.1)),
        Err(_) => Err(Refusal::malformed("page_size", "it is negative")),
    }
}

/// The index that a page starts at; `None` for the first page.
///
/// # Errors
/// The token is not one of ours.
pub(crate) fn token(token: &str) -> Result<Option<u64>, Refusal> {
    if token.is_empty() {
        return Ok(None);
    }
    let index = token.parse().ok().filter(|index| *index <= INDEX_MAX);
    index.map(Some).ok_or_else(|| Refusal::malformed("page_token", "not one of ours"))
}

/// Takes items until there are `limit`, or one more would not fit the message; the first always does. And whether any was left.
///
/// # Errors
/// An item's.
pub(crate) fn fill<T: Message, E>(
    limit: u64,
    items: impl Iterator<Item = Result<T, E>>,
) -> Result<(Vec<T>, bool), E> {
    let (mut page, mut octets) = (Vec::new(), 0);
    for item in items {
        let item = item?;
        octets += item.encoded_len();
        if page.len() as u64 == limit || (octets > PAGE_OCTETS && !page.is_empty()) {
            return Ok((page, true));
        }
        page.push(item);
    }
    Ok((page, false))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn filled(limit: u64, items: usize, octets: usize) -> (usize, bool) {
        let items = (0..items).map(|_| Ok::<_, Infallible>("x".repeat(octets)));
        let (page, more) = fill(limit, items).unwrap();
        (page.len(), more)
    }

    #[test]
    fn a_page_is_bounded_by_what_was_asked_for() {
        assert_eq!(filled(3, 2, 1), (2, false));
        assert_eq!(filled(3, 3, 1), (3, false));
        assert_eq!(filled(3, 4, 1), (3, true));
    }

    #[test]
    fn a_page_is_bounded_by_what_a_message_takes() {
        // A String's field has a tag and a length of three octets in front.
        assert_eq!(filled(500, 4, PAGE_OCTETS / 3 - 4), (3, true));
        assert_eq!(filled(500, 4, PAGE_OCTETS / 3), (2, true));
        assert_eq!(filled(500, 2, PAGE_OCTETS * 2), (1, true));
    }

    #[test]
    fn a_token_beyond_the_journal_is_refused() {
        assert_eq!(token(""), Ok(None));
        assert_eq!(token("7"), Ok(Some(7)));
        for bad in ["-1", "x", "9223372036854775808", "18446744073709551615"] {
            assert!(token(bad).is_err(), "{bad}");
        }
    }
}
