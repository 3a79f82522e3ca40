//! Log lines: structured, on standard error, as `logging` says, unless `--log-format` or `RUST_LOG` say otherwise.

use std::{
    fmt,
    io::{IsTerminal as _, stderr},
    sync::Arc,
};

use parking_lot::Mutex;
use stompbroker_config::{LogFormat, LogLevel, Logging};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt as lines,
    prelude::*,
    reload::{self, Handle},
};

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be understood.
    #[error("RUST_LOG: {0}; write for example info or stompbroker=debug")]
    Filter(#[from] ParseError),
    /// Somebody else has installed a log already.
    #[error("failed to install the log: {0}")]
    Install(#[from] tracing_subscriber::util::TryInitError),
}

/// All that a line goes through: the filter and the writer.
type Stack = Box<dyn Layer<Registry> + Send + Sync>;

/// The log of the process, whose settings can be changed while lines are written. The default one belongs to somebody
/// else, and nothing changes it.
#[derive(Clone, Debug, Default)]
pub struct Log(Option<Arc<Installed>>);

struct Installed {
    /// `--log-format`; wins over `logging.format`.
    format: Option<LogFormat>,
    /// `RUST_LOG`; wins over `logging.level`.
    directives: Option<String>,
    handle: Handle<Stack, Registry>,
    in_force: Mutex<Logging>,
}

impl Log {
    /// Installs the log of the process, in this format if one is given. Until [`Self::configure`] is called it has the
    /// defaults of `logging`.
    ///
    /// # Errors
    /// When `RUST_LOG` cannot be understood, or there is a log already.
    pub fn install(format: Option<LogFormat>) -> Result<Self, TelemetryError> {
        let directives = std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|directives| !directives.is_empty());
        let logging = Logging::default();
        let (layer, handle) = reload::Layer::new(stack(logging, format, directives.as_deref())?);
        tracing_subscriber::registry().with(layer).try_init()?;
        Ok(Self(Some(Arc::new(Installed { format, directives, handle, in_force: Mutex::new(logging) }))))
    }

    /// Brings changed settings into force.
    pub fn configure(&self, logging: Logging) {
        let Some(Installed { format, directives, handle, in_force }) = self.0.as_deref() else { return };
        let mut in_force = in_force.lock();
        // The directives were understood at the start, and the subscriber is there for as long as the process is.
        if *in_force != logging
            && let Ok(stack) = stack(logging, *format, directives.as_deref())
            && handle.reload(stack).is_ok()
        {
            *in_force = logging;
        }
    }
}

impl fmt::Debug for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Installed").field("in_force", &self.in_force).finish_non_exhaustive()
    }
}

fn stack(logging: Logging, format: Option<LogFormat>, directives: Option<&str>) -> Result<Stack, ParseError> {
    let filter = match directives {
        Some(directives) => EnvFilter::builder().parse(directives)?,
        None => EnvFilter::builder().parse(of_level(logging.level))?,
    };
    let lines = lines::layer().with_writer(stderr).with_ansi(stderr().is_terminal());
    Ok(match format.unwrap_or(logging.format) {
        LogFormat::Json => filter.and_then(lines.json().flatten_event(true)).boxed(),
        LogFormat::Text => filter.and_then(lines).boxed(),
    })
}

/// Libraries say nothing below `info`: their lines are about themselves, and nobody has looked whether secrets are in them.
const fn of_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error | LogLevel::Warn | LogLevel::Info => level.as_str(),
        LogLevel::Debug => "info,stompbroker=debug",
        LogLevel::Trace => "info,stompbroker=trace",
    }
}
