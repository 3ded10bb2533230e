//! What a command says: a table for people or JSON for programs, on standard output; failures on standard error.

mod page;
mod time;

use std::io::{self, Write as _};

use serde::Serialize;

pub(crate) use page::Page;
pub(crate) use time::{duration, rfc3339};

use crate::error::Failure;

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned text.
    #[default]
    Table,
    /// One JSON document.
    Json,
}

/// Something to say: as JSON by its fields, as text by [`Show::show`].
pub(crate) trait Show: Serialize {
    /// Writes it for people.
    fn show(&self, page: &mut Page);
}

/// Where and how a command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    now_ms: i64,
}

impl Output {
    pub(crate) fn new(format: Format, now_ms: i64) -> Self {
        Self { format, now_ms }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Says something on standard output.
    ///
    /// # Errors
    /// Nobody reads it.
    pub(crate) fn say(&self, what: &impl Show) -> Result<(), Failure> {
        self.raw(&self.render(what, coloured(&io::stdout()))?)
    }

    /// Says a text that has a form of its own, a note or PEM: as it is, or as the one `field` of a JSON document.
    ///
    /// # Errors
    /// Nobody reads it.
    pub(crate) fn text(&self, field: &str, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.raw(text),
            Format::Json => self.raw(&format!("{}\n", serde_json::json!({ field: text }))),
        }
    }

    /// Writes a text on standard output as it is.
    ///
    /// # Errors
    /// Nobody reads it.
    #[expect(clippy::unused_self, reason = "who speaks has an output, also where its form does not matter")]
    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // `| head` has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| Failure::new("OUTPUT", error)),
        }
    }

    /// Says on standard error what went wrong.
    pub(crate) fn report(&self, failure: &Failure) {
        if !failure.is_reported() {
            let text = self.render_failure(failure, coloured(&io::stderr()));
            let _ = io::stderr().lock().write_all(text.as_bytes());
        }
    }

    fn render(&self, what: &impl Show, colour: bool) -> Result<String, Failure> {
        match self.format {
            Format::Table => {
                let mut page = Page::new(self.now_ms, colour);
                what.show(&mut page);
                Ok(page.finish())
            }
            Format::Json => {
                let json = serde_json::to_string_pretty(what);
                Ok(json.map_err(|error| Failure::new("OUTPUT", error))? + "\n")
            }
        }
    }

    fn render_failure(&self, failure: &Failure, colour: bool) -> String {
        if self.is_json() {
            let error = serde_json::json!({ "error": {
                "reason": failure.reason(),
                "message": failure.to_string(),
                "remedy": failure.remedy(),
            }});
            return format!("{error}\n");
        }
        let mut page = Page::new(self.now_ms, colour);
        page.error(&failure.to_string());
        if let Some(remedy) = failure.remedy() {
            page.line(&format!("  try: {remedy}"));
        }
        page.finish()
    }
}

/// Colour is for a terminal whose owner did not refuse it (no-color.org).
fn coloured(stream: &impl io::IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Thing {
        name: &'static str,
    }

    impl Show for Thing {
        fn show(&self, page: &mut Page) {
            page.field("name", self.name);
        }
    }

    #[test]
    fn a_failure_is_a_sentence_and_a_line_to_type() {
        let failure = Failure::new("GRANT_DOES_NOT_COVER", "no such role").mended_by("rootcellar grant set");
        let text = Output::new(Format::Table, 0).render_failure(&failure, false);
        assert_eq!(text, "error: no such role\n  try: rootcellar grant set\n");
        let json = Output::new(Format::Json, 0).render_failure(&failure, false);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["error"]["reason"], "GRANT_DOES_NOT_COVER");
        assert_eq!(json["error"]["message"], "no such role");
        assert_eq!(json["error"]["remedy"], "rootcellar grant set");
    }

    #[test]
    fn one_value_has_two_forms() {
        let thing = Thing { name: "x" };
        assert_eq!(Output::new(Format::Table, 0).render(&thing, false).unwrap(), "name  x\n");
        assert_eq!(Output::new(Format::Json, 0).render(&thing, false).unwrap(), "{\n  \"name\": \"x\"\n}\n");
    }
}
