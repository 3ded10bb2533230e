//! Characters that are not seen, or move what is: no text that comes from elsewhere is shown with them as they are.

/// Whether a character is a control, or one of those of Unicode that have no width or change the direction of what follows (Unicode UAX #9,
/// UTS #39 §3.1.1).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_hidden_and_letters_are_not() {
        assert!("\0\n\u{1b}\u{9b}\u{202e}\u{2028}\u{2066}\u{200b}\u{feff}".chars().all(is_hidden));
        assert!("a Ä ß 中 é -_.\u{301}".chars().all(|c| !is_hidden(c)));
    }
}
