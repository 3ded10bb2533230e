//! Pages of lists: as many items as were asked for, and no more than one message takes.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac as _};
use prost::Message;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::Random;
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

/// Makes and reads page tokens: each is of one list of one caller, and of this process, so that nobody says where a list begins but by what it was
/// given (AIP-158).
pub(crate) struct Tokens(Zeroizing<Key>);

type Mac = Hmac<Sha256>;
type Key = [u8; 64];

/// Octets of a token that authenticate the rest.
const TAG: usize = 16;

impl Tokens {
    /// With a key of this process.
    ///
    /// # Errors
    /// The operating system gives no random octets.
    pub(crate) fn new(random: &Random) -> std::io::Result<Self> {
        let mut key = Zeroizing::new([0; 64]);
        random(&mut *key)?;
        Ok(Self(key))
    }

    /// The token of the page that begins at `at`, of this list of this caller.
    pub(crate) fn make(&self, (list, caller): (&str, &str), at: &str) -> String {
        let tag = self.mac(list, caller, at).finalize().into_bytes();
        BASE64URL_NOPAD.encode(&[&tag[..TAG], at.as_bytes()].concat())
    }

    /// Where the page begins; `None` for the first one.
    ///
    /// # Errors
    /// The token is not one of ours, or of another list.
    pub(crate) fn read(&self, (list, caller): (&str, &str), token: &str) -> Result<Option<String>, Refusal> {
        if token.is_empty() {
            return Ok(None);
        }
        let refused = || Refusal::malformed("page_token", "not one of this list: begin it again");
        let octets = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| refused())?;
        let (tag, at) = octets.split_at_checked(TAG).ok_or_else(refused)?;
        let at = std::str::from_utf8(at).map_err(|_| refused())?;
        self.mac(list, caller, at).verify_truncated_left(tag).map_err(|_| refused())?;
        Ok(Some(at.to_owned()))
    }

    fn mac(&self, list: &str, caller: &str, at: &str) -> Mac {
        // RFC 2104 §2: a key of the hash's block.
        let mut mac = <Mac as KeyInit>::new((&*self.0).into());
        for part in [list, caller, at] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        mac
    }
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
    fn a_token_is_of_its_list_and_caller_and_process() {
        let random = |octet: u8| -> Random {
            std::sync::Arc::new(move |out| {
                out.fill(octet);
                Ok(())
            })
        };
        let (tokens, others) = (Tokens::new(&random(1)).unwrap(), Tokens::new(&random(2)).unwrap());
        let list = ("agents", "/controller/build");
        assert_eq!(tokens.read(list, "").unwrap(), None);
        let token = tokens.make(list, "build/a");
        assert_eq!(tokens.read(list, &token).unwrap().as_deref(), Some("build/a"));
        assert!(others.read(list, &token).is_err());
        for other in [
            ("agents", "/controller/other"),
            ("controllers", "/controller/build"),
            ("agents/", "controller/build"),
        ] {
            assert!(tokens.read(other, &token).is_err(), "{other:?}");
        }
        for bad in ["7", "build/a", "../../etc/passwd", "AAAA", &token[1..], &(token.clone() + "A")] {
            assert!(tokens.read(list, bad).is_err(), "{bad}");
        }
    }
}
