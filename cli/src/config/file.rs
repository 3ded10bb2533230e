//! The file as it was written: values by key, and every problem with its line.
//!
//! Does not: know which keys there are. Who reads a value says what it must be and what it is without; what nobody reads is
//! unknown.

use std::fmt::{self, Display};
use std::ops::Range;
use std::str::FromStr;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Places;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Counted from 1; none where no line is at fault.
    line: Option<usize>,
    /// The key with its section; empty where no key is at fault.
    key: String,
    what: String,
}

/// One key and its value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Setting {
    /// With its section: "service.listen".
    pub(crate) key: &'static str,
    /// As it is written, places filled in; several values joined by ", "; empty where it may be absent and is.
    pub(crate) value: String,
    /// Whether the file says it.
    pub(crate) written: bool,
}

/// A file that is being read.
pub(super) struct File<'a> {
    text: &'a str,
    root: DeTable<'a>,
    places: &'a Places,
    settings: Vec<Setting>,
    problems: Vec<Problem>,
}

type Value<'a> = Spanned<DeValue<'a>>;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    List,
    Number,
}

impl<'a> File<'a> {
    /// Reads the text. What is no TOML becomes problems, and the rest is read on.
    pub(super) fn parse(text: &'a str, places: &'a Places) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut file =
            Self { text, root: root.into_inner(), places, settings: Vec::new(), problems: Vec::new() };
        for error in errors {
            let line = error.span().map(|span| file.line(&span));
            file.problems.push(Problem { line, key: String::new(), what: error.message().to_owned() });
        }
        file
    }

    /// The value of a key, or its default. None when it is a problem, which is then noted.
    pub(super) fn value<T>(&mut self, key: &'static str, default: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.one(key, Form::Text, default)
    }

    /// As [`Self::value`], for a number, which is written without quotes.
    pub(super) fn number<T>(&mut self, key: &'static str, default: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        self.one(key, Form::Number, default)
    }

    /// The value of a key that may be absent. None also when it is a problem, which is then noted.
    pub(super) fn optional<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let (texts, line) = self.texts(key, Form::Text)?;
        self.set(key, line, &texts.unwrap_or_default(), line.is_some())?.into_iter().next()
    }

    /// The values of a key with a list, or its defaults. None when one is a problem.
    pub(super) fn values<T>(&mut self, key: &'static str, defaults: &[&str]) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display>,
    {
        let (texts, line) = self.texts(key, Form::List)?;
        let texts = texts.unwrap_or_else(|| defaults.iter().map(ToString::to_string).collect());
        self.set(key, line, &texts, line.is_some())
    }

    /// Notes that a value, alone fine, cannot be.
    pub(super) fn refuse(&mut self, key: &'static str, what: impl Display) {
        let line = self.find(key).map(|value| self.line(&value.span()));
        self.problems.push(Problem { line, key: key.to_owned(), what: what.to_string() });
    }

    /// Every key that was read, in order.
    ///
    /// # Errors
    /// Every problem, those of keys that nobody read among them, by line.
    pub(super) fn finish(mut self) -> Result<Vec<Setting>, Vec<Problem>> {
        let mut unknown = Vec::new();
        self.find_unknown(&self.root, "", &mut unknown);
        self.problems.append(&mut unknown);
        // What a line means that is no TOML is not worth a second complaint.
        let broken: Vec<_> =
            self.problems.iter().filter(|problem| problem.key.is_empty()).map(|p| p.line).collect();
        self.problems.retain(|problem| problem.key.is_empty() || !broken.contains(&problem.line));
        if self.problems.is_empty() {
            return Ok(self.settings);
        }
        self.problems.sort_by_key(|problem| problem.line);
        Err(self.problems)
    }

    fn one<T>(&mut self, key: &'static str, form: Form, default: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let (texts, line) = self.texts(key, form)?;
        let text = texts.map_or_else(|| default.to_owned(), |texts| texts.concat());
        self.set(key, line, &[text], line.is_some()).and_then(|values| values.into_iter().next())
    }

    /// The texts that a key was written with, places filled in, and its line; none where it was not written.
    fn texts(&mut self, key: &'static str, form: Form) -> Option<(Option<Vec<String>>, Option<usize>)> {
        let Some(value) = self.find(key) else { return Some((None, None)) };
        let line = self.line(&value.span());
        let texts: Option<Vec<String>> = match (value.get_ref(), form) {
            (DeValue::String(text), Form::Text) => Some(vec![text.to_string()]),
            (DeValue::Integer(number), Form::Number) => Some(vec![number.to_string()]),
            (DeValue::Array(items), Form::List) => {
                items.iter().map(|item| item.get_ref().as_str().map(ToOwned::to_owned)).collect()
            }
            _ => None,
        };
        let found = value.get_ref().type_str();
        if texts.is_none() {
            let wanted = match form {
                Form::Text => "a text in quotes",
                Form::List => "a list of texts in quotes",
                Form::Number => "a whole number",
            };
            let what = format!("must be {wanted}, and is of type {found}");
            self.settings.push(Setting { key, value: String::new(), written: true });
            self.problems.push(Problem { line: Some(line), key: key.to_owned(), what });
        }
        texts.map(|texts| (Some(texts), Some(line)))
    }

    fn set<T>(
        &mut self,
        key: &'static str,
        line: Option<usize>,
        texts: &[String],
        written: bool,
    ) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display>,
    {
        let texts: Vec<String> = texts.iter().map(|text| self.places.fill(text)).collect();
        let mut values = Vec::new();
        for text in &texts {
            match text.parse::<T>() {
                Ok(value) => values.push(value),
                Err(error) => {
                    // The value may be a PIN in the wrong place: it is not repeated.
                    let secret = matches!(key.rsplit('.').next(), Some("pin" | "uri"));
                    let what = if secret { error.to_string() } else { format!("{text:?}: {error}") };
                    self.problems.push(Problem { line, key: key.to_owned(), what });
                }
            }
        }
        self.settings.push(Setting { key, value: texts.join(", "), written });
        (values.len() == texts.len()).then_some(values)
    }

    fn find(&self, key: &str) -> Option<&Value<'a>> {
        let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
        if section.is_empty() {
            return self.root.get(name);
        }
        self.root.get(section)?.get_ref().as_table()?.get(name)
    }

    fn find_unknown(&self, table: &DeTable<'a>, section: &str, problems: &mut Vec<Problem>) {
        for (name, value) in table {
            let key = format!("{section}{}", name.get_ref());
            let inside = format!("{key}.");
            let is_section = self.settings.iter().any(|setting| setting.key.starts_with(&inside));
            let line = Some(self.line(&name.span()));
            match value.get_ref().as_table() {
                _ if self.settings.iter().any(|setting| setting.key == key) => {}
                Some(table) if is_section => self.find_unknown(table, &inside, problems),
                None if is_section => {
                    problems.push(Problem { line, key, what: "is a section, not a value".to_owned() });
                }
                _ => problems.push(Problem { line, key, what: "is unknown".to_owned() }),
            }
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1
    }
}

impl Problem {
    /// A problem of no key.
    pub(crate) fn whole(what: impl Display) -> Self {
        Self { line: None, key: String::new(), what: what.to_string() }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)
    }
}
