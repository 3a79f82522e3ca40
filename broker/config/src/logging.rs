//! The log of the broker: `logging`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is logged, and how lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Logging {
    /// How lines look.
    pub format: LogFormat,
    /// The least important lines that are written.
    pub level: LogLevel,
}

impl Logging {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// The names of all formats.
    pub const NAMES: [&str; 2] = ["json", "text"];
}

/// A text that names no format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no format of log lines; write json or text")]
pub struct ParseLogFormatError(String);

impl FromStr for LogFormat {
    type Err = ParseLogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(ParseLogFormatError(other.to_owned())),
        }
    }
}

/// How important a log line is; each level has the lines of those before it, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs somebody.
    Error,
    /// What may soon.
    Warn,
    /// What happens: sessions and their subscriptions, configuration, drains.
    #[default]
    Info,
    /// Every message that is sent, and why connections failed.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The names of all levels.
    pub const NAMES: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

    /// Its name, as it is written in the configuration.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}
