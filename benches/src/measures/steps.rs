//! The CPU time of each step that needs no token.

use crate::Failed;
use crate::cpu::median_us;
use crate::plan::Plan;
use crate::steps::Steps;
use crate::summary::Summary;

pub(crate) fn measure(plan: &Plan, summary: &mut Summary) -> Result<(), Failed> {
    let (steps, rounds, calls) = (Steps::new()?, plan.step_rounds, |usual: u32| usual / plan.step_share);
    let long_crl = steps.crl(plan.revoked);
    long_crl()?;
    summary.set("goodkey_ec_us", median_us(rounds, calls(500), || steps.goodkey_ec()));
    summary.set("csr_verify_us", median_us(rounds, calls(100), || steps.csr_verify()));
    summary.set("compose_us", median_us(rounds, calls(500), || steps.compose()));
    summary.set("lint_us", median_us(rounds, calls(500), || steps.lint()));
    summary.set("verify_us", median_us(rounds, calls(100), || steps.verify()));
    summary.set("crl_100000_compose_ms", median_us(rounds.min(7), 1, &long_crl) / 1000.0);
    Ok(())
}
