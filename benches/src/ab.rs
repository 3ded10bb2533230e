//! Two commits side by side: the programs of each, in turn, and how their figures compare.
//!
//! Each side is a directory with the `rootcellar` and the `rootcellar-load` of one commit, so that an old service is asked by its own
//! client. A ratio is of one round, whose two sides ran one after the other; what a machine does to both does not count.

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Args;

use crate::Failed;
use crate::cells::Served;
use crate::cpu::{median, micros, spent_by};

/// Fewest rounds that say something, and the most that are worth their time.
const ROUNDS: std::ops::RangeInclusive<i64> = 8..=16;
/// Two-sided 95 % quantiles of Student's t, from 7 degrees of freedom (8 rounds) to 15.
const T95: [f64; 9] = [2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131];
/// A figure is worse when its whole interval is below this.
const WORSE: f64 = 0.95;

/// Compare two commits: the rates and the CPU time of an issuance, each ratio with its 95 % interval
#[derive(Debug, Args)]
pub struct Ask {
    /// Directory with `rootcellar` and `rootcellar-load` of the one commit
    #[arg(long, value_name = "DIR")]
    old: PathBuf,
    /// The same of the other
    #[arg(long, value_name = "DIR")]
    new: PathBuf,
    /// Rounds, from 8 to 16
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(ROUNDS))]
    rounds: u8,
    /// Seconds of each load
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
}

/// A load whose rate is compared.
struct Shape {
    key: &'static str,
    in_flight: u32,
    connections: u32,
    batch: bool,
}

/// CPU time first: it decides. Its load is the first.
const SHAPES: [Shape; 3] = [
    Shape { key: "unary_64_per_s", in_flight: 64, connections: 4, batch: false },
    Shape { key: "batch_per_s", in_flight: 64, connections: 4, batch: true },
    Shape { key: "unary_1_per_s", in_flight: 1, connections: 1, batch: false },
];
/// CPU time of one issuance: of caller, front and keeper, and of each.
const CPU: [&str; 4] = ["cpu_us", "cpu_client_us", "cpu_front_us", "cpu_keeper_us"];

/// What one side gave in each round, for one key.
struct Row {
    key: &'static str,
    /// Less is better.
    is_cost: bool,
    old: Vec<f64>,
    new: Vec<f64>,
}

/// How both compare.
pub struct Compared(Vec<Row>);

/// Runs the rounds. Which side begins changes from round to round.
///
/// # Errors
/// A program of a side failed, or refused a request.
pub fn compare(ask: &Ask) -> Result<Compared, Failed> {
    // The programs run in the cells' directories.
    let (old, new) = (ask.old.canonicalize()?, ask.new.canonicalize()?);
    let keys = CPU.map(|key| (key, true)).into_iter().chain(SHAPES.iter().map(|shape| (shape.key, false)));
    let mut rows: Vec<Row> =
        keys.map(|(key, is_cost)| Row { key, is_cost, old: Vec::new(), new: Vec::new() }).collect();
    for round in 0..ask.rounds {
        let sides = if round % 2 == 0 { [true, false] } else { [false, true] };
        for is_old in sides {
            let figures = side(if is_old { &old } else { &new }, ask.seconds)?;
            for (row, figure) in rows.iter_mut().zip(figures) {
                if is_old { &mut row.old } else { &mut row.new }.push(figure);
            }
        }
        tell(&format!("round {} of {}", round + 1, ask.rounds));
    }
    Ok(Compared(rows))
}

/// One side in one round: a fresh cell, all loads; the figures in the order of the rows.
fn side(programs: &Path, seconds: u64) -> Result<Vec<f64>, Failed> {
    let served = Served::found_with(&programs.join("rootcellar"));
    let credentials = served.credentials("load");
    let (mut costs, mut rates) = (Vec::new(), Vec::new());
    for shape in &SHAPES {
        let before = (served.spent_by("front")?, served.spent_by("keeper")?);
        let (figures, client) = load(&programs.join("rootcellar-load"), &credentials, shape, seconds)?;
        let number = |key: &str| figures[key].as_f64().ok_or_else(|| format!("the load says no {key}"));
        if number("errors")? > 0.0 {
            return Err(format!("{}: requests were refused", programs.display()).into());
        }
        rates.push(number("per_s")?);
        if costs.is_empty() {
            let front = served.spent_by("front")?.saturating_sub(before.0);
            let keeper = served.spent_by("keeper")?.saturating_sub(before.1);
            let issued = number("certificates")?;
            costs =
                [client + front + keeper, client, front, keeper].map(|time| micros(time, issued)).to_vec();
        }
    }
    served.stop()?;
    costs.extend(rates);
    Ok(costs)
}

