//! What pods tell of themselves.

use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use stompbroker_config::{LogFormat, LogLevel};

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

fn log_format(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": LogFormat::NAMES})
}

fn log_level(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": LogLevel::NAMES})
}
