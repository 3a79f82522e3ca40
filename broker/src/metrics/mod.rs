//! What `/metrics` shows. Everything counted per frame is resolved to its counter here, once, so that a frame costs a
//! relaxed addition at most; connections add what one wake-up brought in one go.

mod applications;
mod engine;
mod peers;
mod process;
mod spans;

use std::collections::BTreeMap;

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Metric, Registry},
};

pub(crate) use self::applications::{ApplicationMetrics, Counted, RequestOutcome};
pub use self::engine::EngineCollector;
pub(crate) use self::peers::{HandOn, PeerMetrics};
pub(crate) use self::spans::{DropReason, SpanMetrics};
use crate::{session::CloseReason, stomp::Command, transport::Transport};

/// The media type of what [`Metrics::encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What happens on connections, by transport.
    transports: [TransportMetrics; Transport::ALL.len()],
    received: FrameCounters,
    sent: FrameCounters,
    certificate_expiry: Family<ListenerLabel, Gauge>,
    closed: Family<ReasonLabel, Counter>,
    /// Sessions closed because they took their messages too slowly.
    pub slow_consumers: Counter,
    /// Messages of topics that a listener's `slowConsumers` dropped.
    pub messages_dropped: Counter,
    /// Connections refused by `limits.connectionsPerPod` or `limits.connectionsPerAddress`.
    pub connections_refused: Counter,
    /// Octets that count for `limits.memory`.
    pub memory_held: Gauge,
    /// `limits.memory`, or 0 without such a bound.
    pub memory_limit: Gauge,
    /// SEND frames and connections refused by `limits.memory`.
    pub memory_refusals: Counter,
    /// Times that a connection waited for `limits.messagesPerSecondPerPod`.
    pub throttled: Counter,
    /// WebSocket and SockJS requests refused for their origin.
    pub origins_refused: Counter,
    /// 1 while the file on disk is not in force because it was rejected.
    pub config_rejected: Gauge,
    config_reloads: Family<ResultLabel, Counter>,
    /// 1 while the pod lets its sessions go.
    pub draining: Gauge,
    /// Sessions since the start that did not end by DISCONNECT or an orderly close.
    pub closed_abnormally: Counter,
    /// Spans of messages.
    pub(crate) spans: SpanMetrics,
    /// The other pods.
    pub(crate) peers: PeerMetrics,
    /// Requests to applications.
    pub(crate) applications: ApplicationMetrics,
}

