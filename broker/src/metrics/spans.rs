//! What `/metrics` shows of spans.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Spans since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpanMetrics {
    /// Those that a collector took.
    pub(crate) exported: Counter,
    dropped: Family<ReasonLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: DropReason,
}

/// Why a span came to no collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the derive prints the variant's name as the label's value")]
pub(crate) enum DropReason {
    /// More spans came than were sent.
    queue_full,
    /// The collector did not answer, or with an error.
    export_failed,
    /// The collector did not want it.
    rejected,
}

impl SpanMetrics {
    /// None so far, shown by this registry.
    pub(crate) fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "spans_exported",
            "Spans that the collector of tracing.otlpEndpoint took",
            metrics.exported.clone(),
        );
        registry.register("spans_dropped", "Spans that came to no collector, by reason", metrics.dropped.clone());
        for reason in [DropReason::queue_full, DropReason::export_failed, DropReason::rejected] {
            metrics.dropped(reason, 0);
        }
        metrics
    }

    /// Counts spans that came to no collector.
    pub(crate) fn dropped(&self, reason: DropReason, spans: u64) {
        self.dropped.get_or_create(&ReasonLabel { reason }).inc_by(spans);
    }
}