/// Runs a load generator: what it says, and its CPU time.
fn load(
    program: &Path,
    credentials: &Path,
    shape: &Shape,
    seconds: u64,
) -> Result<(serde_json::Value, Duration), Failed> {
    let mut command = Command::new(program);
    command.arg("--credentials").arg(credentials);
    for (option, value) in [("--in-flight", shape.in_flight), ("--connections", shape.connections)] {
        command.arg(option).arg(value.to_string());
    }
    command.arg("--seconds").arg(seconds.to_string());
    if shape.batch {
        command.arg("--batch");
    }
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    child.stdout.take().ok_or("its output is piped")?.read_to_string(&mut said)?;
    // It has said all; until it is waited for, its time can be read.
    let spent = spent_by(child.id());
    if !child.wait()?.success() {
        return Err(format!("{} failed", program.display()).into());
    }
    Ok((serde_json::from_str(&said)?, spent?))
}

impl Row {
    /// How much better the new side is: the geometric mean of the rounds' ratios, and the ends of its 95 % interval.
    fn ratio(&self) -> [f64; 3] {
        let logs: Vec<f64> = (self.new.iter().zip(&self.old))
            .map(|(new, old)| if self.is_cost { old / new } else { new / old }.ln())
            .collect();
        let count = f64::from(u32::try_from(logs.len()).unwrap_or(u32::MAX));
        let mean = logs.iter().sum::<f64>() / count;
        let variance = logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let quantile = logs.len().checked_sub(8).and_then(|index| T95.get(index)).copied();
        let half = quantile.unwrap_or(f64::INFINITY) * (variance / count).sqrt();
        [mean, mean - half, mean + half].map(f64::exp)
    }
}

impl Compared {
    /// One object, one of `old`, `new`, `ratio`, `low`, `high` for each key.
    pub fn json(&self) -> serde_json::Value {
        let row = |row: &Row| {
            let [ratio, low, high] = row.ratio();
            let (old, new) = (median(row.old.clone()), median(row.new.clone()));
            let shown =
                serde_json::json!({ "old": old, "new": new, "ratio": ratio, "low": low, "high": high });
            (row.key.to_owned(), shown)
        };
        self.0.iter().map(row).collect()
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:16} {:>9} {:>9}  better by (95 %)", "key", "old", "new")?;
        for row in &self.0 {
            let [ratio, low, high] = row.ratio();
            let (old, new) = (median(row.old.clone()), median(row.new.clone()));
            let verdict = if high < WORSE { "  WORSE" } else { "" };
            writeln!(f, "{:16} {old:>9.1} {new:>9.1}  {ratio:.3} ({low:.3} to {high:.3}){verdict}", row.key)?;
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "rounds take minutes: a person wants to see that they move")]
fn tell(message: &str) {
    eprintln!("{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(is_cost: bool, pairs: [(f64, f64); 8]) -> Row {
        let (old, new) = pairs.into_iter().unzip();
        Row { key: "key", is_cost, old, new }
    }

    #[test]
    fn a_ratio_above_one_is_better_for_costs_and_for_rates() {
        let [ratio, low, high] = row(false, [(100.0, 90.0); 8]).ratio();
        assert!([ratio, low, high].iter().all(|end| (end - 0.9).abs() < 1e-9));
        let [ratio, ..] = row(true, [(100.0, 125.0); 8]).ratio();
        assert!((ratio - 0.8).abs() < 1e-9, "{ratio}");
        let worse = Compared(vec![row(false, [(100.0, 90.0); 8])]).to_string();
        assert!(worse.contains("WORSE"), "{worse}");
    }

    #[test]
    fn an_interval_is_students_and_grows_with_what_the_rounds_differ() {
        // Logarithms of the ratios: four times 0.1 and four times -0.1, so s = 0.1069 and the half of it 2.365 · s / √8 = 0.0894.
        let up = (1.0, 0.1_f64.exp());
        let down = (1.0, (-0.1_f64).exp());
        let [ratio, low, high] = row(false, [up, down, up, down, up, down, up, down]).ratio();
        assert!((ratio - 1.0).abs() < 1e-9);
        assert!((low.ln() + 0.0894).abs() < 1e-3 && (high.ln() - 0.0894).abs() < 1e-3, "{low} {high}");
        assert!(
            !Compared(vec![row(false, [up, down, up, down, up, down, up, down])])
                .to_string()
                .contains("WORSE")
        );
    }
}
