//! What `/metrics` shows of the other pods.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{counter, gauge};

/// The other pods of the broker, and what was asked of them.
#[derive(Clone, Debug)]
pub(crate) struct PeerMetrics {
    /// How many there are.
    pub(crate) known: Gauge,
    /// Requests that one did not answer.
    pub(crate) failed: Counter,
    handed_on: Family<ResultLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: HandOn,
}

/// What became of a request of SockJS that was handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the derive prints the variant's name as the label's value")]
pub(crate) enum HandOn {
    /// The pod with the session has answered.
    answered,
    /// That pod has the session no longer, or has gone.
    gone,
    /// That pod did not answer.
    failed,
}

impl PeerMetrics {
    /// Nothing so far, shown by this registry.
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let handed_on = Family::<ResultLabel, Counter>::default();
        registry.register(
            "sockjs_handed_on",
            "Requests handed on to the pod of their session, by result",
            handed_on.clone(),
        );
        for result in [HandOn::answered, HandOn::gone, HandOn::failed] {
            drop(handed_on.get_or_create(&ResultLabel { result }));
        }
        Self {
            handed_on,
            known: gauge(registry, "peers", "Other pods of this broker that are known"),
            failed: counter(registry, "peer_requests_failed", "Requests that another pod did not answer"),
        }
    }

    /// Counts a request that was handed on.
    pub(crate) fn handed_on(&self, result: HandOn) {
        self.handed_on.get_or_create(&ResultLabel { result }).inc();
    }
}
