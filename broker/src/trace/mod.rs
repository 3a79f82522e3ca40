//! Traces of messages: who continues the trace of a sender, begins one, and what of it is told to a collector.
//!
//! ```text
//! SEND with traceparent ─► span "send" ─► MESSAGE with the span's traceparent ─► span "deliver" ─► ACK ─► span "ack"
//!                              └────────────────── queue, bounded ── exporter ── OTLP ──► collector
//! ```
//!
//! Invariants:
//! * Nothing waits for the collector: a span that finds the queue full is dropped and counted.
//! * Without `tracing` a message costs one look at a flag, and its headers pass as they came; so do those of a message whose
//!   trace is not recorded.
//! * One `traceparent` a message, however many receive it, so that they go on to share its encoding.

mod collector;
mod context;
mod exporter;
mod span;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use rand::Rng as _;
use stompbroker_config::Tracing;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) use self::context::{TRACEPARENT, TRACESTATE};
pub(crate) use self::{
    context::TraceContext,
    exporter::Origin,
    span::{Actor, Span, Step},
};
use crate::{
    engine::Operation,
    message::Message,
    metrics::{DropReason, SpanMetrics},
};

/// Checks what only the connection to a collector would show otherwise.
///
/// # Errors
/// What is wrong with `otlpEndpoint`.
pub(crate) fn check(config: &Tracing) -> Result<(), String> {
    collector::Collector::new(config).map(drop)
}

/// Spans that wait for the exporter.
const QUEUE: usize = 2048;
/// How long the last spans may take to leave.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// What traces the messages of the process.
#[derive(Debug)]
pub(crate) struct Tracer {
    is_on: AtomicBool,
    /// Below it a random number begins a trace.
    threshold: AtomicU64,
    queue: mpsc::Sender<Span>,
    /// The other end, until the exporter takes it.
    exporters_end: Mutex<Option<mpsc::Receiver<Span>>>,
    config: watch::Sender<Option<Tracing>>,
    ending: CancellationToken,
    ended: CancellationToken,
    metrics: SpanMetrics,
}

impl Tracer {
    /// A tracer that goes by this configuration.
    pub(crate) fn new(config: Option<&Tracing>, metrics: SpanMetrics) -> Self {
        let (queue, exporters_end) = mpsc::channel(QUEUE);
        let tracer = Self {
            is_on: AtomicBool::new(false),
            threshold: AtomicU64::new(0),
            queue,
            exporters_end: Mutex::new(Some(exporters_end)),
            config: watch::Sender::new(None),
            ending: CancellationToken::new(),
            ended: CancellationToken::new(),
            metrics,
        };
        tracer.configure(config);
        tracer
    }

    /// Brings a changed configuration into force.
    pub(crate) fn configure(&self, config: Option<&Tracing>) {
        self.threshold.store(config.map_or(0, |tracing| threshold(tracing.sampling_ratio)), Ordering::Relaxed);
        self.is_on.store(config.is_some(), Ordering::Relaxed);
        self.config.send_if_modified(|current| {
            let differs = current.as_ref() != config;
            if differs {
                *current = config.cloned();
            }
            differs
        });
    }

    /// Whether there is anything to trace for.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins spans for the messages of an operation that are traced, and writes where they are in their traces into their
    /// headers. Nobody else may have the messages yet.
    pub(crate) fn begin_sends(&self, operation: &mut Operation, actor: &Actor, spans: &mut Vec<Span>) {
        match operation {
            Operation::Send(message) => self.begin_message(message, actor, spans),
            Operation::Commit(operations) => {
                for operation in operations {
                    self.begin_sends(operation, actor, spans);
                }
            }
            Operation::Subscribe(_) | Operation::Unsubscribe { .. } | Operation::Settle { .. } => {}
        }
    }

    /// The same for one message.
    pub(crate) fn begin_message(&self, message: &mut Arc<Message>, actor: &Actor, spans: &mut Vec<Span>) {
        if let Some(message) = Arc::get_mut(message) {
            spans.extend(self.begin_send(message, actor));
        }
    }

    fn begin_send(&self, message: &mut Message, actor: &Actor) -> Option<Span> {
        let parent = TraceContext::of(message);
        let context = if let Some(parent) = parent {
            parent.is_sampled().then(|| parent.child(random_id()))?
        } else {
            let threshold = self.threshold.load(Ordering::Relaxed);
            let is_chosen = threshold == u64::MAX || rand::rng().random::<u64>() < threshold;
            is_chosen.then(|| TraceContext::root(random_id(), random_id()))?
        };
        let span = Span::begin(Step::Send, context, parent, message, actor.clone());
        message.set_header(TRACEPARENT, &context.to_string());
        if parent.is_none() {
            message.remove_header(TRACESTATE);
        }
        Some(span)
    }

