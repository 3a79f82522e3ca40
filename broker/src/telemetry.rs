//! Log lines: structured, on standard error, filtered by `RUST_LOG`.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::cli::LogFormat;

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be understood.
    #[error("RUST_LOG: {0}; write for example info or stompbroker=debug")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody else has installed a log already.
    #[error("failed to install the log: {0}")]
    Install(#[from] tracing_subscriber::util::TryInitError),
}

/// Installs the log of the process.
///
/// # Errors
/// When `RUST_LOG` cannot be understood, or there is a log already.
pub fn install(format: LogFormat) -> Result<(), TelemetryError> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    let filter = EnvFilter::builder().parse(if directives.is_empty() { "info" } else { &directives })?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer).try_init(),
    }?;
    Ok(())
}
