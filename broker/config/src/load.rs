//! Reading and writing `broker.yaml`.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::{Config, Persistence, SockJs, check_broadcasts, locate::line_of};

impl crate::Listeners {
    fn check_sock_js(&self) -> Result<(), LoadError> {
        let Some(sock_js) = self.websocket.as_ref().and_then(|websocket| websocket.sock_js.as_ref()) else {
            return Ok(());
        };
        let refuse = |(key, problem)| LoadError::new(&format!("listeners.websocket.sockJs.{key}"), problem);
        sock_js.check().map_err(refuse)
    }
}

impl SockJs {
    /// The key whose value cannot work, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, duration) in [("heartbeat", self.heartbeat), ("disconnectDelay", self.disconnect_delay)] {
            if duration.0.is_zero() {
                return Err((key, "0 would end every session at once; make it some seconds".to_owned()));
            }
        }
        if self.response_limit.0 == 0 {
            return Err(("responseLimit", "0 would end every response at once; make it at least 4Ki".to_owned()));
        }
        let is_url = ["https://", "http://", "/"].iter().any(|begin| self.client_url.starts_with(begin));
        if !is_url {
            let url = &self.client_url;
            return Err(("clientUrl", format!("{url:?} is no URL; begin it with https://, http:// or a slash")));
        }
        Ok(())
    }
}

impl crate::RelayEngine {
    /// The key whose value cannot work, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if self.upstreams.is_empty() {
            return Err(("upstreams", "the list is empty; name at least one upstream".to_owned()));
        }
        if self.multiplex.is_some_and(|multiplex| multiplex.connections == 0) {
            return Err(("multiplex.connections", "0 would connect nobody; make it at least 1".to_owned()));
        }
        if let Some(prefix) = self.destination_prefixes.iter().find(|prefix| !prefix.starts_with('/')) {
            return Err(("destinationPrefixes", format!("{prefix:?} must begin with a slash")));
        }
        check_broadcasts(self.user_destination_broadcast.as_deref(), self.user_registry_broadcast.as_deref())
    }
}

impl Persistence {
    /// The key whose value cannot work, and why.
    fn check(&self) -> Result<(), (&'static str, String)> {
        if !self.directory.is_absolute() {
            let path = self.directory.display();
            return Err(("directory", format!("{path} is not an absolute path; begin it with a slash")));
        }
        if self.size < Self::MIN_SIZE {
            return Err(("size", format!("{} is too small; make it at least {}", self.size, Self::MIN_SIZE)));
        }
        Ok(())
    }
}

/// Why a text is not a usable configuration: where, which key, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoadError {
    /// The line, counted from 1, where it is known.
    pub line: Option<u64>,
    /// Path of the key, for example `listeners.websocket.path`; empty when the text is no YAML at all.
    pub key: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.problem)
    }
}

impl LoadError {
    /// An error about a key, without the place in a text yet.
    fn new(key: &str, problem: String) -> Self {
        Self { line: None, key: key.to_owned(), problem }
    }

    /// The same error with the line where its key stands in `text`.
    #[must_use]
    pub fn located_in(self, text: &str) -> Self {
        Self { line: self.line.or_else(|| line_of(text, &self.key)), ..self }
    }
}

impl Config {
    /// Parses and checks the text of a `broker.yaml`.
    ///
    /// # Errors
    /// Names line, column and key where the text does not parse, and the field where a value cannot work.
    pub fn parse(text: &str) -> Result<Self, LoadError> {
        let mut key = String::new();
        let parsed = serde_saphyr::with_deserializer_from_str(text, |yaml| {
            serde_path_to_error::deserialize(yaml).map_err(|error| {
                key = error.path().to_string();
                error.into_inner()
            })
        });
        let config: Self = parsed.map_err(|error| {
            let error = error.without_snippet();
            LoadError {
                line: error.location().map(|location| location.line()),
                key: if key == "." { String::new() } else { key },
                problem: error.to_string(),
            }
        })?;
        config.check().map_err(|error| error.located_in(text))?;
        Ok(config)
    }

