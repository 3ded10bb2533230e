//! A list that is read page by page, and has an end whatever the service says.

use crate::error::Failure;

/// Items of a page.
pub(crate) const PAGE: i32 = 500;
/// Pages of a list: a million items.
const MOST: u32 = 2000;

/// Where a list is being read.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    token: String,
    read: u32,
}

impl Pages {
    /// What asks for the next page.
    pub(crate) fn token(&self) -> String {
        self.token.clone()
    }

    /// Takes what the service says of the page after this one: whether there is one.
    ///
    /// # Errors
    /// It names the same one again, or more than any list has.
    pub(crate) fn turn(&mut self, next: String) -> Result<bool, Failure> {
        self.read += 1;
        if next.is_empty() {
            return Ok(false);
        }
        if next == self.token || self.read >= MOST {
            return Err(Failure::unverified("the list", "the service names pages without end"));
        }
        self.token = next;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_an_end() {
        let mut pages = Pages::default();
        assert!(pages.turn("a".into()).unwrap() && pages.turn("b".into()).unwrap());
        assert_eq!(pages.token(), "b");
        assert!(!pages.turn(String::new()).unwrap());
        assert!(pages.turn("b".into()).is_err(), "the same again");
        let mut pages = Pages::default();
        let read = (0..2 * MOST).take_while(|number| pages.turn(format!("x{number}")).is_ok()).count();
        assert_eq!(read + 1, MOST as usize);
    }
}
