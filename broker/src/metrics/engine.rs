//! What the engine knows, asked at every scrape.

use std::{cmp::Reverse, fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};
use stompbroker_config::admin::UpstreamState;

use crate::engine::{DestinationStatus, Engine};

/// Most destinations that get series of their own, the deepest first; sums cover all.
const MOST_DESTINATIONS: usize = 100;

/// Gauges of the engine.
pub struct EngineCollector(pub Arc<dyn Engine>);

impl fmt::Debug for EngineCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineCollector")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DestinationLabel {
    destination: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabel {
    upstream: String,
}

/// What of a destination is shown: the name, what it means, and its value.
type DestinationGauge = (&'static str, &'static str, fn(&DestinationStatus) -> u64);

const DESTINATION_GAUGES: [DestinationGauge; 3] = [
    ("messages_waiting", "Messages that wait for a consumer", |status| status.depth),
    ("messages_unsettled", "Messages delivered and not settled", |status| status.unsettled),
    ("subscriptions", "Subscriptions", |status| status.consumers),
];

impl Collector for EngineCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let ready = i64::from(self.0.ready().is_ok());
        gauge(&mut encoder, "stompbroker_engine_ready", "1 while messages flow", ready)?;
        let mut destinations: Vec<_> = self.0.destinations().into_iter().collect();
        let count = i64::try_from(destinations.len()).unwrap_or(i64::MAX);
        gauge(&mut encoder, "stompbroker_destinations", "Destinations that the engine knows", count)?;
        for (name, help, value) in DESTINATION_GAUGES {
            let sum = destinations.iter().map(|(_, status)| value(status)).sum::<u64>();
            // Not by a suffix: `_sum` and `_total` mean something else to Prometheus.
            let (name, help) = (format!("stompbroker_all_{name}"), format!("{help}, over all destinations"));
            gauge(&mut encoder, &name, &help, i64::try_from(sum).unwrap_or(i64::MAX))?;
        }
        destinations.sort_by_key(|(_, status)| Reverse((status.depth, status.unsettled, status.consumers)));
        destinations.truncate(MOST_DESTINATIONS);
        for (name, help, value) in DESTINATION_GAUGES {
            let (name, help) = (format!("stompbroker_{name}"), format!("{help}, by destination, the deepest ones"));
            let mut family = encoder.encode_descriptor(&name, &help, None, MetricType::Gauge)?;
            for (destination, status) in &destinations {
                let label = DestinationLabel { destination: destination.to_string() };
                let value = ConstGauge::new(i64::try_from(value(status)).unwrap_or(i64::MAX));
                value.encode(family.encode_family(&label)?)?;
            }
        }
        if let Some(unresolved) = self.0.unresolved_messages() {
            let help = "Messages for users that reached no session";
            counter(&mut encoder, "stompbroker_unresolved_user_messages", help, unresolved)?;
        }
        if let Some(dropped) = self.0.dropped_messages() {
            let help = "Messages that durable subscriptions had no room for";
            counter(&mut encoder, "stompbroker_durable_messages_dropped", help, dropped)?;
        }
        self.encode_store(&mut encoder)?;
        self.encode_relay(&mut encoder)
    }
}

impl EngineCollector {
    fn encode_store(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(store) = self.0.store_status() else { return Ok(()) };
        let writable = i64::from(store.trouble.is_none());
        gauge(encoder, "stompbroker_store_writable", "1 while persistent messages are taken", writable)?;
        let octets = |octets| i64::try_from(octets).unwrap_or(i64::MAX);
        gauge(encoder, "stompbroker_store_used_bytes", "Octets of the store in use", octets(store.used))?;
        gauge(encoder, "stompbroker_store_size_bytes", "Octets that the store may use", octets(store.size))?;
        counter(encoder, "stompbroker_store_commits", "Commits of the store", store.commits)?;
        counter(encoder, "stompbroker_store_failures", "Commits of the store that failed", store.failures)
    }

    fn encode_relay(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(relay) = self.0.relay_status() else { return Ok(()) };
        let name = "stompbroker_relay_connected";
        gauge(encoder, name, "1 while the system connection stands", i64::from(relay.connected))?;
        let connections = i64::try_from(relay.client_connections).unwrap_or(i64::MAX);
        let name = "stompbroker_relay_client_connections";
        gauge(encoder, name, "Connections of client sessions to the upstream", connections)?;
        let name = "stompbroker_relay_upstream_connected";
        let mut family = encoder.encode_descriptor(name, "1 for the upstream that serves", None, MetricType::Gauge)?;
        for upstream in relay.upstreams {
            let label = UpstreamLabel { upstream: format!("{}:{}", upstream.host, upstream.port) };
            let connected = i64::from(upstream.state == UpstreamState::Connected);
            ConstGauge::new(connected).encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), fmt::Error> {
    let counter = ConstCounter::new(value);
    counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)
}
