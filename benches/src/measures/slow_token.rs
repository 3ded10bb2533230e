//! A token that takes 5 ms for a signature, eight at a time: how much of what it can do is reached.

use super::levels::CONNECTIONS;
use super::token;
use crate::Failed;
use crate::cells::Served;
use crate::load::Load;
use crate::plan::Plan;
use crate::summary::Summary;

/// What one signature takes, in milliseconds.
const DELAY_MS: u16 = 5;
/// Signatures at a time.
const SESSIONS: u16 = 8;
/// Callers in flight: enough, and more than enough.
const IN_FLIGHT: [usize; 3] = [64, 128, 256];

pub(crate) async fn measure(plan: &Plan, summary: &mut Summary) -> Result<(), Failed> {
    let (served, faults) = Served::with_faults(SESSIONS)?;
    faults.set(&format!("lasts={DELAY_MS}"));
    let raw = token::raw(&served, plan, usize::from(SESSIONS))?;
    summary.set("slow_token_raw_per_s", raw.per_s);
    let mut best: f64 = 0.0;
    for in_flight in IN_FLIGHT {
        let load = Load { in_flight, connections: CONNECTIONS, time: plan.short, batch: false };
        best = best.max(served.load(load).await?.per_s());
    }
    summary.set("slow_token_per_s", best);
    summary.set("slow_token_share", best / (f64::from(SESSIONS) * 1000.0 / f64::from(DELAY_MS)));
    served.stop().map(drop)
}
