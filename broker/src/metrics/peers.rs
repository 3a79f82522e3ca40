//! What `/metrics` shows of the other pods.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
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
}

impl PeerMetrics {
    /// Nothing so far, shown by this registry.
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        Self {
            known: gauge(registry, "peers", "Other pods of this broker that are known"),
            failed: counter(registry, "peer_requests_failed", "Requests that another pod did not answer"),
        }
    }
}
