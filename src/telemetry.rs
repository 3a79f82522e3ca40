//! The log: to standard error, as JSON or text.

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::settings::LogFormat;

/// The directives of `--log` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--log is {value:?}: write levels such as info or info,stompbroker_operator=debug")]
pub struct TelemetryError {
    value: String,
    #[source]
    source: ParseError,
}

/// The client's warnings quote answers that it cannot parse, and an answer may hold a Secret: they are never logged.
const NEVER: &str = "kube_client::client=error";

/// Starts the log of the process.
///
/// # Errors
/// When `directives` cannot be read.
pub fn start(format: LogFormat, directives: &str) -> Result<(), TelemetryError> {
    let fail = |source| TelemetryError { value: directives.to_owned(), source };
    let filter = EnvFilter::try_new(directives).map_err(fail)?.add_directive(NEVER.parse().map_err(fail)?);
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(true);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).init(),
        LogFormat::Text => builder.init(),
    }
    Ok(())
}
