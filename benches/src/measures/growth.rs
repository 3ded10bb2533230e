//! The same load on a journal that grows and on an empty one, in turn: what is compared was measured side by side.

use std::fs;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use certs::Issuer;

use super::levels::{CONNECTIONS, set};
use crate::Failed;
use crate::cells::Served;
use crate::cpu::{median, micros, spent};
use crate::fill::fill;
use crate::fill::maker::Maker;
use crate::load::{Figures, Load};
use crate::plan::Plan;
use crate::summary::Summary;

/// The sizes: name, and the parts in a hundred of the full one.
const SIZES: [(&str, u64); 4] = [("at_1e4", 1), ("at_1e5", 10), ("at_3e5", 30), ("at_1e6", 100)];
/// Whose certificates fill the journal: those that stay, and those that are revoked later.
pub(crate) const STAYING: &str = "fill";
pub(crate) const LEAVING: &str = "gone";
/// Certificates of one agent.
const PER_AGENT: u64 = 10;
/// The steps that the keeper measures by itself.
const KEEPER_STEPS: [&str; 5] = ["plan", "record", "sign", "verify", "store"];
/// Starts that are timed.
const STARTS: usize = 3;

/// Gives back the cell with the full journal, served.
pub(crate) async fn measure(plan: &Plan, summary: &mut Summary) -> Result<Served, Failed> {
    let mut full = Served::found();
    full.add_controller(STAYING);
    full.add_controller(LEAVING);
    let mut filled = 0;
    for (name, percent) in SIZES {
        let size = plan.certificates * percent / 100;
        full = grow(full, plan, filled..size)?;
        filled = size;
        let whole = size == plan.certificates;
        let (time, rounds) = if whole { (plan.long, plan.rounds) } else { (plan.short, 1) };
        let (full_figures, empty_figures) = in_turn(&full, time, rounds, summary).await?;
        let rate = |figures: &[Figures]| median(figures.iter().map(Figures::per_s).collect());
        let shares =
            full_figures.iter().zip(&empty_figures).map(|(full, empty)| full.per_s() / empty.per_s());
        summary.set(format!("{name}_per_s"), rate(&full_figures));
        summary.set(format!("{name}_share"), median(shares.collect()));
        if whole {
            set(summary, "unary_64", &empty_figures);
            let p99 = full_figures.iter().map(|figures| figures.percentile_ms(99));
            summary.set(format!("{name}_p99_ms"), median(p99.collect()));
        } else {
            summary.set(format!("{name}_empty_per_s"), rate(&empty_figures));
        }
    }
    let [front, keeper] = [full.resident_mib("front")?, full.resident_mib("keeper")?];
    summary.set("rss_front_mib_at_1e6", front);
    summary.set("rss_keeper_mib_at_1e6", keeper);
    summary.set("rss_mib_at_1e6", front + keeper);
    started(full, summary)
}

/// Rounds of the load, a fresh cell and the full one in turn; and what one issuance costs in each process of the fresh one.
async fn in_turn(
    full: &Served,
    time: Duration,
    rounds: usize,
    summary: &mut Summary,
) -> Result<(Vec<Figures>, Vec<Figures>), Failed> {
    let load = Load { in_flight: 64, connections: CONNECTIONS, time, batch: false };
    let (mut of_full, mut of_empty, mut costs) = (Vec::new(), Vec::new(), [const { Vec::new() }; 3]);
    let mut times = KEEPER_STEPS.map(|_| Vec::new());
    for _ in 0..rounds {
        let empty = Served::found();
        let spent = || Ok::<_, Failed>([spent(), empty.spent_by("front")?, empty.spent_by("keeper")?]);
        let before = spent()?;
        let figures = empty.load(load).await?;
        let issued = u32::try_from(figures.samples.len())?;
        for ((costs, after), before) in costs.iter_mut().zip(spent()?).zip(before) {
            costs.push(micros(after.saturating_sub(before), issued));
        }
        for (times, step) in times.iter_mut().zip(KEEPER_STEPS) {
            times.push(keeper_step_us(&empty, step)?);
        }
        of_empty.push(figures);
        empty.stop()?;
        of_full.push(full.load(load).await?);
    }
    for (role, costs) in ["client", "front", "keeper"].into_iter().zip(costs) {
        summary.set(format!("cpu_{role}_us"), median(costs));
    }
    for (step, times) in KEEPER_STEPS.into_iter().zip(times) {
        summary.set(format!("keeper_{step}_us"), median(times));
    }
    Ok((of_full, of_empty))
}

/// How long a step took in the keeper for one certificate, in microseconds: its own measure since it started.
fn keeper_step_us(served: &Served, step: &str) -> Result<f64, Failed> {
    let secs = served.metric(&format!("rootcellar_keeper_step_seconds_sum{{step=\"{step}\"}}"))?;
    Ok(secs * 1e6 / served.metric("rootcellar_keeper_certificates_issued_total")?)
}

/// Stops the service, appends the certificates of these numbers, serves it again.
fn grow(served: Served, plan: &Plan, numbers: Range<u64>) -> Result<Served, Failed> {
    let staying = plan.certificates - plan.revoked;
    let parts = [
        (STAYING, numbers.start.min(staying)..numbers.end.min(staying), staying / PER_AGENT),
        (
            LEAVING,
            numbers.start.saturating_sub(staying)..numbers.end.saturating_sub(staying),
            plan.revoked / PER_AGENT,
        ),
    ];
    let makers = parts.map(|(controller, numbers, agents)| (maker(&served, controller, agents), numbers));
    let dir = served.data_dir();
    let cell = served.stop()?;
    for (maker, numbers) in makers {
        fill(&dir, &maker?, numbers)?;
    }
    Ok(Served::again(cell).0)
}

fn maker(served: &Served, controller: &str, agents: u64) -> Result<Maker, Failed> {
    let credentials = served.credentials(controller);
    let chain = pem::parse_many(fs::read(credentials.join("chain.pem"))?)?;
    let issuer = chain.get(1).ok_or("the chain has no issuer")?;
    #[expect(clippy::disallowed_methods, reason = "the certificates are to be valid while this runs")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Maker {
        issuer: Issuer::parse(issuer.contents())?,
        cell: "cell.internal".parse()?,
        origin: "cell.internal/log/1".into(),
        controller: controller.into(),
        approval: 1,
        agents,
        now_ms: i64::try_from(now.as_millis())?,
    })
}

/// How long a start takes, and how much lies on the disk.
fn started(mut served: Served, summary: &mut Summary) -> Result<Served, Failed> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let (again, start) = Served::again(served.stop()?);
        took.push(start.as_secs_f64() * 1000.0);
        served = again;
    }
    summary.set("start_ms_at_1e6", median(took));
    let octets = fs::metadata(served.data_dir().join("journal.sqlite"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    summary.set("journal_mib_at_1e6", octets as f64 / f64::from(1 << 20));
    Ok(served)
}
