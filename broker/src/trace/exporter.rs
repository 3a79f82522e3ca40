//! Takes spans from the queue and sends them to the collector, in batches; for ever, and what is left at the end.

use std::time::Duration;

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{InstrumentationScope, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans},
};
use stompbroker_config::Tracing;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    Tracer,
    collector::{Collector, ExportError, Rejected},
    span::{Span, attribute},
};
use crate::metrics::DropReason;

/// Most spans of one request.
const MOST_SPANS: usize = 512;
/// How long a span may wait for others to be sent with.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait before the first further try of an export, and before the last one; each pause is twice as long.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(2));
/// While exports fail, how often that is told.
const TOLD_AGAIN: Duration = Duration::from_mins(1);

/// Who the spans are of.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The random part of our session ids.
    pub(crate) instance: String,
    /// The zone, where the configuration names one.
    pub(crate) zone: Option<String>,
}

/// What sends spans, and how it went last.
struct Exporter<'a> {
    tracer: &'a Tracer,
    origin: Origin,
    destination: Option<(Collector, Resource)>,
    /// When it was told that exports fail.
    told: Option<Instant>,
}

/// Exports until [`Tracer::finish`], and then what is left.
pub(super) async fn run(tracer: &Tracer, mut queue: mpsc::Receiver<Span>, origin: Origin) {
    let mut config = tracer.config.subscribe();
    let mut exporter = Exporter { tracer, origin, destination: None, told: None };
    exporter.configure(config.borrow_and_update().as_ref());
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = tracer.ending.cancelled() => break,
            // The sender lives as long as the tracer does.
            _ = config.changed() => exporter.configure(config.borrow_and_update().as_ref()),
            () = gather(&mut queue, &mut batch) => exporter.export(std::mem::take(&mut batch)).await,
        }
    }
    queue.close();
    while !batch.is_empty() || queue.recv_many(&mut batch, MOST_SPANS).await > 0 {
        exporter.export(std::mem::take(&mut batch)).await;
    }
}

/// Waits for a span, and for others that come soon after it. Safe to cancel.
async fn gather(queue: &mut mpsc::Receiver<Span>, batch: &mut Vec<Span>) {
    if batch.is_empty() {
        queue.recv_many(batch, MOST_SPANS).await;
    }
    let enough = Instant::now() + PATIENCE;
    while batch.len() < MOST_SPANS {
        let room = MOST_SPANS - batch.len();
        match timeout_at(enough, queue.recv_many(batch, room)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Sends spans, again and again for some seconds if need be; only once when the broker is ending.
async fn persist(
    collector: &mut Collector,
    spans: &ExportTraceServiceRequest,
    ending: &CancellationToken,
) -> Result<Rejected, ExportError> {
    let (mut pause, last) = PAUSES;
    loop {
        match collector.export(spans).await {
            Err(error) if error.may_pass() && pause <= last && !ending.is_cancelled() => {
                // A broker that is ending tries once more at once.
                let _ = timeout(pause, ending.cancelled()).await;
                pause *= 2;
            }
            outcome => return outcome,
        }
    }
}

impl Exporter<'_> {
    fn configure(&mut self, tracing: Option<&Tracing>) {
        self.told = None;
        self.destination = tracing.and_then(|tracing| match Collector::new(tracing) {
            Ok(collector) => Some((collector, self.resource(tracing))),
            Err(error) => {
                tracing::error!(
                    endpoint = tracing.otlp_endpoint,
                    error,
                    "spans cannot be sent to tracing.otlpEndpoint"
                );
                None
            }
        });
    }

    /// By the semantic conventions for resources.
    fn resource(&self, tracing: &Tracing) -> Resource {
        let zone = self.origin.zone.as_deref();
        let attributes = [
            Some(("service.name", tracing.service_name.as_str())),
            Some(("service.version", env!("CARGO_PKG_VERSION"))),
            Some(("service.instance.id", &self.origin.instance)),
            zone.map(|zone| ("cloud.availability_zone", zone)),
        ];
        let attributes = attributes.into_iter().flatten();
        Resource {
            attributes: attributes.map(|(key, value)| attribute(key, Value::StringValue(value.to_owned()))).collect(),
            ..Resource::default()
        }
    }

    async fn export(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let metrics = &self.tracer.metrics;
        // Spans of a moment ago, when there still was a collector.
        let Some((collector, resource)) = &mut self.destination else {
            return metrics.dropped(DropReason::export_failed, count);
        };
        let spans = ScopeSpans {
            scope: Some(InstrumentationScope {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..InstrumentationScope::default()
            }),
            spans: batch.into_iter().map(Span::into_otlp).collect(),
            ..ScopeSpans::default()
        };
        let resource =
            ResourceSpans { resource: Some(resource.clone()), scope_spans: vec![spans], ..ResourceSpans::default() };
        let request = ExportTraceServiceRequest { resource_spans: vec![resource] };
        match persist(collector, &request, &self.tracer.ending).await {
            Ok(Rejected { spans, words }) => {
                metrics.exported.inc_by(count.saturating_sub(spans));
                metrics.dropped(DropReason::rejected, spans);
                if spans > 0 {
                    tracing::debug!(endpoint = %collector.endpoint(), spans, error = words, "the collector rejected spans");
                }
                if self.told.take().is_some() {
                    tracing::info!(endpoint = %collector.endpoint(), "spans are sent again");
                }
            }
            Err(error) => {
                metrics.dropped(DropReason::export_failed, count);
                if self.told.is_none_or(|at| at.elapsed() >= TOLD_AGAIN) {
                    self.told = Some(Instant::now());
                    tracing::warn!(endpoint = %collector.endpoint(), %error, spans = count, "spans cannot be sent and are dropped");
                }
            }
        }
    }
}