/// What is counted per transport.
#[derive(Clone, Debug)]
pub struct TransportMetrics {
    /// Open connections, logged in or not.
    pub connections: Gauge,
    /// Sessions that have logged in.
    pub sessions: Gauge,
    /// All sessions since the start.
    pub sessions_opened: Counter,
    /// Octets from clients, transport framing included.
    pub octets_received: Counter,
    /// Octets to clients, transport framing included.
    pub octets_sent: Counter,
    /// Open connections that are encrypted.
    pub tls_connections: Gauge,
    /// TLS handshakes that failed.
    pub tls_handshakes_failed: Counter,
    /// Connections of trusted proxies that were closed for their PROXY header.
    pub proxy_headers_refused: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabel {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: ReloadResult,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum ReloadResult {
    /// The new configuration is in force.
    #[allow(non_camel_case_types, reason = "the derive prints the variant's name as the label's value")]
    applied,
    /// The old configuration stays in force.
    #[allow(non_camel_case_types, reason = "the derive prints the variant's name as the label's value")]
    rejected,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FrameLabel {
    command: &'static str,
    direction: &'static str,
}

/// One counter a command; frames of one direction.
#[derive(Debug)]
struct FrameCounters([Counter; FrameTally::COMMANDS.len()]);

/// Frames of one wake-up by command, added to the counters at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct FrameTally([u32; Self::COMMANDS.len()]);

impl FrameTally {
    const COMMANDS: [(Command, &'static str); 14] = [
        (Command::Connect, "CONNECT"),
        (Command::Send, "SEND"),
        (Command::Subscribe, "SUBSCRIBE"),
        (Command::Unsubscribe, "UNSUBSCRIBE"),
        (Command::Ack, "ACK"),
        (Command::Nack, "NACK"),
        (Command::Begin, "BEGIN"),
        (Command::Commit, "COMMIT"),
        (Command::Abort, "ABORT"),
        (Command::Disconnect, "DISCONNECT"),
        (Command::Connected, "CONNECTED"),
        (Command::Message, "MESSAGE"),
        (Command::Receipt, "RECEIPT"),
        (Command::Error, "ERROR"),
    ];

    /// Counts one frame.
    pub fn add(&mut self, command: Command) {
        self.0[command as usize] += 1;
    }

    /// Frames of all commands.
    pub fn total(&self) -> u64 {
        self.0.iter().copied().map(u64::from).sum()
    }

    /// Frames of a command.
    pub fn get(&self, command: Command) -> u32 {
        self.0[command as usize]
    }
}

impl FrameCounters {
    fn new(family: &Family<FrameLabel, Counter>, direction: &'static str, range: std::ops::Range<usize>) -> Self {
        Self(std::array::from_fn(|index| {
            let (_, command) = FrameTally::COMMANDS[index];
            if range.contains(&index) {
                family.get_or_create_owned(&FrameLabel { command, direction })
            } else {
                Counter::default()
            }
        }))
    }

    fn add(&self, tally: &FrameTally) {
        for (counter, count) in self.0.iter().zip(tally.0).filter(|(_, count)| *count > 0) {
            counter.inc_by(u64::from(count));
        }
    }
}

impl Metrics {
    /// All metrics at zero, under the names that dashboards use.
    pub fn new() -> Self {
        let mut root = Registry::default();
        root.register_collector(Box::new(process::ProcessCollector));
        let registry = root.sub_registry_with_prefix("stompbroker");
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the broker", build);
        let connections: Family<TransportLabel, Gauge> =
            family(registry, "connections", "Open connections, logged in or not");
        let sessions: Family<TransportLabel, Gauge> = family(registry, "sessions", "Sessions that have logged in");
        let sessions_opened = Family::<TransportLabel, Counter>::default();
        registry.register("sessions_opened", "Sessions since the start", sessions_opened.clone());
        let received = Family::<TransportLabel, Counter>::default();
        registry.register("received_bytes", "Octets from clients, with transport framing", received.clone());
        let sent = Family::<TransportLabel, Counter>::default();
        registry.register("sent_bytes", "Octets to clients, with transport framing", sent.clone());
        let tls_connections = Family::<TransportLabel, Gauge>::default();
        registry.register("tls_connections", "Open connections that are encrypted", tls_connections.clone());
        let tls_handshakes_failed = Family::<TransportLabel, Counter>::default();
        registry.register("tls_handshakes_failed", "TLS handshakes that failed", tls_handshakes_failed.clone());
        let proxy_headers_refused = Family::<TransportLabel, Counter>::default();
        registry.register(
            "proxy_headers_refused",
            "Connections of trusted proxies that were closed for a PROXY header that was malformed, missing or late",
            proxy_headers_refused.clone(),
        );
        let certificate_expiry = Family::<ListenerLabel, Gauge>::default();
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the certificate of a listener ends to be valid",
            certificate_expiry.clone(),
        );
        let closed = Family::<ReasonLabel, Counter>::default();
        registry.register("sessions_closed", "Connections that ended, by reason", closed.clone());
        for reason in CloseReason::ALL {
            // A rate needs the 0 that was before the first.
            drop(closed.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
        let frames = Family::<FrameLabel, Counter>::default();
        registry.register("frames", "STOMP frames, by command and direction", frames.clone());
        let slow_consumers = counter(registry, "slow_consumers", "Sessions closed for taking messages too slowly");
        let messages_dropped =
            counter(registry, "messages_dropped", "Messages of topics dropped for clients that took too slowly");
        let connections_refused = counter(
            registry,
            "connections_refused",
            "Connections refused by limits.connectionsPerPod or limits.connectionsPerAddress",
        );
        let memory_held = gauge(registry, "memory_held_bytes", "Octets that count for limits.memory");
        let memory_limit = gauge(registry, "memory_limit_bytes", "limits.memory, 0 without such a bound");
        let memory_refusals =
            counter(registry, "memory_refusals", "SEND frames and connections refused by limits.memory");
        let throttled = counter(registry, "throttled", "Waits for limits.messagesPerSecondPerPod");
        let origins_refused = counter(registry, "origins_refused", "Requests refused for their origin");
        let config_rejected =
            gauge(registry, "config_rejected", "1 while the file on disk is rejected and an older one is in force");
        let config_reloads = Family::<ResultLabel, Counter>::default();
        registry.register("config_reloads", "Reloads of the configuration, by result", config_reloads.clone());
        for result in [ReloadResult::applied, ReloadResult::rejected] {
            drop(config_reloads.get_or_create(&ResultLabel { result }));
        }
        let draining = gauge(registry, "draining", "1 while the pod lets its sessions go");
        let closed_abnormally = counter(
            registry,
            "sessions_closed_abnormally",
            "Connections that ended without DISCONNECT or an orderly close",
        );

        let transport = |transport: Transport| {
            let label = TransportLabel { transport: transport.as_str() };
            TransportMetrics {
                connections: connections.get_or_create_owned(&label),
                sessions: sessions.get_or_create_owned(&label),
                sessions_opened: sessions_opened.get_or_create_owned(&label),
                octets_received: received.get_or_create_owned(&label),
                octets_sent: sent.get_or_create_owned(&label),
                tls_connections: tls_connections.get_or_create_owned(&label),
                tls_handshakes_failed: tls_handshakes_failed.get_or_create_owned(&label),
                proxy_headers_refused: proxy_headers_refused.get_or_create_owned(&label),
            }
        };
        Self {
            transports: Transport::ALL.map(transport),
            received: FrameCounters::new(&frames, "in", 0..10),
            sent: FrameCounters::new(&frames, "out", 10..14),
            certificate_expiry,
            closed,
            slow_consumers,
            messages_dropped,
            connections_refused,
            memory_held,
            memory_limit,
            memory_refusals,
            throttled,
            origins_refused,
            config_rejected,
            config_reloads,
            draining,
            closed_abnormally,
            spans: SpanMetrics::registered(registry),
            peers: PeerMetrics::registered(registry),
            applications: ApplicationMetrics::registered(registry),
            registry: root,
        }
    }

    /// Adds what is asked of the engine at every scrape.
    pub fn register_engine(&mut self, collector: EngineCollector) {
        self.registry.register_collector(Box::new(collector));
    }

    /// The metrics of one transport.
    pub const fn transport(&self, transport: Transport) -> &TransportMetrics {
        &self.transports[transport as usize]
    }

    /// Shows until when the certificates of these listeners are valid, in seconds since 1970, and no others.
    pub fn certificates_expire(&self, listeners: impl Iterator<Item = (&'static str, i64)>) {
        self.certificate_expiry.clear();
        for (listener, expiry) in listeners {
            self.certificate_expiry.get_or_create(&ListenerLabel { listener }).set(expiry);
        }
    }

    /// Adds the frames that one wake-up received.
    pub fn frames_received(&self, tally: &FrameTally) {
        self.received.add(tally);
    }

    /// Adds the frames that one wake-up sent.
    pub fn frames_sent(&self, tally: &FrameTally) {
        self.sent.add(tally);
    }

    /// SEND frames since the start.
    pub fn messages_received(&self) -> u64 {
        self.received.0[Command::Send as usize].get()
    }

    /// MESSAGE frames since the start.
    pub fn messages_sent(&self) -> u64 {
        self.sent.0[Command::Message as usize].get()
    }

    /// Counts the end of a connection.
    pub fn closed(&self, reason: CloseReason) {
        self.closed.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
        if reason.is_abnormal() {
            self.closed_abnormally.inc();
        }
        if reason == CloseReason::SlowConsumer {
            self.slow_consumers.inc();
        }
    }

    /// Connections that ended abnormally since the start, by reason.
    pub fn closed_abnormally_by_reason(&self) -> BTreeMap<String, u64> {
        let abnormal = CloseReason::ALL.into_iter().filter(|reason| reason.is_abnormal());
        let count = |reason: CloseReason| {
            let reason = reason.as_str();
            Some((reason.to_owned(), self.closed.get(&ReasonLabel { reason })?.get()))
        };
        abnormal.filter_map(count).filter(|(_, count)| *count > 0).collect()
    }

    /// Counts a reload.
    pub fn reloaded(&self, result: ReloadResult) {
        self.config_reloads.get_or_create(&ResultLabel { result }).inc();
        self.config_rejected.set(i64::from(result == ReloadResult::rejected));
    }

    /// The text of `/metrics`.
    ///
    /// # Errors
    /// When a collector cannot write its metrics.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    Family<L, M>: Clone + Default + Metric,
{
    let family = Family::default();
    registry.register(name, help, family.clone());
    family
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_by_command_and_direction() {
        let metrics = Metrics::new();
        let mut tally = FrameTally::default();
        tally.add(Command::Send);
        tally.add(Command::Send);
        metrics.frames_received(&tally);
        let text = metrics.encode().unwrap();
        assert!(text.contains("stompbroker_frames_total{command=\"SEND\",direction=\"in\"} 2\n"), "{text}");
        assert!(text.contains("stompbroker_frames_total{command=\"MESSAGE\",direction=\"out\"} 0\n"), "{text}");
        assert!(!text.contains("command=\"MESSAGE\",direction=\"in\""), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn the_table_of_commands_is_in_the_order_of_the_type() {
        for (index, (command, _)) in FrameTally::COMMANDS.into_iter().enumerate() {
            assert_eq!(command as usize, index);
        }
    }

    #[test]
    fn the_transports_are_listed_in_the_order_of_the_type() {
        for (index, transport) in Transport::ALL.into_iter().enumerate() {
            assert_eq!(transport as usize, index);
        }
    }

    #[test]
    fn the_process_tells_its_memory_and_descriptors() {
        let text = Metrics::new().encode().unwrap();
        for name in ["process_resident_memory_bytes ", "process_open_fds ", "process_max_fds "] {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {text}"));
            assert!(line[name.len()..].parse::<f64>().unwrap() > 0.0, "{line}");
        }
    }
}