    /// Hands spans that are over to the exporter.
    pub(crate) fn end(&self, spans: Vec<Span>) {
        for span in spans {
            self.hand_over(Span { end: SystemTime::now(), ..span });
        }
    }

    /// Hands a step that took no time to the exporter, if the trace of its message is recorded.
    pub(crate) fn step(&self, step: Step, message: &Message, actor: Actor) {
        if let Some(parent) = TraceContext::sampled_of(message) {
            let context = parent.child(random_id());
            self.hand_over(Span::begin(step, context, Some(parent), message, actor));
        }
    }

    fn hand_over(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.metrics.dropped(DropReason::queue_full, 1);
        }
    }

    /// Exports until [`Self::finish`]. Only the first call does anything.
    pub(crate) async fn export(&self, origin: Origin) {
        let taken = self.exporters_end.lock().take();
        let _ended = self.ended.clone().drop_guard();
        if let Some(queue) = taken {
            exporter::run(self, queue, origin).await;
        }
    }

    /// Waits until the last spans have left, or that has taken too long. No more come after it.
    pub(crate) async fn finish(&self) {
        self.ending.cancel();
        if timeout(LAST_SPANS, self.ended.cancelled()).await.is_err() {
            tracing::warn!("the last spans have not left within {LAST_SPANS:?}");
        }
    }
}

/// The part of all numbers that is below it is `ratio`.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the ratio is from 0 to 1, and no sample is as exact as a float"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio * u64::MAX as f64) as u64
}

/// Random octets, not all of them zero, for that means none.
fn random_id<const N: usize>() -> [u8; N] {
    let mut id = [0; N];
    while id == [0; N] {
        rand::rng().fill(&mut id[..]);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracer(sampling_ratio: f64) -> Tracer {
        let endpoint = "http://collector:4317".to_owned();
        Tracer::new(
            Some(&Tracing { otlp_endpoint: endpoint, protocol: None, sampling_ratio, service_name: "a".into() }),
            SpanMetrics::default(),
        )
    }

    /// What becomes of the headers of a SEND, and the spans that came of it.
    fn send(tracer: &Tracer, headers: &[(&str, &str)]) -> (Vec<(String, String)>, Vec<Span>) {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let message = Message::new("s-1".into(), "/queue/a".into(), headers, "x".into(), true);
        let mut operation = Operation::Send(Arc::new(message));
        let actor = Actor { session: "s".into(), user: "ann".into(), peer: ([127, 0, 0, 1], 9).into() };
        let mut spans = Vec::new();
        tracer.begin_sends(&mut operation, &actor, &mut spans);
        let Operation::Send(message) = operation else { panic!("another operation") };
        (message.headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(), spans)
    }

    fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_recorded_trace_is_continued_and_its_state_kept() {
        let (headers, spans) = send(&tracer(0.0), &[("a", "b"), ("traceparent", PARENT), ("tracestate", "v=1")]);
        let parent = TraceContext::parse(PARENT).unwrap();
        let span = &spans[0];
        assert_eq!((span.context.trace, span.parent), (parent.trace, Some(parent.span)));
        assert_eq!(&*span.trace_state, "v=1");
        let own = span.context.to_string();
        assert_eq!(headers, owned(&[("a", "b"), ("traceparent", &own), ("tracestate", "v=1")]));
    }

    #[test]
    fn a_trace_that_is_not_recorded_passes_untouched_whatever_the_ratio() {
        let unsampled = PARENT.replace("-01", "-00");
        let (headers, spans) = send(&tracer(1.0), &[("traceparent", &unsampled)]);
        assert_eq!((headers, spans.len()), (owned(&[("traceparent", &unsampled)]), 0));
    }

    #[test]
    fn the_ratio_decides_of_messages_without_a_trace() {
        let (headers, spans) = send(&tracer(0.0), &[("a", "b")]);
        assert_eq!((headers, spans.len()), (owned(&[("a", "b")]), 0));
        let (headers, spans) = send(&tracer(1.0), &[("traceparent", "nonsense"), ("tracestate", "v=1")]);
        assert_eq!(headers, owned(&[("traceparent", &spans[0].context.to_string())]), "the state was of another trace");
        assert_eq!((spans[0].parent, &*spans[0].trace_state), (None, ""));
        let half = tracer(0.5);
        let chosen = (0..1000).filter(|_| !send(&half, &[]).1.is_empty()).count();
        assert!((200..800).contains(&chosen), "{chosen} of 1000");
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let mut registry = prometheus_client::registry::Registry::default();
        let tracer = Tracer { metrics: SpanMetrics::registered(&mut registry), ..tracer(1.0) };
        let spans = (0..QUEUE + 3).flat_map(|_| send(&tracer, &[]).1).collect();
        tracer.end(spans);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("spans_dropped_total{reason=\"queue_full\"} 3\n"), "{text}");
    }
}
