//! What was measured: one number for each key; as JSON for programs, as a table for people.

use std::collections::BTreeMap;
use std::fmt;

use crate::Failed;
use crate::keys::{self, GROUPS, Must};

/// The figures of a run, complete at its end.
#[derive(Debug, Default)]
pub struct Summary(BTreeMap<String, f64>);

impl Summary {
    pub(crate) fn set(&mut self, key: impl Into<String>, figure: f64) {
        self.0.insert(key.into(), figure);
    }

    /// A figure.
    ///
    /// # Errors
    /// It was not measured: our bug.
    pub(crate) fn get(&self, key: &str) -> Result<f64, Failed> {
        self.0.get(key).copied().ok_or_else(|| format!("{key} was not measured").into())
    }

    /// Holds what was measured against the table of keys.
    ///
    /// # Errors
    /// A key is missing, or one is of no row: our bug.
    pub(crate) fn complete(self) -> Result<Self, Failed> {
        for key in keys::all() {
            self.get(key.name)?;
        }
        match self.0.keys().find(|name| keys::all().all(|key| key.name != **name)) {
            Some(unknown) => Err(format!("{unknown} is no key").into()),
            None => Ok(self),
        }
    }

    /// One flat object, one number for each key.
    pub fn json(&self) -> serde_json::Value {
        // Three significant digits are more than a shared machine gives; small figures keep their decimals.
        let rounded = |figure: f64| serde_json::Value::from((figure * 1000.0).round() / 1000.0);
        self.0.iter().map(|(key, figure)| (key.clone(), rounded(*figure))).collect()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:28} {:>10}  {:<9}", "key", "measured", "must")?;
        for (group, keys) in GROUPS {
            writeln!(f, "\n{group}")?;
            for key in *keys {
                let figure = self.0.get(key.name).copied().unwrap_or_default();
                let decimals = if figure < 10.0 { 2 } else { usize::from(figure < 1000.0) };
                let verdict = match key.must {
                    Must::Nothing => "",
                    must if must.is_met(figure) => "reached",
                    _ => "MISSED",
                };
                let row = format!("{:28} {figure:>10.decimals$}  {:<9} {verdict}", key.name, key.must);
                writeln!(f, "{}", row.trim_end())?;
            }
        }
        Ok(())
    }
}
