//! Reading and writing `broker.yaml`.

use sha2::{Digest, Sha256};

use crate::Config;

/// Why a text is not a usable configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is not YAML of the right shape; the message has line, column and key.
    #[error("{0}")]
    Parse(String),
    /// It parses, but a value cannot work.
    #[error("{field}: {problem}")]
    Invalid {
        /// Path of the field, for example `listeners.websocket.path`.
        field: String,
        /// What is wrong with its value and what would be right.
        problem: String,
    },
}

impl Config {
    /// Parses and checks the text of a `broker.yaml`.
    ///
    /// # Errors
    /// Names line, column and key where the text does not parse, and the field where a value cannot work.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| LoadError::Parse(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the first field whose value cannot work.
    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |field: &str, problem: String| Err(LoadError::Invalid { field: field.to_owned(), problem });
        if self.listeners.stomp.is_none() && self.listeners.websocket.is_none() {
            return refuse("listeners", "no client could connect; give at least one of stomp and websocket".to_owned());
        }
        if let Some(websocket) = &self.listeners.websocket
            && !websocket.path.starts_with('/')
        {
            return refuse(
                "listeners.websocket.path",
                format!("{:?} is not a path; it must begin with a slash", websocket.path),
            );
        }
        if self.session_timeout.0 < self.heartbeat.0 * 2 {
            return refuse(
                "sessionTimeout",
                format!(
                    "{} is too short for a heartbeat of {}; make it at least twice as long",
                    self.session_timeout, self.heartbeat
                ),
            );
        }
        if let crate::Engine::Relay(relay) = &self.engine {
            if relay.upstreams.is_empty() {
                return refuse("engine.relay.upstreams", "the list is empty; name at least one upstream".to_owned());
            }
            if let Some(prefix) = relay.destination_prefixes.iter().find(|prefix| !prefix.starts_with('/')) {
                return refuse("engine.relay.destinationPrefixes", format!("{prefix:?} must begin with a slash"));
            }
        }
        Ok(())
    }

    /// Renders the configuration as YAML; the same value always gives the same octets.
    ///
    /// # Errors
    /// When a value has no YAML form, which no [`Config`] has.
    pub fn to_yaml(&self) -> Result<String, LoadError> {
        serde_saphyr::to_string(self).map_err(|error| LoadError::Parse(error.to_string()))
    }
}

/// What operator and broker compare to see whether a configuration is in force: SHA-256 of the file's octets, in hex.
pub fn config_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().fold(String::with_capacity(64), |mut hex, octet| {
        use std::fmt::Write as _;
        let _ = write!(hex, "{octet:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "listeners:\n  stomp:\n    port: 61613\n";

    #[test]
    fn a_minimal_file_takes_the_defaults() {
        let config = Config::parse(MINIMAL).unwrap();
        assert_eq!(config.limits.connections_per_pod, 10_000);
        assert_eq!(config.heartbeat.to_string(), "10s");
    }

    #[test]
    fn what_is_rendered_loads_as_the_same_configuration() {
        let config = Config::parse(
            "zone: no\nlisteners: {websocket: {port: 8080, path: /ws, allowedOrigins: ['*']}}\n\
             engine: {relay: {destinationPrefixes: [/topic], upstreams: [{host: on, port: 61613, zone: a}], \
             systemCredentials: {directory: /s}, clientCredentials: {directory: /c}}}\n\
             authorization: {rules: [{actions: [Send], destinations: ['/app/**'], allow: {authenticated: {}}}]}\n",
        )
        .unwrap();
        assert_eq!(Config::parse(&config.to_yaml().unwrap()).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = Config::parse("listeners:\n  stomp:\n    prot: 61613\n").unwrap_err().to_string();
        assert!(error.contains("prot") && error.contains('3'), "{error}");
    }

    #[test]
    fn a_value_that_cannot_work_is_named_with_its_remedy() {
        let error = Config::parse(&format!("{MINIMAL}heartbeat: 20s\n")).unwrap_err().to_string();
        assert!(error.contains("sessionTimeout") && error.contains("twice"), "{error}");
    }
}
