//! The steps of an issuance that need no token: `cargo bench --package rootcellar-benches`.

#![expect(clippy::unwrap_used, reason = "without its fixture there is nothing to measure")]

use criterion::{Criterion, criterion_group, criterion_main};
use rootcellar_benches::steps::Steps;

fn steps(criterion: &mut Criterion) {
    let steps = Steps::new().unwrap();
    criterion.bench_function("goodkey_ec", |b| b.iter(|| steps.goodkey_ec()));
    criterion.bench_function("csr_verify", |b| b.iter(|| steps.csr_verify()));
    criterion.bench_function("compose", |b| b.iter(|| steps.compose()));
    criterion.bench_function("lint", |b| b.iter(|| steps.lint()));
    criterion.bench_function("verify", |b| b.iter(|| steps.verify()));
    let long_crl = steps.crl(100_000);
    criterion.benchmark_group("long").sample_size(10).bench_function("crl_100000", |b| b.iter(&long_crl));
}

criterion_group!(all, steps);
criterion_main!(all);