    /// Checks what the types cannot say.
    ///
    /// # Errors
    /// Names the first field whose value cannot work.
    pub fn check(&self) -> Result<(), LoadError> {
        let refuse = |field: &str, problem: String| Err(LoadError::new(field, problem));
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
        for (listener, port, tls) in self.listeners.tls() {
            if let Err((key, problem)) = tls.check(port) {
                return refuse(&format!("listeners.{listener}.tls.{key}"), problem);
            }
        }
        self.listeners.check_proxies()?;
        self.listeners.check_sock_js()?;
        self.listeners.check_pings()?;
        if self.session_timeout.0 < self.heartbeat.0 * 2 {
            return refuse(
                "sessionTimeout",
                format!(
                    "{} is too short for a heartbeat of {}; make it at least twice as long",
                    self.session_timeout, self.heartbeat
                ),
            );
        }
        for (index, issuer) in self.authentication.jwt.iter().enumerate() {
            let refuse = |key, problem| refuse(&format!("authentication.jwt[{index}].{key}"), problem);
            if let Err((key, problem)) = issuer.check() {
                return refuse(key, problem);
            }
            if self.authentication.jwt[..index].iter().any(|other| other.issuer == issuer.issuer) {
                return refuse("issuer", format!("{:?} is listed twice; merge the two entries", issuer.issuer));
            }
        }
        if let Some(header) = &self.authentication.token_header
            && (header.is_empty() || header.contains(|c: char| c.is_control() || c == ':' || c == ' '))
        {
            return refuse(
                "authentication.tokenHeader",
                format!("{header:?} is no name of a header; write for example X-Auth-Token"),
            );
        }
        if let Some(authorization) = &self.authorization {
            authorization
                .check()
                .map_err(|error| LoadError::new(&format!("authorization.{}", error.key), error.problem))?;
        }
        crate::DestinationPolicy::check_all(&self.destinations)
            .map_err(|(key, problem)| LoadError::new(&format!("destinations{key}"), problem))?;
        self.user_destinations
            .check()
            .map_err(|(key, problem)| LoadError::new(&format!("userDestinations.{key}"), problem))?;
        if let Some(peers) = &self.peers {
            let has_token = self.admin.token_file.is_some();
            peers.check(has_token).map_err(|(key, problem)| LoadError::new(&format!("peers{key}"), problem))?;
        }
        self.check_applications()?;
        if let Some(tracing) = &self.tracing {
            tracing.check().map_err(|(key, problem)| LoadError::new(&format!("tracing.{key}"), problem))?;
        }
        if let crate::Engine::Embedded(embedded) = &self.engine {
            if embedded.prefetch == 0 {
                return refuse("engine.embedded.prefetch", "0 would deliver nothing; make it at least 1".to_owned());
            }
            if embedded.queue_size < self.limits.message_size {
                return refuse(
                    "engine.embedded.queueSize",
                    format!(
                        "{} is less than limits.messageSize ({}), so no queue could take the largest message; raise it",
                        embedded.queue_size, self.limits.message_size
                    ),
                );
            }
        }
        if let crate::Engine::Embedded(crate::EmbeddedEngine { persistence: Some(persistence), .. }) = &self.engine {
            persistence
                .check()
                .map_err(|(key, problem)| LoadError::new(&format!("engine.embedded.persistence.{key}"), problem))?;
        }
        if let crate::Engine::Relay(relay) = &self.engine {
            if !self.destinations.is_empty() {
                let problem = "the upstream keeps the messages; set policies there, and remove the key";
                return refuse("destinations", problem.to_owned());
            }
            if !self.user_destinations.is_default() {
                let problem = "with the relay they go by engine.relay.userDestinationBroadcast; remove the key";
                return refuse("userDestinations", problem.to_owned());
            }
            relay.check().map_err(|(key, problem)| LoadError::new(&format!("engine.relay.{key}"), problem))?;
        }
        self.check_jetstream()
    }

    fn check_applications(&self) -> Result<(), LoadError> {
        crate::Application::check_all(&self.applications, &self.user_destinations.prefix)
            .map_err(|(key, problem)| LoadError::new(&format!("applications{key}"), problem))
    }

    fn check_jetstream(&self) -> Result<(), LoadError> {
        let crate::Engine::JetStream(engine) = &self.engine else { return Ok(()) };
        engine.check().map_err(|(key, problem)| LoadError::new(&format!("engine.jetStream.{key}"), problem))?;
        for (index, policy) in self.destinations.iter().enumerate() {
            for (key, is_set) in [("autoDelete", policy.auto_delete), ("expires", policy.expires.is_some())] {
                if is_set {
                    let problem = "queues in NATS stay; remove the key".to_owned();
                    return Err(LoadError::new(&format!("destinations[{index}].{key}"), problem));
                }
            }
        }
        Ok(())
    }

    /// Renders the configuration as YAML; the same value always gives the same octets.
    ///
    /// # Errors
    /// When a value has no YAML form, which no [`Config`] has.
    pub fn to_yaml(&self) -> Result<String, LoadError> {
        serde_saphyr::to_string(self).map_err(|error| LoadError::new("", error.to_string()))
    }
}

impl crate::Listeners {
    fn check_proxies(&self) -> Result<(), LoadError> {
        for (key, proxies) in self.proxies() {
            if let Err((field, problem)) = proxies.check() {
                return Err(LoadError::new(&format!("listeners.{key}.{field}"), problem));
            }
        }
        Ok(())
    }

