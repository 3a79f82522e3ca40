//! What of a configuration is read once, at the start, so that only a restart brings a change of it into effect.

use serde_json::{Map, Value};

use crate::{Config, config_hash};

/// Keys that are read once: the zone, the ports that are bound, the store that is opened, the
/// connection to NATS. The kind of engine is, too, but not
/// its settings.
pub const READ_AT_START: [&str; 9] = [
    "zone",
    "listeners.stomp.port",
    "listeners.stomp.tls.port",
    "listeners.websocket.port",
    "listeners.websocket.tls.port",
    "admin.port",
    "peers.port",
    "engine.embedded.persistence",
    "engine.jetStream",
];

impl Config {
    /// A hash of the kind of engine and the values under [`READ_AT_START`]: two configurations with the same one differ
    /// only in what a running broker takes up by itself.
    ///
    /// # Errors
    /// When a value has no JSON form, which no [`Config`] has.
    pub fn start_hash(&self) -> Result<String, serde_json::Error> {
        let all = serde_json::to_value(self)?;
        let mut read: Map<String, Value> = READ_AT_START
            .iter()
            .filter_map(|key| {
                let value = key.split('.').try_fold(&all, |value, name| value.get(name))?;
                Some(((*key).to_owned(), value.clone()))
            })
            .collect();
        let engine = all.get("engine").and_then(Value::as_object).and_then(|engine| engine.keys().next().cloned());
        read.insert("engine".to_owned(), engine.into());
        Ok(config_hash(&Value::Object(read).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_are_read_at_the_start_change_the_hash() {
        let hash = |text: &str| Config::parse(text).unwrap().start_hash().unwrap();
        let base = "listeners: {websocket: {port: 8080, path: /ws}}\n";
        for same in [
            "listeners: {websocket: {port: 8080, path: /chat}}\nheartbeat: 5s\n",
            "listeners: {websocket: {port: 8080}}\nengine: {embedded: {prefetch: 3}}\n",
            "listeners: {websocket: {port: 8080, tls: {directory: /tls}}}\n",
        ] {
            assert_eq!(hash(base), hash(same), "{same}");
        }
        for other in [
            "listeners: {websocket: {port: 8081}}\n",
            "listeners: {websocket: {port: 8080}, stomp: {port: 61613}}\n",
            "listeners: {websocket: {port: 8080, tls: {port: 8443, directory: /tls}}}\n",
            "zone: a\nlisteners: {websocket: {port: 8080}}\n",
            "listeners: {websocket: {port: 8080}}\nadmin: {tokenFile: /t}\npeers: {dnsName: a}\n",
            "engine: {embedded: {persistence: {directory: /s}}}\nlisteners: {websocket: {port: 8080}}\n",
            "engine: {relay: {destinationPrefixes: [/topic], upstreams: [{host: a, port: 1}], systemCredentials: \
             {directory: /s}, clientCredentials: {directory: /c}}}\nlisteners: {websocket: {port: 8080}}\n",
        ] {
            assert_ne!(hash(base), hash(other), "{other}");
        }
    }
}
