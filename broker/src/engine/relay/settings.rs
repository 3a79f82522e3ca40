//! The relay's configuration in the form that the relay works with, and the rule for destinations. Pure.

use std::sync::Arc;

use stompbroker_config::{RelayEngine, Upstream};

use crate::{
    destination::UserDestinations,
    engine::{EngineError, Operation},
};

/// Names one upstream across reloads: the same host and port are the same upstream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Address {
    /// Host as configured.
    pub(super) host: Arc<str>,
    /// Port as configured.
    pub(super) port: u16,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<&Upstream> for Address {
    fn from(upstream: &Upstream) -> Self {
        Self { host: upstream.host.as_str().into(), port: upstream.port }
    }
}

/// One upstream in the order of preference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it is.
    pub(super) address: Address,
    /// Whether it runs in the pod's own zone.
    pub(super) home: bool,
}

/// One state of the configuration.
#[derive(Debug)]
pub(super) struct Settings {
    /// As configured.
    pub(super) relay: Arc<RelayEngine>,
    /// Those of the pod's own zone first, then the others, each group in the order of the list; no address twice.
    pub(super) candidates: Vec<Candidate>,
    /// How destinations of users are written.
    users: UserDestinations,
}

impl Settings {
    /// Orders the upstreams as a pod of `zone` prefers them.
    pub(super) fn new(relay: Arc<RelayEngine>, zone: Option<&str>) -> Self {
        let mut candidates: Vec<Candidate> = Vec::with_capacity(relay.upstreams.len());
        for upstream in &relay.upstreams {
            let address = Address::from(upstream);
            if candidates.iter().all(|known| known.address != address) {
                candidates.push(Candidate { address, home: zone.is_some() && upstream.zone.as_deref() == zone });
            }
        }
        candidates.sort_by_key(|candidate| !candidate.home);
        Self { relay, candidates, users: UserDestinations::default() }
    }

    /// How many connections all sessions share; none: each has its own.
    pub(super) fn shared_connections(&self) -> Option<usize> {
        self.relay.multiplex.as_ref().map(|multiplex| multiplex.connections.max(1).into())
    }

    /// Whether the upstream is configured.
    pub(super) fn knows(&self, address: &Address) -> bool {
        self.candidates.iter().any(|candidate| candidate.address == *address)
    }

    /// Refuses what names a destination outside the configured prefixes: nothing else serves it in this pod.
    pub(super) fn check(&self, operation: &Operation) -> Result<(), EngineError> {
        match operation {
            Operation::Send(message) => self.check_destination(&message.destination),
            Operation::Subscribe(subscription) => self.check_destination(&subscription.destination),
            Operation::Commit(operations) => operations.iter().try_for_each(|operation| self.check(operation)),
            Operation::Unsubscribe { .. } | Operation::Settle { .. } => Ok(()),
        }
    }

    fn check_destination(&self, destination: &str) -> Result<(), EngineError> {
        let prefixes = &self.relay.destination_prefixes;
        let reaches_users = self.relay.user_destination_broadcast.is_some();
        if reaches_users && self.users.own(destination).is_some() {
            return Ok(());
        }
        if prefixes.iter().any(|prefix| covers(prefix, destination)) {
            return Ok(());
        }
        Err(EngineError::UnknownDestination {
            destination: destination.into(),
            remedy: format!("those that begin with {} are relayed", prefixes.join(", ")).into(),
        })
    }
}

/// Whether `prefix` covers `destination`: whole path segments only, so `/topic` covers `/topic/a` but not `/topics`.
fn covers(prefix: &str, destination: &str) -> bool {
    destination.strip_prefix(prefix.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(zone: Option<&str>) -> Settings {
        let config = stompbroker_config::Config::parse(
            "listeners: {stomp: {port: 1}}\nengine: {relay: {destinationPrefixes: [/topic, /queue/], upstreams: [\
             {host: far, port: 1, zone: b}, {host: none, port: 2}, {host: near, port: 3, zone: a}, {host: far, port: 1}], \
             systemCredentials: {directory: /s}, clientCredentials: {directory: /c}}}\n",
        )
        .unwrap();
        let stompbroker_config::Engine::Relay(relay) = config.engine else { panic!("not a relay") };
        Settings::new(Arc::new(relay), zone)
    }

    fn order(settings: &Settings) -> Vec<&str> {
        settings.candidates.iter().map(|candidate| &*candidate.address.host).collect()
    }

    #[test]
    fn upstreams_of_the_own_zone_come_first_and_no_address_twice() {
        assert_eq!(order(&settings(Some("a"))), ["near", "far", "none"]);
        assert_eq!(order(&settings(None)), ["far", "none", "near"]);
        assert!(settings(None).candidates.iter().all(|candidate| !candidate.home), "no zone of its own, no home");
    }

    #[test]
    fn a_prefix_covers_whole_segments_only() {
        let settings = settings(None);
        for destination in ["/topic/a", "/topic", "/queue/x/y", "/queue"] {
            assert!(settings.check_destination(destination).is_ok(), "{destination}");
        }
        for destination in ["/topics/a", "/app/x", "topic/a", "/queues", ""] {
            assert!(settings.check_destination(destination).is_err(), "{destination}");
        }
    }

    #[test]
    fn a_refused_destination_is_told_the_prefixes() {
        let text = settings(None).check_destination("/app/x").unwrap_err().to_string();
        assert!(text.contains("\"/app/x\"") && text.contains("/topic, /queue/"), "{text}");
    }
}
