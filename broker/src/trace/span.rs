//! What is kept of a step in the life of a message until it is exported, and how OTLP says it: by the semantic conventions
//! for messaging. Holds no headers and no body, so no secret of an application either.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{self as otlp, span::SpanKind},
};
use smol_str::SmolStr;

use super::context::{TRACESTATE, TraceContext};
use crate::{destination::is_temporary, engine::Settlement, message::Message};

/// What tools know us by.
const SYSTEM: &str = "stompbroker";
/// Octets of a text that came from a client, in a span: the queue of spans is bounded by their number.
const MOST_TEXT: usize = 512;
/// `SpanFlags` of OTLP: it is known whether the parent is of another process, and it is.
const REMOTE_PARENT: u32 = 0x300;

/// A step in the life of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A SEND was handed to the engine.
    Send,
    /// A message that must be settled was written for its consumer.
    Deliver,
    /// It was settled.
    Settle(Settlement),
    /// It was settled by the COMMIT of a transaction.
    Commit,
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Deliver => "deliver",
            Self::Settle(Settlement::Accept) => "ack",
            Self::Settle(_) => "nack",
            Self::Commit => "commit",
        }
    }

    /// The conventions have no name for what a broker does when it delivers.
    const fn operation_type(self) -> Option<&'static str> {
        match self {
            Self::Send => Some("send"),
            Self::Deliver => None,
            Self::Settle(_) | Self::Commit => Some("settle"),
        }
    }

    const fn kind(self) -> SpanKind {
        match self {
            Self::Send => SpanKind::Producer,
            Self::Deliver => SpanKind::Consumer,
            Self::Settle(_) | Self::Commit => SpanKind::Client,
        }
    }
}

/// Whose step it was.
#[derive(Clone, Debug)]
pub(crate) struct Actor {
    /// The session's id.
    pub(crate) session: Arc<str>,
    /// The user's name; empty for an anonymous session.
    pub(crate) user: Arc<str>,
    /// Where the client connects from.
    pub(crate) peer: SocketAddr,
}

/// A step with its place in a trace.
#[derive(Debug)]
pub(crate) struct Span {
    pub(crate) step: Step,
    pub(crate) context: TraceContext,
    /// The span that led to it; none in a trace that we began.
    pub(crate) parent: Option<[u8; 8]>,
    pub(crate) trace_state: Box<str>,
    /// Nothing where its name is a secret, or of this session alone.
    pub(crate) destination: Option<SmolStr>,
    pub(crate) message: SmolStr,
    pub(crate) octets: usize,
    pub(crate) actor: Actor,
    pub(crate) start: SystemTime,
    pub(crate) end: SystemTime,
}

impl Span {
    /// A step that begins now and takes no time so far.
    pub(crate) fn begin(
        step: Step,
        context: TraceContext,
        parent: Option<TraceContext>,
        message: &Message,
        actor: Actor,
    ) -> Self {
        let now = SystemTime::now();
        // What a sender keeps for its own trace has no place in one that began here.
        let trace_state = parent.and_then(|_| message.header(TRACESTATE));
        // A part of it would mean something else.
        let trace_state = trace_state.filter(|state| state.len() <= MOST_TEXT).unwrap_or_default().into();
        Self {
            step,
            context,
            parent: parent.map(|parent| parent.span),
            trace_state,
            destination: (!is_temporary(&message.destination)).then(|| beginning(&message.destination).into()),
            message: message.id.clone(),
            octets: message.body.len(),
            actor,
            start: now,
            end: now,
        }
    }

    /// The same as OTLP says it.
    pub(crate) fn into_otlp(self) -> otlp::Span {
        let Self { step, context, parent, trace_state, destination, message, octets, actor, start, end } = self;
        let name = format!("{} {}", step.name(), destination.as_deref().unwrap_or("(temporary)"));
        let text = |key: &str, value: &str| Some(attribute(key, Value::StringValue(value.to_owned())));
        let number = |key: &str, value: i64| Some(attribute(key, Value::IntValue(value)));
        let attributes = [
            text("messaging.system", SYSTEM),
            text("messaging.operation.name", step.name()),
            step.operation_type().and_then(|kind| text("messaging.operation.type", kind)),
            destination.as_deref().and_then(|destination| text("messaging.destination.name", destination)),
            destination.is_none().then(|| attribute("messaging.destination.temporary", Value::BoolValue(true))),
            text("messaging.message.id", &message),
            number("messaging.message.body.size", i64::try_from(octets).unwrap_or(i64::MAX)),
            text("network.protocol.name", "stomp"),
            text("client.address", &actor.peer.ip().to_string()),
            number("client.port", actor.peer.port().into()),
            text("session.id", &actor.session),
            (!actor.user.is_empty()).then(|| attribute("user.name", Value::StringValue(actor.user.to_string()))),
        ];
        otlp::Span {
            trace_id: context.trace.to_vec(),
            span_id: context.span.to_vec(),
            trace_state: trace_state.into(),
            parent_span_id: parent.map(Vec::from).unwrap_or_default(),
            flags: u32::from(context.flags) | if parent.is_some() { REMOTE_PARENT } else { 0 },
            name,
            kind: step.kind() as i32,
            start_time_unix_nano: nanos(start),
            end_time_unix_nano: nanos(end),
            attributes: attributes.into_iter().flatten().collect(),
            ..otlp::Span::default()
        }
    }
}

/// As much of a text as a span may hold.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_TEXT)]
}

/// An attribute.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
