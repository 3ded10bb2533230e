//! Aligned text for people. What comes from elsewhere cannot steer their terminal.

use super::time;

/// Start and end of bold, and of red (ECMA-48 §8.3.117).
const BOLD: (&str, &str) = ("\x1b[1m", "\x1b[0m");
const RED: (&str, &str) = ("\x1b[1;31m", "\x1b[0m");

/// A text that is being written.
#[derive(Debug)]
pub(crate) struct Page {
    now_ms: i64,
    colour: bool,
    text: String,
    /// Rows that are still to be aligned with each other; the first is a head where `headed`.
    rows: Vec<Vec<String>>,
    headed: bool,
}

impl Page {
    pub(super) fn new(now_ms: i64, colour: bool) -> Self {
        Self { now_ms, colour, text: String::new(), rows: Vec::new(), headed: false }
    }

    /// A label and its value; values of fields in a row stand below each other.
    pub(crate) fn field(&mut self, label: &str, value: impl ToString) {
        if self.headed {
            self.align();
        }
        self.rows.push(vec![clean(label), clean(&value.to_string())]);
    }

    /// A field that is left out when it is empty.
    pub(crate) fn field_if(&mut self, label: &str, value: impl ToString) {
        let value = value.to_string();
        if !value.is_empty() {
            self.field(label, value);
        }
    }

    /// A field with a moment, in seconds since 1970: RFC 3339, and how far it is from now.
    pub(crate) fn moment(&mut self, label: &str, secs: i64) {
        self.field(label, format!("{} ({})", time::rfc3339(secs), self.relative(secs)));
    }

    /// How far a moment, in seconds since 1970, is from now.
    pub(crate) fn relative(&self, secs: i64) -> String {
        time::relative(secs, self.now_ms.div_euclid(1000))
    }

    /// Starts a table.
    pub(crate) fn head<const N: usize>(&mut self, labels: [&str; N]) {
        self.align();
        self.headed = true;
        self.rows.push(labels.map(str::to_uppercase).into());
    }

    /// A row of the table.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| if cell.is_empty() { "-".to_owned() } else { clean(&cell) }).into());
    }

    /// A line of its own.
    pub(crate) fn line(&mut self, line: &str) {
        self.align();
        self.text.push_str(&clean(line));
        self.text.push('\n');
    }

    pub(super) fn error(&mut self, message: &str) {
        self.align();
        let message = message.lines().map(clean).collect::<Vec<_>>().join("\n");
        let label = self.painted("error:", RED);
        self.text += &label;
        self.text += " ";
        self.text += &message;
        self.text.push('\n');
    }

    pub(super) fn finish(mut self) -> String {
        self.align();
        self.text
    }

    /// Writes the rows: each column as wide as its widest cell, the last one as it is.
    fn align(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let headed = std::mem::take(&mut self.headed);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for (i, row) in rows.iter().enumerate() {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            let line = line.trim_end();
            let line = if headed && i == 0 { self.painted(line, BOLD) } else { line.to_owned() };
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }

    fn painted(&self, text: &str, (start, end): (&str, &str)) -> String {
        if self.colour { format!("{start}{text}{end}") } else { text.to_owned() }
    }
}

/// The text with what is not seen, and moves what is, escaped: names and messages come over the wire.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if ledger::note::is_deceptive(c) { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_not_padded() {
        let mut page = Page::new(0, false);
        page.head(["name", "roles"]);
        page.row(["build/logger-1".into(), String::new()]);
        page.row(["x".into(), "logger".into()]);
        page.line("");
        page.field("a", "1");
        page.field("long", "2");
        assert_eq!(
            page.finish(),
            "NAME            ROLES\nbuild/logger-1  -\nx               logger\n\na     1\nlong  2\n"
        );
    }

    #[test]
    fn nothing_from_elsewhere_steers_the_terminal() {
        let mut page = Page::new(0, false);
        page.field("name", "\x1b[2J\r\n");
        assert_eq!(page.finish(), "name  \\u{1b}[2J\\r\\n\n");
    }

    #[test]
    fn colour_is_asked_for() {
        let mut page = Page::new(0, true);
        page.head(["a"]);
        assert_eq!(page.finish(), "\x1b[1mA\x1b[0m\n");
    }
}
