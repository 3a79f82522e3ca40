//! The chart's dashboards speak of series that operator and brokers really have.
//!
//! The brokers' are read from `docs/reference/metrics.md`, which the broker's own tests keep current.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step ends its test")]

mod fixtures;

use std::{collections::BTreeSet, fs};

use fixtures::path;
use serde_json::Value;
use stompbroker_operator::{metrics::Metrics, reference::dashboards};

/// The series that there are, with the ends that Prometheus' histograms have.
fn known() -> BTreeSet<String> {
    let operator = Metrics::with_every_series().encode().unwrap();
    let operator =
        operator.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split(['{', ' ']).next());
    let page = fs::read_to_string(path("docs/reference/metrics.md")).unwrap();
    let brokers = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    operator.chain(brokers).map(str::to_owned).collect()
}

/// All texts below `key` anywhere in a dashboard.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key {
                    found.extend(value.as_str());
                }
                texts(value, key, found);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| texts(member, key, found)),
        _ => {}
    }
}

#[test]
fn every_series_of_a_dashboard_exists() {
    let known = known();
    for (name, dashboard) in dashboards() {
        let mut expressions = Vec::new();
        texts(&dashboard, "expr", &mut expressions);
        texts(&dashboard, "query", &mut expressions);
        assert!(expressions.len() > 10, "{name} shows nothing");
        for expression in expressions {
            let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            for series in words.filter(|word| word.starts_with("stompbroker_") || word.starts_with("process_")) {
                assert!(known.contains(series), "{name} asks for {series}, which neither operator nor broker has");
            }
            assert!(!expression.contains("$of"), "{expression}");
            assert_eq!(expression.matches(['(', '{']).count(), expression.matches([')', '}']).count(), "{expression}");
        }
    }
}

#[test]
fn the_chart_installs_each_dashboard_for_grafanas_sidecar() {
    let text = fs::read_to_string(path("tests/golden/chart/monitored.yaml")).unwrap();
    let objects = text.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
    let maps: Vec<_> = objects.filter(|object| object["metadata"]["labels"]["grafana_dashboard"] == "1").collect();
    for (name, dashboard) in dashboards() {
        let file = format!("{name}.json");
        let text =
            maps.iter().find_map(|map| map["data"][&file].as_str()).unwrap_or_else(|| panic!("{file} is missing"));
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), dashboard, "{file}");
    }
}
