//! What differs between two configurations, and what of it waits for a restart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use stompbroker_config::{Config, READ_AT_START};

/// The key whose variant, the kind of engine, is read once at the start.
const ENGINE: &str = "engine";

/// The paths of all values that differ.
pub(crate) fn changed_keys(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (leaves(old), leaves(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned().collect()
}

/// Which of the keys that differ from the configuration at the start only a restart brings into effect.
pub(crate) fn needing_restart(at_start: &Config, now: &Config) -> Vec<String> {
    let other_engine = std::mem::discriminant(&at_start.engine) != std::mem::discriminant(&now.engine);
    let is_read_at_start = |key: &String| {
        READ_AT_START.iter().any(|prefix| key == prefix || is_below(key, prefix))
            || (other_engine && is_below(key, ENGINE))
    };
    changed_keys(at_start, now).into_iter().filter(is_read_at_start).collect()
}

fn is_below(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// Every value of a configuration by its path; lists of values count as one value.
fn leaves(config: &Config) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    // A configuration that came from YAML always has a JSON form; without one there is nothing to compare.
    if let Ok(value) = serde_json::to_value(config) {
        collect(String::new(), value, &mut leaves);
    }
    leaves
}

fn collect(path: String, value: Value, leaves: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name } else { format!("{path}.{name}") };
                collect(path, value, leaves);
            }
        }
        value => {
            leaves.insert(path, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    #[test]
    fn names_every_key_that_differs_and_those_that_wait_for_a_restart() {
        let old = config("listeners: {websocket: {port: 8080, path: /ws}}\nheartbeat: 5s\n");
        let new = config(
            "listeners: {websocket: {port: 8081, path: /chat}, stomp: {port: 1}}\nlimits: {headers: 7}\n\
             engine: {embedded: {prefetch: 3, queueSize: 64Mi}}\nheartbeat: 5s\n",
        );
        assert_eq!(
            changed_keys(&old, &new),
            [
                "engine.embedded.prefetch",
                "limits.headers",
                "listeners.stomp.port",
                "listeners.websocket.path",
                "listeners.websocket.port",
            ]
        );
        assert_eq!(
            needing_restart(&old, &new),
            ["listeners.stomp.port", "listeners.websocket.port"],
            "the settings of an engine are not read at the start only"
        );
        assert!(changed_keys(&old, &old).is_empty());
    }

    #[test]
    fn a_listener_that_is_taken_away_waits_for_a_restart() {
        let both = config("listeners: {websocket: {port: 8080}, stomp: {port: 1}}\n");
        let one = config("listeners: {stomp: {port: 1}}\n");
        assert_eq!(needing_restart(&both, &one), ["listeners.websocket.port"]);
    }

    #[test]
    fn another_kind_of_engine_waits_for_a_restart() {
        let embedded = config("listeners: {stomp: {port: 1}}\n");
        let relay = config(
            "listeners: {stomp: {port: 1}}\nengine: {relay: {destinationPrefixes: [/topic], systemCredentials: \
             {directory: /s}, clientCredentials: {directory: /c}, upstreams: [{host: a, port: 1}]}}\n",
        );
        let keys = needing_restart(&embedded, &relay);
        assert!(keys.contains(&"engine.relay.upstreams".to_owned()), "{keys:?}");
        assert!(keys.iter().all(|key| key.starts_with("engine.")), "{keys:?}");
    }
}