    fn check_pings(&self) -> Result<(), LoadError> {
        match self.websocket.as_ref().and_then(|websocket| websocket.ping_interval) {
            Some(interval) if interval.0.is_zero() => Err(LoadError::new(
                "listeners.websocket.pingInterval",
                "0s would ping without end; leave the key out for no pings".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

/// What operator and broker compare to see whether a configuration is in force: SHA-256 of the file's octets, in hex.
pub fn config_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Octets as lower-case hexadecimal digits.
pub(crate) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(2 * octets.len()), |mut hex, octet| {
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
    fn errors_name_line_key_and_remedy() {
        for (text, line, key, problem) in [
            ("listeners:\n  stomp:\n    prot: 61613\n", 3, "listeners.stomp.prot", "port"),
            ("listeners:\n  stomp:\n    port: many\n", 3, "listeners.stomp.port", "invalid"),
            ("listeners:\n  stomp:\n    port: 61613\nheartbeat: 20s\n", 1, "sessionTimeout", "twice"),
            ("listeners:\n  stomp:\n    port: 1\nlimits:\n  sendTimeout: 10\n", 5, "limits.sendTimeout", "10s"),
            (
                "listeners: {stomp: {port: 1}}\nauthentication:\n  jwt:\n    - {issuer: a, audiences: [b], jwksFile: /k}\n    - {issuer: a, audiences: [c], jwksFile: /k}\n",
                5,
                "authentication.jwt[1].issuer",
                "twice",
            ),
            (
                "listeners: {stomp: {port: 1}}\nengine:\n  embedded:\n    prefetch: 0\n",
                4,
                "engine.embedded.prefetch",
                "at least 1",
            ),
            (
                "listeners: {stomp: {port: 1}}\nengine:\n  embedded:\n    queueSize: 1Ki\n",
                4,
                "engine.embedded.queueSize",
                "limits.messageSize (64Ki)",
            ),
            (
                "listeners: {stomp: {port: 1}}\nengine:\n  embedded:\n    persistence:\n      directory: store\n",
                5,
                "engine.embedded.persistence.directory",
                "absolute",
            ),
            (
                "listeners: {stomp: {port: 1}}\nengine:\n  embedded:\n    persistence: {directory: /s, size: 1Mi}\n",
                4,
                "engine.embedded.persistence.size",
                "at least 64Mi",
            ),
            (
                "listeners: {stomp: {port: 1}}\nauthorization:\n  rules:\n    - actions: [Send]\n      destinations: [app]\n      allow: {anyone: {}}\n",
                5,
                "authorization.rules[0].destinations[0]",
                "slash",
            ),
            ("listeners: {stomp: {port: 1}}\nlogging:\n  level: verbose\n", 3, "logging.level", "debug"),
            (
                "listeners: {stomp: {port: 1}}\ntracing:\n  otlpEndpoint: otel:4317\n",
                3,
                "tracing.otlpEndpoint",
                "http://",
            ),
            (
                "listeners: {stomp: {port: 1}}\ntracing:\n  otlpEndpoint: http://otel:4317\n  samplingRatio: 5\n",
                4,
                "tracing.samplingRatio",
                "0 for none to 1 for all",
            ),
            ("listeners:\n  websocket:\n    port: 1\n    path: ws\n", 4, "listeners.websocket.path", "slash"),
            (
                "listeners:\n  websocket:\n    port: 1\n    pingInterval: 0s\n",
                4,
                "listeners.websocket.pingInterval",
                "leave the key out",
            ),
            (
                "listeners:\n  stomp:\n    port: 1\n    proxyProtocol:\n      trustedAddresses: [lb.example.com]\n",
                5,
                "listeners.stomp.proxyProtocol.trustedAddresses[0]",
                "10.0.0.0/8",
            ),
            (
                "listeners:\n  websocket:\n    port: 1\n    forwardedHeaders:\n      trustedAddresses: []\n",
                5,
                "listeners.websocket.forwardedHeaders.trustedAddresses",
                "name the addresses",
            ),
            (
                "listeners: {stomp: {port: 1}}\nauthentication:\n  tokenHeader: 'a:b'\n",
                3,
                "authentication.tokenHeader",
                "X-Auth-Token",
            ),
            (
                "listeners: {stomp: {port: 1}}\ndestinations:\n  - match: /queue/**\n  - match: /topic/**\n    expires: 0s\n",
                5,
                "destinations[1].expires",
                "60s",
            ),
            (
                "listeners: {stomp: {port: 1}}\nuserDestinations:\n  prefix: /user\n",
                3,
                "userDestinations.prefix",
                "end with a slash",
            ),
            (
                "listeners:\n  websocket:\n    port: 1\n    sockJs:\n      disconnectDelay: 0s\n",
                5,
                "listeners.websocket.sockJs.disconnectDelay",
                "some seconds",
            ),
            (
                "listeners:\n  websocket:\n    port: 1\n    sockJs:\n      clientUrl: sockjs.js\n",
                5,
                "listeners.websocket.sockJs.clientUrl",
                "https://",
            ),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!((error.line, error.key.as_str()), (Some(line), key), "{error}");
            assert!(error.problem.contains(problem), "{error}");
        }
    }
}
