//! The chart's alerts speak of series that the operator really has.
//!
//! Reads the chart as rendered in `tests/golden/chart`, which `make lint` keeps current.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step ends its test")]

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use stompbroker_operator::metrics::Metrics;

fn alerts() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/chart/monitored.yaml");
    let text = fs::read_to_string(path).unwrap();
    let documents = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let rules = documents.filter(|object| object["kind"] == "PrometheusRule").collect::<Vec<_>>();
    let [rule] = rules.as_slice() else { panic!("{} PrometheusRules", rules.len()) };
    let groups = rule["spec"]["groups"].as_array().unwrap().iter();
    let alerts = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    alerts.map(|alert| (text(&alert["alert"]), text(&alert["expr"]))).collect()
}

#[test]
fn every_series_of_an_alert_is_one_of_the_operators() {
    let text = Metrics::with_every_series().encode().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series: BTreeSet<_> = lines.filter_map(|line| line.split(['{', ' ']).next()).collect();

    let alerts = alerts();
    assert!(alerts.len() >= 4, "{alerts:?}");
    for (alert, expression) in alerts {
        let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let named: Vec<_> = words.filter(|word| word.starts_with("stompbroker_")).collect();
        assert!(!named.is_empty(), "{alert} is about nothing");
        for name in named {
            assert!(series.contains(name), "{alert} asks for {name}, which is not among {series:?}");
        }
    }
}
