//! What pods tell of themselves.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use stompbroker_config::{LogFormat, LogLevel, OtlpProtocol};

use super::rules;

/// What the pods log, and how. A change is in force without a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// How lines look: `json`, one object a line, or `text` for people.
    #[serde(default)]
    #[schemars(schema_with = "log_format")]
    pub format: LogFormat,
    /// The least important lines that are written. `info` has sessions and their subscriptions, `debug` every message too.
    #[serde(default)]
    #[schemars(schema_with = "log_level")]
    pub level: LogLevel,
}

/// How pods are watched.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Monitoring {
    /// Traces of messages. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
}

/// Spans of messages, sent to a collector by OTLP under the name of the StompBroker. A change is in force without a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = rules::otlp_endpoint_is_an_address())]
pub struct Tracing {
    /// Where the collector is, for example `http://otel-collector.observability:4317`; an `https://` address is trusted by
    /// the public authorities. The pods' NetworkPolicy lets them reach its port.
    #[schemars(length(min = 1, max = 512))]
    pub otlp_endpoint: String,
    /// How the collector is spoken to. Absent: `http/protobuf` on port 4318, `grpc` on any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "otlp_protocol")]
    pub protocol: Option<OtlpProtocol>,
    /// Share of the messages without a `traceparent` header for which a trace is begun, from 0 to 1. A message with one is
    /// traced if its sender says so.
    #[serde(default = "sampling_ratio")]
    #[schemars(schema_with = "share")]
    pub sampling_ratio: f64,
}

fn sampling_ratio() -> f64 {
    stompbroker_config::Tracing::SAMPLING_RATIO
}

/// Without the format that the derived schema has, for which the API server has no use.
fn share(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "number", "minimum": 0, "maximum": 1})
}

fn otlp_protocol(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": OtlpProtocol::NAMES})
}

fn log_format(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": LogFormat::NAMES})
}

fn log_level(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": LogLevel::NAMES})
}
