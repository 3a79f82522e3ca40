//! The README and the example file against the code.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;
use stompbroker_config::{Config, Drain, EmbeddedEngine, Engine, Limits};

use crate::support::{BrokerUnderTest, config};

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}

/// The first cells of the table rows that are code.
fn first_cells(readme: &str) -> BTreeSet<String> {
    let cells = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |").map(|(cell, _)| cell));
    cells.filter_map(|cell| cell.split_once('`').map(|(code, _)| code.to_owned())).collect()
}

fn leaves(path: &str, value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(&format!("{path}{}{name}", if path.is_empty() { "" } else { "." }), value, into);
            }
        }
        _ => {
            into.insert(path.to_owned());
        }
    }
}

#[test]
fn the_readme_has_every_key_of_the_configuration_and_no_other() {
    let common = "zone: a\nlisteners: {stomp: {port: 1}, websocket: {port: 2, allowedOrigins: ['*']}}\n\
                  admin: {tokenFile: /t}\ncredentials: {system: {directory: /s}, client: {directory: /c}}\n\
                  authorization: {rules: []}\nlimits: {messagesPerSecondPerPod: 1}\n";
    let relay = "engine: {relay: {destinationPrefixes: [/topic], upstreams: [{host: a, port: 1}], virtualHost: v, \
                 systemCredentials: {directory: /s}, clientCredentials: {directory: /c}}}\n";
    let mut keys = BTreeSet::new();
    for text in [common.to_owned(), format!("{common}{relay}")] {
        let config: Config = serde_saphyr::from_str(&text).unwrap();
        leaves("", &serde_json::to_value(config).unwrap(), &mut keys);
    }
    let readme = read("README.md");
    let table = readme.split("## Admin port").next().unwrap().split("## Configuration").nth(1).unwrap();
    assert_eq!(first_cells(table), keys);
}

#[test]
fn the_readme_marks_the_keys_that_wait_for_a_restart() {
    let readme = read("README.md");
    let marked: BTreeSet<_> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` *start* |").map(|(key, _)| key))
        .collect();
    for prefix in stompbroker_config::READ_AT_START {
        assert!(marked.iter().any(|key| key.starts_with(prefix)), "{prefix}");
    }
    for key in marked {
        assert!(stompbroker_config::READ_AT_START.iter().any(|prefix| key.starts_with(prefix)), "{key}");
    }
}

#[test]
fn the_example_file_shows_the_defaults() {
    let example = Config::parse(&read("broker.example.yaml")).unwrap();
    assert_eq!(example.limits, Limits::default());
    assert_eq!(example.drain, Drain::default());
    assert_eq!(example.engine, Engine::Embedded(EmbeddedEngine::default()));
    let minimal = Config::parse("listeners: {websocket: {port: 1}}").unwrap();
    assert_eq!((example.heartbeat, example.session_timeout), (minimal.heartbeat, minimal.session_timeout));
    assert_eq!(example.admin, minimal.admin);
    let path = |config: Config| config.listeners.websocket.unwrap().path;
    assert_eq!(path(example), path(minimal));
}

#[tokio::test]
async fn the_readme_has_every_metric() {
    let broker = BrokerUnderTest::start(&config(""));
    let readme = read("README.md");
    let text = broker.admin("GET", "/metrics").await.body;
    for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ').map(|(name, _)| name)) {
        let documented = name.trim_end_matches("_sum");
        let known = documented.starts_with("process_") || documented == "stompbroker_destinations";
        assert!(known || readme.contains(documented), "{name}");
    }
}
