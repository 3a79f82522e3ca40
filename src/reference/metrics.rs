//! The operator's own series, read from what it would answer to Prometheus.

use std::{
    collections::BTreeSet,
    fmt::{self, Write},
};

use crate::metrics::Metrics;

pub(super) fn write(page: &mut String) -> fmt::Result {
    page.push_str("\n## Metrics\n\n| series | type | labels | means |\n|---|---|---|---|\n");
    let text = Metrics::with_every_series().encode()?;
    let lines: Vec<_> = text.lines().collect();
    let words = |keyword: &str| -> Vec<(&str, &str)> {
        let found = lines.iter().filter_map(|line| line.strip_prefix(keyword));
        found.filter_map(|rest| rest.trim_start().split_once(' ')).collect()
    };
    let types = words("# TYPE");
    for (name, help) in words("# HELP") {
        let kind = types.iter().find(|(of, _)| *of == name).map_or("", |(_, kind)| kind);
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let labels: Vec<_> = labels(&lines, name).into_iter().map(|label| format!("`{label}`")).collect();
        writeln!(page, "| `{name}{suffix}` | {kind} | {} | {help} |", labels.join(" "))?;
    }
    Ok(())
}

/// Names of the labels of a family, but for the bound of a bucket.
fn labels<'a>(lines: &[&'a str], family: &str) -> BTreeSet<&'a str> {
    let samples = lines.iter().filter_map(|line| line.strip_prefix(family)?.split_once('{'));
    let inner = samples.filter(|(suffix, _)| !suffix.contains(' ')).filter_map(|(_, rest)| rest.split_once('}'));
    let pairs = inner.flat_map(|(pairs, _)| pairs.split(','));
    pairs.filter_map(|pair| Some(pair.split_once('=')?.0)).filter(|label| *label != "le").collect()
}
