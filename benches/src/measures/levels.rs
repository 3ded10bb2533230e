//! Throughput and latency by callers in flight, and the batch stream.

use crate::Failed;
use crate::cells::Served;
use crate::cpu::median;
use crate::load::{Figures, Load};
use crate::plan::Plan;
use crate::summary::Summary;

/// Callers in flight; those with 64 are measured longer, beside a full journal (`growth.rs`).
pub(crate) const LEVELS: [usize; 7] = [1, 2, 4, 8, 16, 32, 128];
/// Most connections of a load: a controller has few.
pub(crate) const CONNECTIONS: usize = 4;

pub(crate) async fn measure(plan: &Plan, served: &Served, summary: &mut Summary) -> Result<(), Failed> {
    let mut figures: Vec<Vec<Figures>> = LEVELS.iter().map(|_| Vec::new()).collect();
    let mut batches = Vec::new();
    for _ in 0..plan.rounds {
        for (level, figures) in LEVELS.iter().zip(&mut figures) {
            figures.push(served.load(load(*level, plan)).await?);
        }
        batches.push(served.load(Load { batch: true, ..load(64, plan) }).await?);
    }
    for (level, figures) in LEVELS.iter().zip(&figures) {
        set(summary, &format!("unary_{level}"), figures);
    }
    summary.set("batch_per_s", median(batches.iter().map(Figures::per_s).collect()));
    Ok(())
}

fn load(in_flight: usize, plan: &Plan) -> Load {
    Load { in_flight, connections: in_flight.min(CONNECTIONS), time: plan.short, batch: false }
}

/// Rate and latencies, each the median of the rounds.
pub(crate) fn set(summary: &mut Summary, name: &str, figures: &[Figures]) {
    let of = |read: fn(&Figures) -> f64| median(figures.iter().map(read).collect());
    summary.set(format!("{name}_per_s"), of(Figures::per_s));
    summary.set(format!("{name}_p50_ms"), of(|figures| figures.percentile_ms(50)));
    summary.set(format!("{name}_p99_ms"), of(|figures| figures.percentile_ms(99)));
}
