//! `make bench` cannot rot: all of it, small and short. Its figures mean nothing; that they are there does.

use std::fs;
use std::process::Command;

use rootcellar_benches::keys;

#[test]
fn every_figure_is_measured_and_every_chart_drawn() {
    let out = tempfile::tempdir().unwrap();
    let bench = Command::new(env!("CARGO_BIN_EXE_rootcellar-bench"))
        .arg("--quick")
        .arg("--out")
        .arg(out.path())
        .output()
        .unwrap();
    assert!(bench.status.success(), "{}", String::from_utf8_lossy(&bench.stderr));
    let table = String::from_utf8(bench.stdout).unwrap();
    let summary = fs::read_to_string(out.path().join("summary.json")).unwrap();
    let summary: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary.len(), keys::all().count());
    for key in keys::all() {
        let figure = summary.get(key.name).and_then(serde_json::Value::as_f64);
        assert!(figure.is_some_and(|figure| figure > 0.0), "{}: {figure:?}", key.name);
        assert!(table.contains(key.name), "{}", key.name);
    }
    for chart in ["throughput.svg", "parts.svg", "growth.svg"] {
        let drawn = fs::read_to_string(out.path().join(chart)).unwrap();
        assert!(drawn.starts_with("<svg") && drawn.trim_end().ends_with("</svg>"), "{chart}");
    }
}
